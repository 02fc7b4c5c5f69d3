//! The built `maitred run` as a process: started by a [`Plan`](super::plan::Plan), asked, restarted, ended.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::certificates::{Certificates, FRONT};
use super::client::Client;
use super::network::Host;
use super::process::Process;
use super::wait;

/// After so many more commits of the journal everything is on disk that was answered before they were counted: the first of them may
/// have been under way already.
pub(crate) const ALL_WRITTEN: u64 = 2;

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
#[derive(Clone, Default)]
pub(super) struct Start {
    /// Shell commands before the director takes the place of their process.
    pub(super) preparation: String,
    pub(super) host: Option<Host>,
}

impl Director {
    /// Starts it on the configuration in this folder and waits until it lives. `None` when somebody else took one of its ports.
    pub(super) fn start(
        folder: TempDir,
        ports: Ports,
        address: IpAddr,
        certificates: Arc<Certificates>,
        start: Start,
    ) -> Option<Self> {
        let process = run(folder.path(), &start);
        let mut director = Self { process, folder, ports, address, certificates, start };
        director.comes_to_life().then_some(director)
    }

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
