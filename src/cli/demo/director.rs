//! The demo's director: `maitred run` of this very executable, as a process of its own, with a configuration of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::agent_server::AgentServer;
use crate::cli::http::{self, Peer, Question};

/// The pool of the demo.
pub(super) const POOL: &str = "ua";
/// By how much a server may be above the average.
pub(super) const LOAD_BOUND: f64 = 1.25;
/// Where it listens unless the port is taken.
const PUBLIC_PORT: u16 = 8443;
/// How long it may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(20);
/// How much of its log is shown when it fails.
const LOG_LINES_SHOWN: usize = 15;

/// Where a director listens, on loopback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) public: u16,
    pub(super) internal: u16,
    pub(super) metrics: u16,
}

impl Ports {
    /// The usual public port or a free one, unless one was asked for; free ones for the others.
    ///
    /// # Errors
    /// When there is none, or the one that was asked for is taken.
    pub(super) fn find(wanted: Option<u16>) -> anyhow::Result<Self> {
        let try_bind = |port: u16| TcpListener::bind(("127.0.0.1", port));
        let public = match wanted {
            Some(port) => try_bind(port).with_context(|| format!("port {port} cannot be had"))?,
            None => try_bind(PUBLIC_PORT).or_else(|_| try_bind(0)).context("no free port")?,
        };
        let (internal, metrics) = (try_bind(0)?, try_bind(0)?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        // They are free again when this returns; whoever is faster than the director makes it say so and end.
        Ok(Self { public: port(&public)?, internal: port(&internal)?, metrics: port(&metrics)? })
    }
}

/// A running director, killed when dropped.
pub(super) struct DirectorProcess {
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl DirectorProcess {
    /// Writes the configuration into the folder and starts a director with it.
    ///
    /// # Errors
    /// When a file cannot be written or the process cannot be started.
    pub(super) fn start(folder: &Path, ports: Ports, servers: &[AgentServer]) -> anyhow::Result<Self> {
        let config = folder.join("maitred.toml");
        fs::write(&config, configuration(ports, servers))?;
        let log = folder.join("director.log");
        let child = spawn(&config, &log)?;
        Ok(Self { config, log, child })
    }

    /// Its configuration.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// Its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Ends it as a crash would (SIGKILL): nothing is written, nobody is told.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`Self::kill`], on what its journal kept.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(super) fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.config, &self.log)?;
        Ok(())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends instead, or does not become ready; with the end of its log.
    pub(super) async fn ready(&mut self, front: &Peer) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if let Ok(answer) = http::ask(front, Question::get("/health/ready")).await
                && answer.status == 200
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the director ended ({status}):\n{}", self.last_lines());
            }
            if begun.elapsed() > READY_MAX {
                bail!("the director is not ready after {} s:\n{}", READY_MAX.as_secs(), self.last_lines());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn last_lines(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for DirectorProcess {
    fn drop(&mut self) {
        // It has nothing to lose: its folder goes too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let own = std::env::current_exe().context("this executable cannot be found")?;
    let mut command = Command::new(own);
    command.arg("run").arg("-c").arg(config);
    // What the operator set for a director of their own is not for this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MAITRED_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("the director cannot be started")
}

/// A director as anybody would configure it, but for the pace of its probes and the short slow start.
fn configuration(ports: Ports, servers: &[AgentServer]) -> String {
    let Ports { public, internal, metrics } = ports;
    let mut datacenters: Vec<&str> = servers.iter().map(AgentServer::datacenter).collect();
    datacenters.dedup();
    let own = datacenters.first().copied().unwrap_or_default();
    let mut text = format!(
        r#"[director]
name = "{own}-1"
datacenter = "{own}"
state_dir = "state"
stop_delay = "0s"

[listen.public]
address = "127.0.0.1:{public}"
tls = {{ cert = "certs/public.pem", key = "certs/public.key" }}

[listen.internal]
address = "127.0.0.1:{internal}"
tls = {{ cert = "certs/internal.pem", key = "certs/internal.key", client_ca = "certs/ca.pem" }}

[listen.metrics]
address = "127.0.0.1:{metrics}"

[affinity]
key_file = "certs/affinity.keys"

[[pool]]
name = "{POOL}"
route = [{{ path = "/" }}]
key = ["query:agent", "cookie"]
datacenters = {datacenters:?}
load_bound = {LOAD_BOUND}

[pool.health]
probe = "https"
path = "/health"
ca = "certs/ca.pem"
interval = "500ms"
timeout = "400ms"
fast = "250ms"
slow_start = "2s"
"#
    );
    for server in servers {
        // Probes dial the address: what *.localhost means is not known to every resolver.
        let _ = write!(
            text,
            "\n[[pool.server]]\nname = \"{}\"\ndatacenter = \"{}\"\nurl = \"{}\"\nprobe_url = \"https://{}\"\n",
            server.name(),
            server.datacenter(),
            server.origin(),
            server.address()
        );
    }
    text
}
