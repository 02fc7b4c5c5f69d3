//! What a client sends must neither begin a line of the log, nor move a terminal's cursor, nor turn what a reader sees: such
//! characters are escaped on their way, in the way of the format. Owns the escaping; which characters those are is told elsewhere.

use std::fmt::Write as _;
use std::io;

use tracing_subscriber::fmt::MakeWriter;

use crate::config::drives_a_terminal;

/// First bytes of those beyond ASCII, so that most text is let through as it is.
const FIRST: [u8; 4] = [0xc2, 0xd8, 0xe2, 0xef];
const DELETE: u8 = 0x7f;

/// Whether all bytes are from `first` on and below DEL. One comparison for each and no way out of the loop: the compiler looks at many
/// bytes at once.
pub(super) fn are_plain(bytes: &[u8], first: u8) -> bool {
    bytes.iter().fold(0, |most, byte| byte.wrapping_sub(first).max(most)) < DELETE - first
}

/// Whether a character that drives a terminal may be among them; those of ASCII are below `first`, and DEL.
fn may_drive(bytes: &[u8], first: u8) -> bool {
    !are_plain(bytes, first) && bytes.iter().any(|byte| *byte < first || *byte == DELETE || FIRST.contains(byte))
}

/// Escapes what stands in a line of text from `begin` on, before the end of its line.
pub(super) fn escape_from(line: &mut String, begin: usize) {
    if !may_drive(&line.as_bytes()[begin..], b' ') {
        return;
    }
    let text = line.split_off(begin);
    for c in text.chars() {
        if drives_a_terminal(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
}

/// Takes whole lines of JSON, whose own escapes leave out everything that is not below a blank.
#[derive(Clone)]
pub(super) struct HarmlessJson<W>(pub(super) W);

impl<W: io::Write> io::Write for HarmlessJson<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(line).ok().filter(|_| may_drive(line, 0));
        let Some(text) = text else { return self.0.write(line) };
        // Beyond ASCII there is nothing in JSON but what stands in strings.
        let mut escaped = String::with_capacity(line.len() + 64);
        for c in text.chars() {
            if c >= '\u{7f}' && drives_a_terminal(c) {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            } else {
                escaped.push(c);
            }
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: io::Write + Clone> MakeWriter<'_> for HarmlessJson<W> {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use io::Write as _;

    use super::*;

    #[test]
    fn plain_is_what_every_terminal_shows_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let long = [[b'a'; 40].as_slice(), &[byte], &[b'z'; 40]].concat();
            assert_eq!(are_plain(&long, b' '), byte == b' ' || byte.is_ascii_graphic(), "{byte}");
            assert_eq!(are_plain(&long, 0), byte < DELETE, "{byte}");
        }
        assert!(are_plain(&[], b' '));
    }

    #[test]
    fn json_keeps_what_it_says_and_drives_nothing() {
        let said = "a\u{202e}b\u{2028}c\u{9b}d\u{7f}e\u{61c}f\u{feff}g é € “quoted”\n\u{1b}";
        let line = format!("{}\n", serde_json::json!({ "why": said }));
        let mut harmless = HarmlessJson(Vec::new());
        harmless.write_all(line.as_bytes()).unwrap();
        let written = String::from_utf8(harmless.0).unwrap();
        assert!(!written.trim_end_matches('\n').contains(drives_a_terminal), "{written:?}");
        assert!(written.contains("a\\u202eb\\u2028c\\u009bd\\u007fe") && written.contains("é € “quoted”"), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap()["why"], said);
    }
}
