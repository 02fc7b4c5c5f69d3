//! A process with all its children, as one group: started, waited for, measured and ended together.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Contestant;
use crate::compare::site::Setup;
use crate::compare::{SERVER_CORE, cpu};

/// Longer than a Tomcat needs on a machine that has other work.
const COMES_UP_WITHIN: Duration = Duration::from_secs(60);

/// A command that runs on the servers' core.
pub(crate) fn on_server_core(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", SERVER_CORE]).arg(program);
    command
}

/// Ended with all its children when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let program: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let log = folder.join(format!(
            "{}.log",
            Path::new(program.get(2).map_or("process", String::as_str))
                .file_name()
                .map_or("process".into(), OsStr::to_string_lossy)
        ));
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        Ok(Self { child: command.spawn().with_context(|| format!("{program:?}"))?, log })
    }

    /// Its group's number.
    pub(crate) fn group(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that it has taken so far, with its children.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu::of_group(self.group())
    }

    /// The same of its first process alone and to the nanosecond; see [`cpu::of_threads`].
    pub(crate) fn cpu_of_threads(&self) -> anyhow::Result<Duration> {
        cpu::of_threads(self.group())
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_for_end(&mut self) -> anyhow::Result<()> {
        self.child.wait().map(drop).context("it cannot be waited for")
    }

    /// Waits until somebody listens there.
    pub(crate) fn wait_for(&mut self, port: u16) -> anyhow::Result<()> {
        self.wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok())
    }

    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let since = Instant::now();
        while !ready() {
            if since.elapsed() > COMES_UP_WITHIN || self.child.try_wait()?.is_some() {
                bail!("did not come up: {}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// A contestant that is up.
pub(crate) struct Running {
    contestant: Contestant,
    setup: Setup,
    port: u16,
    process: Process,
    /// Those behind it that every request goes on to: what they take counts as its own.
    behind: Vec<Process>,
    /// Others that it needs and whose work is not its own.
    company: Vec<Process>,
}

impl Running {
    /// Starts it and waits until it listens.
    pub(crate) fn start(
        contestant: Contestant,
        setup: Setup,
        port: u16,
        command: Command,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut process = Process::start(command, folder)?;
        process.wait_for(port)?;
        Ok(Self::of(contestant, setup, port, process))
    }

    /// One that listens already.
    pub(crate) fn of(contestant: Contestant, setup: Setup, port: u16, process: Process) -> Self {
        Self { contestant, setup, port, process, behind: Vec::new(), company: Vec::new() }
    }

    /// Counts those to whom it passes every request on.
    pub(crate) fn before(mut self, behind: Vec<Process>) -> Self {
        self.behind = behind;
        self
    }

    /// Keeps others alive with it.
    pub(crate) fn with(mut self, company: Vec<Process>) -> Self {
        self.company = company;
        self
    }

    pub(crate) fn contestant(&self) -> Contestant {
        self.contestant
    }

    pub(crate) fn setup(&self) -> Setup {
        self.setup
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// CPU time that it has taken so far, with those behind it.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.behind.iter().try_fold(self.process.cpu()?, |sum, one| Ok(sum + one.cpu()?))
    }

    /// Bytes that its first process holds in memory.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        self.process.resident()
    }
}
