//! Servers that do exactly what a test says, and the targets that lead to them.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maitred_core::health::{Failure, Look, Outcome, Report};
use maitred_core::ids::{PoolName, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::config::{Check, LocalPath, Origin, ProbeKind, ProbeUrl, ServerEdge, StatusSet};
use crate::probe::Target;
use crate::probe::dial::Wire;

/// For looks that are expected to end by themselves.
pub(super) const GENEROUS: Duration = Duration::from_secs(20);
/// For looks that are expected to run out of time.
pub(super) const SHORT: Duration = Duration::from_millis(200);
pub(super) const CPONG: [u8; 5] = [0x41, 0x42, 0, 1, 9];

/// A listener on loopback that hands each connection, with its number from 0, to a script.
pub(super) struct Stub {
    pub(super) port: u16,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Stub {
    pub(super) async fn start<S, F>(script: S) -> Self
    where
        S: Fn(usize, Box<dyn Wire>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        Self::raw(move |number, stream| {
            let wire: Box<dyn Wire> = Box::new(stream);
            script(number, wire)
        })
        .await
    }

    /// For scripts that need the socket itself.
    pub(super) async fn raw<S, F>(script: S) -> Self
    where
        S: Fn(usize, TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, script) = (accepted.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            let mut scripts = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                scripts.spawn(async move { script(number, stream).await });
            }
        });
        Self { port, accepted, task }
    }

    /// Over TLS; a handshake that fails ends the connection without the script.
    pub(super) async fn tls<S, F>(config: Arc<ServerConfig>, script: S) -> Self
    where
        S: Fn(usize, Box<dyn Wire>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        let script = Arc::new(script);
        Self::raw(move |number, stream| {
            let (acceptor, script) = (TlsAcceptor::from(config.clone()), script.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    script(number, Box::new(stream)).await;
                }
            }
        })
        .await
    }

    /// Answers each request with the same bytes.
    pub(super) async fn http(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |_, wire| repeat(wire, answer.clone())).await
    }

    /// Takes connections and says nothing.
    pub(super) async fn silent() -> Self {
        Self::start(async |_, wire| {
            let _held = wire;
            std::future::pending().await
        })
        .await
    }

    /// Stops listening and drops its connections; answers the port, which refuses from now on.
    pub(super) async fn stop(mut self) -> u16 {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.port
    }

    /// How many connections it has taken.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers each request on `wire` with `answer`.
pub(super) async fn repeat(mut wire: Box<dyn Wire>, answer: Arc<Vec<u8>>) {
    while head(&mut wire).await.is_some() {
        if wire.write_all(&answer).await.is_err() {
            break;
        }
    }
}

/// Reads the head of one request; `None` at the end.
pub(super) async fn head(wire: &mut Box<dyn Wire>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

pub(super) fn check(name: Option<&str>, probe: ProbeKind, path: &str, expect: &str) -> Check {
    Check {
        name: name.map(str::to_owned),
        probe,
        path: LocalPath::parse(path).unwrap(),
        expect: StatusSet::parse(expect).unwrap(),
        ca: None,
    }
}

/// A client that trusts nobody.
pub(super) fn distrust() -> Arc<ClientConfig> {
    trust(RootCertStore::empty())
}

/// A client as probes get it.
pub(super) fn trust(roots: RootCertStore) -> Arc<ClientConfig> {
    Arc::new(crate::tls::client_config(Arc::new(roots), None, &[]).unwrap())
}

/// Server `ua1` at the stub, asked by one check of this kind.
pub(super) fn target(stub: &Stub, kind: &str, timeout: Duration) -> Arc<Target> {
    target_at(stub.port, kind, timeout)
}

pub(super) fn target_at(port: u16, kind: &str, timeout: Duration) -> Arc<Target> {
    let (_, probe) = ProbeKind::WORDS.into_iter().find(|(word, _)| *word == kind).unwrap();
    let dial = format!("{kind}://127.0.0.1:{port}");
    target_of("http://ua1.example.com", Some(&dial), &[check(None, probe, "/health?a=b", "2xx")], timeout)
}

pub(super) fn target_of(url: &str, probe_url: Option<&str>, checks: &[Check], timeout: Duration) -> Arc<Target> {
    target_with(url, probe_url, checks, timeout, &distrust())
}

pub(super) fn target_with(
    url: &str,
    probe_url: Option<&str>,
    checks: &[Check],
    timeout: Duration,
    tls: &Arc<ClientConfig>,
) -> Arc<Target> {
    let edge = ServerEdge {
        url: Origin::parse(url).unwrap(),
        probe_url: probe_url.map(|text| ProbeUrl::parse(text).unwrap()),
    };
    let (pool, server) = (PoolName::parse("ua").unwrap(), ServerName::parse("ua1").unwrap());
    let mut same = |_: Option<&Path>| Ok(tls.clone());
    let times = (Duration::from_secs(2), timeout);
    Arc::new(Target::new(&pool, &server, &edge, checks, times, &mut same).unwrap())
}

pub(super) fn is_good(look: &Look) -> bool {
    match &look.outcome {
        Outcome::Good(_) => true,
        Outcome::Bad(failure) => {
            eprintln!("{failure:?}");
            false
        }
    }
}

pub(super) fn good(look: Look) -> Report {
    match look.outcome {
        Outcome::Good(report) => report,
        Outcome::Bad(failure) => panic!("{failure:?}"),
    }
}

pub(super) fn failure(look: Look) -> Failure {
    match look.outcome {
        Outcome::Good(report) => panic!("good: {report:?}"),
        Outcome::Bad(failure) => failure,
    }
}
