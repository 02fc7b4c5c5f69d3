//! The comparison: everybody who could seat sessions, under one client, certificate and core, in interleaved rounds.
//!
//! What is measured is CPU time (user and system) of all processes of the one that is asked, per request; wall time on a machine
//! that does other work says little. Whoever is not asked in a round stays up and idle.

mod contestants;
mod cpu;
mod install;
pub(crate) mod report;
mod site;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::load::{Connections, Outcome};
use contestants::{Contestant, Running};
pub(crate) use contestants::{Process, sticky_haproxy};
use site::{Face, Setup};
pub(crate) use site::{Lines, Site, built, free_port};

/// Where the servers run and where the client does.
pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const CLIENT_CORE: &str = "1";

/// Agents that have been seated before.
const KEYS: u32 = 10_000;
/// The number of the first new agent; those before have been there.
const FRESH_FROM: u32 = 1_000_000;
/// More than come in a round.
const FRESH_EACH: u32 = 1_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds of each scenario; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only these contestants; maitred and HAProxy's sticky redirect always run
    #[arg(long, value_enum)]
    only: Vec<Contestant>,
    /// Only these scenarios
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// The binary that is measured; built by `cargo build --release`
    #[arg(long, default_value = "target/release/maitred")]
    binary: PathBuf,
    /// Another build of maitred, measured in the same rounds: what a change gives. Only with lines
    #[arg(long)]
    before: Option<PathBuf>,
    /// Write the table into this file, between its marks
    #[arg(long)]
    write: Option<PathBuf>,
}

/// A way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// Plain HTTP on kept connections
    PlainKept,
    /// Plain HTTP, a connection for each start
    PlainNew,
    /// TLS 1.3 on kept connections
    TlsKept,
    /// TLS 1.3, a connection for each start, ECDSA P-256
    TlsNewEcdsa,
    /// TLS 1.3, a connection for each start that resumes the session of the one before, ECDSA P-256
    TlsResumed,
    /// As users come: TLS 1.3, ECDSA, a browser's headers and its cookie, gone afterwards; one of five is a new agent
    Mix,
    /// TLS 1.3, a connection for each start, RSA 2048
    TlsNewRsa,
}

impl Scenario {
    fn face(self) -> Face {
        match self {
            Self::PlainKept | Self::PlainNew => Face::Clear,
            Self::TlsKept | Self::TlsNewEcdsa | Self::TlsResumed | Self::Mix => Face::Ecdsa,
            Self::TlsNewRsa => Face::Rsa,
        }
    }

    fn connections(self) -> Connections {
        match self {
            Self::PlainKept | Self::TlsKept => Connections::Kept,
            Self::PlainNew | Self::TlsNewEcdsa | Self::TlsNewRsa => Connections::New,
            Self::TlsResumed => Connections::Resumed,
            Self::Mix => Connections::Browser,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::PlainKept => "plain, kept",
            Self::PlainNew => "plain, new connection",
            Self::TlsKept => "TLS 1.3, kept",
            Self::TlsNewEcdsa => "TLS 1.3, new, ECDSA",
            Self::TlsResumed => "TLS 1.3, resumed",
            Self::Mix => "as browsers come",
            Self::TlsNewRsa => "TLS 1.3, new, RSA",
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Sample {
    contestant: Contestant,
    lines: Lines,
    scenario: Scenario,
    micros: f64,
    outcome: Outcome,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let binary = built(&arguments.binary)?;
    let before = arguments.before.as_deref().map(built).transpose()?;
    let contestants: Vec<Contestant> = Contestant::value_variants()
        .iter()
        .copied()
        .filter(|one| match one {
            Contestant::Before => before.is_some(),
            _ => arguments.only.is_empty() || one.is_always_there() || arguments.only.contains(one),
        })
        .collect();
    let scenarios: Vec<Scenario> = Scenario::value_variants()
        .iter()
        .copied()
        .filter(|one| arguments.scenario.is_empty() || arguments.scenario.contains(one))
        .collect();
    install::everything(&contestants)?;
    // Without lines only those whom the goals compare: what a line costs is seen there.
    let with_lines = contestants.iter().map(|one| (*one, Lines::Written));
    let without =
        contestants.iter().filter(|one| before.is_none() && one.is_always_there()).map(|one| (*one, Lines::None));
    let entries: Vec<_> = with_lines.chain(without).collect();
    let site = Site::new(binary)?.and(before);
    let progress = ProgressBar::new(u64::from(arguments.rounds) * (entries.len() * scenarios.len()) as u64);
    progress.set_style(ProgressStyle::with_template("{pos:>4}/{len} {bar:30} {eta:>5} {msg}")?);
    let mut samples = Vec::new();
    for face in [Face::Clear, Face::Ecdsa, Face::Rsa] {
        let asked: Vec<Scenario> = scenarios.iter().copied().filter(|scenario| scenario.face() == face).collect();
        if asked.is_empty() {
            continue;
        }
        let running = entries
            .iter()
            .map(|&(one, lines)| {
                let started = one.start(&site, Setup { face, lines });
                started.with_context(|| format!("{one:?} over {face:?}, lines {lines:?}"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        for one in &running {
            // Every key once, so that what is measured is what a reload or a second tab costs, and caches are warm.
            load(&site, one, &Load { connections: Connections::Kept, until: Until::Starts(KEYS), fresh: None })?;
        }
        for round in 0..arguments.rounds {
            for &scenario in &asked {
                // Whoever comes first or behind a heavy neighbour is another one each round.
                let (front, back) = running.split_at(round as usize % running.len());
                for one in back.iter().chain(front) {
                    progress.set_message(format!("{} {}", scenario.title(), one.contestant().title()));
                    samples.push(measure(&site, one, scenario, arguments.seconds, round)?);
                    progress.inc(1);
                }
            }
        }
    }
    progress.finish_and_clear();
    let table = report::Report { samples: &samples, entries: &entries, scenarios: &scenarios, arguments };
    println!("{}", table.text()?);
    match &arguments.write {
        Some(file) => report::write_between_marks(file, "compare", &table.text()?),
        None => Ok(()),
    }
}

fn measure(site: &Site, running: &Running, scenario: Scenario, seconds: f64, round: u32) -> anyhow::Result<Sample> {
    let before = running.cpu()?;
    let fresh = (scenario == Scenario::Mix).then_some(FRESH_FROM + round * FRESH_EACH);
    let outcome =
        load(site, running, &Load { connections: scenario.connections(), until: Until::Seconds(seconds), fresh })?;
    let used = running.cpu()? - before;
    ensure!(outcome.good > 0, "{:?} answered nothing well: {outcome:?}", running.contestant());
    if scenario == Scenario::TlsResumed {
        // The first connection of each caller has nothing to resume.
        ensure!(outcome.resumed * 4 > outcome.good * 3, "{:?} resumes too few: {outcome:?}", running.contestant());
    }
    let micros = used.as_secs_f64() * 1e6 / (outcome.good + outcome.bad) as f64;
    let (contestant, lines) = (running.contestant(), running.setup().lines);
    Ok(Sample { contestant, lines, scenario, micros, outcome })
}

/// When the client has done its work.
#[derive(Debug, Clone, Copy)]
enum Until {
    Seconds(f64),
    Starts(u32),
}

/// What the client does for a while.
struct Load {
    connections: Connections,
    until: Until,
    /// The number of the first new agent, where there are any.
    fresh: Option<u32>,
}

/// Asks from a process of its own on its own core.
fn load(site: &Site, running: &Running, load: &Load) -> anyhow::Result<Outcome> {
    let cookies = site.folder(&format!("{:?}-cookies", running.contestant()), running.setup())?.join("cookies.json");
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CLIENT_CORE]).arg(std::env::current_exe()?).arg("load");
    command.arg("--port").arg(running.port().to_string()).arg("--keys").arg(KEYS.to_string());
    match load.until {
        Until::Seconds(seconds) => command.arg("--seconds").arg(seconds.to_string()),
        Until::Starts(number) => command.arg("--starts").arg(number.to_string()),
    };
    command.arg("--connections").arg(load.connections.to_possible_value().context("no value")?.get_name());
    match load.fresh {
        Some(number) => command.arg("--fresh").arg(number.to_string()).arg("--show").arg(&cookies),
        None if matches!(load.until, Until::Starts(_)) => command.arg("--keep").arg(&cookies),
        None if running.contestant().knows_by_cookie() => command.arg("--show").arg(&cookies),
        None => &mut command,
    };
    if let Some(ca) = site.certificate(running.setup().face) {
        command.arg("--ca").arg(ca);
    }
    let output = command.output().context("taskset (util-linux)")?;
    ensure!(output.status.success(), "the client: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
