//! One GET over one HTTP/1.1 connection that may be kept.
//!
//! The connection is driven by whoever exchanges on it and by nobody else: an idle one costs no task and no wake-up, at the price
//! that its end is noticed only by the next exchange, which its owner then repeats on a fresh one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use maitred_core::health::FailureKind;

use super::dial::Wire;
use super::fault::Fault;
use super::target::HttpAsk;

/// Longest body (`reliability.md`, row 6).
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest status line and headers together (section 3, row 13, as for requests).
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most headers (the same).
const HEADERS_MAX: usize = 100;
/// What probes say they are.
const AGENT: &str = concat!("maitred/", env!("CARGO_PKG_VERSION"));

/// A connection between two exchanges.
pub(super) struct HttpWire {
    sender: SendRequest<Empty<Bytes>>,
    state: State,
}

/// A connection is dropped where it ends: only then does a request that it had not taken yet learn that nobody will.
enum State {
    Open(Box<Driver>),
    Ended(Result<(), Fault>),
}

type Driver = Connection<TokioIo<Box<dyn Wire>>, Empty<Bytes>>;

/// A complete answer, or a status whose body did not come through.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Result<Vec<u8>, Fault>,
}

impl HttpWire {
    pub(super) async fn new(stream: Box<dyn Wire>) -> Result<Self, Fault> {
        let handshake = Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Fault::http(&error))?;
        let (sender, connection) = handshake;
        Ok(Self { sender, state: State::Open(Box::new(connection)) })
    }

    /// Asks once and reads the whole answer; tells the status as soon as it is known. An error means that none came.
    pub(super) async fn exchange(
        &mut self,
        ask: &HttpAsk,
        told: &mut (dyn FnMut(u16) + Send),
    ) -> Result<Answer, Fault> {
        let Self { sender, state } = self;
        let work = async {
            sender.ready().await?;
            let response = sender.send_request(request(ask)).await?;
            let status = response.status().as_u16();
            told(status);
            Ok(Answer { status, body: read(response).await })
        };
        match drive(state, work).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(told_by_the_end(Fault::http(&error), state)),
        }
    }

    /// Whether it may be kept for another exchange.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_)) && !self.sender.is_closed()
    }
}

/// A sender only knows that its connection is gone; the connection itself may have told why.
fn told_by_the_end(fault: Fault, state: &State) -> Fault {
    match (fault.kind, state) {
        (FailureKind::Closed, State::Ended(Err(reason))) => reason.clone(),
        (_, _) => fault,
    }
}

fn request(ask: &HttpAsk) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = ask.uri.clone();
    let headers = request.headers_mut();
    headers.insert(HOST, ask.host.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    // Nothing is ever unpacked: a body that comes packed anyway is a few bytes without a meaning.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

async fn read(response: Response<Incoming>) -> Result<Vec<u8>, Fault> {
    let headers = response.headers();
    let ends_with_connection = !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    let mut body = response.into_body();
    let too_large = || Fault::new(FailureKind::TooLarge, &format!("the body is longer than {BODY_BYTES_MAX} bytes"));
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) if bytes.len() + data.len() > BODY_BYTES_MAX => return Err(too_large()),
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            // Trailers say nothing to us.
            Ok(Err(_)) => {}
            // Servers of HTTP/1.0 kind often close TLS without saying so. Nothing was promised, so nothing is missing.
            Err(error) if ends_with_connection && is_end_of_stream(&error) => break,
            Err(error) => return Err(Fault::http(&error)),
        }
    }
    Ok(bytes)
}

fn is_end_of_stream(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// Polls the connection beside the work that uses it.
async fn drive<W: Future>(state: &mut State, work: W) -> W::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let State::Open(connection) = state
            && let Poll::Ready(end) = Pin::new(connection).poll(context)
        {
            *state = State::Ended(end.map_err(|error| Fault::http(&error)));
        }
        work.as_mut().poll(context)
    })
    .await
}
