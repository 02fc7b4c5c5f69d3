//! Text on disk: bounded reading, patterns of names, and lines.
//!
//! Knows of TOML only what a header and a key look like, to say where a line stands that does not parse.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::diagnostic::printable;
use super::source::FILE_BYTES_MAX;
use super::tree;

/// Why a file cannot be read, as the system's own tools say it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        kind => kind.to_string(),
    }
}

/// The text of a regular file, at most one byte more than the limit; a pipe or device would never end.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    let plain = |error: io::Error| format!("cannot be read: {}", reason(&error));
    if !fs::metadata(path).map_err(plain)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(plain)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(plain)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        // The cut may split a character; what is left is only counted.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let upto = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..upto].iter().filter(|&&byte| byte == b'\n').count();
        format!("is not UTF-8 text (line {line})")
    })
}

/// The files that a pattern names, sorted; wildcards `*` and `?` in the last part only.
pub(super) fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let Some(name) = pattern.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Err("names no file".to_owned());
    };
    let directory = pattern.parent().unwrap_or(Path::new(""));
    if directory.to_string_lossy().contains(['*', '?']) {
        return Err("may have wildcards in the file's name only".to_owned());
    }
    if !name.contains(['*', '?']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    // A directory that is not there holds no files: the pattern may stand in a file that serves many machines.
    let Ok(entries) = fs::read_dir(listed) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|file| {
            let file = file.to_string_lossy();
            !file.starts_with('.') && fits(name.as_bytes(), file.as_bytes())
        })
        .map(|file| directory.join(file))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    Ok(paths)
}

/// Whether a name fits a pattern of `*` and `?`, without recursion: a star is tried at one place at a time.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The text by lines.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let starts =
            std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self { text, starts: starts.collect() }
    }

    /// The line of a byte, from 1. An end of text after the last newline counts to the last line with text.
    pub(super) fn line(&self, offset: usize) -> u32 {
        let line = self.starts.partition_point(|&start| start <= offset);
        let line =
            if self.starts.last() == Some(&self.text.len()) && line == self.starts.len() { line - 1 } else { line };
        u32::try_from(line.max(1)).unwrap_or(u32::MAX)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &'t str> {
        self.text.lines()
    }

    /// The line of the header of the first server beyond the limit; found before TOML is parsed, so that a file of a million
    /// servers is refused at once and by name.
    pub(super) fn first_server_beyond(&self, servers_max: usize) -> Option<u32> {
        let mut headers = self
            .iter()
            .zip(1u32..)
            .filter(|(line, _)| line.trim_start().starts_with("[[pool.server]]"))
            .map(|(_, n)| n);
        headers.nth(servers_max)
    }

    /// The key that a line sets, with the header above it, and whether the line is a header: a guess for lines that do not
    /// parse.
    pub(super) fn key_at(&self, line: u32) -> (String, bool) {
        let index = usize::try_from(line).unwrap_or(1).max(1);
        let mut above = self.iter().take(index).collect::<Vec<_>>().into_iter().rev();
        let own = above.next().unwrap_or("").trim();
        let header = |line: &str| {
            let name = line.trim().trim_start_matches('[').split([']', '#']).next().unwrap_or("").trim();
            printable(name)
        };
        if own.starts_with('[') {
            let name = header(own);
            return (if name.is_empty() { "syntax".to_owned() } else { name }, true);
        }
        // Only what looks like a key is shown: a broken line may hold anything.
        let key = own.split('=').next().unwrap_or("").trim();
        let bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        let key = if bare { printable(key) } else { String::new() };
        let table = above.find(|line| line.trim_start().starts_with('[')).map(header).unwrap_or_default();
        match (table.is_empty(), key.is_empty()) {
            (true, true) => ("syntax".to_owned(), false),
            (false, true) => (table, false),
            _ => (tree::join(&table, &key), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name) in [("*.toml", "a.toml"), ("*", "a"), ("a?c*", "abc"), ("**x*y", "axby"), ("a", "a")] {
            assert!(fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("*.toml", "a.toml~"), ("?", ""), ("a*b", "ac"), ("", "a"), ("a", "")] {
            assert!(!fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn offsets_have_lines_and_lines_have_keys() {
        let lines = Lines::of("a = 1\n[b.c]\n  d = = 2\nBEGIN + SECRET\n");
        assert_eq!([0, 5, 6, 14, 100].map(|offset| lines.line(offset)), [1, 1, 2, 3, 4]);
        assert_eq!(lines.key_at(1), ("a".to_owned(), false));
        assert_eq!(lines.key_at(2), ("b.c".to_owned(), true));
        assert_eq!(lines.key_at(3), ("b.c.d".to_owned(), false));
        assert_eq!(lines.key_at(4), ("b.c".to_owned(), false), "only what looks like a key is shown");
    }
}
