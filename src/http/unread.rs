//! What a client still sends when its answer is ready.
//!
//! Most requests are answered without their body: a start has no use for one, and a refusal comes before it. But an answer that
//! overtakes the body harms the client that sends it. HTTP/2 has to reset the stream behind the answer, and curl 7.88 for one then
//! reports an error instead of the answer; HTTP/1 has to close the connection, and bytes that nobody read turn the close into a
//! reset that can overtake the answer as well. So an answer waits until the body has come and is thrown away, as long as that is
//! short in bytes and time; only behind a longer one the stream or connection is closed, and not before the client had a moment to
//! read its answer.
//!
//! Owns no answer: the listener asks it whether the body has ended, and how.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::error::PayloadError;
use actix_http::header::{CONTENT_LENGTH, UPGRADE};
use actix_http::{BoxedPayloadStream, Method, Payload, Request, Version};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client that sends more than is waited for may go on behind its answer: long enough to read it and to stop.
const BEHIND: Duration = Duration::from_secs(2);

/// How much of a body an answer waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes, together with what the answer has read.
    pub(super) bytes: usize,
    /// Time since the head.
    pub(super) time: Duration,
}

/// How the body of an answered request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It came to its end.
    Whole,
    /// It broke off, or its framing is none: what follows on the connection is not a request.
    Broken,
    /// It is longer or slower than is waited for.
    Long,
}

/// The rest of one request's body.
pub(super) struct Unread {
    body: Body,
    bounds: Bounds,
    deadline: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Unread {
    /// Shares the body of a request with its answer. None where there is none to wait for.
    pub(super) fn of(request: &mut Request, bounds: Bounds) -> Option<Self> {
        let head = request.head();
        // The "body" of one who wants another protocol has no end.
        let other_protocol = head.method == Method::CONNECT || head.headers.contains_key(UPGRADE);
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let hold = head.version == Version::HTTP_2;
        let payload = request.take_payload();
        if matches!(payload, Payload::None) || other_protocol {
            *request.payload() = payload;
            return None;
        }
        let long = announced.is_some_and(|length| length > bounds.bytes);
        let body = Body(Rc::new(RefCell::new(Shared { payload, read: 0, end: long.then_some(End::Long), hold })));
        *request.payload() = Payload::from(Box::pin(body.clone()) as BoxedPayloadStream);
        Some(Self { body, bounds, deadline: Instant::now() + bounds.time, alarm: None })
    }

    /// Throws away what comes, until the body has ended or is no longer waited for.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            {
                let shared = self.body.0.borrow();
                if let Some(end) = shared.end {
                    return Poll::Ready(end);
                }
                if shared.read > self.bounds.bytes {
                    return Poll::Ready(End::Long);
                }
            }
            if self.body.poll_next_unpin(context).is_pending() {
                let deadline = self.deadline;
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                ready!(alarm.as_mut().poll(context));
                return Poll::Ready(End::Long);
            }
        }
    }

    /// The answer is on its way and the body is not at its end. HTTP/1 lingers by itself when it closes; a stream of HTTP/2 is held
    /// open here, because letting go of it resets it at once.
    pub(super) fn let_go(self) {
        if !self.body.0.borrow().hold {
            return;
        }
        let (mut body, bytes_max) = (self.body, self.bounds.bytes);
        actix_rt::spawn(async move {
            let discard = async {
                let mut left = bytes_max;
                while let Some(Ok(chunk)) = body.next().await {
                    match left.checked_sub(chunk.len()) {
                        Some(less) => left = less,
                        None => return,
                    }
                }
            };
            // Either way it is over.
            let _ = tokio::time::timeout(BEHIND, discard).await;
        });
    }
}

/// A body that its answer may read, as far as it likes; one thread serves a connection.
#[derive(Clone)]
struct Body(Rc<RefCell<Shared>>);

struct Shared {
    payload: Payload,
    read: usize,
    end: Option<End>,
    hold: bool,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shared = self.0.borrow_mut();
        let shared = &mut *shared;
        let next = ready!(shared.payload.poll_next_unpin(context));
        match &next {
            Some(Ok(chunk)) => shared.read += chunk.len(),
            Some(Err(_)) => shared.end = Some(End::Broken),
            None => shared.end = Some(End::Whole),
        }
        Poll::Ready(next)
    }
}
