//! The `Host` of a request: parsed strictly, because a lenient host is how caches, routes and answers are confused.
//!
//! It only selects a route. It never becomes part of an answer: targets come from the configuration alone.

use std::net::Ipv6Addr;

/// Longest DNS name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A host without its port, borrowed from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHost<'a> {
    name: &'a str,
    port: Option<u16>,
}

impl<'a> RequestHost<'a> {
    /// Parses `name[:port]`, `1.2.3.4[:port]` or `[v6][:port]`. One trailing dot of a name is dropped.
    ///
    /// Stricter than RFC 3986: percent signs and sub-delims cannot occur in a name that a route could have.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, port) = split_port(text)?;
        let port = match port {
            None => None,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => return None,
            Some(digits) => Some(digits.parse().ok()?),
        };
        if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            literal.parse::<Ipv6Addr>().ok()?;
            return Some(Self { name: literal, port });
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let plain = !name.is_empty() && name.len() <= HOST_BYTES_MAX && name.bytes().all(allowed);
        let labelled =
            !name.starts_with('.') && !name.ends_with('.') && !name.as_bytes().windows(2).any(|pair| pair == b"..");
        (plain && labelled).then_some(Self { name, port })
    }

    /// The name, as it was written; an IPv6 address without brackets, as the configuration keeps it.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.name
    }

    /// The port, if it was written.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        self.port
    }

    /// Whether it is the same host as `other`, a port that is the scheme's default counting as none.
    #[must_use]
    pub fn is_same(self, other: Self, default_port: u16) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// The port part, if there is one; `None` when brackets do not match.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (name, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None if rest.is_empty() => Some((name, None)),
            None => None,
        };
    }
    Some(match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_hosts_lose_their_port_and_trailing_dot() {
        for (text, name) in [
            ("agents.example.com", "agents.example.com"),
            ("Agents.Example.COM:8443", "Agents.Example.COM"),
            ("agents.example.com.", "agents.example.com"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:8443", "::1"),
            ("a_b-c", "a_b-c"),
        ] {
            assert_eq!(RequestHost::parse(text).map(RequestHost::name), Some(name), "{text}");
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a, b",
            "a,b",
            "a:99999",
            "a:",
            "a:+1",
            "a:8 ",
            "a:1:2",
            "a@b",
            "user@a",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:x",
            "[zz]",
            "[fe80::1%25eth0]",
            "a#b",
            "a/b",
            "a?b",
            "a\\b",
            "a\tb",
            "a b",
            " a",
            "a%41",
            "a\0",
            "a\u{e9}",
            "a;b",
            "a'b",
            "<a>",
        ] {
            assert_eq!(RequestHost::parse(text), None, "{text:?}");
        }
        assert_eq!(RequestHost::parse(&"a".repeat(254)), None);
    }

    #[test]
    fn the_default_port_is_no_difference() {
        let parse = |text| RequestHost::parse(text).unwrap();
        assert!(parse("A.example:443").is_same(parse("a.example"), 443));
        assert!(!parse("a.example:8443").is_same(parse("a.example"), 443));
        assert!(!parse("b.example").is_same(parse("a.example"), 443));
    }
}
