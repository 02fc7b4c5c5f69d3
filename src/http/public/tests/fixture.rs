//! A listener in clear on a free port, over a real director with three servers in one datacenter, and a client that speaks bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use maitred_core::director::Director;
use maitred_core::health::{Failure, FailureKind, Look, Outcome, Report};
use maitred_core::ids::{DatacenterName, DirectorName, LabelName, PoolName, ServerName};
use maitred_core::session::TableOptions;
use maitred_core::settings::{Failback, FailoverSettings, HealthSettings, PoolSettings, ServerSettings, Settings};

use rustls::ServerConfig;

use crate::clock::Clock;
use crate::config::{
    Config, Handover, Host, KeySource, LabelSource, Limits, Listeners, LocalPath, Origin, PathPrefix, Pool,
    PublicListener, Route, Tls,
};
use crate::credentials::{Keyring, Seals, Tickets};
use crate::http::answer::Answer;
use crate::http::edge::Edge;
use crate::http::public::{ListenerOptions, serve};

/// The host that the routes name.
pub(super) const HOST: &str = "agents.example.com";

/// A running listener.
pub(super) struct Fixture {
    pub(super) edge: Arc<Edge>,
    pub(super) address: SocketAddr,
}

/// A configuration: pool `ua` at every path of [`HOST`], with JSONP and one allowed origin, and pool `iwd` at `/iwd`.
pub(super) fn config() -> Config {
    let pools = [("ua", "/", ["ua1", "ua2", "ua3"]), ("iwd", "/iwd", ["iwd1", "iwd2", "iwd3"])];
    let pool_settings = |name: &str, servers: &[&str]| PoolSettings {
        labels: [parse::<LabelName>("media")].into(),
        health: HealthSettings {
            fall: 1,
            rise: 1,
            slow_start: Duration::ZERO,
            suspect_above_percent: 100,
            ..HealthSettings::default()
        },
        failover: FailoverSettings { failback: Failback::Manual, ..FailoverSettings::default() },
        servers: servers
            .iter()
            .zip(0..)
            .map(|(name, position)| (parse(name), Arc::new(server(name, position))))
            .collect(),
        ..PoolSettings::new(parse(name), vec![parse("east")])
    };
    let settings = Settings {
        director: parse::<DirectorName>("east-1"),
        datacenter: parse("east"),
        peers: BTreeMap::new(),
        pools: pools.iter().map(|(name, _, servers)| (parse(name), Arc::new(pool_settings(name, servers)))).collect(),
    };
    let pool = |path: &str, jsonp: bool| Pool {
        routes: vec![Route { host: Host::parse(HOST).ok(), path: PathPrefix::parse(path).unwrap() }],
        key: ["query:agent", "header:x-agent-id", "cookie"].map(|source| KeySource::parse(source).unwrap()).into(),
        labels: [(parse("media"), LabelSource::parse("query:media").unwrap())].into(),
        home: LocalPath::parse("/ua/").unwrap(),
        after_logout: crate::config::Landing::default(),
        handover: Handover::None,
        jsonp,
        embed: if jsonp { [Origin::parse("https://crm.example").unwrap()].into() } else { BTreeSet::new() },
        checks: Vec::new(),
        servers: BTreeMap::new(),
    };
    Config {
        settings,
        director: Default::default(),
        log: Default::default(),
        listen: Listeners {
            public: PublicListener {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                tls: Some(Tls { cert: PathBuf::new(), key: PathBuf::new() }),
                prefix: PathPrefix::parse("/maitred").unwrap(),
            },
            internal: None,
            peer: None,
            metrics: None,
        },
        affinity: Default::default(),
        ticket: Default::default(),
        limits: Limits::default(),
        peers: Vec::new(),
        pools: pools.iter().map(|(name, path, _)| (parse(name), pool(path, *name == "ua"))).collect(),
        digest: String::new(),
        sources: Vec::new(),
    }
}

fn server(name: &str, position: u32) -> ServerSettings {
    ServerSettings {
        name: parse(name),
        datacenter: parse::<DatacenterName>("east"),
        origin: format!("https://{name}.example.com").into(),
        position,
        weight: 100,
        labels: BTreeMap::new(),
    }
}

pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

impl Fixture {
    pub(super) fn start() -> Self {
        Self::with(&config())
    }

    pub(super) fn with(config: &Config) -> Self {
        Self::listen(config, None)
    }

    pub(super) fn listen(config: &Config, tls: Option<ServerConfig>) -> Self {
        let clock = Arc::new(Clock::new(None));
        let director = Director::new(config.settings.clone(), TableOptions::default(), clock.now()).unwrap();
        let seals = Arc::new(Seals::new(Keyring::ephemeral().unwrap()));
        let issuer = config.settings.director.clone();
        let tickets = Arc::new(Tickets::ephemeral(issuer, config.ticket.algorithm).unwrap());
        let edge = Arc::new(Edge::new(Arc::new(director), clock, seals, tickets, config));
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let (shared, limits) = (Arc::clone(&edge), config.limits);
        // Lives as long as the test process.
        std::mem::forget(serve(shared, vec![socket], ListenerOptions { limits, tls }).unwrap());
        Self { edge, address }
    }

    /// Sends bytes on a connection of their own and reads until the server closes or falls silent after an answer.
    pub(super) fn send(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut connection = self.connect();
        connection.write_all(bytes.as_ref()).unwrap();
        read_all(&mut connection)
    }

    pub(super) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_nodelay(true).unwrap();
        connection
    }

    /// One request, one answer.
    pub(super) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_with(method, target, headers, "")
    }

    pub(super) fn ask_with(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("Host: {HOST}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        Answer::parse(&self.send(request))
    }

    pub(super) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    /// A whole pool's servers refuse connections.
    pub(super) fn all_down(&self, pool: &str) {
        let view = self.edge.director.view();
        for server in view.pool(&parse::<PoolName>(pool)).unwrap().servers() {
            self.look(server.settings.name.as_str(), false);
        }
    }

    pub(super) fn look(&self, server: &str, good: bool) {
        let failure = Failure { kind: FailureKind::Refused, check: None, detail: "refused".to_owned() };
        let outcome = if good { Outcome::Good(Report::default()) } else { Outcome::Bad(failure) };
        let look = Look { took: Duration::from_millis(1), outcome };
        self.edge.director.handle_look(&parse::<ServerName>(server), &look, self.edge.clock.now());
    }
}

/// Long enough for a loaded machine; nothing waits for it where the server closes.
const SILENCE: Duration = Duration::from_secs(20);

/// Everything until the server closes; that it does close is part of what is tested. A reset is a close as well.
pub(super) fn read_all(connection: &mut TcpStream) -> Vec<u8> {
    connection.set_read_timeout(Some(SILENCE)).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = connection.read_to_end(&mut answer) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "not closed after {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    answer
}

/// Reads one answer with a Content-Length from a connection that stays open.
pub(super) fn read_one(connection: &mut TcpStream) -> Answer {
    connection.set_read_timeout(Some(SILENCE)).unwrap();
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() == 1 {
        bytes.push(byte[0]);
    }
    let head = Answer::parse(&bytes);
    let mut body = vec![0; head.header("content-length").unwrap_or("0").parse().unwrap()];
    connection.read_exact(&mut body).unwrap();
    Answer { body: String::from_utf8(body).unwrap(), ..head }
}
