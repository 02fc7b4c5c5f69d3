//! What a director of a test is to be: a [`Plan`] says what is different, everything else is short times, loopback and the
//! certificates of the tests.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::certificates::{self, Certificates};
use super::director::{Director, Ports, Start};
use super::network::Host;
use super::ports;
use super::stub::{HEALTH, StubServer};

/// What to run. Lines are TOML, put at the end of their table.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    servers: String,
    tables: Vec<(&'static str, String)>,
    keep_state: bool,
    start: Start,
}

impl Plan {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A server of the pool `ua` on loopback, known to clients as `<name>.test`.
    pub(crate) fn server(self, name: &str, port: u16) -> Self {
        self.server_with(name, port, "")
    }

    /// The same with lines of its own (`weight = 50`).
    pub(crate) fn server_with(self, name: &str, port: u16, lines: &str) -> Self {
        self.any_server(name, (Ipv4Addr::LOCALHOST, port).into(), "east", lines)
    }

    /// The same in another datacenter.
    pub(crate) fn server_in(self, name: &str, port: u16, datacenter: &str) -> Self {
        self.any_server(name, (Ipv4Addr::LOCALHOST, port).into(), datacenter, "")
    }

    /// The same on another host.
    pub(crate) fn server_on(self, name: &str, address: SocketAddr, datacenter: &str) -> Self {
        self.any_server(name, address, datacenter, "")
    }

    fn any_server(mut self, name: &str, address: SocketAddr, datacenter: &str, lines: &str) -> Self {
        let port = address.port();
        writeln!(
            self.servers,
            "[[pool.server]]\nname = \"{name}\"\ndatacenter = \"{datacenter}\"\nurl = \"https://{name}.test:{port}\"\n\
             probe_url = \"https://{address}\"\n{lines}"
        )
        .unwrap();
        self
    }

    /// A server that clients know under this origin and that is asked at another port.
    pub(crate) fn server_at(mut self, name: &str, origin: &str, port: u16) -> Self {
        writeln!(
            self.servers,
            "[[pool.server]]\nname = \"{name}\"\ndatacenter = \"east\"\nurl = \"{origin}\"\nprobe_url = \"https://127.0.0.1:{port}\""
        )
        .unwrap();
        self
    }

    pub(crate) fn stubs<'a>(self, stubs: impl IntoIterator<Item = &'a StubServer>) -> Self {
        stubs.into_iter().fold(self, |plan, stub| plan.server(stub.name(), stub.port()))
    }

    /// Lines for a table: `director`, `log`, `listen.public`, `listen.internal`, `pool`, `pool.health`, `pool.failover`, `end`.
    /// A key that is given replaces the usual line of that key.
    pub(crate) fn with(mut self, table: &'static str, lines: &str) -> Self {
        self.tables.push((table, lines.to_owned()));
        self
    }

    /// Keeps a journal, so that a restarted director knows what the first one knew.
    pub(crate) fn keeping_state(mut self) -> Self {
        self.keep_state = true;
        self
    }

    /// Shell commands before the director takes the place of their process: limits, other outputs, variables.
    pub(crate) fn prepared_by(mut self, commands: &str) -> Self {
        commands.clone_into(&mut self.start.preparation);
        self
    }

    /// Runs it on a host of its own, whose ports are all free.
    pub(crate) fn on(mut self, host: &Host) -> Self {
        self.start.host = Some(host.clone());
        self
    }

    fn address(&self) -> IpAddr {
        self.start.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address).into()
    }

    /// The configuration's text.
    pub(crate) fn toml(&self, ports: Ports, certificates: &Certificates, state: &Path) -> String {
        let (file, at) = (|name: &str| format!("{:?}", certificates.path(name)), self.address());
        let tls =
            |stem: &str| format!("cert = {}, key = {}", file(&format!("{stem}.pem")), file(&format!("{stem}.key")));
        let mut director =
            vec!["name = \"east-1\"".to_owned(), "datacenter = \"east\"".into(), "stop_delay = \"1s\"".into()];
        if self.keep_state {
            director.push(format!("state_dir = {state:?}"));
        }
        let tables: [(&str, Vec<String>); 8] = [
            ("director", director),
            ("log", vec!["keys = \"clear\"".into()]),
            (
                "listen.public",
                vec![format!("address = \"{at}:{}\"", ports.public), format!("tls = {{ {} }}", tls("public"))],
            ),
            (
                "listen.internal",
                vec![
                    format!("address = \"{at}:{}\"", ports.internal),
                    format!("tls = {{ {}, client_ca = {} }}", tls("internal"), file("ca.pem")),
                ],
            ),
            ("listen.metrics", vec![format!("address = \"{at}:{}\"", ports.metrics)]),
            ("affinity", vec![format!("key_file = {}", file("affinity.keys"))]),
            (
                "pool",
                vec![
                    "name = \"ua\"".into(),
                    "route = [{ path = \"/\" }]".into(),
                    "key = [\"query:agent\", \"header:x-agent-id\", \"cookie\"]".into(),
                    "datacenters = [\"east\"]".into(),
                ],
            ),
            (
                "pool.health",
                vec![
                    format!("path = \"{HEALTH}\""),
                    format!("ca = {}", file("ca.pem")),
                    "interval = \"200ms\"".into(),
                    "fast = \"100ms\"".into(),
                    "timeout = \"2s\"".into(),
                    "fall = 2".into(),
                    "rise = 1".into(),
                    "slow_start = \"0s\"".into(),
                ],
            ),
        ];
        let mut text = String::new();
        for (table, usual) in tables {
            let extra: String = self.lines_of(table);
            let head = if table == "pool" { "[[pool]]".to_owned() } else { format!("[{table}]") };
            writeln!(text, "{head}").unwrap();
            for line in usual.iter().filter(|line| !extra.lines().any(|other| key_of(other) == key_of(line))) {
                writeln!(text, "{line}").unwrap();
            }
            writeln!(text, "{extra}").unwrap();
        }
        let failover = self.lines_of("pool.failover");
        if !failover.is_empty() {
            writeln!(text, "[pool.failover]\n{failover}").unwrap();
        }
        text + &self.servers + &self.lines_of("end")
    }

    fn lines_of(&self, table: &str) -> String {
        let given = || self.tables.iter().filter(|(name, _)| *name == table).flat_map(|(_, lines)| lines.lines());
        if table == "end" {
            return given().map(|line| format!("{line}\n")).collect();
        }
        // What is given later replaces what was given before.
        let last = |at: usize, line: &str| given().skip(at + 1).all(|later| key_of(later) != key_of(line));
        given().enumerate().filter(|(at, line)| last(*at, line)).map(|(_, line)| format!("{line}\n")).collect()
    }

    /// Starts it and waits until it lives.
    pub(crate) fn start(self) -> Director {
        self.start_with(certificates::shared())
    }

    /// The same with certificates of its own, which the test may change.
    pub(crate) fn start_with(self, certificates: Arc<Certificates>) -> Director {
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let ports = Ports { public: ports::free(), internal: ports::free(), metrics: ports::free() };
            let text = self.toml(ports, &certificates, &folder.path().join("state"));
            fs::write(folder.path().join("maitred.toml"), text).unwrap();
            let start = self.start.clone();
            if let Some(director) = Director::start(folder, ports, self.address(), Arc::clone(&certificates), start) {
                return director;
            }
        }
        panic!("no free ports for a director");
    }
}

fn key_of(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}

#[test]
fn the_usual_plan_is_a_valid_configuration() {
    let certificates = certificates::shared();
    let plan = Plan::new()
        .server("ua1", 1)
        .server_with("ua2", 2, "weight = 50")
        .keeping_state()
        .with("pool.health", "fall = 7");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maitred.toml");
    let text = plan.toml(Ports { public: 3, internal: 4, metrics: 5 }, &certificates, &folder.path().join("state"));
    fs::write(&file, &text).unwrap();
    let loaded = maitred::config::load(&file, []);
    assert!(text.contains("fall = 7") && !text.contains("fall = 2"), "{text}");
    assert!(loaded.is_ok(), "{:#?}\n{text}", loaded.err());
}
