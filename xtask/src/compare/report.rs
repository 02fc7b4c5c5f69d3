//! The table, as people read it and as `docs/performance.md` keeps it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::contestants::Contestant;
use super::site::Lines;
use super::{Arguments, Sample, Scenario};

pub(super) struct Report<'r> {
    pub(super) samples: &'r [Sample],
    pub(super) entries: &'r [(Contestant, Lines)],
    pub(super) scenarios: &'r [Scenario],
    pub(super) arguments: &'r Arguments,
}

impl Report<'_> {
    /// Markdown.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let rounds = self.arguments.rounds;
        writeln!(
            text,
            "CPU µs per session start, everybody with a log line for each (median of {rounds} rounds; lowest to highest):\n"
        )?;
        self.micros(&mut text, Lines::Written)?;
        writeln!(text, "\nmaitred's CPU as a share of the other's, round by round (median):\n")?;
        self.shares(&mut text, Lines::Written)?;
        writeln!(text, "\nThe same where nobody writes a line for a start, µs and share:\n")?;
        self.micros(&mut text, Lines::None)?;
        writeln!(text)?;
        self.shares(&mut text, Lines::None)?;
        writeln!(text, "\nStarts per second and core with lines (median), and what the other cannot do:\n")?;
        writeln!(text, "| | {} | lacks |", self.titles())?;
        writeln!(text, "|---|{}---|", "---|".repeat(self.scenarios.len()))?;
        for contestant in self.those(Lines::Written) {
            write!(text, "| {} |", contestant.title())?;
            for &scenario in self.scenarios {
                let rate = |it: &Sample| it.outcome.good as f64 / it.outcome.seconds;
                let rates = self.values(contestant, Lines::Written, scenario, rate);
                write!(text, " {:.0} |", Spread::of(rates).map_or(f64::NAN, |it| it.median))?;
            }
            writeln!(text, " {} |", contestant.lacks())?;
        }
        let bad: u64 = self.samples.iter().map(|it| it.outcome.bad).sum();
        let good: u64 = self.samples.iter().map(|it| it.outcome.good).sum();
        writeln!(text, "\n{good} answers, {bad} failures. Versions: {}.", self.versions().join("; "))?;
        Ok(text)
    }

    fn micros(&self, text: &mut String, lines: Lines) -> anyhow::Result<()> {
        self.table(text, lines, |spread, _| {
            format!("{:.1} ({:.1} to {:.1})", spread.median, spread.lowest, spread.highest)
        })
    }

    fn shares(&self, text: &mut String, lines: Lines) -> anyhow::Result<()> {
        self.table(text, lines, |_, ratio| format!("{ratio:.2}"))
    }

    fn table(&self, text: &mut String, lines: Lines, cell: impl Fn(Spread, f64) -> String) -> anyhow::Result<()> {
        writeln!(text, "| | {} |", self.titles())?;
        writeln!(text, "|---|{}", "---|".repeat(self.scenarios.len()))?;
        for contestant in self.those(lines) {
            write!(text, "| {} |", contestant.title())?;
            for &scenario in self.scenarios {
                let own = self.values(Contestant::Maitred, lines, scenario, |it| it.micros);
                let others = self.values(contestant, lines, scenario, |it| it.micros);
                let ratios: Vec<f64> = own.iter().zip(&others).map(|(own, other)| own / other).collect();
                let ratio = Spread::of(ratios).map_or(f64::NAN, |it| it.median);
                write!(text, " {} |", Spread::of(others).map_or("–".to_owned(), |spread| cell(spread, ratio)))?;
            }
            writeln!(text)?;
        }
        Ok(())
    }

    /// Those who were measured with lines, or without.
    fn those(&self, lines: Lines) -> impl Iterator<Item = Contestant> {
        self.entries.iter().filter(move |(_, has)| *has == lines).map(|(one, _)| *one)
    }

    fn titles(&self) -> String {
        self.scenarios.iter().map(|scenario| scenario.title()).collect::<Vec<_>>().join(" | ")
    }

    /// One value a round, in order.
    fn values(
        &self,
        contestant: Contestant,
        lines: Lines,
        scenario: Scenario,
        value: impl Fn(&Sample) -> f64,
    ) -> Vec<f64> {
        let of = |it: &&Sample| it.contestant == contestant && it.lines == lines && it.scenario == scenario;
        self.samples.iter().filter(of).map(value).collect()
    }

    /// Of maitred, of the packages that the others come from, and of what they stand on.
    fn versions(&self) -> Vec<String> {
        let lines = |program: &Path, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
            String::from_utf8_lossy(&text).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let packages = self.those(Lines::Written).flat_map(|one| one.parts()).map(|(_, package)| *package);
        let mut packages: Vec<&str> = packages.chain(["libssl3*", "openjdk-*-jre-headless"]).collect();
        packages.sort_unstable();
        packages.dedup();
        let query = [&["-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\\n"][..], &packages].concat();
        let installed = lines(Path::new("dpkg-query"), &query);
        let installed = installed.iter().filter_map(|line| line.strip_prefix("ii ")).map(str::to_owned);
        // Of the kernel only the version that others know it by, too.
        let kernel = lines(Path::new("uname"), &["-sr"]);
        let kernel = kernel.iter().map(|line| line.split('.').take(2).collect::<Vec<_>>().join("."));
        lines(&self.arguments.binary, &["--version"]).into_iter().chain(installed).chain(kernel).collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self { lowest: *values.first()?, median: *values.get(values.len() / 2)?, highest: *values.last()? })
    }
}

/// Replaces what stands between the marks of a task in a file.
///
/// # Errors
/// When the file has no marks or cannot be written.
pub(crate) fn write_between_marks(file: &Path, task: &str, table: &str) -> anyhow::Result<()> {
    let [begin, end] = ["begin", "end"].map(|word| format!("<!-- cargo xtask {task}: {word} -->"));
    let text = fs::read_to_string(file)?;
    let (before, rest) = text.split_once(&begin).with_context(|| format!("{}: no {begin}", file.display()))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("{}: no {end}", file.display()))?;
    Ok(fs::write(file, format!("{before}{begin}\n{table}\n{end}{after}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let file = tempfile::NamedTempFile::new().map(|file| file.into_temp_path());
        let Ok(file) = file else { return };
        let text = |table| format!("a\n<!-- cargo xtask x: begin -->\n{table}\n<!-- cargo xtask x: end -->\nb\n");
        let _ = fs::write(&file, text("old"));
        assert!(write_between_marks(&file, "x", "new").is_ok());
        assert_eq!(fs::read_to_string(&file).ok(), Some(text("new")));
        assert!(write_between_marks(&file, "y", "new").is_err());
    }
}
