//! Where a request carries its key and its labels.

use std::fmt;
use std::num::NonZeroU8;

use super::{WordError, refuse};

/// Longest name of a query parameter, header or cookie in the configuration.
const TOKEN_BYTES_MAX: usize = 64;

/// One place where the key may stand in a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// `query:<name>`: a query parameter; names are case-sensitive.
    Query(String),
    /// `header:<name>`: a header, in lower case.
    Header(String),
    /// `path:<n>`: the n-th segment, from 1.
    Path(NonZeroU8),
    /// `cookie:<name>`: a cookie that somebody else sets.
    Cookie(String),
    /// `cookie`: the key that the own affinity cookie carries.
    Affinity,
}

impl KeySource {
    /// Parses one of the five forms.
    ///
    /// # Errors
    /// Another form, a name that is no token, a segment outside 1 to 255.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        const FORMS: &str = "is none of query:<name>, header:<name>, path:<n>, cookie:<name>, cookie";
        match text.split_once(':') {
            None if text == "cookie" => Ok(Self::Affinity),
            Some(("query", name)) => parameter(name).map(Self::Query),
            Some(("header", name)) => token(name).map(|name| Self::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) => token(name).map(Self::Cookie),
            Some(("path", number)) => match number.parse::<NonZeroU8>() {
                Ok(segment) if number.bytes().all(|b| b.is_ascii_digit()) => Ok(Self::Path(segment)),
                _ => refuse("names no segment: path:<n> counts from 1 to 255"),
            },
            _ => refuse(FORMS),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Path(segment) => write!(f, "path:{segment}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Affinity => f.write_str("cookie"),
        }
    }
}

/// Where a start's label comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelSource {
    /// `query:<name>`.
    Query(String),
    /// `header:<name>`, in lower case.
    Header(String),
}

impl LabelSource {
    /// Parses `query:<name>` or `header:<name>`.
    ///
    /// # Errors
    /// Another form, or a name that is no token.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        match text.split_once(':') {
            Some(("query", name)) => parameter(name).map(Self::Query),
            Some(("header", name)) => token(name).map(|name| Self::Header(name.to_ascii_lowercase())),
            _ => refuse("is neither query:<name> nor header:<name>"),
        }
    }
}

impl fmt::Display for LabelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// A header or cookie name (RFC 9110, 5.6.2).
fn token(name: &str) -> Result<String, WordError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if (1..=TOKEN_BYTES_MAX).contains(&name.len()) && name.bytes().all(good) {
        return Ok(name.to_owned());
    }
    refuse(format!("needs a name of 1 to {TOKEN_BYTES_MAX} characters that a header or cookie may have"))
}

/// A query parameter's name as it looks after decoding.
fn parameter(name: &str) -> Result<String, WordError> {
    if (1..=TOKEN_BYTES_MAX).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Ok(name.to_owned());
    }
    refuse(format!("needs a parameter's name of 1 to {TOKEN_BYTES_MAX} bytes without spaces"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_print_as_they_are_written() {
        for text in ["query:agent", "header:x-agent-id", "path:2", "cookie:JSESSIONID", "cookie"] {
            assert_eq!(KeySource::parse(text).map(|source| source.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(KeySource::parse("header:X-Agent-Id"), Ok(KeySource::Header("x-agent-id".to_owned())));
        for bad in [
            "",
            "query",
            "query:",
            "header:x y",
            "cookie:a=b",
            "path:0",
            "path:256",
            "path:+1",
            "path:",
            "Cookie",
            "body:x",
        ] {
            assert!(KeySource::parse(bad).is_err(), "{bad}");
        }
        assert!(LabelSource::parse("query:media").is_ok());
        assert!(LabelSource::parse("cookie:media").is_err());
    }
}
