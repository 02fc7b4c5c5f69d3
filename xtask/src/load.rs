//! The client: many connections in one thread, each asking again as soon as it is answered, for a given time.
//!
//! The same for everybody who is measured. It checks what it gets, because a fast refusal is no start.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, HandshakeKind};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use crate::agents::Agents;

/// What a browser says of itself when somebody opens an address.
const BROWSER: &[(&str, &str)] = &[
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-language", "de-DE,de;q=0.9,en;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("upgrade-insecure-requests", "1"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-user", "?1"),
    ("sec-fetch-dest", "document"),
];

/// Whether a connection serves one request or as many as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Connections {
    /// Kept as long as the server keeps it.
    Kept,
    /// A new one for each request; no TLS session is resumed.
    New,
    /// A new one for each request, that resumes the TLS session of the one before.
    Resumed,
    /// A new one for each request with a browser's headers, choice of cipher and the cookie that it has; gone once it has its answer.
    Browser,
}

/// An agent's key.
pub(crate) fn agent(number: u32) -> String {
    format!("agent-{number:08}")
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Port on loopback
    #[arg(long)]
    port: u16,
    /// Speak TLS 1.3 and believe the certificates of this file
    #[arg(long)]
    ca: Option<PathBuf>,
    #[arg(long, value_enum)]
    connections: Connections,
    /// Requests at the same time
    #[arg(long, default_value_t = 32)]
    callers: u32,
    /// How long
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many agents take turns
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u32,
    /// Stop after so many starts, however long they take
    #[arg(long)]
    starts: Option<u32>,
    /// Every fifth start is a new agent's, numbered from here
    #[arg(long)]
    fresh: Option<u32>,
    /// Show the cookies that are kept in this file
    #[arg(long)]
    show: Option<PathBuf>,
    /// Keep the cookies that come in this file
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// What a run gave.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Answers that were starts (or, in the data path, pages).
    pub(crate) good: u64,
    /// Other answers, and failures.
    pub(crate) bad: u64,
    /// Connections that resumed a TLS session.
    pub(crate) resumed: u64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = LocalSet::new().block_on(&runtime, ask(arguments))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

struct Caller {
    address: SocketAddr,
    host: String,
    tls: Option<TlsConnector>,
    connections: Connections,
    agents: Rc<Agents>,
    left: Rc<Cell<u32>>,
    resumed: Rc<Cell<u64>>,
    /// Cookies are shown.
    shows: bool,
    /// Cookies are kept.
    keeps: bool,
    until: Instant,
}

async fn ask(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let tls = arguments.ca.as_ref().map(|file| client_config(file, arguments.connections)).transpose()?;
    let begin = Instant::now();
    // Whoever wants a number of starts gets it, unless nothing answers.
    let seconds = if arguments.starts.is_some() { 600.0 } else { arguments.seconds };
    let until = begin + Duration::from_secs_f64(seconds);
    let agents = Rc::new(Agents::new(arguments.from, arguments.keys, arguments.fresh));
    if let Some(file) = &arguments.show {
        agents.read(file)?;
    }
    let left = Rc::new(Cell::new(arguments.starts.unwrap_or(u32::MAX)));
    let resumed = Rc::new(Cell::new(0));
    let callers: Vec<_> = (0..arguments.callers)
        .map(|_| {
            let tls = tls.clone().map(|mut config| {
                // Each caller resumes its own sessions, as browsers do; a shared store would keep too few of them.
                if arguments.connections == Connections::Resumed {
                    config.resumption = Resumption::default();
                }
                TlsConnector::from(Arc::new(config))
            });
            let caller = Caller {
                address: (Ipv4Addr::LOCALHOST, arguments.port).into(),
                host: format!("localhost:{}", arguments.port),
                tls,
                connections: arguments.connections,
                agents: Rc::clone(&agents),
                left: Rc::clone(&left),
                resumed: Rc::clone(&resumed),
                shows: arguments.show.is_some(),
                keeps: arguments.keep.is_some(),
                until,
            };
            tokio::task::spawn_local(caller.call())
        })
        .collect();
    let mut outcome = Outcome::default();
    for caller in callers {
        let (good, bad) = caller.await?;
        outcome.good += good;
        outcome.bad += bad;
    }
    outcome.resumed = resumed.get();
    outcome.seconds = begin.elapsed().as_secs_f64();
    if let Some(file) = &arguments.keep {
        agents.write(file)?;
    }
    Ok(outcome)
}

impl Caller {
    async fn call(self) -> (u64, u64) {
        let (mut good, mut bad) = (0, 0);
        let mut kept: Option<SendRequest<Empty<Bytes>>> = None;
        while Instant::now() < self.until && self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            match self.start(&mut kept).await {
                Ok(()) => good += 1,
                Err(_) => {
                    bad += 1;
                    kept = None;
                    // Whoever refuses must not be asked in a busy loop.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        (good, bad)
    }

    async fn start(&self, kept: &mut Option<SendRequest<Empty<Bytes>>>) -> anyhow::Result<()> {
        let usable = match kept.as_mut() {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            *kept = Some(self.connect().await?);
        }
        let sender = kept.as_mut().context("there is a connection")?;
        let turn = self.agents.next();
        let mut request = Request::get(format!("/desk?agent={}", agent(turn.number))).header(HOST, &self.host);
        match self.connections {
            Connections::Kept => {}
            Connections::New | Connections::Resumed => request = request.header(CONNECTION, "close"),
            Connections::Browser => {
                request = BROWSER.iter().fold(request, |it, (name, value)| it.header(*name, *value))
            }
        }
        if let Some(cookie) = self.agents.cookie(turn).filter(|_| self.shows) {
            request = request.header(COOKIE, cookie);
        }
        let answer = sender.send_request(request.body(Empty::new())?).await?;
        let (head, body) = answer.into_parts();
        body.collect().await?;
        if self.keeps {
            self.agents.keep(turn, head.headers.get(SET_COOKIE));
        }
        if self.connections != Connections::Kept || head.headers.get(CONNECTION).is_some_and(|value| value == "close") {
            *kept = None;
        }
        match head.status {
            StatusCode::FOUND if head.headers.contains_key(LOCATION) => Ok(()),
            StatusCode::OK => Ok(()),
            status => bail!("{status}"),
        }
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => handshake(stream).await,
            Some(tls) => {
                let stream = tls.connect(ServerName::try_from("localhost")?, stream).await?;
                if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                    self.resumed.set(self.resumed.get() + 1);
                }
                handshake(stream).await
            }
        }
    }
}

async fn handshake(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        // How it ends is seen by whoever waits for an answer.
        let _ = connection.await;
    });
    Ok(sender)
}

fn client_config(file: &std::path::Path, connections: Connections) -> anyhow::Result<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    let mut provider = rustls::crypto::ring::default_provider();
    if connections == Connections::Browser {
        // Chromium and Firefox both ask for AES-128 first.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
