//! What the parser of HTTP/1 would take and must not see: lines that end with a bare LF, which others on the way may read as one
//! line and so as another request; a name of a field so long that the parser gives up its thread's task instead of answering; and
//! fields behind the last chunk of a body (`chunks`).
//!
//! Nothing is answered here: the offending byte becomes one that the parser refuses. Owns where heads are, as far as that can be seen
//! without reading bodies: what comes first on a connection or behind an answer, and what begins like a request, first of a read or
//! behind a head. A body that looks like that is altered too, which matters to nobody: those that are read here are objects of JSON or
//! tokens. Refuses to know what heads say.

use memchr::memchr;

use crate::http::chunks::Chunks;

/// Names of fields are refused from here on. The parser survives twice as much.
const NAME_BYTES_MAX: usize = 32 << 10;
/// The parser cannot read a target of about this length, and says no more than that something is wrong.
pub(super) const FIRST_LINE_BYTES_MAX: usize = 64 << 10;
/// No part of a line, and no end of one.
pub(super) const REFUSED: u8 = 0;
/// The field that says that a body comes in chunks.
const CHUNKED: &[u8] = b"transfer-encoding";

/// Where one connection is.
#[derive(Debug)]
pub(super) struct Heads {
    /// A head has begun and not ended.
    open: bool,
    /// The line that is being read has had nothing yet, and is not the first one.
    empty: bool,
    /// The first line of the head is being read.
    first: bool,
    /// How long that line is, as far as it has come.
    first_length: usize,
    /// What was read last could be a method.
    begun: bool,
    /// The last byte of the last read.
    last: u8,
    /// The beginning of the line that is being read, of which the rest is still to come.
    line: [u8; CHUNKED.len()],
    kept: usize,
    /// The head says that its body comes in chunks.
    chunked: bool,
    /// The body that is being read, in chunks.
    body: Option<Chunks>,
    /// So many bytes at the beginning of the line that is being read could be of a name; `None`: more than that has come.
    run: Option<usize>,
}

impl Default for Heads {
    fn default() -> Self {
        let (line, kept) = ([0; CHUNKED.len()], 0);
        let (chunked, body) = (false, None);
        let (first, first_length) = (false, 0);
        Self {
            open: false,
            empty: false,
            first,
            first_length,
            begun: false,
            last: 0,
            line,
            kept,
            chunked,
            body,
            run: Some(0),
        }
    }
}

impl Heads {
    /// Looks at what was read and spoils what must be refused. `first`: nothing has come since the last answer.
    pub(super) fn inspect(&mut self, first: bool, bytes: &mut [u8]) {
        self.refuse_names(bytes);
        self.refuse_bare_ends(first, bytes);
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Whether the first line of the last head is longer than the parser can read.
    pub(super) fn has_long_line(&self) -> bool {
        self.first_length > FIRST_LINE_BYTES_MAX
    }

    fn open(&mut self) {
        (self.open, self.empty, self.first, self.first_length) = (true, false, true, 0);
    }

    fn refuse_bare_ends(&mut self, first: bool, bytes: &mut [u8]) {
        let mut at = 0;
        if first && !self.open {
            self.open();
            self.body = None;
        }
        loop {
            if let Some(body) = &mut self.body {
                let Some(behind) = body.inspect(&mut bytes[at..]) else { return };
                (self.body, at) = (None, bytes.len() - behind);
            }
            if !self.open && !self.begins(&bytes[at..]) {
                break;
            }
            if !self.open {
                self.open();
            }
            self.begun = false;
            let end = memchr(b'\n', &bytes[at..]).map(|end| at + end);
            if self.first {
                self.first_length += end.unwrap_or(bytes.len()) - at;
                self.first = end.is_none();
            }
            let Some(end) = end else {
                let left = &bytes[at..];
                self.empty = self.empty && (left.is_empty() || left == b"\r");
                self.keep(left);
                return;
            };
            let before = if end == 0 { self.last } else { bytes[end - 1] };
            if before != b'\r' {
                bytes[end] = REFUSED;
            }
            self.keep(&bytes[at..end]);
            self.chunked |= self.kept == CHUNKED.len() && self.line.eq_ignore_ascii_case(CHUNKED);
            self.kept = 0;
            let content = bytes[at..end].strip_suffix(b"\r").unwrap_or(&bytes[at..end]);
            self.open = !(self.empty && content.is_empty());
            self.empty = true;
            at = end + 1;
            if !self.open && std::mem::take(&mut self.chunked) {
                self.body = Some(Chunks::BEGIN);
            }
        }
        let left = &bytes[at..];
        let method = left.strip_suffix(b" ").unwrap_or(left);
        self.begun = (self.begun || !method.is_empty()) && method.iter().all(u8::is_ascii_uppercase);
    }

    /// Keeps as much of a line as tells whether it is the field that matters.
    fn keep(&mut self, part: &[u8]) {
        let missing = (CHUNKED.len() - self.kept).min(part.len());
        self.line[self.kept..self.kept + missing].copy_from_slice(&part[..missing]);
        self.kept += missing;
    }

    /// A method, a blank and the beginning of a target; some of it may have come before.
    fn begins(&self, bytes: &[u8]) -> bool {
        let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let is_target = |byte: &u8| matches!(byte, b'/' | b'*' | b'h' | b'H');
        match &bytes[method..] {
            [b' ', target, ..] => (method > 0 || self.begun) && is_target(target),
            [target, ..] => method == 0 && self.begun && self.last == b' ' && is_target(target),
            [] => false,
        }
    }

    fn refuse_names(&mut self, bytes: &mut [u8]) {
        let length = bytes.len();
        let first = bytes.iter().position(|byte| !is_of_name(*byte)).unwrap_or(length);
        let before = self.run;
        let mut long = before.filter(|run| run + first >= NAME_BYTES_MAX).and_then(|_| first.checked_sub(1));
        if first == length {
            self.run = before.map(|run| run + length);
        } else {
            let last = bytes.iter().rev().take_while(|byte| is_of_name(**byte)).count();
            self.run = (bytes[length - last - 1] == b'\n').then_some(last);
            if length > NAME_BYTES_MAX && long.is_none() {
                let mut at = 0;
                long = bytes.split_inclusive(|byte| *byte == b'\n').skip(1).find_map(|line| {
                    let name = line.iter().take_while(|byte| is_of_name(**byte)).count();
                    at += line.len();
                    (name >= NAME_BYTES_MAX).then(|| at - line.len())
                });
                let line = memchr(b'\n', bytes).map_or(0, |end| end + 1);
                long = long.map(|long| long + line);
            }
        }
        if let Some(byte) = long.and_then(|long| bytes.get_mut(long)) {
            (*byte, self.run) = (REFUSED, None);
        }
    }
}

/// RFC 9110, section 5.6.2: a token.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser is shown of these reads, none of which was answered meanwhile.
    fn shown(reads: &[&str]) -> String {
        let mut heads = Heads::default();
        let mut first = true;
        let read = |read: &&str| {
            let mut bytes = read.as_bytes().to_vec();
            heads.inspect(std::mem::take(&mut first), &mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        reads.iter().map(read).collect()
    }

    /// Whole, and cut into two reads everywhere behind this.
    fn cut(text: &str, from: usize) -> impl Iterator<Item = String> {
        (from.max(1)..=text.len()).map(|at| shown(&[&text[..at], &text[at..]]))
    }

    const GOOD: &str = "POST /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";

    #[test]
    fn lines_that_end_as_they_should_are_left_alone_and_so_are_bodies() {
        for text in [
            GOOD.to_owned(),
            format!("\r\n{GOOD}"),
            format!("{GOOD}{GOOD}"),
            format!("{GOOD}{{\"a\":\n\n1}}\n"),
            format!("{GOOD}D\r\n{{\n\"a\": 7777}}\r\n0\r\n\r\n{GOOD}"),
            format!("{GOOD}eyJ\n"),
        ] {
            assert!(cut(&text, 1).all(|shown| shown == text), "{text:?}");
        }
    }

    #[test]
    fn a_bare_end_of_a_line_in_a_head_is_spoilt_wherever_it_stands() {
        for text in [
            "GET /x HTTP/1.1\nHost: a\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: a\r\n\n",
            "GET /x HTTP/1.1\nHost: a\n\n",
            "GET https://a/x HTTP/1.1\nHost: a\r\n\r\n",
        ] {
            let spoilt = |text: &str| text.contains('\0') && !text.replace("\r\n", "").contains('\n');
            assert!(cut(text, 1).all(|shown| spoilt(&shown)), "{text:?}");
            let behind = format!("{GOOD}{text}");
            assert!(cut(&behind, 1).all(|shown| shown.starts_with(GOOD) && spoilt(&shown)), "{text:?}");
        }
    }

    #[test]
    fn a_field_behind_a_body_is_spoilt_and_the_next_head_is_one() {
        let chunked = "POST /x HTTP/1.1\r\nHost: a\r\ntransfer-Encoding:chunked\r\n\r\n2\r\n{}\r\n0\r\n";
        for text in [format!("{chunked}\r\n{GOOD}"), format!("{GOOD}{chunked}\r\n{chunked}\r\n{GOOD}")] {
            assert!(cut(&text, 1).all(|shown| shown == text), "{text:?}");
        }
        let behind = format!("{GOOD}{chunked}Host: b\r\n\r\n");
        assert!(cut(&behind, 1).all(|shown| shown.contains("Host: b\r\0")));
        let bare = format!("{chunked}\r\nGET /x HTTP/1.1\nHost: a\r\n\r\n");
        assert!(cut(&bare, 1).all(|shown| shown.contains("1.1\0Host")));
    }

    #[test]
    fn a_name_that_the_parser_cannot_hold_is_spoilt_however_it_comes() {
        let name = "x".repeat(70_000);
        let text = format!("GET /x HTTP/1.1\r\nHost: a\r\n{name}: y\r\n\r\n");
        for pieces in [1_000, 8_192, 40_000, 65_536, 200_000] {
            let reads: Vec<&str> = text.as_bytes().chunks(pieces).map(|it| std::str::from_utf8(it).unwrap()).collect();
            let shown = shown(&reads);
            assert_eq!(shown.len(), text.len());
            let names = shown.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
            assert!(names.filter(|name| name.len() > 100).all(|name| name.contains('\0')), "in {pieces}");
        }
        let long = format!("GET /x HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(80_000));
        assert_eq!(shown(&[&long]), long, "a value is no name");
        assert_eq!(shown(&[&long[..50_000], &long[50_000..]]), long, "in pieces neither");
    }
}
