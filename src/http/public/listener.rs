//! The public listener: most requests are answered at once; only those to own paths have a body that is read, and only a director
//! that has just started, or was stopped for a while, may have to hear of its peers first.

use std::future::{Ready, ready};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{Method, Request};
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture};
use tokio::time::{Instant, sleep};

use crate::http::ask::Ask;
use crate::http::body;
use crate::http::edge::Edge;
use crate::http::listener::{self, Answers, ListenerOptions, Worker};
use crate::http::public::answer;
use crate::http::reply::Reply;
use crate::http::workers::Serving;

/// A cold director is warm after 5 s whatever happens; this is for a clock that stands still.
const ANSWERED_MAX: Duration = Duration::from_secs(6);
/// A link answers within a millisecond or two; who waits longer looks less often, so that a crowd's waiting costs little.
const ANSWERED_POLL_MIN: Duration = Duration::from_millis(1);
const ANSWERED_POLL_MAX: Duration = Duration::from_millis(4);

/// Answers requests; one per worker.
pub type PublicService = Worker<Edge>;

/// Serves on bound sockets until what is returned is stopped. Signals are the caller's.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(edge: Arc<Edge>, sockets: Vec<TcpListener>, options: ListenerOptions) -> io::Result<Serving> {
    listener::serve(edge, "public", sockets, options)
}

impl Answers for Edge {
    type Future = Either<Ready<Reply>, LocalBoxFuture<'static, Reply>>;

    fn answer(self: &Arc<Self>, request: Request) -> Self::Future {
        let site = self.site();
        let reads_body = request.head().method == Method::POST && site.prefix.covers(request.head().uri.path());
        if !reads_body {
            match Ask::check(self, &site, request.head()) {
                Ok(ask) if self.director.asks_peers(ask.now) => {}
                Ok(ask) => return Either::Left(ready(answer(&ask, Ok(Bytes::new())))),
                Err(refused) => return Either::Left(ready(*refused)),
            }
        }
        let edge = Arc::clone(self);
        Either::Right(Box::pin(async move { answer_later(&edge, request, reads_body).await }))
    }
}

/// Answers what needs a body or, while the director is cold, perhaps its peers.
async fn answer_later(edge: &Edge, mut request: Request, reads_body: bool) -> Reply {
    let site = edge.site();
    let payload = request.take_payload();
    let ask = match Ask::check(edge, &site, request.head()) {
        Ok(ask) => ask,
        Err(refused) => return *refused,
    };
    let body = if reads_body { body::read(ask.headers(), payload, &site.limits).await } else { Ok(Bytes::new()) };
    let (Ok(whole), true) = (&body, edge.director.asks_peers(ask.now)) else { return answer(&ask, body) };
    let (ask, whole) = (ask.asking(), whole.clone());
    let reply = answer(&ask, body);
    let Some(question) = ask.take_question() else { return reply };
    // The links send it, and this thread serves others meanwhile.
    edge.bell().ring();
    let limit = Instant::now() + ANSWERED_MAX;
    let mut pause = ANSWERED_POLL_MIN;
    while !edge.director.is_answered(&question, edge.clock.now()) && Instant::now() < limit {
        sleep(pause).await;
        pause = (pause * 2).min(ANSWERED_POLL_MAX);
    }
    match Ask::check(edge, &site, request.head()) {
        Ok(ask) => answer(&ask, Ok(whole)),
        Err(refused) => *refused,
    }
}
