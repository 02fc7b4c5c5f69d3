//! The sockets of the public listener: workers, TLS, limits on connections and time.
//!
//! The service is plain `actix-http`: one function from a request to an answer, without a router's tables and extractors, so that
//! a start pays only for what it needs. Only requests to own paths have a body that is read.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{Method, Request};
use actix_web::HttpServer;
use actix_web::dev::{AppConfig, Server, Service, ServiceFactory};
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture};
use rustls::ServerConfig;

use crate::config::Limits;
use crate::http::ask::Ask;
use crate::http::edge::Edge;
use crate::http::public::{answer, body};
use crate::http::reply::Reply;

/// How long a connection that is being closed waits for the client to close its side: long enough to read the answer, so that
/// what the client still sends does not reset the connection under it.
const LINGER: Duration = Duration::from_secs(2);

/// Actix counts time in steps of half a second; a deadline that is shorter may lie in the past when its timer is set, and then
/// never fires.
const SHORTEST: Duration = Duration::from_secs(1);

/// How a listener is opened.
pub struct ListenerOptions {
    /// Threads that answer.
    pub workers: usize,
    /// What one caller may cost. Limits on sizes follow a reload; those on connections and time stay as they were opened.
    pub limits: Limits,
    /// TLS; without it the listener is in clear, for tests only.
    pub tls: Option<ServerConfig>,
}

/// Serves on a bound socket until the returned server is stopped through its handle. Signals are the caller's.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(edge: Arc<Edge>, socket: TcpListener, options: ListenerOptions) -> std::io::Result<Server> {
    let ListenerOptions { workers, limits, tls } = options;
    let workers = workers.max(1);
    let patience = |limit: Duration| limit.max(SHORTEST);
    let server = HttpServer::new(move || PublicFactory { edge: Arc::clone(&edge) })
        .workers(workers)
        // Actix counts per worker.
        .max_connections(limits.connections.div_ceil(workers))
        .keep_alive(patience(limits.idle))
        .client_request_timeout(patience(limits.header_timeout))
        .client_disconnect_timeout(LINGER)
        .tls_handshake_timeout(patience(limits.idle))
        .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(socket, tls)?,
        None => server.listen(socket)?,
    };
    Ok(server.run())
}

struct PublicFactory {
    edge: Arc<Edge>,
}

impl ServiceFactory<Request> for PublicFactory {
    type Response = Reply;
    type Error = Infallible;
    type Config = AppConfig;
    type Service = PublicService;
    type InitError = ();
    type Future = Ready<Result<PublicService, ()>>;

    fn new_service(&self, _: AppConfig) -> Self::Future {
        ready(Ok(PublicService::new(Arc::clone(&self.edge))))
    }
}

/// Answers requests; one per worker.
pub struct PublicService {
    edge: Arc<Edge>,
}

impl PublicService {
    /// The service over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }
}

impl Service<Request> for PublicService {
    type Response = Reply;
    type Error = Infallible;
    type Future = Either<Ready<Result<Reply, Infallible>>, LocalBoxFuture<'static, Result<Reply, Infallible>>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, request: Request) -> Self::Future {
        let site = self.edge.site();
        let reads_body = request.head().method == Method::POST && site.prefix.covers(request.head().uri.path());
        if reads_body {
            let edge = Arc::clone(&self.edge);
            return Either::Right(Box::pin(async move { Ok(answer_with_body(&edge, request).await) }));
        }
        let reply = match Ask::check(&self.edge, &site, request.head()) {
            Ok(ask) => answer(&ask, Ok(Bytes::new())),
            Err(refused) => *refused,
        };
        Either::Left(ready(Ok(reply)))
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
