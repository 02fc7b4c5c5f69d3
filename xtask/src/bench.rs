//! The core's own benchmarks as a table, beside the goals that they have.
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

/// A row: what it says, the benchmark's path, the goal in nanoseconds.
const ROWS: [(&str, &str, Option<f64>); 13] = [
    ("kept start, 1,000 sessions", "kept/1000", None),
    ("kept start, 10,000 sessions", "kept/10000", Some(100.0)),
    ("kept start, 100,000 sessions", "kept/100000", None),
    ("kept start, 1,000,000 sessions", "kept/1000000", Some(600.0)),
    ("placed start, 16 servers", "placed/16", Some(300.0)),
    ("placed start, 100 servers", "placed/100", None),
    ("placed start, 1,000 servers", "placed/1000", Some(1500.0)),
    ("of it the choice of a server among 16", "rendezvous/16", None),
    ("of it the choice among 1,000", "rendezvous/1000", None),
    ("the picture that starts read, rebuilt for 16 servers", "view_rebuilt/16", None),
    ("the same for 1,000 servers", "view_rebuilt/1000", None),
    ("kept start, 200,000 sessions, one thread", ONE_THREAD, None),
    ("the same, each of two threads", TWO_THREADS, None),
];
const ONE_THREAD: &str = "kept_by_threads/t=1";
const TWO_THREADS: &str = "kept_by_threads/t=2";
/// How much more two threads do than one, at least.
const SCALING: f64 = 1.8;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["bench", "--quiet", "--package", "maitred-core", "--bench", "decisions", "--bench", "placement"])
        .stderr(Stdio::inherit());
    let output = command.output().context("cargo")?;
    ensure!(output.status.success(), "cargo bench failed");
    let table = table(&medians(&String::from_utf8_lossy(&output.stdout)))?;
    println!("{table}");
    match &arguments.write {
        Some(file) => report::write_between_marks(file, "bench", table.trim_end()),
        None => Ok(()),
    }
}

fn table(medians: &BTreeMap<String, f64>) -> anyhow::Result<String> {
    let of = |path: &str| medians.get(path).copied().with_context(|| format!("no benchmark {path}"));
    let mut text = String::from("| decision in the core | median | goal |\n|---|---|---|\n");
    for (what, path, goal) in ROWS {
        writeln!(text, "| {what} | {} | {} |", time(of(path)?), goal.map_or_else(String::new, time))?;
    }
    let scaling = 2.0 * of(ONE_THREAD)? / of(TWO_THREADS)?;
    writeln!(text, "| what two threads do, times what one does | {scaling:.2} | {SCALING} |")?;
    Ok(text)
}

fn time(nanoseconds: f64) -> String {
    if nanoseconds < 1e3 { format!("{nanoseconds:.0} ns") } else { format!("{:.2} µs", nanoseconds / 1e3) }
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
