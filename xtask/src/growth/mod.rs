//! How cost per start, memory and traffic grow: with servers, with sessions, with directors. One axis at a time.
//!
//! Measures whole processes with everything on, asked in clear on kept connections, so that what grows is not hidden behind
//! handshakes, which do not. Knows how to measure; how a plot looks is `plot`'s.

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
/// New sessions that one measurement places.
const FRESH: u32 = 20_000;
/// How long a director is watched that has nothing to do but to look at its servers.
const IDLE: Duration = Duration::from_secs(4);
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

/// One point of the axis of servers or sessions.
struct Point {
    at: u32,
    /// CPU µs of a start that keeps its seat.
    kept: f64,
    /// CPU µs of a start that is placed, what follows in journal and peers included.
    placed: f64,
    /// Percent of a core without any start.
    idle: f64,
    /// MiB in memory.
    memory: f64,
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
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let site = Site::new(built(&arguments.binary)?)?;
    let servers =
        arguments.servers.iter().map(|count| with_servers(&site, *count)).collect::<anyhow::Result<Vec<_>>>()?;
    let sessions = with_sessions(&site, &arguments.sessions)?;
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

/// A director with so many servers, each looked at once a second.
fn with_servers(site: &Site, count: u32) -> anyhow::Result<Point> {
    eprintln!("{count} servers");
    let folder = site.place(&format!("servers-{count}"))?;
    let plan = Plan { interval_ms: 1000, ..Plan::new(1, count as usize, Probe::http(site.backend())) };
    let fleet = Fleet::start(site.binary(), &folder, &plan)?;
    fleet.wait_until_up(count as usize)?;
    starts(&fleet, 0, KEYS)?;
    std::thread::sleep(Duration::from_secs(2));
    point(&fleet, count, KEYS)
}

/// One director whose table grows from one number of sessions to the next.
fn with_sessions(site: &Site, counts: &[u32]) -> anyhow::Result<Vec<Point>> {
    let folder = site.place("sessions")?;
    let plan = Plan::new(1, 16, Probe::http(site.backend()));
    let fleet = Fleet::start(site.binary(), &folder, &plan)?;
    fleet.wait_until_up(16)?;
    let (mut seated, mut points) = (0, Vec::new());
    for &count in counts {
        eprintln!("{count} sessions");
        starts(&fleet, seated, count.saturating_sub(seated))?;
        // The journal and its compaction come to an end.
        std::thread::sleep(Duration::from_secs(3));
        let memory = fleet.directors[0].resident()?;
        let point = point(&fleet, count, count)?;
        points.push(Point { memory: mebibytes(memory), ..point });
        seated = count.max(seated) + FRESH;
    }
    Ok(points)
}

/// So many directors, the first of which is asked.
fn with_directors(site: &Site, count: u32) -> anyhow::Result<Mesh> {
    eprintln!("{count} directors");
    let folder = site.place(&format!("directors-{count}"))?;
    let plan = Plan::new(count as usize, 16, Probe::http(site.backend()));
    let fleet = Fleet::start(site.binary(), &folder, &plan)?;
    fleet.wait_until_up(16)?;
    fleet.wait_for(0, "maitred_peer_up", f64::from(count - 1))?;
    std::thread::sleep(Duration::from_secs(6));
    let used = |from: usize, to: usize| -> anyhow::Result<f64> {
        let each = fleet.directors[from..to].iter().map(|one| Ok(one.cpu()?.as_secs_f64()));
        Ok(each.collect::<anyhow::Result<Vec<_>>>()?.iter().sum())
    };
    let all = fleet.directors.len();
    let before = used(0, all)?;
    std::thread::sleep(IDLE);
    let idle = (used(0, all)? - before) / IDLE.as_secs_f64() / f64::from(count);
    let sent = || fleet.metric_of(0, "maitred_peer_bytes_total", "sent");
    let (asked, told, bytes, since) = (used(0, 1)?, used(1, all)?, sent()?, Instant::now());
    starts(&fleet, 0, FRESH)?;
    for director in 0..all {
        fleet.wait_for(director, "maitred_table_records", f64::from(FRESH))?;
    }
    let rest = idle * since.elapsed().as_secs_f64();
    let micros = |seconds: f64| (seconds - rest).max(0.0) * 1e6 / f64::from(FRESH);
    let others = f64::from(count - 1);
    Ok(Mesh {
        at: count,
        asked: micros(used(0, 1)? - asked),
        told: if count > 1 { micros((used(1, all)? - told) / others) } else { 0.0 },
        sent: (sent()? - bytes) / f64::from(FRESH),
        idle: idle * 100.0,
    })
}

/// What a director costs that has so many keys.
fn point(fleet: &Fleet, at: u32, keys: u32) -> anyhow::Result<Point> {
    let first = &fleet.directors[0];
    let used = || anyhow::Ok(first.cpu()?.as_secs_f64());
    let before = used()?;
    std::thread::sleep(IDLE);
    let idle = (used()? - before) / IDLE.as_secs_f64();
    let each = |outcome: Outcome, cpu: f64, wall: f64| (cpu - idle * wall).max(0.0) * 1e6 / outcome.good as f64;
    let (before, since) = (used()?, Instant::now());
    let outcome = load(fleet, &["--keys".to_owned(), keys.to_string(), "--seconds".to_owned(), SECONDS.to_string()])?;
    let kept = each(outcome, used()? - before, since.elapsed().as_secs_f64());
    let memory = mebibytes(fleet.directors[0].resident()?);
    let (before, since) = (used()?, Instant::now());
    let outcome = starts(fleet, keys, FRESH)?;
    std::thread::sleep(Duration::from_secs(1));
    let placed = each(outcome, used()? - before, since.elapsed().as_secs_f64());
    Ok(Point { at, kept, placed, idle: idle * 100.0, memory })
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
    let head = "kept start, µs | placed start, µs | without starts, % of a core | memory, MiB |\n|---|---|---|---|---|";
    for (title, points) in [("servers, each looked at once a second", servers), ("sessions at 16 servers", sessions)] {
        writeln!(text, "| {title} | {head}")?;
        for Point { at, kept, placed, idle, memory } in points {
            writeln!(text, "| {at} | {kept:.1} | {placed:.1} | {idle:.1} | {memory:.0} |")?;
        }
        writeln!(text)?;
    }
    writeln!(
        text,
        "| directors | placed start, µs at the one that is asked | µs at each other | bytes sent for it | without starts, % of a core each |"
    )?;
    writeln!(text, "|---|---|---|---|---|")?;
    for Mesh { at, asked, told, sent, idle } in directors {
        writeln!(text, "| {at} | {asked:.1} | {told:.1} | {sent:.0} | {idle:.1} |")?;
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
