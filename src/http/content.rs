//! What an answer carries: bytes that are complete, or pieces that come as long as both sides stay.
//!
//! Almost every answer is whole, and nothing but the last step before the socket knows of the others: whoever makes one puts a
//! [`Streamed`] beside its empty body.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::Response;
use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;
use tokio::time::Instant;

use crate::http::connection::Waiting;
use crate::http::reply::Reply;

/// Whoever takes no piece for so many times `limits.idle` is cut: a minute, where nothing else is configured.
const IDLES: u32 = 6;

/// Pieces of an answer, made when they are asked for: nothing is kept for a client that reads slowly.
pub trait Pieces {
    /// The next piece; none at the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// The client took nothing for so long that it is cut.
    fn cut(&mut self, after: Duration);
}

/// The pieces of an answer, as an extension of its reply.
pub struct Streamed(pub Box<dyn Pieces>);

/// The body of an answer.
pub enum Content {
    /// Complete.
    Whole(Bytes),
    /// As it comes.
    Pieces(Going),
}

/// An answer that goes on.
pub struct Going {
    pieces: Box<dyn Pieces>,
    waiting: Option<Rc<Waiting>>,
    /// When the client had last taken what there was.
    asked: Instant,
}

impl Going {
    /// The next piece. Being asked for it means that the client has taken what there was.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.asked = Instant::now();
        if let (Some(waiting), Some(patience)) = (&self.waiting, self.patience()) {
            waiting.allow(patience);
        }
        self.pieces.poll_piece(context)
    }

    /// How long the client may take nothing; none on a connection that nobody watches.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.waiting.as_ref().map(|waiting| waiting.idle().saturating_mul(IDLES))
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // Whoever reads asks again and again; an end that comes so late is the connection's or the stream's deadline.
        let stuck = self.asked.elapsed();
        if self.patience().is_some_and(|patience| stuck >= patience) {
            self.pieces.cut(stuck);
        }
    }
}

/// Whether a reply has pieces.
pub(super) fn is_streamed(reply: &Reply) -> bool {
    reply.extensions().contains::<Streamed>()
}

/// A reply with the body that it has on its connection.
pub(super) fn with_body(mut reply: Reply, waiting: Option<&Rc<Waiting>>) -> Response<Content> {
    let streamed = reply.extensions_mut().remove::<Streamed>();
    reply.map_body(|_, whole| match streamed {
        Some(Streamed(pieces)) => Content::Pieces(Going { pieces, waiting: waiting.cloned(), asked: Instant::now() }),
        None => Content::Whole(whole),
    })
}

impl MessageBody for Content {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        match self {
            Self::Whole(bytes) => bytes.size(),
            Self::Pieces(_) => BodySize::Stream,
        }
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Pieces(going) => going.poll_piece(context).map(|piece| piece.map(Ok)),
        }
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            going @ Self::Pieces(_) => Err(going),
        }
    }
}
