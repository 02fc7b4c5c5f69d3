//! `[listen.*]`: addresses, certificates, who is let in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use maitred_core::ids::ServerName;

use super::files::FileKind;
use super::model::{
    Identity, InternalListener, Listeners, MetricsListener, PeerListener, PublicListener, Role, Tls, TlsWithClients,
};
use super::reader::{SERVERS_MAX, Section, one_of, parsed, text};
use super::tree::Spot;
use super::words::PathPrefix;

/// Most identities: one for each server and as many again for people.
const IDENTITIES_MAX: usize = 2 * SERVERS_MAX;
/// Longest subject alternative name.
const SAN_BYTES_MAX: usize = 253;

/// Ports of the listeners where none is given (`architecture.md`, the edge).
const PUBLIC_PORT: u16 = 8443;
const INTERNAL_PORT: u16 = 9443;
const PEER_PORT: u16 = 7443;
const METRICS_PORT: u16 = 10052;

/// The listeners, and where each role of a server stands, to be compared with the servers.
pub(super) struct ReadListeners {
    /// `None` where the public one has mistakes.
    pub(super) public: Option<PublicListener>,
    pub(super) internal: Option<InternalListener>,
    pub(super) peer: Option<PeerListener>,
    pub(super) metrics: Option<MetricsListener>,
    pub(super) identity_servers: Vec<(ServerName, Spot)>,
}

impl ReadListeners {
    pub(super) fn checked(self) -> Option<Listeners> {
        Some(Listeners { public: self.public?, internal: self.internal, peer: self.peer, metrics: self.metrics })
    }
}

pub(super) fn listeners(root: &Section<'_>) -> ReadListeners {
    let section = root.table_or_empty("listen");
    let mut bound = Bound::default();
    if !section.has("public") {
        section.missing("public", "is missing: the public listener is where clients start");
    }
    let mut identity_servers = Vec::new();
    let listeners = ReadListeners {
        public: section.table("public").and_then(|section| public_listener(&section, &mut bound)),
        internal: section.table("internal").and_then(|section| internal(&section, &mut bound, &mut identity_servers)),
        peer: section.table("peer").and_then(|section| peer(&section, &mut bound)),
        metrics: section.table("metrics").map(|section| metrics(&section, &mut bound)),
        identity_servers,
    };
    section.finish();
    listeners
}

fn public_listener(section: &Section<'_>, bound: &mut Bound) -> Option<PublicListener> {
    let address = bound.address(section, IpAddr::V4(Ipv4Addr::UNSPECIFIED), PUBLIC_PORT);
    let tls = match section.has("tls") || !address.ip().is_loopback() {
        true => tls(section, Clients::None).map(|(tls, _)| Some(tls)),
        // Nobody else can come to a loopback address: a balancer on this machine has ended TLS.
        false => Some(None),
    };
    let prefix = section.optional("prefix", parsed(PathPrefix::parse));
    let prefix = prefix.or_else(|| PathPrefix::parse("/maitred").ok());
    if let Some(prefix) = &prefix {
        if prefix.is_root() {
            section.refuse("prefix", "must not be '/': every path would be maitred's own");
        } else if prefix.covers("/health")
            || PathPrefix::parse("/health").is_ok_and(|health| health.covers(prefix.stem()))
        {
            section.refuse("prefix", "must not lie in /health, which has a meaning of its own");
        }
    }
    section.finish();
    Some(PublicListener { address, tls: tls?, prefix: prefix? })
}

fn internal(
    section: &Section<'_>,
    bound: &mut Bound,
    identity_servers: &mut Vec<(ServerName, Spot)>,
) -> Option<InternalListener> {
    let address = bound.address(section, IpAddr::V4(Ipv4Addr::LOCALHOST), INTERNAL_PORT);
    let tls = tls(section, Clients::Optional);
    let token_file = section.file("token_file", FileKind::Tokens);
    let identities = identities(section, identity_servers);
    section.finish();
    let (tls, client_ca) = tls?;
    if client_ca.is_none() && !section.has("token_file") {
        section.refuse("tls", "needs client_ca, or the listener a token_file: nobody could be let in");
    }
    if client_ca.is_none() && section.has("identity") {
        section.refuse("identity", "means client certificates, which need client_ca in tls");
    }
    Some(InternalListener { address, tls, client_ca, token_file, identities })
}

fn identities(section: &Section<'_>, identity_servers: &mut Vec<(ServerName, Spot)>) -> Vec<Identity> {
    #[derive(Clone, Copy)]
    enum Word {
        Server,
        Operator,
        Viewer,
        Metrics,
    }
    const WORDS: &[(&str, Word)] =
        &[("server", Word::Server), ("operator", Word::Operator), ("viewer", Word::Viewer), ("metrics", Word::Metrics)];
    let mut spots: BTreeMap<String, Spot> = BTreeMap::new();
    let mut identities = Vec::new();
    for section in section.tables("identity", IDENTITIES_MAX) {
        let san = section.required("san", |node| {
            let san = text(node)?;
            let good = (1..=SAN_BYTES_MAX).contains(&san.len()) && san.bytes().all(|b| b.is_ascii_graphic());
            if good { Ok(san.to_owned()) } else { Err("must be a DNS name, e-mail address or URI".to_owned()) }
        });
        let word = section.required("role", one_of(WORDS));
        let server = section.optional("server", parsed(ServerName::parse));
        section.finish();
        if let Some(san) = &san
            && let Some(first) = spots.insert(san.clone(), section.spot_of("san"))
        {
            section.refuse("san", format!("is already an identity at {}", section.place(first)));
        }
        if section.has("server") && matches!(word, Some(Word::Operator | Word::Viewer | Word::Metrics)) {
            section.refuse("server", "belongs to role = \"server\"");
        }
        let role = match (word, server) {
            (None, _) => continue,
            (Some(Word::Operator), _) => Role::Operator,
            (Some(Word::Viewer), _) => Role::Viewer,
            (Some(Word::Metrics), _) => Role::Metrics,
            (Some(Word::Server), Some(server)) => {
                identity_servers.push((server.clone(), section.spot_of("server")));
                Role::Server(server)
            }
            (Some(Word::Server), None) => {
                if !section.has("server") {
                    section.missing("server", "is missing: the role server is the role of one server");
                }
                continue;
            }
        };
        if let Some(san) = san {
            identities.push(Identity { san, role });
        }
    }
    identities
}

fn peer(section: &Section<'_>, bound: &mut Bound) -> Option<PeerListener> {
    let address = bound.address(section, IpAddr::V4(Ipv4Addr::UNSPECIFIED), PEER_PORT);
    let tls = tls(section, Clients::Required);
    section.finish();
    let (identity, client_ca) = tls?;
    Some(PeerListener { address, tls: TlsWithClients { identity, client_ca: client_ca? } })
}

fn metrics(section: &Section<'_>, bound: &mut Bound) -> MetricsListener {
    let address = bound.address(section, IpAddr::V4(Ipv4Addr::UNSPECIFIED), METRICS_PORT);
    section.finish();
    MetricsListener { address }
}

/// Whether a listener asks for client certificates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    None,
    Optional,
    Required,
}

fn tls(listener: &Section<'_>, clients: Clients) -> Option<(Tls, Option<std::path::PathBuf>)> {
    if !listener.has("tls") {
        listener.missing("tls", "is missing: { cert = \"FILE\", key = \"FILE\" }");
    }
    let section = listener.table("tls")?;
    let cert = section.required_file("cert", FileKind::Certificate);
    let key = section.required_file("key", FileKind::PrivateKey);
    let client_ca = match clients {
        Clients::None => None,
        Clients::Optional => section.file("client_ca", FileKind::Authorities),
        Clients::Required => section.required_file("client_ca", FileKind::Authorities),
    };
    section.finish();
    Some((Tls { cert: cert?, key: key? }, client_ca))
}

/// The addresses so far: two listeners on one would fail at start, when the other is already open.
#[derive(Default)]
struct Bound(Vec<(SocketAddr, Spot)>);

impl Bound {
    fn address(&mut self, section: &Section<'_>, ip: IpAddr, port: u16) -> SocketAddr {
        let address = section.or("address", SocketAddr::new(ip, port), |node| {
            let reason = || "must be an address and a port: \"0.0.0.0:8443\" or \"[::]:8443\"".to_owned();
            text(node)?.parse::<SocketAddr>().map_err(|_| reason())
        });
        let same = |other: &SocketAddr| {
            let (own, other_ip) = (address.ip(), other.ip());
            let meets = own == other_ip || own.is_unspecified() || other_ip.is_unspecified();
            // Port 0 is a free one each time.
            address.port() != 0 && address.port() == other.port() && meets
        };
        if let Some((_, first)) = self.0.iter().find(|(other, _)| same(other)) {
            section.refuse("address", format!("meets the listener at {}", section.place(*first)));
        }
        self.0.push((address, section.spot_of("address")));
        address
    }
}
