//! The built `maitred run` with a configuration of its own.
//!
//! A [`Plan`] says what is different in this test; everything else is short times, loopback and the certificates of the tests.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::certificates::{self, Certificates, FRONT};
use super::client::Client;
use super::network::Host;
use super::process::Process;
use super::stub::{HEALTH, StubServer};
use super::{ports, wait};

/// After so many more commits of the journal everything is on disk that was answered before they were counted: the first of them may
/// have been under way already.
pub(crate) const ALL_WRITTEN: u64 = 2;

/// What to run. Lines are TOML, put at the end of their table.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    servers: String,
    tables: Vec<(&'static str, String)>,
    keep_state: bool,
    preparation: String,
    host: Option<Host>,
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
        commands.clone_into(&mut self.preparation);
        self
    }

    /// Runs it on a host of its own, whose ports are all free.
    pub(crate) fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    fn address(&self) -> IpAddr {
        self.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address).into()
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
            let start = Start { preparation: self.preparation.clone(), host: self.host.clone() };
            let (process, address) = (run(folder.path(), &start), self.address());
            let certificates = Arc::clone(&certificates);
            let mut director = Director { process, folder, ports, address, certificates, start };
            // Otherwise somebody else took one of the ports in between.
            if director.comes_to_life() {
                return director;
            }
        }
        panic!("no free ports for a director");
    }
}

fn key_of(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}

/// Where it listens, on loopback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) public: u16,
    pub(crate) internal: u16,
    pub(crate) metrics: u16,
}

/// A running director. Killed when it is dropped; its words are shown when the test failed.
pub(crate) struct Director {
    process: Process,
    folder: TempDir,
    ports: Ports,
    address: IpAddr,
    certificates: Arc<Certificates>,
    start: Start,
}

/// How its process is started, each time.
struct Start {
    preparation: String,
    host: Option<Host>,
}

impl Director {
    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("maitred.toml")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// On the public listener, under the name that agents use.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{FRONT}:{}{path}", self.ports.public)
    }

    /// On the internal listener.
    pub(crate) fn internal_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.ports.internal)
    }

    /// On the metrics listener.
    pub(crate) fn metrics_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.metrics)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// A client that reaches it.
    pub(crate) fn client(&self) -> Client {
        Client::trusting(&self.certificates, None).dialling(self.address)
    }

    /// A client with the operator's certificate.
    pub(crate) fn operator(&self) -> Client {
        Client::trusting(&self.certificates, Some("operator")).dialling(self.address)
    }

    pub(crate) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Another command of the same binary, on this director's configuration.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = maitred();
        command.current_dir(self.folder.path()).args(words).arg("--config").arg(self.config());
        command
    }

    pub(crate) fn words(&self) -> Vec<String> {
        self.process.words()
    }

    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.process.has_said(text)
    }

    /// Lines of its log that contain each of these, as whole words (`server=ua1`).
    pub(crate) fn lines_with(&self, words: &[&str]) -> Vec<String> {
        self.process.lines_with(words)
    }

    /// How often it said that this happened to this server: `server_down`.
    pub(crate) fn events(&self, event: &str, server: &str) -> usize {
        self.lines_with(&[&format!("event=\"{event}\""), &format!("server={server}")]).len()
    }

    /// The value of one series of the metrics page: `maitred_server_up{pool="ua",server="ua1"}`; `None` when it is not there.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let page = self.client().get(&self.metrics_url("/metrics")).text();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))?;
        value.parse().ok()
    }

    /// So often has the journal written what had changed, and has it on disk.
    pub(crate) fn commits(&self) -> u64 {
        // Whole and small.
        self.metric("maitred_journal_commits_total").map_or(0, |commits| commits as u64)
    }

    /// Waits until everything that was answered by now is on disk.
    #[track_caller]
    pub(crate) fn wait_until_written(&self) {
        let (enough, mut mark) = (self.commits() + ALL_WRITTEN, 0);
        wait::until("what was answered is on disk", || {
            // Something to write, which no peer has told it.
            let key = format!("written-{}-{enough}-{mark}", self.id());
            mark += 1;
            let answer = self.client().post_json(&self.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": key}));
            assert_eq!(answer.status, 201, "{answer:?}");
            self.commits() >= enough
        });
    }

    /// What the internal listener shows of a server.
    pub(crate) fn server(&self, name: &str) -> serde_json::Value {
        self.operator().get(&self.internal_url(&format!("/v1/servers/{name}"))).json()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGTERM; does not wait.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits for its end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops its clock for it: SIGSTOP.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// SIGHUP.
    pub(crate) fn reload(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Starts it again with the same files and ports, after a kill or an end.
    pub(crate) fn start_again(&mut self) {
        self.process = run(self.folder.path(), &self.start);
        assert!(self.comes_to_life(), "the director does not start again: {:#?}", self.words());
    }

    /// The servers that may be given to clients now, as a program learns them: its seat and the alternates.
    pub(crate) fn usable(&self) -> BTreeSet<String> {
        let wanted = json!({"pool": "ua", "key": "the watcher"});
        let answer = self.client().post_json(&self.url("/maitred/v1/sessions"), &wanted);
        let seat = answer.json();
        let alternates = seat["alternates"].as_array().into_iter().flatten().map(|server| &server["name"]);
        alternates.chain([&seat["server"]["name"]]).filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Waits until exactly these are.
    #[track_caller]
    pub(crate) fn wait_for_usable(&self, servers: &[&str]) {
        let servers = servers.iter().map(|server| (*server).to_owned()).collect();
        wait::for_equal("the usable servers", &servers, || self.usable());
    }

    /// False when a port was taken; fails the test when it ended for another reason.
    fn comes_to_life(&mut self) -> bool {
        let mut client = self.client();
        let url = self.url("/health/live");
        wait::for_some("the director lives", || {
            if let Some(status) = self.process.ended() {
                wait::until(&format!("the director that ended with {status} says `in use`"), || {
                    self.has_said("in use")
                });
                return Some(false);
            }
            let live = client.try_send(hyper::Method::GET, &url, &[], "").is_ok_and(|answer| answer.status == 200);
            live.then_some(true)
        })
    }
}

/// The built binary, without anybody's environment.
pub(crate) fn maitred() -> Command {
    // A release build, to measure it.
    let program = std::env::var_os("MAITRED_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_maitred").into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAITRED__") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, start: &Start) -> Process {
    let Start { preparation, host } = start;
    let mut command = maitred();
    command.current_dir(folder).arg("run").arg("--config").arg(folder.join("maitred.toml"));
    if preparation.is_empty() {
        return Process::start_on(host.as_ref(), "maitred", &mut command);
    }
    let mut shell = Command::new("sh");
    shell.current_dir(folder).arg("-c").arg(format!("{preparation}\nexec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    Process::start_on(host.as_ref(), "maitred", &mut shell)
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
