//! The names and numbers that identify things. Each is parsed once, at the edge, and trusted inside.
//!
//! Names are short, printable and safe in a URL, a cookie name and a metric label, so no later place has to escape them. Most lie in
//! place: a start copies seven of them, and a count in a heap block of each would be written by every thread at once.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// Longest name of a director, server, pool or datacenter, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest session key, in bytes (`interface.md`: 1 to 128 bytes).
pub const KEY_BYTES_MAX: usize = 128;
/// Longest incarnation, in bytes.
pub const INCARNATION_BYTES_MAX: usize = 64;
/// Highest generation that is believed (R2); more is a poisoned counter.
pub const GENERATION_MAX: u64 = 1 << 32;

/// Why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("is empty")]
    Empty,
    /// More bytes than the limit.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A character that this kind of identifier does not allow.
    #[error("may only hold {0}")]
    Character(&'static str),
    /// A number outside its range.
    #[error("is outside 1 to 2^32")]
    Range,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// Parses a name: 1 to 64 of `A-Z a-z 0-9 . _ -`, starting with a letter or digit.
            ///
            /// # Errors
            /// When it is empty, too long or has another character.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse_name(text).map(|()| Self(SmolStr::new(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(Self::parse))
            }
        }
    };
}

name!(
    /// One running maitred process; unique among all directors.
    DirectorName
);
name!(
    /// One backend instance that hosts agent sessions; unique in the whole configuration.
    ServerName
);
name!(
    /// Servers that can host the same sessions.
    PoolName
);
name!(
    /// A site.
    DatacenterName
);
name!(
    /// What a start may ask for and a server may offer: `media`, `tenant`.
    LabelName
);

fn parse_name(text: &str) -> Result<(), IdError> {
    const ALLOWED: &str = "letters, digits, '.', '_' and '-', a letter or digit first";
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(IdError::TooLong(NAME_BYTES_MAX));
    }
    let head = text.as_bytes()[0].is_ascii_alphanumeric();
    let tail = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if head && tail { Ok(()) } else { Err(IdError::Character(ALLOWED)) }
}

/// What affinity is about: an agent id, a co-browse session id, or an id that the director minted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(SmolStr);

impl Key {
    /// Parses a key: 1 to 128 bytes of UTF-8 without control characters.
    ///
    /// # Errors
    /// When it is empty, too long or has a control character.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(IdError::TooLong(KEY_BYTES_MAX));
        }
        if text.chars().any(char::is_control) {
            return Err(IdError::Character("text without control characters"));
        }
        Ok(Self(SmolStr::new(text)))
    }

    /// A key again from what a parsed one held.
    pub(crate) fn trusted(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// The key as text. It may be an agent's id: never log it in clear above debug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    /// A short hash: a key may be an agent's id and must not leak through a `{:?}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key#{:016x}", xxh3_64(self.0.as_bytes()))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::parse))
    }
}

/// Parses a text where it lies: a record of a snapshot has four, and a copy of each would cost more than the parsing.
struct Text<T>(fn(&str) -> Result<T, IdError>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// 128 bits as 32 lower-case hexadecimal digits. Every start writes two such numbers, and by the formatter each took ten times as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex128([u8; 32]);

impl Hex128 {
    /// The digits of these bytes, the first one first.
    #[must_use]
    pub fn of(bytes: [u8; 16]) -> Self {
        // Reckoned, not looked up: the compiler makes many digits at once.
        let digit = |four: u8| four + if four < 10 { b'0' } else { b'a' - 10 };
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = digit(byte >> 4);
            pair[1] = digit(byte & 15);
        }
        Self(digits)
    }

    /// The digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A session's public id: 128 random bits, given by the shell, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// Parses 32 hexadecimal digits.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        const ALLOWED: &str = "32 lower-case hexadecimal digits";
        let digits = text.as_bytes();
        if digits.is_empty() {
            return Err(IdError::Empty);
        }
        if digits.len() != 32 || !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(IdError::Character(ALLOWED));
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| IdError::Character(ALLOWED))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Hex128::of(self.0).as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One life of a server's process, named by the server itself; another one means that what the server held is gone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Incarnation(Arc<str>);

impl Incarnation {
    /// Parses an incarnation: 1 to 64 bytes without control characters.
    ///
    /// # Errors
    /// When it is empty, too long or has a control character.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > INCARNATION_BYTES_MAX {
            return Err(IdError::TooLong(INCARNATION_BYTES_MAX));
        }
        if text.chars().any(char::is_control) {
            return Err(IdError::Character("text without control characters"));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The incarnation as the server wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The fixed-size form that seats carry.
    #[must_use]
    pub fn tag(&self) -> IncarnationTag {
        IncarnationTag(NonZeroU64::new(xxh3_64(self.0.as_bytes())))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// An incarnation as a seat carries it: the XXH3-64 of its text, or unknown.
///
/// A hash and not an index, so that records stay of fixed size and mean the same at every director, in the journal and in a
/// cookie. Two incarnations of ONE server would have to collide to be confused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct IncarnationTag(Option<NonZeroU64>);

impl IncarnationTag {
    /// The server has not told its incarnation.
    pub const UNKNOWN: Self = Self(None);

    /// The tag as stored: 0 is unknown.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0.map_or(0, NonZeroU64::get)
    }

    /// The tag from its stored form.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(NonZeroU64::new(bits))
    }

    /// Whether both are known and differ: what the first one held is gone.
    #[must_use]
    pub fn contradicts(self, other: Self) -> bool {
        matches!((self.0, other.0), (Some(a), Some(b)) if a != b)
    }
}

impl fmt::Debug for IncarnationTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.to_bits())
    }
}

/// How often a key has been seated: a fence and a count, not the order (R1). At least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Generation(u32);

impl Generation {
    /// The generation of a key that has never been seated before.
    pub const FIRST: Self = Self(1);

    /// Parses a generation that came from outside.
    ///
    /// # Errors
    /// Outside 1 to 2^32 - 1: dropped and counted by the caller, never clamped (R2).
    pub fn parse(number: u64) -> Result<Self, IdError> {
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(IdError::Range),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The next generation; stays at the highest.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl<'de> Deserialize<'de> for Generation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Self::parse(number).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_a_url_or_a_label_would_have_to_escape() {
        for good in ["a", "east-1", "ua3.example", "A_9"] {
            assert!(ServerName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "a\u{e9}", "a\n", &"x".repeat(65)] {
            assert!(ServerName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_are_bounded_and_printable() {
        assert!(Key::parse("agent 1001 \u{e9}").is_ok());
        assert!(Key::parse(&"k".repeat(128)).is_ok());
        for bad in ["", "a\0", "a\r\n", &"k".repeat(129)] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
        }
        assert!(!format!("{:?}", Key::parse("agent-1001")).contains("1001"));
    }

    #[test]
    fn session_ids_read_back_what_they_print() {
        let id = SessionId(std::array::from_fn(|at| 7 * at as u8 + 1));
        assert_eq!(SessionId::parse(&id.to_string()), Ok(id));
        for bad in ["", "07", &"g".repeat(32), &"A".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert!(SessionId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn generations_outside_the_range_are_refused_not_clamped() {
        assert!(Generation::parse(0).is_err());
        assert!(Generation::parse(GENERATION_MAX).is_err());
        assert_eq!(Generation::parse(7).map(Generation::get), Ok(7));
    }

    #[test]
    fn an_unknown_incarnation_contradicts_nothing() {
        let one = Incarnation::parse("boot-1").map(|i| i.tag()).unwrap_or_default();
        let two = Incarnation::parse("boot-2").map(|i| i.tag()).unwrap_or_default();
        assert!(one.contradicts(two));
        assert!(!one.contradicts(IncarnationTag::UNKNOWN));
        assert!(!one.contradicts(one));
    }
}
