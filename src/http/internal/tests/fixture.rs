//! A listener over TLS on a free port, a director with two servers in the east and one in the west, and clients with every kind
//! of credential.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maitred_core::director::Director;
use maitred_core::health::{Failure, FailureKind, Look, Outcome, Report};
use maitred_core::ids::{Key, PoolName, ServerName, SessionId};
use maitred_core::seating::{RequestKey, Seat, StartRequest};
use maitred_core::session::TableOptions;
use parking_lot::Mutex;
use rustls::pki_types::ServerName as TlsName;
use rustls::{ClientConnection, StreamOwned};

use crate::certificates::{DevCertificates, DevNames, Usage};
use crate::clock::Clock;
use crate::config::{Change, Config, load};
use crate::credentials::secret_file::write_secret;
use crate::credentials::{Keyring, Seals};
use crate::http::answer::Answer;
use crate::http::edge::Edge;
use crate::http::internal::{Access, Internal, InternalParts, Process, serve};
use crate::http::listener::ListenerOptions;
use crate::metrics::Metrics;
use crate::tls::{Identity, ReloadableServer, client_config, load_roots};
use crate::vitals::Vitals;

/// Tokens by role.
pub(super) const TOKENS: [(&str, &str); 5] = [
    ("operator", "token-of-ops"),
    ("viewer", "token-of-view"),
    ("metrics", "token-of-prom"),
    ("server:ua1", "token-of-ua1"),
    ("server:ua2", "token-of-ua2"),
];

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Nobody,
    Token(&'static str),
    /// The stem of a certificate in the folder.
    Certificate(&'static str),
}

pub(super) const OPERATOR: As = As::Token("token-of-ops");

pub(super) struct Fixture {
    pub(super) internal: Arc<Internal>,
    pub(super) process: Arc<FakeProcess>,
    pub(super) config: Config,
    certificates: DevCertificates,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// Counts what it is asked for, and answers a reload with what the test says.
pub(super) struct FakeProcess {
    pub(super) performed: AtomicUsize,
    pub(super) answer: Mutex<Result<Vec<Change>, Vec<String>>>,
}

impl Process for FakeProcess {
    fn perform_effects(&self) {
        self.performed.fetch_add(1, Ordering::Relaxed);
    }

    fn reload(&self) -> Result<Vec<Change>, Vec<String>> {
        self.answer.lock().clone()
    }
}

impl Fixture {
    /// With identities for certificates.
    pub(super) fn start() -> Self {
        let identity = |stem: &str, role: &str| {
            format!("[[listen.internal.identity]]\nsan = \"{stem}.maitred.internal\"\n{role}\n")
        };
        let identities = [
            identity("operator", "role = \"operator\""),
            identity("viewer", "role = \"viewer\""),
            identity("ua1", "role = \"server\"\nserver = \"ua1\""),
            identity("ua2", "role = \"server\"\nserver = \"ua2\""),
            identity("metrics", "role = \"metrics\""),
        ];
        Self::with(&identities.concat())
    }

    /// Without a peer, so that it is warm at once.
    pub(super) fn alone() -> Self {
        Self::of(|certs| {
            let text = text(certs, "");
            let (before, rest) = text.split_once("[[peer]]").unwrap();
            format!("{before}[[pool]]{}", rest.split_once("[[pool]]").unwrap().1)
        })
    }

    /// With more text in the configuration.
    pub(super) fn with(more: &str) -> Self {
        Self::of(|certs| text(certs, more))
    }

    fn of(text: impl Fn(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = DevNames { operator: "operator.maitred.internal".to_owned(), ..DevNames::default() };
        let certificates = DevCertificates::create(&folder.path().join("certs"), &names).unwrap();
        for stem in ["viewer", "ua1", "ua2", "metrics", "stranger"] {
            let name = format!("{stem}.maitred.internal");
            certificates.authority.issue(&[name], Usage::Client).unwrap().write(&certificates.folder, stem).unwrap();
        }
        let two = ["operator.maitred.internal", "viewer.maitred.internal"];
        certificates.authority.issue(&two, Usage::Client).unwrap().write(&certificates.folder, "both").unwrap();
        write_tokens(&certificates.path("internal.tokens"), &TOKENS);
        let file = folder.path().join("maitred.toml");
        fs::write(&file, text(&certificates.folder)).unwrap();
        let loaded = load(&file, Vec::new()).unwrap_or_else(|faults| panic!("{faults:?}"));
        let config = loaded.config;

        let clock = Arc::new(Clock::new(None));
        let director = Director::new(config.settings.clone(), TableOptions::default(), clock.now()).unwrap();
        let seals = Arc::new(Seals::new(Keyring::ephemeral().unwrap()));
        let issuer = config.settings.director.clone();
        let tickets = Arc::new(crate::credentials::Tickets::ephemeral(issuer, config.ticket.algorithm).unwrap());
        let edge = Arc::new(Edge::new(Arc::new(director), Arc::clone(&clock), seals, tickets, &config));
        let listen = config.listen.internal.clone().unwrap();
        let tls = ReloadableServer::internal(&listen.tls.cert, &listen.tls.key, listen.client_ca.as_deref()).unwrap();
        let process = FakeProcess { performed: AtomicUsize::new(0), answer: Mutex::new(Ok(Vec::new())) };
        let process = Arc::new(process);
        let internal = Arc::new(Internal::new(InternalParts {
            edge,
            vitals: Arc::new(Vitals::new(clock.now().time, None, vec![("internal", tls.clone())])),
            metrics: Metrics::new(),
            process: Arc::clone(&process) as Arc<dyn Process>,
            config: Arc::new(config.clone()),
            access: Access::load(&listen).unwrap(),
            seed: 1,
        }));
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let options = ListenerOptions { limits: config.limits, tls: Some(tls.config()) };
        // Lives as long as the test process.
        std::mem::forget(serve(Arc::clone(&internal), vec![socket], options).unwrap());
        Self { internal, process, config, certificates, address, _folder: folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.certificates.path(name)
    }

    pub(super) fn edge(&self) -> &crate::http::edge::Edge {
        &self.internal.edge
    }

    pub(super) fn director(&self) -> &Director {
        &self.internal.edge.director
    }

    /// Places a session and returns its seat.
    pub(super) fn seat(&self, key: &str) -> Seat {
        let digits = key.bytes().fold(0_u128, |all, byte| all << 8 | u128::from(byte));
        self.seat_as(key, SessionId(digits.to_be_bytes()))
    }

    /// The same, with this id where a session begins.
    pub(super) fn seat_as(&self, key: &str, session: SessionId) -> Seat {
        let pool = PoolName::parse("ua").unwrap();
        let request = StartRequest {
            pool: &pool,
            key: RequestKey::Given(Key::parse(key).unwrap()),
            shown: None,
            labels: &[],
            avoid: None,
            session,
        };
        self.director().start(&request, self.internal.edge.clock.now()).unwrap()
    }

    pub(super) fn look(&self, server: &str, good: bool) {
        let failure = Failure { kind: FailureKind::Refused, check: None, detail: "connection refused".to_owned() };
        let outcome = if good { Outcome::Good(Report::default()) } else { Outcome::Bad(failure) };
        let look = Look { took: Duration::from_millis(1), outcome };
        self.director().handle_look(&ServerName::parse(server).unwrap(), &look, self.internal.edge.clock.now());
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask(OPERATOR, "GET", path, &[], "")
    }

    pub(super) fn order(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask(OPERATOR, method, path, &[("Content-Type", "application/json")], body)
    }

    /// One request on a connection of its own.
    pub(super) fn ask(&self, who: As, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str("Host: localhost:9443\r\n");
        }
        if let As::Token(token) = who {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let mut connection = self.connect(who);
        // A refusal may come before all of a long body was taken.
        let _ = connection.write_all(request.as_bytes());
        let mut answer = Vec::new();
        // The answer is complete where the server closes, with or without a TLS close.
        let _ = connection.read_to_end(&mut answer);
        Answer::parse(&answer)
    }

    fn connect(&self, who: As) -> StreamOwned<ClientConnection, TcpStream> {
        let identity = match who {
            As::Certificate(stem) => {
                Some(Identity::load(&self.path(&format!("{stem}.pem")), &self.path(&format!("{stem}.key"))).unwrap())
            }
            As::Nobody | As::Token(_) => None,
        };
        let roots = load_roots(&self.path("ca.pem")).unwrap();
        let config = client_config(roots, identity.as_ref(), &[b"http/1.1"]).unwrap();
        let session = ClientConnection::new(Arc::new(config), TlsName::try_from("localhost").unwrap()).unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        StreamOwned::new(session, socket)
    }
}

/// Writes a token file.
pub(super) fn write_tokens(path: &Path, tokens: &[(&str, &str)]) {
    let line = |(role, token): &(&str, &str)| {
        let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {role} {hash}\n", role.replace(':', "-"))
    };
    write_secret(path, &tokens.iter().map(line).collect::<String>()).unwrap();
}

fn text(certs: &Path, more: &str) -> String {
    let certs = certs.display();
    format!(
        r#"
[director]
name = "east-1"
datacenter = "east"
[listen.public]
tls = {{ cert = "{certs}/public.pem", key = "{certs}/public.key" }}
[listen.internal]
tls = {{ cert = "{certs}/internal.pem", key = "{certs}/internal.key", client_ca = "{certs}/ca.pem" }}
token_file = "{certs}/internal.tokens"
{more}
[affinity]
key_file = "{certs}/affinity.keys"
[limits]
body = "4KiB"
[[peer]]
name = "west-1"
datacenter = "west"
url = "https://10.2.0.11:7443"
[[pool]]
name = "ua"
route = [{{ path = "/" }}]
key = ["query:agent"]
datacenters = ["east", "west"]
[pool.health]
probe = "https"
path = "/ua/health"
fall = 1
suspect_above = "100%"
[[pool.server]]
name = "ua1"
datacenter = "east"
url = "https://ua1-east.example.com"
[[pool.server]]
name = "ua2"
datacenter = "east"
url = "https://ua2-east.example.com"
[[pool.server]]
name = "ua9"
datacenter = "west"
url = "https://ua9-west.example.com"
"#
    )
}
