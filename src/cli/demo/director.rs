//! The demo's directors: `maitred run` of this very executable, processes of their own, each with a configuration of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::agent_server::AgentServer;
use super::ports;
use crate::cli::client::Client;
use crate::cli::http::{self, Peer, Question};

/// The pool of the demo.
pub(super) const POOL: &str = "ua";
/// By how much a server may be above the average.
pub(super) const LOAD_BOUND: f64 = 1.25;
/// Where the first one listens unless the port is taken; the others follow.
const PUBLIC_PORT: u16 = 8443;
/// How long it may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How much of its log is shown when it fails.
const LOG_LINES_SHOWN: usize = 15;

/// Where a director listens, on loopback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) public: u16,
    pub(super) internal: u16,
    pub(super) peer: u16,
    pub(super) metrics: u16,
}

/// One director: who it is and where.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) datacenter: String,
    pub(super) ports: Ports,
}

/// Ports for so many directors: the usual public ones or free ones, unless the first is asked for; free ones for the rest.
///
/// # Errors
/// When there are none, or the one that was asked for is taken.
pub(super) fn find_ports(count: u16, wanted: Option<u16>) -> anyhow::Result<Vec<Ports>> {
    // All are held until all are found; whoever is faster than a director then makes it say so and end.
    let mut held = Vec::new();
    let mut take = |listener: TcpListener| -> anyhow::Result<u16> {
        let port = listener.local_addr()?.port();
        held.push(listener);
        Ok(port)
    };
    let mut all = Vec::new();
    for number in 0..count {
        let usual = |port: u16| TcpListener::bind(("127.0.0.1", port.saturating_add(number)));
        let public = match wanted.filter(|_| number == 0) {
            Some(port) => usual(port).with_context(|| format!("port {port} cannot be had"))?,
            None => usual(PUBLIC_PORT).or_else(|_| ports::hold()).context("no free port")?,
        };
        let public = take(public)?;
        let mut free = || take(ports::hold().context("no free port")?);
        all.push(Ports { public, internal: free()?, peer: free()?, metrics: free()? });
    }
    Ok(all)
}

/// A director, running or killed; killed when dropped.
pub(super) struct DirectorProcess {
    place: Place,
    config: PathBuf,
    log: PathBuf,
    child: Child,
    front: Peer,
    operator: Client,
}

impl DirectorProcess {
    /// Starts the director at `place` in `folder`, where certificates are. `front` reaches its public listener, `operator` its
    /// internal one.
    ///
    /// # Errors
    /// When a file cannot be written or the process cannot be started.
    pub(super) fn start(
        folder: &Path,
        place: &Place,
        all: &[Place],
        servers: &[AgentServer],
        front: Peer,
        operator: Client,
    ) -> anyhow::Result<Self> {
        let config = folder.join(format!("{}.toml", place.name));
        fs::write(&config, configuration(place, all, servers))?;
        let log = folder.join(format!("{}.log", place.name));
        let child = spawn(&config, &log)?;
        Ok(Self { place: place.clone(), config, log, child, front, operator })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.place.name
    }

    /// Where it stands.
    pub(super) fn datacenter(&self) -> &str {
        &self.place.datacenter
    }

    /// Its configuration.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// Its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Where it listens.
    pub(super) fn ports(&self) -> Ports {
        self.place.ports
    }

    /// As an operator asks it.
    pub(super) fn operator(&self) -> &Client {
        &self.operator
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
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if let Ok(answer) = http::ask(&self.front, Question::get("/health/ready")).await
                && answer.status == 200
            {
                return Ok(());
            }
            let name = &self.place.name;
            if let Some(status) = self.child.try_wait()? {
                bail!("the director {name} ended ({status}):\n{}", self.last_lines());
            }
            if begun.elapsed() > READY_MAX {
                bail!("the director {name} is not ready after {} s:\n{}", READY_MAX.as_secs(), self.last_lines());
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
    command.spawn().context("a director cannot be started")
}

/// A director as anybody would configure it, but for the pace of its probes, the short slow start, and a failover and failback
/// that need not be waited for.
fn configuration(place: &Place, all: &[Place], servers: &[AgentServer]) -> String {
    let Place { name, datacenter, ports: Ports { public, internal, peer, metrics } } = place;
    let mut datacenters: Vec<&str> = all.iter().map(|place| &*place.datacenter).collect();
    datacenters.dedup();
    let mut text = format!(
        r#"[director]
name = "{name}"
datacenter = "{datacenter}"
state_dir = "{name}.state"
stop_delay = "0s"

[listen.public]
address = "127.0.0.1:{public}"
tls = {{ cert = "certs/public.pem", key = "certs/public.key" }}

[listen.internal]
address = "127.0.0.1:{internal}"
tls = {{ cert = "certs/internal.pem", key = "certs/internal.key", client_ca = "certs/ca.pem" }}

[listen.peer]
address = "127.0.0.1:{peer}"
tls = {{ cert = "certs/{name}.pem", key = "certs/{name}.key", client_ca = "certs/ca.pem" }}

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
timeout = "1500ms"
fast = "250ms"
slow_start = "2s"

[pool.failover]
after = "1s"
failback = "3s"
"#
    );
    for Place { name, datacenter, ports } in all {
        let url = format!("https://127.0.0.1:{}", ports.peer);
        let _ = write!(text, "\n[[peer]]\nname = \"{name}\"\ndatacenter = \"{datacenter}\"\nurl = \"{url}\"\n");
    }
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
