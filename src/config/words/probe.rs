//! What a check dials and speaks.

use std::fmt;

use super::origin::parse_authority;
use super::{Host, Origin, Scheme, WordError, refuse};

/// The port of AJP where none is given (the registered one, Tomcat's default).
const AJP_PORT: u16 = 8009;

/// How a server is asked whether it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// GET in clear.
    Http,
    /// GET over TLS, with the certificate verified for the host of the server's `url`.
    Https,
    /// A connection that is accepted.
    Tcp,
    /// CPing, answered by CPong (AJP 1.3).
    Ajp,
}

impl ProbeKind {
    /// All kinds, by their words.
    pub const WORDS: [(&'static str, Self); 4] =
        [("http", Self::Http), ("https", Self::Https), ("tcp", Self::Tcp), ("ajp", Self::Ajp)];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Ajp => "ajp",
        }
    }

    /// Whether it asks for a path and reads a status.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

/// What directors dial when it differs from what clients get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeUrl {
    kind: ProbeKind,
    host: Host,
    port: u16,
}

impl ProbeUrl {
    /// Parses `https://`, `http://`, `tcp://` or `ajp://` with host and port; only tcp has no port of its own.
    ///
    /// # Errors
    /// Another scheme; user, path, query or fragment; no host; port 0; tcp without a port.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let (scheme, host, port) = parse_authority(text)?;
        let Some((_, kind)) = ProbeKind::WORDS.into_iter().find(|(word, _)| *word == scheme) else {
            return refuse("must begin with https://, http://, tcp:// or ajp://");
        };
        let own = match kind {
            ProbeKind::Http => Some(80),
            ProbeKind::Https => Some(443),
            ProbeKind::Ajp => Some(AJP_PORT),
            ProbeKind::Tcp => None,
        };
        match port.or(own) {
            Some(port) => Ok(Self { kind, host, port }),
            None => refuse("needs a port: tcp://host:port"),
        }
    }

    /// The kind of check that dials it.
    #[must_use]
    pub fn kind(&self) -> ProbeKind {
        self.kind
    }

    /// The host to dial; the name to verify stays that of the server's `url`.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port to dial.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ProbeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.kind.as_str(), self.host, self.port)
    }
}

/// Where one check of one server connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTarget<'a> {
    /// The host to dial.
    pub host: &'a Host,
    /// The port to dial.
    pub port: u16,
}

impl<'a> ProbeTarget<'a> {
    /// `probe_url` where its scheme is the check's (tcp connects to any), else the host of `url`, with its port where the
    /// protocol is the same and the protocol's own port where it is not.
    #[must_use]
    pub fn of(kind: ProbeKind, url: &'a Origin, probe_url: Option<&'a ProbeUrl>) -> Self {
        if let Some(other) = probe_url
            && (other.kind == kind || kind == ProbeKind::Tcp)
        {
            return Self { host: &other.host, port: other.port };
        }
        let port = match (kind, url.scheme()) {
            (ProbeKind::Tcp, _) | (ProbeKind::Http, Scheme::Http) | (ProbeKind::Https, Scheme::Https) => url.port(),
            (ProbeKind::Http, Scheme::Https) => Scheme::Http.default_port(),
            (ProbeKind::Https, Scheme::Http) => Scheme::Https.default_port(),
            (ProbeKind::Ajp, _) => AJP_PORT,
        };
        Self { host: url.host(), port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_dials_what_is_meant_for_it() {
        let url = Origin::parse("https://ua1.example.com:8443").unwrap();
        let dialled = |kind, probe_url: Option<&str>| {
            let probe_url = probe_url.map(|text| ProbeUrl::parse(text).unwrap());
            let target = ProbeTarget::of(kind, &url, probe_url.as_ref());
            format!("{}:{}", target.host, target.port)
        };
        assert_eq!(dialled(ProbeKind::Https, None), "ua1.example.com:8443");
        assert_eq!(dialled(ProbeKind::Tcp, None), "ua1.example.com:8443");
        assert_eq!(dialled(ProbeKind::Http, None), "ua1.example.com:80");
        assert_eq!(dialled(ProbeKind::Ajp, None), "ua1.example.com:8009");
        assert_eq!(dialled(ProbeKind::Https, Some("https://10.1.0.21")), "10.1.0.21:443");
        assert_eq!(dialled(ProbeKind::Https, Some("ajp://10.1.0.21")), "ua1.example.com:8443", "not its protocol");
        assert_eq!(dialled(ProbeKind::Ajp, Some("ajp://10.1.0.21")), "10.1.0.21:8009");
        assert_eq!(dialled(ProbeKind::Tcp, Some("ajp://[::1]:9")), "[::1]:9");
    }

    #[test]
    fn tcp_has_no_port_of_its_own() {
        assert!(ProbeUrl::parse("tcp://10.1.0.21").is_err());
        assert!(ProbeUrl::parse("tcp://10.1.0.21:22/x").is_err());
        assert!(ProbeUrl::parse("ssh://10.1.0.21:22").is_err());
        assert_eq!(
            ProbeUrl::parse("TCP://10.1.0.21:22").map(|url| url.to_string()),
            Ok("tcp://10.1.0.21:22".to_owned())
        );
    }
}
