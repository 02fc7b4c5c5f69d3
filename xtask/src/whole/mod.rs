//! What whole processes cost besides starts: memory, start-up, resynchronisation, a change's way to a peer, probes, detection, reload.
//!
//! One row each, in the order in which they can share what was set up before. Everything is on, as in the comparison.

mod caller;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::compare::{CLIENT_CORE, Process, Site, built, report, sticky_haproxy};
use crate::fleet::{Fleet, Plan, Probe};
use crate::load::{Outcome, agent};
use caller::Caller;

/// Servers of the rows about probes and detection.
const SERVERS: usize = 1000;
/// How long a director is watched that only looks at its servers.
const IDLE: Duration = Duration::from_secs(10);
/// Changes whose way to a peer is timed.
const CHANGES: usize = 500;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The binary that is measured; built by `cargo build --release`
    #[arg(long, default_value = "target/release/maitred")]
    binary: PathBuf,
    /// Sessions of the rows about memory, start-up and resynchronisation
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u32,
    /// Only rows whose group has this name: sessions, probes, detection, reload
    #[arg(long)]
    only: Option<String>,
    /// Write the table into this file, between its marks
    #[arg(long)]
    write: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let site = Site::new(built(&arguments.binary)?)?;
    let mut rows = Rows(String::from("| what | measured |\n|---|---|\n"));
    type Group = fn(&Site, &Arguments, &mut Rows) -> anyhow::Result<()>;
    let groups: [(&str, Group); 4] = [
        ("sessions", |site, arguments, rows| sessions(site, arguments.sessions, rows)),
        ("probes", |site, _, rows| probes(site, rows)),
        ("detection", |site, _, rows| detection(site, rows)),
        ("reload", |site, _, rows| reload(site, rows)),
    ];
    for (name, group) in groups {
        if arguments.only.as_ref().is_none_or(|only| only == name) {
            group(&site, arguments, &mut rows).with_context(|| name)?;
        }
    }
    match &arguments.write {
        Some(file) => report::write_between_marks(file, "whole", rows.0.trim_end()),
        None => Ok(()),
    }
}

struct Rows(String);

impl Rows {
    fn add(&mut self, what: &str, measured: &str) {
        eprintln!("{what}: {measured}");
        let _ = writeln!(self.0, "| {what} | {measured} |");
    }
}

/// Memory, start-up with a journal, resynchronisation, and one change's way.
fn sessions(site: &Site, count: u32, rows: &mut Rows) -> anyhow::Result<()> {
    let few = count / 10;
    let plan = Plan::new(2, 16, Probe::http(site.backend()));
    let mut fleet = Fleet::prepare(site.binary(), &site.place("rows")?, &plan)?;
    fleet.start_next(1)?;
    fleet.wait_until_up(16)?;
    let haproxy = sticky_haproxy(site)?;
    let (mut ours, mut theirs) = (vec![fleet.directors[0].resident()?], vec![haproxy.resident()?]);
    for (from, more) in [(0, few), (few, count - few)] {
        starts(fleet.ports[0].public, from, more)?;
        starts(haproxy.port(), from, more)?;
        std::thread::sleep(Duration::from_secs(3));
        ours.push(fleet.directors[0].resident()?);
        theirs.push(haproxy.resident()?);
    }
    drop(haproxy);
    let each =
        |memory: &[u64], at: usize, sessions: u32| memory[at].saturating_sub(memory[0]) as f64 / f64::from(sessions);
    for (at, sessions) in [(1, few), (2, count)] {
        rows.add(
            &format!("memory of a process per session, {sessions} of them"),
            &format!("{:.0} bytes; HAProxy {:.0}", each(&ours, at, sessions), each(&theirs, at, sessions)),
        );
    }
    let records = f64::from(count);
    fleet.wait_for(0, "maitred_table_records", records)?;
    // The end of the process writes what the journal still has to.
    signal(&fleet.directors[0], Signal::TERM)?;
    let mut full = fleet.directors.remove(0);
    full.wait_for_end()?;
    drop(full);
    let since = Instant::now();
    fleet.start_next(1)?;
    // It takes connections at once, and answers when the journal is read.
    ensure!(Caller::open(fleet.ports[0].public)?.has_seat(&agent(count - 1))?, "the last agent is unknown");
    let served = since.elapsed();
    let used = fleet.directors[0].cpu()?;
    fleet.wait_for(0, "maitred_table_records", records)?;
    let resident = fleet.directors[0].resident()? as f64 / f64::from(1 << 20);
    rows.add(
        &format!("start with {count} sessions in the journal"),
        &format!("answers after {served:.2?} and knows all of them, {used:.2?} CPU, {resident:.0} MiB"),
    );
    fleet.wait_until_up(16)?;
    std::thread::sleep(Duration::from_secs(3));
    let before = fleet.directors[0].cpu()?;
    let since = Instant::now();
    fleet.start_next(2)?;
    let (mut caller, mut answers, mut asked_at) = (Caller::open(fleet.ports[1].public)?, Vec::new(), Instant::now());
    let took = loop {
        let begun = Instant::now();
        caller.start(&format!("meanwhile-{}", answers.len()))?;
        answers.push(begun.elapsed());
        if asked_at.elapsed() > Duration::from_millis(20) {
            if fleet.metric(1, "maitred_table_records")? >= records + answers.len() as f64 {
                break since.elapsed();
            }
            asked_at = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (sender, taker) = (fleet.directors[0].cpu()? - before, fleet.directors[1].cpu()?);
    let micros = |used: Duration| used.as_secs_f64() * 1e6 / records;
    rows.add(
        &format!("{count} sessions to an empty director over mutual TLS, from the start of its process"),
        &format!(
            "{took:.2?}; CPU {:.2} + {:.2} µs each, journals included; {} starts of unknown agents at it meanwhile: median {:.1?}, \
             90 of 100 within {:.1?}, slowest {:.1?}",
            micros(sender),
            micros(taker),
            answers.len(),
            part(&mut answers, 500),
            part(&mut answers, 900),
            part(&mut answers, 1000)
        ),
    );
    std::thread::sleep(Duration::from_secs(6));
    let (mut here, mut there) = (Caller::open(fleet.ports[0].public)?, Caller::open(fleet.ports[1].public)?);
    let mut ways = Vec::new();
    for number in 0..CHANGES {
        let agent = format!("way-{number}");
        here.start(&agent)?;
        let since = Instant::now();
        while !there.has_seat(&agent)? {}
        ways.push(since.elapsed());
        std::thread::sleep(Duration::from_millis(3));
    }
    let [median, most, slowest] = [500, 990, 1000].map(|permille| part(&mut ways, permille));
    rows.add(
        "from a start's answer until a peer knows its seat",
        &format!("median {median:.2?}, 99 of 100 within {most:.2?}, slowest of {CHANGES} {slowest:.2?}"),
    );
    Ok(())
}

/// So many of 1,000 took no longer.
fn part(times: &mut [Duration], permille: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * permille / 1000).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// A thousand servers, each looked at once a second.
fn probes(site: &Site, rows: &mut Rows) -> anyhow::Result<()> {
    let tls = |port: u16| Probe { kind: "https", url: format!("https://localhost:{port}"), ca: site.ca() };
    let ways = [
        ("kept TLS connections", tls(site.backend_tls().kept)),
        ("a new TLS connection each", tls(site.backend_tls().new)),
        ("HTTP on kept connections", Probe::http(site.backend())),
        ("TCP", Probe { kind: "tcp", url: format!("tcp://127.0.0.1:{}", site.backend()), ca: None }),
    ];
    for (number, (way, probe)) in ways.into_iter().enumerate() {
        let plan = Plan { interval_ms: 1000, ..Plan::new(1, SERVERS, probe) };
        let fleet = Fleet::start(site.binary(), &site.place(&format!("probes-{number}"))?, &plan)?;
        fleet.wait_until_up(SERVERS)?;
        std::thread::sleep(Duration::from_secs(3));
        let (first, since) = (&fleet.directors[0], Instant::now());
        let before = first.cpu()?;
        std::thread::sleep(IDLE);
        let share = (first.cpu()? - before).as_secs_f64() / since.elapsed().as_secs_f64();
        ensure!(fleet.up()? >= SERVERS as f64, "a server went down");
        rows.add(
            &format!("{SERVERS} servers looked at each second, {way}"),
            &format!("{:.1} % of a core, {:.0} µs a look", share * 100.0, share * 1e6 / SERVERS as f64),
        );
    }
    Ok(())
}

/// All servers die, or hang.
fn detection(site: &Site, rows: &mut Rows) -> anyhow::Result<()> {
    for (what, word) in [("killed", Signal::KILL), ("made to hang", Signal::STOP)] {
        let backend = site.another_backend()?;
        let plan = Plan { interval_ms: 1000, ..Plan::new(1, SERVERS, Probe::http(backend.port)) };
        let fleet = Fleet::start(site.binary(), &site.place(&format!("detection-{}", backend.port))?, &plan)?;
        fleet.wait_until_up(SERVERS)?;
        std::thread::sleep(Duration::from_secs(3));
        let since = Instant::now();
        signal(&backend.process, word)?;
        let (mut first, mut last) = (None, None);
        while since.elapsed() < Duration::from_secs(20) && last.is_none() {
            let up = fleet.up()?;
            if up < SERVERS as f64 {
                first.get_or_insert_with(|| since.elapsed());
            }
            if up <= 0.0 {
                last = Some(since.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = |at: Option<Duration>| at.map_or("not within 20 s".to_owned(), |at| format!("after {at:.1?}"));
        rows.add(
            &format!("{SERVERS} servers {what} at once, three failed looks a second apart"),
            &format!("the first is no longer up {}, the last {}", said(first), said(last)),
        );
    }
    Ok(())
}

/// The configuration changes twenty times while starts go on.
fn reload(site: &Site, rows: &mut Rows) -> anyhow::Result<()> {
    const RELOADS: u32 = 20;
    let plan = Plan::new(1, 16, Probe::http(site.backend()));
    let fleet = Fleet::start(site.binary(), &site.place("reload")?, &plan)?;
    fleet.wait_until_up(16)?;
    let port = fleet.ports[0].public;
    starts(port, 0, 10_000)?;
    let placed = |fleet: &Fleet| {
        fleet
            .metric_of(0, "maitred_starts_total", "\"kept\"")
            .and_then(|kept| Ok(fleet.metric(0, "maitred_starts_total")? - kept))
    };
    let before = placed(&fleet)?;
    let words = ["--keys", "10000", "--seconds", "10"].map(str::to_owned);
    let client = client(port, &words, Stdio::piped()).spawn()?;
    let (file, text) = (fleet.file(1), fs::read_to_string(fleet.file(1))?);
    for number in 0..RELOADS {
        std::thread::sleep(Duration::from_millis(400));
        // Another weight for one server, and another order of time.
        let changed = text.replacen("name = \"ua3\"", &format!("name = \"ua3\"\nweight = {}", 100 + number), 1);
        fs::write(&file, changed)?;
        signal(&fleet.directors[0], Signal::HUP)?;
    }
    let outcome = outcome(client)?;
    let reloads = fleet.metric(0, "maitred_config_reloads_total{outcome=\"ok\"}").unwrap_or_default();
    rows.add(
        &format!("{RELOADS} reloads in 8 s under full load"),
        &format!(
            "{} starts, {} failed, {:.0} not kept at their server; the director counts {reloads:.0} reloads",
            outcome.good,
            outcome.bad,
            placed(&fleet)? - before
        ),
    );
    Ok(())
}

/// One start of each of some new agents.
fn starts(port: u16, from: u32, count: u32) -> anyhow::Result<()> {
    let words = ["--keys", "--starts", "--from"].iter().zip([count, count, from]);
    let words: Vec<_> = words.flat_map(|(word, value)| [(*word).to_owned(), value.to_string()]).collect();
    let outcome = outcome(client(port, &words, Stdio::piped()).spawn()?)?;
    ensure!(outcome.bad == 0, "not every start was answered: {outcome:?}");
    Ok(())
}

fn client(port: u16, words: &[String], output: Stdio) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CLIENT_CORE]).arg(std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
    command.args(["load", "--connections", "kept", "--port", &port.to_string()]).args(words).stdout(output);
    command
}

fn outcome(client: Child) -> anyhow::Result<Outcome> {
    let output = client.wait_with_output()?;
    ensure!(output.status.success(), "the client failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn signal(process: &Process, signal: Signal) -> anyhow::Result<()> {
    let id = i32::try_from(process.group()).ok().and_then(Pid::from_raw).context("a process has an id")?;
    Ok(kill_process(id, signal)?)
}
