//! Scheme, host and port: where redirects lead and what pages may embed.

use std::fmt;

use super::{WordError, refuse};

/// Longest host name (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Longest origin: a host name, a scheme and a port fit with room to spare.
const ORIGIN_BYTES_MAX: usize = 512;

/// How a server or a peer is reached by clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where a URL names none.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host without a port: a DNS name in lower case, an IPv4 address, or an IPv6 address (kept without brackets).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

impl Host {
    /// Parses a host; an internationalised name becomes its ASCII form.
    ///
    /// # Errors
    /// When it is empty, too long, has a port, or is no host.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let bracketed = if text.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{text}]") } else { text.to_owned() };
        match url::Host::parse(&bracketed) {
            Ok(host) => Self::from_parsed(&host),
            Err(_) => refuse("is no host name or address (a host has no scheme, port or path)"),
        }
    }

    fn from_parsed<S: AsRef<str>>(host: &url::Host<S>) -> Result<Self, WordError> {
        match host {
            url::Host::Domain(name) => {
                let name = name.as_ref();
                let plain = name.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                });
                if name.len() > HOST_BYTES_MAX || !plain {
                    return refuse(
                        "is no host name: labels of 1 to 63 letters, digits, '-' and '_', with dots between them",
                    );
                }
                Ok(Self(name.to_ascii_lowercase()))
            }
            url::Host::Ipv4(address) => Ok(Self(address.to_string())),
            url::Host::Ipv6(address) => Ok(Self(address.to_string())),
        }
    }

    /// The host as text, an IPv6 address without brackets: what SNI, certificates and resolvers use.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an address and not a name.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.0.parse::<std::net::IpAddr>().is_ok()
    }
}

impl fmt::Display for Host {
    /// As it stands in a URL: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Scheme, host and port, and nothing else: what a redirect may lead to, what a page may be embedded in (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

impl Origin {
    /// Parses `http(s)://host[:port]`, with at most one `/` after it.
    ///
    /// # Errors
    /// Another scheme; user, path, query or fragment; no host; port 0.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let (scheme, host, port) = parse_authority(text)?;
        let scheme = match scheme.as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return refuse("must begin with https:// or http://"),
        };
        let port = port.unwrap_or_else(|| scheme.default_port());
        Ok(Self { scheme, host, port })
    }

    /// Its scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its port, the scheme's own where the text named none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a Host header or `:authority` holds: the host, and the port unless it is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Origin {
    /// As browsers print it: no default port, no slash at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// Splits `scheme://host[:port][/]` and refuses whatever else a URL may have.
pub(super) fn parse_authority(text: &str) -> Result<(String, Host, Option<u16>), WordError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("is no URL of the form https://host[:port]");
    };
    if text.len() > ORIGIN_BYTES_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return refuse("has a space, a backslash or a control character, or is too long");
    }
    if rest.contains('@') {
        return refuse("must not name a user");
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return refuse("is an origin (scheme, host and port): it has no path, query or fragment");
    }
    // A port may only follow the bracket of an IPv6 address; its own colons are no ports.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = match port {
        None => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Some(port),
            _ => return refuse("has a port that is not 1 to 65535"),
        },
    };
    Ok((scheme.to_ascii_lowercase(), Host::parse(host)?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_prints_as_browsers_do() {
        for (text, printed) in [
            ("https://UA1.Example.com", "https://ua1.example.com"),
            ("https://ua1.example.com:443/", "https://ua1.example.com"),
            ("http://ua1.example.com:443", "http://ua1.example.com:443"),
            ("https://10.1.0.1:8443", "https://10.1.0.1:8443"),
            ("https://[2001:db8:0::1]:8443", "https://[2001:db8::1]:8443"),
            ("https://[::1]", "https://[::1]"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!(origin.to_string(), printed, "{text}");
            assert_eq!(Origin::parse(printed), Ok(origin), "{text}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_origin() {
        for bad in [
            "",
            "https://",
            "https:///",
            "//a.example",
            "a.example",
            "javascript://a",
            "https://a.example/x",
            "https://a.example//",
            "https://a@b.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://a.example\\b",
            "https://a example",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:+1",
            "https://a..example",
            "https://[::1",
            "https://::1",
            "https://a.example\n",
            "https://*.example",
            "https://a.example:443:443",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad:?}");
        }
    }
}
