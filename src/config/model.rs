//! The checked configuration: what everything else reads.
//!
//! Holds decided values only: every default is filled in, every path is absolute, every reference exists. Built by the reader in
//! this module's siblings (or by hand in tests); knows no file format. What decisions need is in [`Config::settings`]; what
//! listeners, probes and the journal need stands beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use maitred_core::ids::{DatacenterName, DirectorName, LabelName, PoolName, ServerName};
use maitred_core::settings::Settings;

use super::words::{
    Host, KeySource, LabelSource, Landing, LocalPath, Origin, PathPrefix, ProbeKind, ProbeTarget, ProbeUrl, StatusSet,
};

/// A whole configuration, checked. Shared as an `Arc` and replaced as a whole by a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What the core must know: director, peers, pools, servers, times.
    pub settings: Settings,
    /// `[director]`, beyond its name and datacenter.
    pub director: DirectorSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[listen.*]`.
    pub listen: Listeners,
    /// `[affinity]`.
    pub affinity: AffinitySettings,
    /// `[ticket]`.
    pub ticket: TicketSettings,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[peer]]` in order of name, without this director itself.
    pub peers: Vec<Peer>,
    /// `[[pool]]`: what the edge and the probes know of each; the same names as in `settings.pools`.
    pub pools: BTreeMap<PoolName, Pool>,
    /// Hexadecimal hash of what is in force, equal at every director that was given the same file: without the director's own
    /// name and datacenter, and without the contents of secret files.
    pub digest: String,
    /// The files that were read, as they were named, the main one first.
    pub sources: Vec<PathBuf>,
}

impl Config {
    /// Every server of every pool with its pool's name, in order of pool and server.
    pub fn servers(&self) -> impl Iterator<Item = (&PoolName, &ServerName, &ServerEdge)> {
        self.pools.iter().flat_map(|(pool, edge)| edge.servers.iter().map(move |(name, server)| (pool, name, server)))
    }
}

/// `[director]`, beyond what the core knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorSettings {
    /// Directory of the journal; `None` is memory only.
    pub state_dir: Option<PathBuf>,
    /// How long serving goes on after SIGTERM, while `ready` says no.
    pub stop_delay: Duration,
}

impl Default for DirectorSettings {
    fn default() -> Self {
        Self { state_dir: None, stop_delay: Duration::from_secs(10) }
    }
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// Which starts get a line.
    pub starts: StartLog,
    /// How a key is written.
    pub keys: KeyLog,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which starts get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartLog {
    /// Each.
    #[default]
    All,
    /// Only those that placed or moved a session.
    Changes,
}

/// How a key is written in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyLog {
    /// As a keyed hash, searchable by `maitred hash KEY`.
    #[default]
    Hash,
    /// As it is.
    Clear,
}

/// `[listen.*]`: a listener that is not configured is not opened. Only the public one is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// Browsers and API clients.
    pub public: PublicListener,
    /// Servers and operators.
    pub internal: Option<InternalListener>,
    /// Directors.
    pub peer: Option<PeerListener>,
    /// Prometheus and health checks, in clear.
    pub metrics: Option<MetricsListener>,
}

/// A certificate chain and its private key, as files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the own certificate first.
    pub cert: PathBuf,
    /// The private key; refused when world-readable.
    pub key: PathBuf,
}

/// A certificate, and the authorities whose client certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsWithClients {
    /// The own identity.
    pub identity: Tls,
    /// Authorities of client certificates, in PEM.
    pub client_ca: PathBuf,
}

/// `[listen.public]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicListener {
    /// Where it listens; `0.0.0.0:8443` unless said otherwise.
    pub address: SocketAddr,
    /// Its certificate; `None` serves in clear, on loopback only: for a balancer on the same machine that ends TLS.
    pub tls: Option<Tls>,
    /// Where maitred's own paths live; `/maitred` unless said otherwise, never `/`.
    pub prefix: PathPrefix,
}

/// `[listen.internal]`. At least one of `client_ca` and `token_file` is there: somebody can be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalListener {
    /// Where it listens; `127.0.0.1:9443` unless said otherwise.
    pub address: SocketAddr,
    /// Its certificate.
    pub tls: Tls,
    /// Authorities of client certificates, in PEM; `None`: bearer tokens only.
    pub client_ca: Option<PathBuf>,
    /// Bearer tokens, one per line: `<name> <role>[:<server>] <sha256 of the token, hex>`; refused when world-readable.
    pub token_file: Option<PathBuf>,
    /// Who a client certificate is. Empty: each certificate of `client_ca` is an operator.
    pub identities: Vec<Identity>,
}

/// `[[listen.internal.identity]]`: the bearer of a certificate with this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A subject alternative name of the certificate: a DNS name, e-mail address or URI. Unique in the configuration.
    pub san: String,
    /// What it may do.
    pub role: Role,
}

/// What somebody may do on the internal listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Its own name and its own sessions only.
    Server(ServerName),
    /// Everything.
    Operator,
    /// Reads.
    Viewer,
    /// Metrics and health.
    Metrics,
}

impl Role {
    /// Parses `operator`, `viewer`, `metrics` or `server:<name>`, as token files write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("server", name)) => ServerName::parse(name).ok().map(Self::Server),
            Some(_) => None,
            None => match text {
                "operator" => Some(Self::Operator),
                "viewer" => Some(Self::Viewer),
                "metrics" => Some(Self::Metrics),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(name) => write!(f, "server:{name}"),
            Self::Operator => f.write_str("operator"),
            Self::Viewer => f.write_str("viewer"),
            Self::Metrics => f.write_str("metrics"),
        }
    }
}

/// `[listen.peer]`: mutual TLS always; the same certificate is shown when this director dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerListener {
    /// Where it listens; `0.0.0.0:7443` unless said otherwise.
    pub address: SocketAddr,
    /// Its certificate, and the authority of the other directors' certificates.
    pub tls: TlsWithClients,
}

/// `[listen.metrics]`: plain http.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsListener {
    /// Where it listens; `0.0.0.0:10052` unless said otherwise.
    pub address: SocketAddr,
}

/// `[affinity]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AffinitySettings {
    /// Keys of the affinity cookie, one per line: `<id> <base64 32 bytes> [from=<RFC 3339>]`; refused when world-readable.
    /// `None`: one random key for the life of the process, so cookies are worth nothing after a restart or at another director.
    pub key_file: Option<PathBuf>,
}

/// `[ticket]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TicketSettings {
    /// How tickets are signed.
    pub algorithm: TicketAlgorithm,
    /// Private keys in PKCS#8 PEM, newest first; refused when world-readable. `None`: one made at start.
    pub key_file: Option<PathBuf>,
}

/// How tickets are signed (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TicketAlgorithm {
    /// Ed25519.
    #[default]
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

/// `[limits]`: what one caller may cost. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All header lines of a request together; more is 431.
    pub header_block: usize,
    /// Header lines of a request; more is 431.
    pub headers: usize,
    /// The request-target; more is 414.
    pub url: usize,
    /// A request's body, except a beat's; more is 413.
    pub body: usize,
    /// The body of a heartbeat; more is 413.
    pub beat: usize,
    /// Nesting of a JSON body; more is 400.
    pub json_depth: usize,
    /// How long a kept connection may be silent between two requests, and a TLS handshake may take.
    pub idle: Duration,
    /// How long the head of a request may take from its first byte; longer is 408.
    pub header_timeout: Duration,
    /// How long a request's body may take; longer is 408.
    pub body_timeout: Duration,
    /// Connections open at once, per listener.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_block: 16 << 10,
            headers: 100,
            url: 8 << 10,
            body: 64 << 10,
            beat: 1 << 20,
            json_depth: 32,
            idle: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            connections: 20_000,
        }
    }
}

/// `[[peer]]`: another director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, which its certificate must carry as a DNS name.
    pub name: DirectorName,
    /// Where it stands.
    pub datacenter: DatacenterName,
    /// Where it is dialled: https, an origin.
    pub url: Origin,
}

/// `[[pool]]` as the edge and the probes know it. What decisions need is in the core's `PoolSettings` of the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// What leads here. Empty: only starts that name the pool. No two pools share a route.
    pub routes: Vec<Route>,
    /// Where the key stands, the first present one wins; none present: one is minted. `cookie` alone unless said otherwise.
    pub key: Vec<KeySource>,
    /// Where a start's labels come from.
    pub labels: BTreeMap<LabelName, LabelSource>,
    /// What `/` becomes at the server.
    pub home: LocalPath,
    /// Where a logout leads.
    pub after_logout: Landing,
    /// How the server learns which session it was given.
    pub handover: Handover,
    /// JSONP is on.
    pub jsonp: bool,
    /// Origins whose pages may embed and call this pool.
    pub embed: BTreeSet<Origin>,
    /// What is asked of each server, all of which must pass: never empty, the main check first.
    pub checks: Vec<Check>,
    /// Its servers; the same names as in the core's settings.
    pub servers: BTreeMap<ServerName, ServerEdge>,
}

impl Pool {
    /// The cookie is sent in a foreign frame: `SameSite=None; Partitioned`.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        !self.embed.is_empty()
    }
}

/// One route to a pool. Longest path wins, a named host before any host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The host that must be asked for; `None` is any.
    pub host: Option<Host>,
    /// The path and everything below it.
    pub path: PathPrefix,
}

/// How the server learns which session it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handover {
    /// A parameter `maitred_ticket` in the URL. The default where servers send beats.
    Query,
    /// A cookie `maitred_ticket`.
    Cookie {
        /// A domain above director and servers.
        domain: Host,
    },
    /// Not at all. The default elsewhere.
    None,
}

/// One check of each server of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `None` is the main one, `[pool.health]`; the others are `[[pool.health.check]]` and have names of their own.
    pub name: Option<String>,
    /// How it asks.
    pub probe: ProbeKind,
    /// What it asks for, over http and https.
    pub path: LocalPath,
    /// Statuses that are good, over http and https.
    pub expect: StatusSet,
    /// Authorities of the server's certificate, in PEM; `None`: those of the system.
    pub ca: Option<PathBuf>,
}

/// A server as clients and probes reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEdge {
    /// What clients get. Its host is also what SNI, Host header and certificate of an https probe must agree with.
    pub url: Origin,
    /// What directors dial, when it differs.
    pub probe_url: Option<ProbeUrl>,
}

impl ServerEdge {
    /// Where a check of this kind connects to.
    #[must_use]
    pub fn target(&self, kind: ProbeKind) -> ProbeTarget<'_> {
        ProbeTarget::of(kind, &self.url, self.probe_url.as_ref())
    }
}
