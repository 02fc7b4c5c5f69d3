//! What is wrong, where, and why: one line that an editor can jump to.
//!
//! Text that came from a file is shown only through [`printable`], so that a configuration cannot drive a terminal.

use std::fmt;
use std::path::PathBuf;

/// Longest piece of foreign text in a message, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// One mistake or warning: prints as `FILE:LINE: key: reason`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where it stands.
    pub place: Place,
    /// The key, with its tables and dots, as in `docs/configuration.md`: `pool.health.interval`.
    pub key: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file, counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line.
        line: u32,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", shown(&path.to_string_lossy(), usize::MAX)),
            Self::Environment { variable } => f.write_str(&printable(variable)),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.key, self.reason)
    }
}

/// Foreign text for a message: control and direction-changing characters escaped, long text cut.
#[must_use]
pub fn printable(text: &str) -> String {
    shown(text, SHOWN_CHARS_MAX)
}

fn shown(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(SHOWN_CHARS_MAX));
    for (index, c) in text.chars().enumerate() {
        if index == chars_max {
            out.push('…');
            break;
        }
        if drives_a_terminal(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Whether a character does something to a line, or to a reader's view of it, instead of standing in it: control characters, ends of
/// lines, and those that turn or join text without being seen.
#[must_use]
pub fn drives_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_is_a_line_that_an_editor_can_jump_to() {
        let place = Place::File { path: "conf/maitred.toml".into(), line: 7 };
        let diagnostic = Diagnostic { place, key: "log.format".into(), reason: "must be a string".into() };
        assert_eq!(diagnostic.to_string(), "conf/maitred.toml:7: log.format: must be a string");
    }

    #[test]
    fn foreign_text_cannot_drive_a_terminal() {
        assert_eq!(printable("a\u{1b}[2J\r\n\u{202e}b"), "a\\u{1b}[2J\\u{d}\\u{a}\\u{202e}b");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
