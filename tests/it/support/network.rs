//! A network of the test's own: hosts in network namespaces on one wire, where words between two of them can be dropped.
//!
//! A thread enters a namespace ([`Host::inside`]) and opens its sockets or starts its child there; both stay where they were made.
//! Namespaces carry the process in their name. A run that was killed leaves its own behind; the next run takes them away, with
//! whatever still runs in them.
//!
//! ```text
//!   east-1 ──┐          ┌── west-1
//!   east-2 ──┤   wire   ├── west-2      one bridge, one subnet; what is cut is dropped where it arrives (nftables)
//!  servers ──┘          └── clients
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::panic;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where iproute2 keeps namespaces that have a name.
const NAMED: &str = "/run/netns";
/// What all of ours begin with.
const PREFIX: &str = "maitred-";

/// Hosts and the wire between them. Gone when dropped.
pub(crate) struct Network {
    prefix: String,
    hosts: BTreeMap<&'static str, Host>,
    /// From whom to whom nothing comes through, and per mille of packets that are lost.
    faults: RefCell<BTreeMap<(&'static str, &'static str), u16>>,
}

/// One host: a namespace with an address.
#[derive(Clone)]
pub(crate) struct Host {
    address: Ipv4Addr,
    namespace: Arc<File>,
}

impl Network {
    /// Makes hosts with these addresses, all of `10.0.0.0/8`.
    pub(crate) fn of(hosts: &[(&'static str, [u8; 4])]) -> Self {
        static LEFTOVERS: Once = Once::new();
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        LEFTOVERS.call_once(take_away_leftovers);
        let own = std::process::id();
        let began = began(own).expect("this process is in /proc");
        let prefix = format!("{PREFIX}{own}-{began}-{}-", COUNT.fetch_add(1, Ordering::SeqCst));
        // From here on dropping it takes away what was made.
        let mut network = Self { prefix, hosts: BTreeMap::new(), faults: RefCell::default() };
        let wire = network.name("wire");
        let names = hosts.iter().map(|(host, _)| network.name(host)).chain([wire.clone()]);
        ip(&[], &names.fold(String::new(), |text, name| text + &format!("netns add {name}\n")));
        let mut links = "link add wire type bridge\nlink set wire up\n".to_owned();
        for (number, (host, _)) in hosts.iter().enumerate() {
            let name = network.name(host);
            writeln!(links, "link add port{number} type veth peer name eth0 netns {name}").unwrap();
            writeln!(links, "link set port{number} master wire up").unwrap();
        }
        ip(&["-n", &wire], &links);
        for (host, [a, b, c, d]) in hosts {
            let name = network.name(host);
            let own = format!("address add {a}.{b}.{c}.{d}/8 dev eth0\nlink set lo up\nlink set eth0 up\n");
            ip(&["-n", &name], &own);
            let namespace =
                File::open(format!("{NAMED}/{name}")).unwrap_or_else(|error| impossible(&error.to_string()));
            network.hosts.insert(host, Host { address: Ipv4Addr::new(*a, *b, *c, *d), namespace: Arc::new(namespace) });
        }
        network
    }

    /// A host by its name.
    #[track_caller]
    pub(crate) fn host(&self, name: &str) -> &Host {
        self.hosts.get(name).unwrap_or_else(|| panic!("no host {name}"))
    }

    /// From now on nothing gets from any of these to any of those. The other way stays open.
    pub(crate) fn drop_from_to(&self, from: &[&'static str], to: &[&'static str]) {
        self.lose(from, to, 1000);
    }

    /// From now on nothing gets from one side to the other.
    pub(crate) fn cut(&self, one: &[&'static str], other: &[&'static str]) {
        self.drop_from_to(one, other);
        self.drop_from_to(other, one);
    }

    /// From now on so many of a thousand packets are lost on this way.
    pub(crate) fn lose(&self, from: &[&'static str], to: &[&'static str], per_mille: u16) {
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        self.faults.borrow_mut().extend(pairs.map(|pair| (pair, per_mille)));
        self.rule(to.iter().copied().collect());
    }

    /// Everything comes through again.
    pub(crate) fn heal(&self) {
        let touched = self.faults.borrow().keys().map(|(_, to)| *to).collect();
        self.faults.borrow_mut().clear();
        self.rule(touched);
    }

    /// Tells these hosts what they do not hear.
    fn rule(&self, hosts: BTreeSet<&'static str>) {
        for to in hosts {
            let mut rules = "flush ruleset\ntable inet faults {\nchain arriving {\n".to_owned();
            rules.push_str("type filter hook input priority 0; policy accept;\n");
            for ((from, _), per_mille) in self.faults.borrow().iter().filter(|((_, at), _)| *at == to) {
                let chance =
                    if *per_mille < 1000 { format!("numgen random mod 1000 < {per_mille} ") } else { String::new() };
                writeln!(rules, "ip saddr {} {chance}drop", self.host(from).address).unwrap();
            }
            rules.push_str("}\n}\n");
            self.host(to).inside(|| feed(Command::new("nft").args(["-f", "-"]), &rules));
        }
    }

    fn name(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        take_away(|name| name.starts_with(&self.prefix));
    }
}

impl Host {
    /// Its address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Does something there: sockets that are opened and children that are started belong to this host.
    pub(crate) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let done = thread::scope(|scope| {
            let there = scope.spawn(|| {
                self.enter();
                act()
            });
            there.join()
        });
        done.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// This thread is there from now on.
    pub(crate) fn enter(&self) {
        enter(&self.namespace);
    }
}

/// This thread's way back to where it is now.
pub(crate) struct Home(File);

impl Home {
    /// Remembers it.
    pub(crate) fn here() -> Self {
        Self(File::open("/proc/thread-self/ns/net").unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Who fails anyway has said why; a second failure would take the other tests along.
        if !thread::panicking() {
            enter(&self.0);
        }
    }
}

fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .unwrap_or_else(|error| impossible(&format!("setns: {error}")));
}

/// Many commands of `ip` in one process.
fn ip(options: &[&str], commands: &str) {
    feed(Command::new("ip").args(options).args(["-batch", "-"]), commands);
}

fn feed(command: &mut Command, words: &str) {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| impossible(&format!("{program}: {error}")));
    child.stdin.take().unwrap().write_all(words.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        impossible(&format!("{program}: {}\n{words}", String::from_utf8_lossy(&output.stderr)));
    }
}

/// These tests are not left out where they cannot run: whoever relies on them must know.
fn impossible(why: &str) -> ! {
    panic!(
        "no network namespaces: {why}\nThese tests make networks of their own. They need Linux, root with CAP_SYS_ADMIN and CAP_NET_ADMIN \
         (in a container `--privileged`), and `ip` and `nft`, which `tests/run` installs."
    )
}

/// What runs that are dead have left.
fn take_away_leftovers() {
    take_away(|name| {
        let mut parts = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
        match (parts.next().and_then(|id| id.parse().ok()), parts.next().and_then(|at| at.parse().ok())) {
            (Some(id), Some(at)) => began(id) != Some(at),
            _ => false,
        }
    });
}

fn take_away(whether: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(NAMED) else { return };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| whether(name));
    for name in names {
        // Somebody else may clean at the same moment: what is gone is gone.
        if let Ok(inside) = Command::new("ip").args(["netns", "pids", &name]).output() {
            let ids = String::from_utf8_lossy(&inside.stdout).into_owned();
            for id in ids.split_whitespace().filter_map(|id| id.parse().ok()) {
                // A thread of this very process may be there.
                if id != i32::try_from(std::process::id()).unwrap()
                    && let Some(pid) = Pid::from_raw(id)
                {
                    let _gone_already = kill_process(pid, Signal::KILL);
                }
            }
        }
        let _gone_already = Command::new("ip").args(["netns", "delete", &name]).output();
    }
}

/// When a process began, in ticks since the machine did; `None` when there is none.
fn began(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may contain blanks; the moment is the 22nd field of the whole line.
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}
