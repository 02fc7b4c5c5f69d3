//! The core's own benchmarks, and that of the cookie, as tables beside the goals that they have.
//!
//! Runs `cargo bench` and reads what it prints; knows the names of the benchmarks and nothing of what they do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::compare::report;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write the table into this file, between its marks
    #[arg(long)]
    write: Option<PathBuf>,
}

/// Sizes of the pool and of the table for which starts are timed.
const SERVERS: [u32; 3] = [16, 100, 1_000];
const SESSIONS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Kinds of start: the word, the benchmark, the goal.
const STARTS: [(&str, &str, &str); 3] = [
    ("kept", "kept", "100 ns at 10,000 sessions, 600 ns at 1,000,000"),
    ("adopted by its cookie", "adopted", ""),
    ("placed", "placed", "300 ns at 16 servers, 1.5 µs at 1,000"),
];

/// A row of what else is timed: what it says, the benchmark's path, by how much its time is divided, the goal in nanoseconds.
const ROWS: [(&str, &str, f64, Option<f64>); 14] = [
    ("a placed start's choice of a server among 16", "rendezvous/16", 1.0, None),
    ("the same among 1,000", "rendezvous/1000", 1.0, None),
    ("the picture that starts read, all anew for 16 servers", "view_rebuilt/16", 1.0, None),
    ("the same for 1,000 servers", "view_rebuilt/1000", 1.0, None),
    ("one of 16 servers goes or comes", "server_changed/16", 1.0, None),
    ("one of 1,000 servers goes or comes", "server_changed/1000", 1.0, None),
    ("a session of 1,000,000 handed on (snapshot)", "handed_on/16x1000000", 1e6, None),
    ("a session of 1,000,000 taken over (merge)", "taken_over/16x1000000", 1e6, None),
    ("a cookie sealed", "cookie_sealed", 1.0, None),
    ("a cookie opened", "cookie_opened", 1.0, None),
    ("a forged cookie refused", "cookie_refused", 1.0, None),
    ("kept start, 200,000 sessions, one thread", ONE_THREAD, 1.0, None),
    ("the same, each of two threads", TWO_THREADS, 1.0, None),
    ("the same, each of eight threads", EIGHT_THREADS, 1.0, None),
];
const ONE_THREAD: &str = "kept_by_threads/t=1";
const TWO_THREADS: &str = "kept_by_threads/t=2";
const EIGHT_THREADS: &str = "kept_by_threads/t=8";
/// How much more two threads do than one, at least.
const SCALING: f64 = 1.8;

/// What is counted: what it says, its name, the goal.
const COUNTED: [(&str, &str, &str); 3] = [
    ("bytes for each of 100,000 further sessions, keys of 36 bytes", "bytes_per_session/100000", "120"),
    ("the same for 1,000,000", "bytes_per_session/1000000", "120"),
    ("allocations of a kept start", "allocations_per_kept_start/1000000", "0"),
];

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let benches = ["decisions", "placement", "table", "memory", "credentials"];
    command
        .args(["bench", "--quiet", "--package", "maitred-core", "--package", "maitred"])
        .args(benches.iter().flat_map(|bench| ["--bench", bench]))
        .stderr(Stdio::inherit());
    let output = command.output().context("cargo")?;
    ensure!(output.status.success(), "cargo bench failed");
    let printed = String::from_utf8_lossy(&output.stdout);
    let tables = tables(&medians(&printed), &counts(&printed))?;
    println!("{tables}");
    match &arguments.write {
        Some(file) => report::write_between_marks(file, "bench", tables.trim_end()),
        None => Ok(()),
    }
}

fn tables(medians: &BTreeMap<String, f64>, counts: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let of = |path: &str| medians.get(path).copied().with_context(|| format!("no benchmark {path}"));
    let mut text = String::from("| start in the core, median | servers |");
    for sessions in SESSIONS {
        write!(text, " {} sessions |", thousands(sessions))?;
    }
    writeln!(text, " goal |\n|---|---|{}---|", "---|".repeat(SESSIONS.len()))?;
    for (what, path, goal) in STARTS {
        for servers in SERVERS {
            write!(text, "| {what} | {} |", thousands(servers))?;
            for sessions in SESSIONS {
                write!(text, " {} |", time(of(&format!("{path}/{servers}x{sessions}"))?))?;
            }
            writeln!(text, " {} |", if servers == SERVERS[0] { goal } else { "" })?;
        }
    }
    writeln!(text, "\n| what else | measured | goal |\n|---|---|---|")?;
    for (what, path, parts, goal) in ROWS {
        writeln!(text, "| {what} | {} | {} |", time(of(path)? / parts), goal.map_or_else(String::new, time))?;
    }
    let scaling = |threads: f64, path| Ok::<_, anyhow::Error>(threads * of(ONE_THREAD)? / of(path)?);
    let (two, eight) = (scaling(2.0, TWO_THREADS)?, scaling(8.0, EIGHT_THREADS)?);
    let cores = std::thread::available_parallelism()?;
    writeln!(text, "| what two threads do, times what one does | {two:.2} | {SCALING} |")?;
    writeln!(text, "| what eight threads do on {cores} cores, times what one does | {eight:.2} | |")?;
    for (what, name, goal) in COUNTED {
        let count = counts.get(name).with_context(|| format!("no count {name}"))?;
        writeln!(text, "| {what} | {count} | {goal} |")?;
    }
    Ok(text)
}

fn time(nanoseconds: f64) -> String {
    if nanoseconds < 1e3 { format!("{nanoseconds:.0} ns") } else { format!("{:.2} µs", nanoseconds / 1e3) }
}

fn thousands(number: u32) -> String {
    match (number / 1_000_000, number / 1_000 % 1_000, number % 1_000) {
        (0, 0, rest) => rest.to_string(),
        (0, thousands, rest) => format!("{thousands},{rest:03}"),
        (millions, thousands, rest) => format!("{millions},{thousands:03},{rest:03}"),
    }
}

/// What the benchmark that counts prints: a name and a number on each line.
fn counts(printed: &str) -> BTreeMap<String, String> {
    let named = printed.lines().filter_map(|line| line.split_once(' '));
    named.filter(|(name, _)| COUNTED.iter().any(|one| one.1 == *name)).map(|(a, b)| (a.into(), b.into())).collect()
}

/// Medians in nanoseconds by path, from a tree as divan prints it: a benchmark's line has its name and fastest time, then slowest,
/// median and more between bars; those with arguments have a line for each below them.
fn medians(tree: &str) -> BTreeMap<String, f64> {
    let (mut medians, mut group) = (BTreeMap::new(), String::new());
    for line in tree.lines() {
        let Some((before, row)) = line.split_once("─ ") else { continue };
        let columns: Vec<&str> = row.split('│').map(str::trim).collect();
        let Some(name) = columns[0].split_whitespace().next() else { continue };
        let inner = before.chars().count() > 1;
        if !inner {
            name.clone_into(&mut group);
        }
        if let Some(median) = columns.get(2).and_then(|text| nanoseconds(text)) {
            medians.insert(if inner { format!("{group}/{name}") } else { group.clone() }, median);
        }
    }
    medians
}

fn nanoseconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let unit = match unit {
        "ps" => 1e-3,
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_between_the_trees() {
        let printed = "memory\nbytes_per_session/100000 103.2\n╰─ kept 1 │ 2\nallocations_per_kept_start/1000000 0\n";
        let read: Vec<_> = counts(printed).into_values().collect();
        assert_eq!(read, ["0", "103.2"]);
    }

    #[test]
    fn numbers_are_cut_at_thousands() {
        assert_eq!([16, 1_000, 20_050, 1_000_000].map(thousands), ["16", "1,000", "20,050", "1,000,000"]);
    }

    #[test]
    fn medians_are_read_from_the_tree() {
        let tree = "\
Timer precision: 20 ns
decisions             fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ alone              1.5 µs        │ 71.2 ns       │ 61.2 ns       │ 60.1 ns       │ 100     │ 6400
├─ kept                             │               │               │               │         │
│  ├─ 1000            51.2 ns       │ 71.2 ns       │ 1.612 µs      │ 60.1 ns       │ 100     │ 6400
│  │                  max alloc:    │               │               │               │         │
│  ╰─ 10000           51.2 ns       │ 71.2 ns       │ 2 ms          │ 60.1 ns       │ 100     │ 6400
╰─ by_threads                       │               │               │               │         │
   ╰─ t=2             51.2 ns       │ 71.2 ns       │ 64 ns         │ 60.1 ns       │ 100     │ 6400
";
        let read: Vec<_> = medians(tree).into_iter().collect();
        let expected = [("alone", 61.2), ("by_threads/t=2", 64.0), ("kept/1000", 1612.0), ("kept/10000", 2e6)];
        assert_eq!(read, expected.map(|(name, time)| (name.to_owned(), time)));
    }
}
