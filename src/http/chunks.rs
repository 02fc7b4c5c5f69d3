//! The chunks of a body of HTTP/1, only to find where they end and whether fields follow them.
//!
//! The parser passes over those trailers without a word, while others on the way may take a `Host` or a `Cookie` out of them. Nobody
//! who speaks to a director sends any, so the end of such a line becomes a byte that the parser refuses. Owns nothing else: whether
//! chunks are well-formed is the parser's business, and where they are not, nothing here is touched any more.

use crate::http::heads::REFUSED;

/// Where a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the line that begins a chunk: its size so far, and whether the digits are over.
    Size(u64, bool),
    /// Behind so many bytes the chunk is over.
    Data(u64),
    /// At the end of the line behind a chunk.
    Behind,
    /// In a line behind the last chunk, which has had something.
    Last(bool),
    /// Not to be followed any more.
    Lost,
}

impl Chunks {
    /// At the beginning of a body.
    pub(super) const BEGIN: Self = Self::Size(0, false);

    /// Follows the body; how many of the bytes are behind its end, when it is there.
    pub(super) fn inspect(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get_mut(at) {
            at += 1;
            *self = match (*self, *byte) {
                (Self::Lost, _) => return None,
                (Self::Size(0, _), b'\n') => Self::Last(false),
                (Self::Size(size, _), b'\n') => Self::Data(size),
                (Self::Size(size, false), digit) => match char::from(digit).to_digit(16) {
                    Some(digit) => size
                        .checked_mul(16)
                        .and_then(|size| size.checked_add(digit.into()))
                        .map_or(Self::Lost, |size| Self::Size(size, false)),
                    None => Self::Size(size, true),
                },
                (Self::Size(size, true), _) => Self::Size(size, true),
                (Self::Data(size), _) => {
                    let rest = bytes.len() - (at - 1);
                    let here = usize::try_from(size).unwrap_or(usize::MAX).min(rest);
                    at += here - 1;
                    match size - here as u64 {
                        0 => Self::Behind,
                        left => Self::Data(left),
                    }
                }
                (Self::Behind, b'\n') => Self::BEGIN,
                (Self::Behind, _) => Self::Behind,
                (Self::Last(false), b'\n') => return Some(bytes.len() - at),
                (Self::Last(true), b'\n') => {
                    *byte = REFUSED;
                    Self::Lost
                }
                (Self::Last(had), byte) => Self::Last(had || byte != b'\r'),
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser is shown, and how much stands behind the body, however it is cut in two.
    fn shown(text: &str) -> (String, Option<usize>) {
        let cut = |at: usize| {
            let mut chunks = Chunks::BEGIN;
            let (mut one, mut other) = (text.as_bytes()[..at].to_vec(), text.as_bytes()[at..].to_vec());
            let behind = match chunks.inspect(&mut one) {
                Some(behind) => Some(behind + other.len()),
                None => chunks.inspect(&mut other),
            };
            (String::from_utf8([one, other].concat()).unwrap(), behind)
        };
        let whole = cut(text.len());
        assert!((0..text.len()).all(|at| cut(at) == whole), "{text:?}");
        whole
    }

    #[test]
    fn a_body_is_followed_to_its_end_and_left_alone() {
        for (text, behind) in [
            ("0\r\n\r\n", Some(0)),
            ("2\r\n{}\r\n0\r\n\r\nGET /", Some(5)),
            ("B\r\n{\n\"a\": 0\r\n\r\n0;x=1\r\n\r\n", Some(0)),
            ("00a ;y=ff\r\n0\r\nx: y\r\n\n\r\n000\r\n\r\n0\r\n", Some(3)),
            ("2\r\n{}", None),
            ("ffffffffffffffffff\r\n0\r\nx: y\r\n", None),
        ] {
            assert_eq!(shown(text), (text.to_owned(), behind));
        }
    }

    #[test]
    fn a_field_behind_the_last_chunk_is_spoilt() {
        for text in
            ["0\r\nHost: evil\r\n\r\n", "2\r\n{}\r\n0\r\nX: y\r\nHost: evil\r\n\r\n", "0\r\nGET / HTTP/1.1\r\n\r\n"]
        {
            let (shown, behind) = shown(text);
            assert_eq!((shown.matches('\0').count(), behind), (1, None));
            assert!(shown.split_once('\0').unwrap().0.contains("0\r\n"), "{shown:?}");
        }
    }
}
