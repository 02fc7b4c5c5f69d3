//! The small languages inside configuration values: origins, hosts, paths, key sources, expected statuses.
//!
//! Each is parsed once from its text and prints as the text that would be parsed again. Knows no file and no line.

use std::fmt;
use std::num::NonZeroU8;

use thiserror::Error;

/// Longest host name (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Longest path in the configuration; the default limit of a request's URL is eight times that.
const PATH_BYTES_MAX: usize = 1024;
/// Longest name of a query parameter, header or cookie in the configuration.
const TOKEN_BYTES_MAX: usize = 64;
/// Most ranges in one `expect`.
const STATUS_RANGES_MAX: usize = 16;
/// The port of AJP where none is given (the registered one, Tomcat's default).
const AJP_PORT: u16 = 8009;

/// Why a text is no such word: a sentence that continues "KEY: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct WordError(pub(super) String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, WordError> {
    Err(WordError(reason.into()))
}

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
fn parse_authority(text: &str) -> Result<(String, Host, Option<u16>), WordError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("is no URL of the form https://host[:port]");
    };
    if text.len() > PATH_BYTES_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
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
        let port = match (kind, url.scheme) {
            (ProbeKind::Tcp, _) | (ProbeKind::Http, Scheme::Http) | (ProbeKind::Https, Scheme::Https) => url.port,
            (ProbeKind::Http, Scheme::Https) => Scheme::Http.default_port(),
            (ProbeKind::Https, Scheme::Http) => Scheme::Https.default_port(),
            (ProbeKind::Ajp, _) => AJP_PORT,
        };
        Self { host: &url.host, port }
    }
}

/// A path with an optional query on one's own or a server's origin; cannot be taken for another origin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPath(String);

impl LocalPath {
    /// Parses a path that begins with exactly one `/`.
    ///
    /// # Errors
    /// When it could be read as an authority, or has a fragment, a space or a character outside visible ASCII.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if !text.starts_with('/') || text.starts_with("//") {
            return refuse("must begin with exactly one '/'");
        }
        if text.len() > PATH_BYTES_MAX {
            return refuse(format!("is longer than {PATH_BYTES_MAX} bytes"));
        }
        if let Some(bad) = text.bytes().find(|b| !b.is_ascii_graphic() || b"\\#<>\"^`{|}".contains(b)) {
            return refuse(format!("has the byte 0x{bad:02x}, which must be percent-encoded in a path"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LocalPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a logout leads: a path of the front address, or an absolute URL from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landing {
    /// On the origin that was asked.
    Path(LocalPath),
    /// Elsewhere.
    Url(url::Url),
}

impl Landing {
    /// Parses a path, or an `http(s)` URL without a user.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if text.starts_with('/') {
            return LocalPath::parse(text).map(Self::Path);
        }
        match url::Url::parse(text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && text.len() <= PATH_BYTES_MAX =>
            {
                Ok(Self::Url(url))
            }
            _ => refuse("is neither a path that begins with '/' nor an https:// URL"),
        }
    }
}

impl Default for Landing {
    fn default() -> Self {
        Self::Path(LocalPath::default())
    }
}

impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path.as_str()),
            Self::Url(url) => f.write_str(url.as_str()),
        }
    }
}

/// The first segments of a path. `/ua` covers `/ua` and `/ua/x`, not `/uax`; `/` covers everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Parses a path prefix; a slash at the end means nothing and is dropped.
    ///
    /// # Errors
    /// When it is no path, has a query, or a `.` or `..` segment.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let path = LocalPath::parse(text)?.0;
        if path.contains(['?', '*']) {
            return refuse("is a path: no query, and no '*' (it covers everything below it anyway)");
        }
        let path = path.strip_suffix('/').unwrap_or(&path);
        if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse("has an empty, '.' or '..' segment");
        }
        Ok(Self(path.to_owned()))
    }

    /// Whether `path` (without query) is this or lies below it.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What follows the prefix in `path`: empty, or beginning with `/`. `None` when it is not covered.
    #[must_use]
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.0.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The prefix without a slash at its end: empty for `/`. The longest covering one wins a route.
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.0
    }

    /// Whether it covers every path.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

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

/// HTTP statuses that count as good: `2xx`, `200`, `200-204`, or several with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// Parses a list of classes, statuses and ranges between 100 and 599.
    ///
    /// # Errors
    /// Another form, a status outside the range, or more than 16 parts.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        const FORMS: &str = "is no status: write 2xx, 200, 200-204, or several with commas";
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let range = match part.trim().split_once('-') {
                Some((low, high)) => status(low.trim()).zip(status(high.trim())),
                None => class(part.trim()).or_else(|| status(part.trim()).map(|status| (status, status))),
            };
            match range {
                Some((low, high)) if low <= high && ranges.len() < STATUS_RANGES_MAX => ranges.push((low, high)),
                _ => return refuse(FORMS),
            }
        }
        Ok(Self(ranges))
    }

    /// Whether `status` is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|&(low, high)| (low..=high).contains(&status))
    }
}

impl Default for StatusSet {
    /// Any success.
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(low, high)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match (low, high) {
                (low, high) if low == high => write!(f, "{low}")?,
                (low, high) if low % 100 == 0 && high == low + 99 => write!(f, "{}xx", low / 100)?,
                (low, high) => write!(f, "{low}-{high}")?,
            }
        }
        Ok(())
    }
}

fn status(text: &str) -> Option<u16> {
    let number = text.parse::<u16>().ok()?;
    (text.len() == 3 && (100..=599).contains(&number)).then_some(number)
}

fn class(text: &str) -> Option<(u16, u16)> {
    let digit = text.strip_suffix("xx")?.parse::<u16>().ok()?;
    (text.len() == 3 && (1..=5).contains(&digit)).then(|| (digit * 100, digit * 100 + 99))
}
