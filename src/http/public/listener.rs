//! The sockets of the public listener: workers, TLS, limits on connections and time.
//!
//! The service is plain `actix-http`: one function from a request to an answer, without a router's tables and extractors, so that
//! a start pays only for what it needs. Only requests to own paths have a body that is read.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{HttpService, Method, Protocol, Request};
use actix_rt::net::TcpStream;
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt as _, fn_service};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::Limits;
use crate::http::ask::Ask;
use crate::http::connection::{Connection, Patience, Waiting};
use crate::http::edge::Edge;
use crate::http::public::{answer, body};
use crate::http::reply::Reply;

/// How long a connection that is being closed waits for the client to close its side: long enough to read the answer, so that
/// what the client still sends does not reset the connection under it.
const LINGER: Duration = Duration::from_secs(2);

/// Actix counts time in steps of half a second; a deadline that is shorter may lie in the past when its timer is set, and then
/// never fires.
const SHORTEST: Duration = Duration::from_secs(1);

/// How much later than actix the connection's own deadline falls, so that a client hears its 408 and a clean
/// close where actix gives them.
const AFTER_ACTIX: Duration = Duration::from_secs(1);

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
pub fn serve(edge: Arc<Edge>, socket: TcpListener, options: ListenerOptions) -> io::Result<Server> {
    let ListenerOptions { workers, limits, tls } = options;
    let workers = workers.max(1);
    let builder = ServerBuilder::new()
        .workers(workers)
        // Actix counts per worker.
        .max_concurrent_connections(limits.connections.div_ceil(workers))
        .disable_signals();
    let http = Http { edge, limits, stopping: builder.graceful_shutdown_signal() };
    let builder = match tls {
        Some(tls) => builder.listen("public", socket, move || http.over_tls(tls.clone()))?,
        None => builder.listen("public", socket, move || http.in_clear())?,
    };
    Ok(builder.run())
}

/// Makes the services of a worker.
#[derive(Clone)]
struct Http {
    edge: Arc<Edge>,
    limits: Limits,
    stopping: GracefulShutdownSignal,
}

type Accepted<Io> = (Connection<Io>, Protocol, Option<SocketAddr>);

impl Http {
    fn in_clear(
        &self,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> + use<> {
        let patience = self.patience();
        fn_service(move |io: TcpStream| {
            let peer = opened(&io);
            ready(Ok((Connection::new(io, patience), Protocol::Http1, peer)))
        })
        .and_then(self.over())
    }

    fn over_tls(
        &self,
        mut tls: ServerConfig,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> + use<> {
        let patience = self.patience();
        // Old balancers and `curl --http1.0` offer that name alone; refusing the name would refuse HTTP/1.0.
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        let mut acceptor = Acceptor::new(tls);
        acceptor.set_handshake_timeout(self.limits.idle.max(SHORTEST));
        let accepted = move |io: TlsStream<TcpStream>| {
            let (socket, session) = io.get_ref();
            let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
            let peer = opened(socket);
            ready(Ok((Connection::new(io, patience), protocol, peer)))
        };
        // Who fails a handshake has heard so by TLS; a log line each would be theirs to write.
        acceptor.map_err(|_| ()).and_then(accepted).and_then(self.over())
    }

    /// HTTP over a connection that is open.
    fn over<Io: AsyncRead + AsyncWrite + Unpin + 'static>(
        &self,
    ) -> impl ServiceFactory<Accepted<Io>, Config = (), Response = (), Error = (), InitError = ()> + use<Io> {
        let stopping = self.stopping.clone();
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(self.limits.idle.max(SHORTEST))
            .client_request_timeout(self.limits.header_timeout.max(SHORTEST))
            .client_disconnect_timeout(LINGER)
            .on_connect_ext(|io: &Connection<Io>, data| {
                data.insert(io.waiting());
            })
            .finish(PublicFactory { edge: Arc::clone(&self.edge) })
            .map_err(|_| ())
    }

    fn patience(&self) -> Patience {
        let Limits { idle, header_timeout, .. } = self.limits;
        Patience { idle: idle.max(SHORTEST) + AFTER_ACTIX, head: header_timeout.max(SHORTEST) + AFTER_ACTIX }
    }
}

/// Prepares a socket. Without `TCP_NODELAY` an answer behind a TLS ticket would wait for the client's delayed acknowledgement.
fn opened(io: &TcpStream) -> Option<SocketAddr> {
    // A socket that is gone already says so when it is read.
    let _ = io.set_nodelay(true);
    io.peer_addr().ok()
}

struct PublicFactory {
    edge: Arc<Edge>,
}

impl ServiceFactory<Request> for PublicFactory {
    type Response = Reply;
    type Error = Infallible;
    type Config = ();
    type Service = PublicService;
    type InitError = ();
    type Future = Ready<Result<PublicService, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
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
        let under_way = request.conn_data::<Rc<Waiting>>().map(Waiting::request);
        let site = self.edge.site();
        let reads_body = request.head().method == Method::POST && site.prefix.covers(request.head().uri.path());
        if reads_body {
            let edge = Arc::clone(&self.edge);
            return Either::Right(Box::pin(async move {
                let reply = answer_with_body(&edge, request).await;
                drop(under_way);
                Ok(reply)
            }));
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
