//! Where results go: lines, tables and JSON on standard output, remarks on standard error.
//!
//! Nothing here panics when a stream is closed. Text of foreign origin passes [`printable`], so it cannot drive a terminal.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::exit::OutputGone;
use crate::config::printable;

/// Writes one line of a result.
///
/// # Errors
/// When standard output does not take it.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| OutputGone(error).into())
}

/// Writes text that brings its own line ends.
///
/// # Errors
/// When standard output does not take it.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| OutputGone(error).into())
}

/// Writes a document as the director sent it, indented.
///
/// # Errors
/// When standard output does not take it.
pub(super) fn json(value: &Value) -> anyhow::Result<()> {
    line(&format!("{value:#}"))
}

/// A remark beside the result; nobody reading it is no reason to fail.
pub(super) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether results go to somebody who watches.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether colours are wanted: a terminal, and no `NO_COLOR` (<https://no-color.org>: set and not empty).
pub(super) fn is_coloured() -> bool {
    is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// What it means when standard output does not take something.
pub(super) fn gone(error: io::Error) -> OutputGone {
    OutputGone(error)
}

/// Rows under headings, columns aligned, the last one free.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    numbers: Vec<usize>,
}

impl Table {
    /// A table with these headings. Columns whose heading begins with `#` hold numbers, aligned to the right.
    pub(super) fn new(headings: &[&str]) -> Self {
        let numbers = headings.iter().enumerate().filter(|(_, heading)| heading.starts_with('#'));
        Self {
            numbers: numbers.map(|(column, _)| column).collect(),
            rows: vec![headings.iter().map(|heading| heading.trim_start_matches('#').to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub(super) fn row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(|cell| printable(cell.as_ref())).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                let gap = if column == 0 { "" } else { "  " };
                line.push_str(gap);
                if self.numbers.contains(&column) {
                    line.push_str(&format!("{cell:>width$}"));
                } else {
                    line.push_str(&format!("{cell:<width$}"));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A JSON value as a cell: text as it is, nothing for null.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// How many of what, in words: `1 server`, `2 servers`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_words_left_and_numbers_right() {
        let mut table = Table::new(&["SERVER", "#SESSIONS", "WHY"]);
        table.row(["ua1", "7", "answers"]);
        table.row(["ua10-east", "1200", ""]);
        let shown = table.to_string();
        assert_eq!(shown, "SERVER     SESSIONS  WHY\nua1               7  answers\nua10-east      1200\n");
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        let mut table = Table::new(&["A"]);
        table.row(["\u{1b}[2J\nx"]);
        assert!(!table.to_string().contains('\u{1b}'));
        assert_eq!(table.to_string().lines().count(), 2);
    }

    #[test]
    fn counts_read_as_people_say_them() {
        assert_eq!((counted(1, "server"), counted(0, "server")), ("1 server".into(), "0 servers".into()));
    }
}
