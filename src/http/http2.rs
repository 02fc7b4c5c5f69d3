//! A connection that speaks HTTP/2: requests in, answers out, and what one client may cost.
//!
//! Stands on the `h2` crate itself, because actix-http still brings its 0.3 series, which has advisories that are mended in 0.4 only
//! (RUSTSEC-2026-0258) and whose limits actix does not pass on (docs/decisions/0010). What a request means is decided behind
//! [`Worker::begin`], the same for both protocols.
//!
//! ```text
//! TLS ─ Connection (deadline, frames counted) ─ h2 (streams, windows, heads) ─ here ─ Worker ─ answer
//! ```

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, HttpMessage as _, Method, Payload, Request, Response, Uri, Version, header, uri};
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream};
use h2::server::{Builder, Connection as Frames, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::Limits;
use crate::http::connection::{Connection, LINGER, Waiting};
use crate::http::content::{Content, Going};
use crate::http::listener::{AFTER_ACTIX, Answers, ShownNames, Worker};
use crate::http::socket::Parting;
use crate::http::workers::Stopping;

/// Streams that one connection may have open. Browsers use up to a hundred; each costs what a connection of HTTP/1 costs.
const STREAMS_MAX: u32 = 128;
/// Resets that are remembered and not yet looked at, before the connection ends (CVE-2023-44487).
const RESETS_MAX: usize = 20;
/// Streams that the client made us reset in the life of a connection, before it ends.
const ERRORS_MAX: usize = 100;
/// What may be on the way for all streams of a connection together, in bytes.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// How long the end of a connection may take: until the client has heard of it and closes.
const CLOSING: Duration = LINGER.saturating_mul(2);
/// What each line of a head counts besides its bytes (RFC 9113, section 6.5.2).
const LINE: usize = 32;

/// A connection that has agreed on HTTP/2.
pub(super) struct Accepted<Io> {
    pub(super) io: Connection<Io>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) names: Option<Rc<ShownNames>>,
}

/// Serves a connection until it ends.
pub(super) async fn serve<A: Answers, Io: AsyncRead + AsyncWrite + Parting + Unpin + 'static>(
    worker: &Rc<Worker<A>>,
    accepted: Accepted<Io>,
    limits: &Limits,
    stopping: Stopping,
) {
    let Accepted { io, peer, names } = accepted;
    let waiting = io.waiting();
    let greeting = timeout(limits.header_timeout, builder(limits).handshake(io)).await;
    let Ok(Ok(frames)) = greeting else { return };
    let mut open = Open { worker, frames, peer, names, waiting };
    let mut stopping = pin!(stopping.notified().fuse());
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut end = None;
    poll_fn(|context| {
        if stopping.as_mut().poll(context).is_ready() {
            open.frames.graceful_shutdown();
        }
        loop {
            if open.poll_requests(context).is_ready() {
                return Poll::Ready(());
            }
            if end.is_none() && open.waiting.is_flooded() {
                open.frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                end = Some(Instant::now() + CLOSING);
                continue;
            }
            let idle = open.waiting.deadline().map(|deadline| deadline - AFTER_ACTIX);
            // The alarm may ring early, never late: an answer may have brought the deadline nearer.
            if let (None, Some(idle)) = (end, idle.filter(|idle| *idle < alarm.deadline())) {
                alarm.as_mut().reset(idle);
            }
            ready!(alarm.as_mut().poll(context));
            let now = Instant::now();
            let next = match (end, idle) {
                (Some(end), _) if end <= now => return Poll::Ready(()),
                (Some(end), _) => end,
                (None, Some(idle)) if idle <= now => {
                    open.frames.graceful_shutdown();
                    *end.insert(now + CLOSING)
                }
                (None, Some(idle)) => idle,
                (None, None) => now + Duration::from_secs(1),
            };
            alarm.as_mut().reset(next);
        }
    })
    .await;
}

fn builder(limits: &Limits) -> Builder {
    let heads = limits.header_block + limits.url + (limits.headers + 8) * LINE;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        // What is somewhat too large is refused by the door, in its words; what is more, here.
        .max_header_list_size(u32::try_from(2 * heads).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(ERRORS_MAX))
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

struct Open<'a, A, Io> {
    worker: &'a Rc<Worker<A>>,
    frames: Frames<Connection<Io>, Bytes>,
    peer: Option<SocketAddr>,
    names: Option<Rc<ShownNames>>,
    waiting: Rc<Waiting>,
}

impl<A: Answers, Io: AsyncRead + AsyncWrite + Parting + Unpin> Open<'_, A, Io> {
    /// Answers what is asked. Ready when the connection is over.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(accepted) = ready!(self.frames.poll_accept(context)) {
            let Ok((request, respond)) = accepted else { return Poll::Ready(()) };
            self.answer(request, respond, context);
        }
        Poll::Ready(())
    }

    fn answer(&self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>, context: &mut Context<'_>) {
        let Some(request) = self.read(request) else {
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return;
        };
        let is_head = request.head().method == Method::HEAD;
        let mut answering = self.worker.begin(request, Some(Rc::clone(&self.waiting)));
        // Most answers are there at once.
        match answering.poll_unpin(context) {
            Poll::Ready(Ok(reply)) => send(reply, respond, is_head),
            Poll::Pending => {
                actix_rt::spawn(async move {
                    let Ok(reply) = answering.await;
                    send(reply, respond, is_head);
                });
            }
        }
    }

    /// The request in the words of the listeners. None when it is not even that.
    fn read(&self, request: http::Request<RecvStream>) -> Option<Request> {
        let (parts, body) = request.into_parts();
        let payload = if body.is_end_stream() {
            Payload::None
        } else {
            Payload::from(Box::pin(Body(body)) as BoxedPayloadStream)
        };
        let mut request = Request::with_payload(payload);
        let head = request.head_mut();
        head.method = Method::from_bytes(parts.method.as_str().as_bytes()).ok()?;
        head.uri = read_uri(&parts.uri)?;
        head.version = Version::HTTP_2;
        head.peer_addr = self.peer;
        for (name, value) in &parts.headers {
            let name = header::HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            head.headers.append(name, header::HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        if let Some(names) = &self.names {
            request.extensions_mut().insert(Rc::clone(names));
        }
        Some(request)
    }
}

fn read_uri(from: &http::Uri) -> Option<Uri> {
    let mut parts = uri::Parts::default();
    parts.scheme = match from.scheme_str() {
        Some(scheme) => Some(scheme.parse().ok()?),
        None => None,
    };
    parts.authority = match from.authority() {
        Some(authority) => Some(authority.as_str().parse().ok()?),
        None => None,
    };
    parts.path_and_query = match from.path_and_query() {
        Some(path) => Some(path.as_str().parse().ok()?),
        None => None,
    };
    Uri::from_parts(parts).ok()
}

/// Hands an answer to the connection, whole; it goes out as the client's windows allow. A client that is gone hears nothing.
fn send(reply: Response<Content>, mut respond: SendResponse<Bytes>, is_head: bool) {
    let (head, body) = reply.into_parts();
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(head.status().as_u16()).unwrap_or_default();
    let headers = response.headers_mut();
    for (name, value) in head.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    let body = match body {
        Content::Whole(body) => body,
        Content::Pieces(going) => {
            headers.insert(DATE, date());
            if let Ok(stream) = respond.send_response(response, false) {
                actix_rt::spawn(send_on(going, stream));
            }
            return;
        }
    };
    if head.status() != actix_http::StatusCode::NO_CONTENT {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    headers.insert(DATE, date());
    let bare = is_head || body.is_empty();
    if let Ok(mut stream) = respond.send_response(response, bare)
        && !bare
    {
        let _ = stream.send_data(body, true);
    }
}

/// Sends the pieces of an answer as the client takes them, until one side has enough.
async fn send_on(mut going: Going, mut stream: SendStream<Bytes>) {
    loop {
        let next = poll_fn(|context| match stream.poll_reset(context) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => going.poll_piece(context),
        });
        let Some(mut piece) = next.await else { break };
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let room = poll_fn(|context| stream.poll_capacity(context));
            // The connection may be well and ask for other things: its deadline says nothing of this stream.
            let room = match going.patience() {
                Some(patience) => timeout(patience, room).await,
                None => Ok(room.await),
            };
            let Ok(room) = room else { return stream.send_reset(Reason::CANCEL) };
            let Some(Ok(room)) = room else { return };
            let part = piece.split_to(room.min(piece.len()));
            if stream.send_data(part, false).is_err() {
                return;
            }
        }
    }
    // A client that is gone hears nothing.
    let _ = stream.send_data(Bytes::new(), true);
}

thread_local! {
    static DATE_OF_SECOND: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The time as headers write it; written out once a second.
fn date() -> HeaderValue {
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    DATE_OF_SECOND.with_borrow_mut(|(of, text)| {
        if *of != second {
            *of = second;
            *text = HeaderValue::from_str(&httpdate::fmt_http_date(now)).unwrap_or(HeaderValue::from_static(""));
        }
        text.clone()
    })
}

/// A request's body. What has been read gives its window back.
struct Body(RecvStream);

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.0.poll_data(context));
        Poll::Ready(chunk.map(|chunk| {
            let chunk = chunk.map_err(|_| PayloadError::Incomplete(None))?;
            // Only of a stream that is gone it fails.
            let _ = self.0.flow_control().release_capacity(chunk.len());
            Ok(chunk)
        }))
    }
}
