//! How cost per start, memory and traffic grow: with servers, with sessions, with directors. One axis at a time.
//!
//! Measures whole processes with everything on, asked in clear on kept connections, so that what grows is not hidden behind
//! handshakes, which do not. Each point has processes of its own, so that none carries what another one left. Knows how to measure; how
//! a plot looks is `plot`'s.

mod plot;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::compare::{CLIENT_CORE, Site, built, report};
use crate::fleet::{Fleet, Plan, Probe};
use crate::load::Outcome;
use plot::{Panel, Series};

/// Agents that start again and again on the axis of servers and of directors.
const KEYS: u32 = 10_000;
/// New sessions that one measurement places: so many that what looks cost meanwhile, which is taken off, is the smaller part.
const FRESH: u32 = 60_000;
/// How long a director is watched that has nothing to do but to look at its servers.
const IDLE: Duration = Duration::from_secs(4);
/// The journal, its compaction and what peers have to say to each other come to an end.
const SETTLES: Duration = Duration::from_secs(3);
/// How long kept starts are measured.
const SECONDS: f64 = 2.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The binary that is measured; built by `cargo build --release`
    #[arg(long, default_value = "target/release/maitred")]
    binary: PathBuf,
    /// Numbers of servers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 300, 1000, 2000])]
    servers: Vec<u32>,
    /// Numbers of sessions, rising
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 300_000, 1_000_000, 2_000_000])]
    sessions: Vec<u32>,
    /// Numbers of directors
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    directors: Vec<u32>,
    /// Write the tables into this file, between its marks
    #[arg(long)]
    write: Option<PathBuf>,
    /// Write the plot here
    #[arg(long)]
    plot: Option<PathBuf>,
}

/// One point of the axis of servers or sessions, at the first of two directors.
struct Point {
    at: u32,
    /// CPU µs of a start that keeps its seat.
    kept: f64,
    /// CPU µs of a start that is placed, what follows in journal and peers included.
    placed: f64,
    /// Percent of a core without any start.
    idle: f64,
    /// MiB in memory, after kept starts.
    memory: f64,
    /// Bytes that the other director is sent for a placed start.
    sent: f64,
    /// Bytes that it is sent in a second without any start.
    quiet: f64,
}

/// One point of the axis of directors.
struct Mesh {
    at: u32,
    /// CPU µs of a placed start at the director that is asked.
    asked: f64,
    /// CPU µs of the same start at each other director.
    told: f64,
    /// Bytes that the asked director sends for it, to all others together.
    sent: f64,
    /// Percent of a core of each director without any start.
    idle: f64,
    /// Bytes that the first one sends in a second without any start, to all others together.
    quiet: f64,
    /// MiB in memory of the first one, with so many sessions as were placed.
    memory: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let site = Site::new(built(&arguments.binary)?)?;
    let servers =
        arguments.servers.iter().map(|count| with_servers(&site, *count)).collect::<anyhow::Result<Vec<_>>>()?;
    let sessions =
        arguments.sessions.iter().map(|count| with_sessions(&site, *count)).collect::<anyhow::Result<Vec<_>>>()?;
    let directors =
        arguments.directors.iter().map(|count| with_directors(&site, *count)).collect::<anyhow::Result<Vec<_>>>()?;
    let table = tables(&servers, &sessions, &directors)?;
    println!("{table}");
    if let Some(file) = &arguments.plot {
        fs::write(file, plot::draw(&panels(&servers, &sessions, &directors)))?;
    }
    match &arguments.write {
        Some(file) => report::write_between_marks(file, "growth", &table),
        None => Ok(()),
    }
}

/// Two directors with so many servers, each looked at once a second.
fn with_servers(site: &Site, count: u32) -> anyhow::Result<Point> {
    eprintln!("{count} servers");
    let plan = Plan { interval_ms: 1000, ..Plan::new(2, count as usize, Probe::http(site.backend())) };
    point(&linked(site, &format!("servers-{count}"), &plan)?, count, KEYS)
}

/// Two directors with so many sessions.
fn with_sessions(site: &Site, count: u32) -> anyhow::Result<Point> {
    eprintln!("{count} sessions");
    let plan = Plan::new(2, 16, Probe::http(site.backend()));
    point(&linked(site, &format!("sessions-{count}"), &plan)?, count, count)
}

/// So many directors, the first of which is asked.
fn with_directors(site: &Site, count: u32) -> anyhow::Result<Mesh> {
    eprintln!("{count} directors");
    let plan = Plan::new(count as usize, 16, Probe::http(site.backend()));
    let fleet = linked(site, &format!("directors-{count}"), &plan)?;
    let all = fleet.directors.len();
    let quiet = Quiet::watch(&fleet, all)?;
    let (asked, told, bytes, since) = (used(&fleet, 0, 1)?, used(&fleet, 1, all)?, sent(&fleet)?, Instant::now());
    starts(&fleet, 0, FRESH)?;
    arrived(&fleet, FRESH)?;
    let wall = since.elapsed().as_secs_f64();
    let micros = |seconds: f64| (seconds - quiet.busy * wall).max(0.0) * 1e6 / f64::from(FRESH);
    let others = f64::from(count - 1);
    Ok(Mesh {
        at: count,
        asked: micros(used(&fleet, 0, 1)? - asked),
        told: if count > 1 { micros((used(&fleet, 1, all)? - told) / others) } else { 0.0 },
        sent: (sent(&fleet)? - bytes - quiet.sent * wall).max(0.0) / f64::from(FRESH),
        idle: quiet.busy * 100.0,
        quiet: quiet.sent,
        memory: mebibytes(fleet.directors[0].resident()?),
    })
}

/// Directors that know each other and their servers.
fn linked(site: &Site, name: &str, plan: &Plan) -> anyhow::Result<Fleet> {
    let fleet = Fleet::start(site.binary(), &site.place(name)?, plan)?;
    fleet.wait_until_up(plan.servers)?;
    fleet.wait_for(0, "maitred_peer_up", (plan.directors - 1) as f64)?;
    Ok(fleet)
}

/// Waits until all directors have so many sessions.
fn arrived(fleet: &Fleet, sessions: u32) -> anyhow::Result<()> {
    for director in 0..fleet.directors.len() {
        fleet.wait_for(director, "maitred_table_records", f64::from(sessions))?;
    }
    Ok(())
}

/// What a director costs at which so many agents have their seats.
fn point(fleet: &Fleet, at: u32, keys: u32) -> anyhow::Result<Point> {
    starts(fleet, 0, keys)?;
    arrived(fleet, keys)?;
    std::thread::sleep(SETTLES);
    let quiet = Quiet::watch(fleet, 1)?;
    let each = |outcome: Outcome, cpu: f64, wall: f64| (cpu - quiet.busy * wall).max(0.0) * 1e6 / outcome.good as f64;
    let (before, since) = (used(fleet, 0, 1)?, Instant::now());
    let outcome = load(fleet, &["--keys".to_owned(), keys.to_string(), "--seconds".to_owned(), SECONDS.to_string()])?;
    let kept = each(outcome, used(fleet, 0, 1)? - before, since.elapsed().as_secs_f64());
    let memory = mebibytes(fleet.directors[0].resident()?);
    let (before, bytes, since) = (used(fleet, 0, 1)?, sent(fleet)?, Instant::now());
    let outcome = starts(fleet, keys, FRESH)?;
    arrived(fleet, keys + FRESH)?;
    let wall = since.elapsed().as_secs_f64();
    Ok(Point {
        at,
        kept,
        placed: each(outcome, used(fleet, 0, 1)? - before, wall),
        idle: quiet.busy * 100.0,
        memory,
        sent: (sent(fleet)? - bytes - quiet.sent * wall).max(0.0) / f64::from(FRESH),
        quiet: quiet.sent,
    })
}

/// What directors do when nobody starts.
struct Quiet {
    /// Share of a core, of each.
    busy: f64,
    /// Bytes a second that the first one sends to the others.
    sent: f64,
}

impl Quiet {
    /// Watches the first few.
    fn watch(fleet: &Fleet, directors: usize) -> anyhow::Result<Self> {
        let (before, bytes, since) = (used(fleet, 0, directors)?, sent(fleet)?, Instant::now());
        std::thread::sleep(IDLE);
        let busy = used(fleet, 0, directors)? - before;
        let wall = since.elapsed().as_secs_f64();
        Ok(Self { busy: busy / wall / directors as f64, sent: (sent(fleet)? - bytes) / wall })
    }
}

/// Seconds of a core that some directors have taken together.
fn used(fleet: &Fleet, from: usize, to: usize) -> anyhow::Result<f64> {
    let each = fleet.directors[from..to].iter().map(|one| Ok(one.cpu_of_threads()?.as_secs_f64()));
    Ok(each.collect::<anyhow::Result<Vec<_>>>()?.iter().sum())
}

/// Bytes that the first director has sent to the others.
fn sent(fleet: &Fleet) -> anyhow::Result<f64> {
    fleet.metric_of(0, "maitred_peer_bytes_total", "sent")
}

/// One start of each of some new agents.
fn starts(fleet: &Fleet, from: u32, count: u32) -> anyhow::Result<Outcome> {
    if count == 0 {
        return Ok(Outcome::default());
    }
    let words = ["--keys", "--starts", "--from"].iter().zip([count, count, from]);
    load(fleet, &words.flat_map(|(word, value)| [(*word).to_owned(), value.to_string()]).collect::<Vec<_>>())
}

/// The client, on its own core.
fn load(fleet: &Fleet, words: &[String]) -> anyhow::Result<Outcome> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CLIENT_CORE]).arg(std::env::current_exe()?).args(["load", "--connections", "kept"]);
    command.arg("--port").arg(fleet.ports[0].public.to_string()).args(words);
    let output = command.output().context("taskset (util-linux)")?;
    ensure!(output.status.success(), "the client: {}", String::from_utf8_lossy(&output.stderr));
    let outcome: Outcome = serde_json::from_slice(&output.stdout)?;
    ensure!(outcome.bad == 0, "not every start was answered: {outcome:?}");
    Ok(outcome)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn tables(servers: &[Point], sessions: &[Point], directors: &[Mesh]) -> anyhow::Result<String> {
    let mut text = String::new();
    let head = "kept start, µs | placed start, µs | without starts, % of a core | memory, MiB | sent to a peer for a placed start, bytes | sent without starts, bytes a second |\n|---|---|---|---|---|---|---|";
    for (title, points) in [("servers, each looked at once a second", servers), ("sessions at 16 servers", sessions)] {
        writeln!(text, "| {title} | {head}")?;
        for Point { at, kept, placed, idle, memory, sent, quiet } in points {
            writeln!(text, "| {at} | {kept:.1} | {placed:.1} | {idle:.2} | {memory:.0} | {sent:.0} | {quiet:.0} |")?;
        }
        writeln!(text)?;
    }
    writeln!(
        text,
        "| directors | placed start, µs at the one that is asked | µs at each other | bytes sent for it | without starts, % of a core each | memory, MiB | sent without starts, bytes a second |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for Mesh { at, asked, told, sent, idle, quiet, memory } in directors {
        writeln!(text, "| {at} | {asked:.1} | {told:.1} | {sent:.0} | {idle:.2} | {memory:.0} | {quiet:.0} |")?;
    }
    Ok(text.trim_end().to_owned())
}

fn panels(servers: &[Point], sessions: &[Point], directors: &[Mesh]) -> Vec<Panel> {
    let of = |title, points: &[Point], value: fn(&Point) -> f64| Series {
        title,
        points: points.iter().map(|point| (f64::from(point.at), value(point))).collect(),
    };
    let mesh = |title, value: fn(&Mesh) -> f64| Series {
        title,
        points: directors.iter().map(|point| (f64::from(point.at), value(point))).collect(),
    };
    vec![
        Panel {
            title: "CPU µs per start",
            across: "servers",
            series: vec![of("kept", servers, |it| it.kept), of("placed", servers, |it| it.placed)],
        },
        Panel {
            title: "% of a core, a look at each a second",
            across: "servers",
            series: vec![of("looks", servers, |it| it.idle)],
        },
        Panel { title: "MiB in memory", across: "servers", series: vec![of("resident", servers, |it| it.memory)] },
        Panel {
            title: "bytes a second to a peer, no starts",
            across: "servers",
            series: vec![of("votes", servers, |it| it.quiet)],
        },
        Panel {
            title: "CPU µs per start",
            across: "sessions",
            series: vec![of("kept", sessions, |it| it.kept), of("placed", sessions, |it| it.placed)],
        },
        Panel { title: "MiB in memory", across: "sessions", series: vec![of("resident", sessions, |it| it.memory)] },
        Panel {
            title: "CPU µs per placed start",
            across: "directors",
            series: vec![mesh("asked", |it| it.asked), mesh("each other", |it| it.told)],
        },
        Panel { title: "bytes sent per placed start", across: "directors", series: vec![mesh("to all", |it| it.sent)] },
    ]
}
