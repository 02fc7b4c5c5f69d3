//! One HTTP/1.1 exchange on a connection of its own, over TLS or in clear: for commands and for the demo's browsers.
//!
//! Bounded in time and bytes. Follows no redirect, keeps no cookie, decides nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::TlsFailure;

/// How long a connection, its handshake included, may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a whole exchange may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);
/// Longest answer, in bytes: a list of 100,000 sessions is about as long.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Whom to ask.
#[derive(Clone)]
pub(super) struct Peer {
    /// Host or address to dial, without brackets.
    pub(super) dial: String,
    /// Port to dial.
    pub(super) port: u16,
    /// The Host header.
    pub(super) authority: String,
    /// The name that the certificate must carry, and whom to believe; `None` speaks in clear.
    pub(super) tls: Option<(String, Arc<ClientConfig>)>,
}

/// What to ask.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The method.
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    /// Headers besides Host and User-Agent.
    pub(super) headers: Vec<(HeaderName, String)>,
    /// The body; empty sends none.
    pub(super) body: Vec<u8>,
}

impl Question {
    /// A GET without more.
    pub(super) fn get(target: impl Into<String>) -> Self {
        Self { method: Method::GET, target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// The same with a header.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The whole body.
    pub(super) body: Bytes,
}

impl Answer {
    /// A header's first value, if it is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Asks, and reads the whole answer.
///
/// # Errors
/// When nobody answers in time, TLS fails, or the answer is no HTTP or too long.
pub(super) async fn ask(peer: &Peer, question: Question) -> anyhow::Result<Answer> {
    let request = request(peer, question)?;
    let exchange = async { over(connect(peer).await?, request).await };
    tokio::time::timeout(EXCHANGE_MAX, exchange).await.context("the answer does not end in time")?
}

/// Asks, and hands out the answer piece by piece for as long as it goes on and `sink` says so. An answer that is no success is
/// read to its end instead.
///
/// # Errors
/// When nobody answers in time, TLS fails, the answer breaks off or is silent for longer than `silence`, or `sink` fails.
pub(super) async fn follow(
    peer: &Peer,
    question: Question,
    silence: Duration,
    sink: &mut (dyn FnMut(&[u8]) -> anyhow::Result<bool> + Send),
) -> anyhow::Result<Option<Answer>> {
    let request = request(peer, question)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connect(peer).await?)).await.map_err(hyper_error)?;
    let driver = tokio::spawn(connection);
    let followed = async {
        let sent = tokio::time::timeout(EXCHANGE_MAX, sender.send_request(request)).await;
        let response = sent.context("does not answer in time")?.map_err(hyper_error)?;
        let (head, mut body) = response.into_parts();
        if !head.status.is_success() {
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer breaks off: {error}"))?.to_bytes();
            return anyhow::Ok(Some(Answer { status: head.status.as_u16(), headers: head.headers, body }));
        }
        loop {
            let next = tokio::time::timeout(silence, body.frame()).await;
            let Some(frame) = next.context("the director has gone silent")? else { return Ok(None) };
            if let Some(piece) = frame.map_err(hyper_error)?.data_ref()
                && !sink(piece)?
            {
                return Ok(None);
            }
        }
    };
    let answer = followed.await;
    driver.abort();
    answer
}

/// A byte stream, whatever is below it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

async fn connect(peer: &Peer) -> anyhow::Result<Box<dyn Wire>> {
    let stream = tokio::time::timeout(CONNECT_MAX, TcpStream::connect((peer.dial.as_str(), peer.port)))
        .await
        .context("does not answer in time")??;
    // Commands send one small request: waiting for more to fill a packet only delays it.
    let _ = stream.set_nodelay(true);
    let Some((name, config)) = &peer.tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(name.clone()).context("no name that a certificate can carry")?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let secured = tokio::time::timeout(CONNECT_MAX, connecting).await.context("TLS is not answered in time")?;
    Ok(Box::new(secured.map_err(tls_error)?))
}

fn request(peer: &Peer, question: Question) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(question.method)
        .uri(question.target)
        .header(HOST, &peer.authority)
        .header(USER_AGENT, concat!("maitred/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(question.body)))?;
    for (name, value) in question.headers {
        request.headers_mut().append(name, HeaderValue::from_str(&value)?);
    }
    Ok(request)
}

async fn over(stream: Box<dyn Wire>, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(hyper_error)?;
    let driver = tokio::spawn(connection);
    let answered = async {
        let response = sender.send_request(request).await.map_err(hyper_error)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer breaks off: {error}"))?.to_bytes();
        anyhow::Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    let answer = answered.await;
    driver.abort();
    answer
}

/// A TLS 1.3 client learns only from the first read that its certificate was refused, so TLS faults come from here too.
fn hyper_error(error: hyper::Error) -> anyhow::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(failure) = current.downcast_ref::<std::io::Error>().and_then(TlsFailure::of_io) {
            return anyhow::anyhow!("TLS: {}", failure.detail);
        }
        cause = current.source();
    }
    anyhow::Error::new(error).context("the connection ended without an answer")
}

fn tls_error(error: std::io::Error) -> anyhow::Error {
    match TlsFailure::of_io(&error) {
        Some(failure) => anyhow::anyhow!("TLS: {}", failure.detail),
        None => anyhow::Error::new(error).context("the connection ended in the TLS handshake"),
    }
}
