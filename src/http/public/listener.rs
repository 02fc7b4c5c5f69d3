//! The public listener: most requests are answered at once; only those to own paths have a body that is read.

use std::future::{Ready, ready};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix_http::{Method, Request};
use actix_server::Server;
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture};

use crate::http::ask::Ask;
use crate::http::body;
use crate::http::edge::Edge;
use crate::http::listener::{self, Answers, ListenerOptions, Worker};
use crate::http::public::answer;
use crate::http::reply::Reply;

/// Answers requests; one per worker.
pub type PublicService = Worker<Edge>;

/// Serves on a bound socket until the returned server is stopped through its handle. Signals are the caller's.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(edge: Arc<Edge>, socket: TcpListener, options: ListenerOptions) -> io::Result<Server> {
    listener::serve(edge, "public", socket, options)
}

impl Answers for Edge {
    type Future = Either<Ready<Reply>, LocalBoxFuture<'static, Reply>>;

    fn answer(self: &Arc<Self>, request: Request) -> Self::Future {
        let site = self.site();
        let reads_body = request.head().method == Method::POST && site.prefix.covers(request.head().uri.path());
        if reads_body {
            let edge = Arc::clone(self);
            return Either::Right(Box::pin(async move { answer_with_body(&edge, request).await }));
        }
        Either::Left(ready(match Ask::check(self, &site, request.head()) {
            Ok(ask) => answer(&ask, Ok(Bytes::new())),
            Err(refused) => *refused,
        }))
    }
}

async fn answer_with_body(edge: &Edge, mut request: Request) -> Reply {
    let site = edge.site();
    let payload = request.take_payload();
    let ask = match Ask::check(edge, &site, request.head()) {
        Ok(ask) => ask,
        Err(refused) => return *refused,
    };
    let body = body::read(ask.headers(), payload, &site.limits).await;
    answer(&ask, body)
}
