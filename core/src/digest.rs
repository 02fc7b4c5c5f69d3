//! Ids that every director computes alike from the same facts: no randomness, no state, no counter.
//!
//! XXH3-128 over fields with their lengths in front, so that no two lists of fields are one text. The algorithm is part of what
//! directors of different versions must agree about: a test vector holds it.

use xxhash_rust::xxh3::Xxh3Default;

/// A digest in the making; the kind comes first, so that ids of different kinds never meet.
pub(crate) struct Digest(Xxh3Default);

impl Digest {
    pub(crate) fn new(kind: &str) -> Self {
        Self(Xxh3Default::new()).text(kind)
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
        self
    }

    /// A number that may be absent: absent is not zero.
    pub(crate) fn number(self, number: Option<u64>) -> Self {
        self.bytes(number.map(u64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    pub(crate) fn bytes(mut self, bytes: Option<&[u8]>) -> Self {
        let len = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.0.update(&len.to_be_bytes());
        self.0.update(bytes.unwrap_or_default());
        self
    }

    pub(crate) fn finish(self) -> u128 {
        self.0.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_field_ends_matters_and_so_does_absence() {
        let id = |one: &str, other: &str| Digest::new("test").text(one).text(other).finish();
        assert_ne!(id("ab", "c"), id("a", "bc"));
        let number = |number| Digest::new("test").number(number).finish();
        assert_ne!(number(None), number(Some(0)));
        assert_ne!(number(Some(0)), number(Some(1)));
    }
}
