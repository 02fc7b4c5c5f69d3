//! Directors of one datacenter that share what they know: the first one on the servers' core, the others on the client's.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use maitred::certificates::{DevAuthority, DevCertificates, DevNames, Usage};

use crate::compare::{CLIENT_CORE, Lines, Process, SERVER_CORE, free_port};

/// Servers that are up, as metrics name them.
const UP: &str = "maitred_servers{pool=\"ua\",datacenter=\"east\",state=\"up\"}";

/// What a fleet is like.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How many directors.
    pub(crate) directors: usize,
    /// How many agent servers they know.
    pub(crate) servers: usize,
    /// Certificate and key of the public listener; without them it is in clear.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Between two looks at a server.
    pub(crate) interval_ms: u32,
    /// How they are looked at, all at one address.
    pub(crate) probe: Probe,
    /// Whether each start leaves a line in the log.
    pub(crate) lines: Lines,
}

impl Plan {
    /// Directors in clear that look at so many servers every two seconds and write a line for each start.
    pub(crate) fn new(directors: usize, servers: usize, probe: Probe) -> Self {
        Self { directors, servers, tls: None, interval_ms: 2000, probe, lines: Lines::Written }
    }
}

/// A way to look at servers.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    /// As the configuration names it.
    pub(crate) kind: &'static str,
    /// Where, as a URL without a path.
    pub(crate) url: String,
    /// Whose certificates are believed.
    pub(crate) ca: Option<PathBuf>,
}

impl Probe {
    /// By HTTP in clear.
    pub(crate) fn http(port: u16) -> Self {
        Self { kind: "http", url: format!("http://127.0.0.1:{port}"), ca: None }
    }
}

/// Where a director listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) public: u16,
    peer: u16,
    metrics: u16,
}

/// Directors that run.
pub(crate) struct Fleet {
    pub(crate) directors: Vec<Process>,
    pub(crate) ports: Vec<Ports>,
    binary: PathBuf,
    folder: PathBuf,
    lines: Lines,
}

impl Fleet {
    /// Starts them, with everything on: health, bounded load, journal, peers, metrics.
    pub(crate) fn start(binary: &Path, folder: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let mut fleet = Self::prepare(binary, folder, plan)?;
        for number in 1..=plan.directors {
            fleet.start_next(number)?;
        }
        Ok(fleet)
    }

    /// Writes what they need and starts none.
    pub(crate) fn prepare(binary: &Path, folder: &Path, plan: &Plan) -> anyhow::Result<Self> {
        DevCertificates::create(&folder.join("certs"), &DevNames::default())?;
        let authority = DevAuthority::create()?;
        let mut ports = Vec::new();
        for number in 1..=plan.directors {
            let place = folder.join(name(number));
            // The log is not beside the files that a director watches: each line would wake the watcher.
            fs::create_dir_all(place.join("log"))?;
            authority.issue(&[&name(number), "127.0.0.1"], Usage::Both)?.write(&place, "peer")?;
            fs::write(place.join("ca.pem"), authority.pem())?;
            ports.push(Ports { public: free_port()?, peer: free_port()?, metrics: free_port()? });
        }
        let fleet = Self {
            directors: Vec::new(),
            ports,
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            lines: plan.lines,
        };
        for number in 1..=plan.directors {
            fs::write(fleet.file(number), fleet.configuration(plan, number)?)?;
        }
        Ok(fleet)
    }

    /// The configuration of a director.
    pub(crate) fn file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{}.toml", name(number)))
    }

    /// Starts a director, as the last one of those that run.
    pub(crate) fn start_next(&mut self, number: usize) -> anyhow::Result<()> {
        let core = if number == 1 { SERVER_CORE } else { CLIENT_CORE };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", core]).arg(&self.binary).arg("run").arg("-c").arg(self.file(number));
        if self.lines == Lines::None {
            command.env("MAITRED_LOG", "maitred::start=off");
        }
        let mut process = Process::start(command, &self.folder.join(name(number)).join("log"))?;
        process.wait_for(self.ports[number - 1].public)?;
        self.directors.push(process);
        Ok(())
    }

    fn configuration(&self, plan: &Plan, number: usize) -> anyhow::Result<String> {
        let (mut peers, mut servers) = (String::new(), String::new());
        for (at, ports) in self.ports.iter().enumerate() {
            let (name, port) = (name(at + 1), ports.peer);
            writeln!(peers, "[[peer]]\nname = \"{name}\"\ndatacenter = \"east\"\nurl = \"https://127.0.0.1:{port}\"")?;
        }
        for number in 1..=plan.servers {
            writeln!(
                servers,
                "[[pool.server]]\nname = \"ua{number}\"\ndatacenter = \"east\"\nurl = \"https://ua{number}.example.com\"\n\
                 probe_url = \"{}\"",
                plan.probe.url
            )?;
        }
        let tls = plan
            .tls
            .as_ref()
            .map_or_else(String::new, |(cert, key)| format!("tls = {{ cert = {cert:?}, key = {key:?} }}"));
        let ca = plan.probe.ca.as_ref().map_or_else(String::new, |file| format!("ca = {file:?}"));
        let (own, folder) = (&self.ports[number - 1], &self.folder);
        Ok(include_str!("../peers/maitred.toml")
            .replace("@NAME@", &name(number))
            .replace("@FOLDER@", &folder.to_string_lossy())
            .replace("@CERTS@", &folder.join("certs").to_string_lossy())
            .replace("@PEER_CERTS@", &folder.join(name(number)).to_string_lossy())
            .replace("@PORT@", &own.public.to_string())
            .replace("@PEER@", &own.peer.to_string())
            .replace("@METRICS@", &own.metrics.to_string())
            .replace("@INTERNAL@", &free_port()?.to_string())
            .replace("@PROBE@", plan.probe.kind)
            .replace("@CA@", &ca)
            .replace("@INTERVAL@", &format!("{}ms", plan.interval_ms))
            .replace("@FAST@", &format!("{}ms", plan.interval_ms.min(500)))
            .replace("@TLS@", &tls)
            .replace("@PEERS@", &peers)
            .replace("@SERVERS@", &servers))
    }

    /// The sum of a director's metrics whose name and labels begin with a text; directors count from 0.
    pub(crate) fn metric(&self, director: usize, begin: &str) -> anyhow::Result<f64> {
        self.metric_of(director, begin, "")
    }

    /// The same of those lines that hold a word.
    pub(crate) fn metric_of(&self, director: usize, begin: &str, word: &str) -> anyhow::Result<f64> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.ports[director].metrics))?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        connection.read_to_string(&mut page)?;
        let values = page
            .lines()
            .filter(|line| line.starts_with(begin) && line.contains(word))
            .filter_map(|line| line.rsplit(' ').next());
        Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum())
    }

    /// Servers that are up for the first director.
    pub(crate) fn up(&self) -> anyhow::Result<f64> {
        self.metric(0, UP)
    }

    /// Waits until so many are.
    pub(crate) fn wait_until_up(&self, servers: usize) -> anyhow::Result<()> {
        self.wait_for(0, UP, servers as f64)
    }

    /// Waits until a director's metric has reached a value.
    pub(crate) fn wait_for(&self, director: usize, begin: &str, value: f64) -> anyhow::Result<()> {
        let since = Instant::now();
        while self.metric(director, begin)? < value {
            ensure!(since.elapsed() < Duration::from_secs(120), "{begin} does not reach {value}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Process {
    /// Bytes that its first process holds in memory.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.group()))?;
        let pages: u64 = text.split(' ').nth(1).context("statm has a second field")?.parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }
}

fn name(number: usize) -> String {
    format!("east-{number}")
}
