//! An agent server as a process of its own, so that it can be killed, stopped by SIGSTOP and put on a host of its own.
//!
//! It is this very test binary, asked for one "test" that serves until it is killed. Each life is another incarnation.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use super::certificates::{self, server_config};
use super::network::Host;
use super::process::Process;
use super::stub::{Behaviour, StubServer};
use super::wait;

/// What the child is told: name, address, certificate and key, one a line.
const ORDER: &str = "MAITRED_TEST_AGENT_SERVER";
/// What it says when it listens.
const LISTENS: &str = "this agent server listens";

/// The server. Killed when it is dropped.
pub(crate) struct AgentServer {
    name: &'static str,
    host: Host,
    address: SocketAddr,
    process: Option<Process>,
}

impl AgentServer {
    /// Starts it, known as `<name>.test`.
    pub(crate) fn start(name: &'static str, host: &Host, port: u16) -> Self {
        let mut server = Self { name, host: host.clone(), address: (host.address(), port).into(), process: None };
        server.start_again();
        server
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// It runs, whether or not it is frozen.
    pub(crate) fn lives(&self) -> bool {
        self.process.is_some()
    }

    /// The name of its present life.
    pub(crate) fn incarnation(&self) -> String {
        format!("{}-{}", self.name, self.process.as_ref().map_or(0, Process::id))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Another life at the same address.
    pub(crate) fn start_again(&mut self) {
        if self.process.is_some() {
            return;
        }
        let shared = certificates::shared();
        let (cert, key) = (shared.path("server.pem"), shared.path("server.key"));
        let order = format!("{}\n{}\n{}\n{}", self.name, self.address, cert.display(), key.display());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["support::agent_server::serves_until_it_is_killed", "--exact", "--ignored", "--nocapture"]);
        let process = Process::start_on(Some(&self.host), self.name, command.env(ORDER, order));
        wait::until("the agent server listens", || process.has_said(LISTENS));
        self.process = Some(process);
    }

    /// SIGSTOP: connections are taken by the system, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }
}

#[test]
#[ignore = "no test: the process of an agent server, started by the tests that need one"]
fn serves_until_it_is_killed() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Vec<&str> = order.lines().collect();
    let [name, address, cert, key] = order[..] else { panic!("{order:?}") };
    let listener = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).unwrap();
    let stub = StubServer::serving(name, listener, server_config(&PathBuf::from(cert), &PathBuf::from(key)));
    let incarnation = format!("{name}-{}", std::process::id());
    stub.behave(Behaviour::Report(json!({"maitred": 1, "server": name, "incarnation": incarnation}).to_string()));
    println!("{LISTENS}");
    loop {
        std::thread::park();
    }
}
