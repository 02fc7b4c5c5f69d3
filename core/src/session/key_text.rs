//! A key's text without a heap block while it is short.
//!
//! 38 bytes hold a UUID with its hyphens (36) and the usual agent ids; with tag and length that is five words.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// Longest key that needs no heap block, in bytes.
const SHORT_BYTES_MAX: usize = 38;

/// A key's text.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum KeyText {
    /// In place; bytes after the length are zero.
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    /// On the heap.
    Long(Box<str>),
}

impl KeyText {
    pub(super) fn new(text: &str) -> Self {
        match u8::try_from(text.len()) {
            Ok(len) if text.len() <= SHORT_BYTES_MAX => {
                let mut bytes = [0; SHORT_BYTES_MAX];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Self::Short { len, bytes }
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(text) => text.as_bytes(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            // The bytes came from a `str`, so the empty text is never taken.
            Self::Short { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }
}

impl fmt::Debug for KeyText {
    /// A short hash, as for [`crate::ids::Key`]: it may be an agent's id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key#{:016x}", xxh3_64(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_read_back() {
        for len in [1, 36, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 128] {
            let text = "\u{e9}k".repeat(len).chars().take(len).collect::<String>();
            assert_eq!(KeyText::new(&text).as_str(), text);
            let ascii = "k".repeat(len);
            assert_eq!(KeyText::new(&ascii).as_str(), ascii);
            assert_eq!(matches!(KeyText::new(&ascii), KeyText::Long(_)), len > SHORT_BYTES_MAX);
        }
    }

    #[test]
    fn a_key_does_not_leak_through_debug() {
        assert!(!format!("{:?}", KeyText::new("agent-1001")).contains("1001"));
    }
}
