//! A listener's sockets: workers, TLS, limits on connections and time. The same for every listener; what is answered is given as
//! one function from a request to an answer, without a router's tables and extractors.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::{Extensions, HttpService, Protocol, Request};
use actix_rt::net::TcpStream;
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt as _, fn_service};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::Limits;
use crate::http::connection::{self, Connection, Patience, Waiting};
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};
use crate::http::unread::{Bounds, End, Unread};
use crate::tls::client_identities;

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
    /// TLS; without it the listener is in clear: the metrics listener, and tests.
    pub tls: Option<ServerConfig>,
}

/// Answers the requests of a listener; shared by its threads.
pub trait Answers: Send + Sync + 'static {
    /// The answer, at once or later.
    type Future: Future<Output = Reply> + Unpin + 'static;

    /// Answers one request.
    fn answer(self: &Arc<Self>, request: Request) -> Self::Future;
}

/// The names in the client certificate of a request's connection, verified by its handshake. A connection keeps its identity.
#[derive(Debug, Clone)]
pub struct ShownNames(pub Vec<String>);

/// Serves on a bound socket until the returned server is stopped through its handle. Signals are the caller's.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve<A: Answers>(
    answers: Arc<A>,
    name: &'static str,
    socket: TcpListener,
    options: ListenerOptions,
) -> io::Result<Server> {
    let ListenerOptions { workers, limits, tls } = options;
    let workers = workers.max(1);
    let builder = ServerBuilder::new()
        .workers(workers)
        // Actix counts per worker.
        .max_concurrent_connections(limits.connections.div_ceil(workers))
        .disable_signals();
    let http = Http { answers, limits, stopping: builder.graceful_shutdown_signal() };
    let builder = match tls {
        Some(tls) => builder.listen(name, socket, move || http.over_tls(tls.clone()))?,
        None => builder.listen(name, socket, move || http.in_clear())?,
    };
    Ok(builder.run())
}

/// Makes the services of a worker.
struct Http<A> {
    answers: Arc<A>,
    limits: Limits,
    stopping: GracefulShutdownSignal,
}

impl<A> Clone for Http<A> {
    fn clone(&self) -> Self {
        Self { answers: Arc::clone(&self.answers), limits: self.limits, stopping: self.stopping.clone() }
    }
}

type Accepted<Io> = (Connection<Io>, Protocol, Option<SocketAddr>);

impl<A: Answers> Http<A> {
    fn in_clear(
        &self,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> + use<A> {
        let patience = self.patience();
        fn_service(move |io: TcpStream| {
            let peer = opened(&io);
            ready(Ok((Connection::new(io, patience), Protocol::Http1, peer)))
        })
        .and_then(self.over(|_, _| {}))
    }

    fn over_tls(
        &self,
        mut tls: ServerConfig,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> + use<A> {
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
        acceptor.map_err(|_| ()).and_then(accepted).and_then(self.over(note_client))
    }

    /// HTTP over a connection that is open.
    fn over<Io: AsyncRead + AsyncWrite + Unpin + 'static>(
        &self,
        note: fn(&Io, &mut Extensions),
    ) -> impl ServiceFactory<Accepted<Io>, Config = (), Response = (), Error = (), InitError = ()> + use<A, Io> {
        let stopping = self.stopping.clone();
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(self.limits.idle.max(SHORTEST))
            .client_request_timeout(self.limits.header_timeout.max(SHORTEST))
            .client_disconnect_timeout(LINGER)
            .on_connect_ext(move |io: &Connection<Io>, data| {
                data.insert(io.waiting());
                note(io.inner(), data);
            })
            .finish(Workers { answers: Arc::clone(&self.answers), unread: self.unread() })
            .map_err(|_| ())
    }

    fn unread(&self) -> Bounds {
        Bounds { bytes: self.limits.body, time: self.limits.body_timeout }
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

fn note_client(io: &TlsStream<TcpStream>, data: &mut Extensions) {
    if let Some(names) = client_identities(io.get_ref().1) {
        data.insert(ShownNames(names));
    }
}

struct Workers<A> {
    answers: Arc<A>,
    unread: Bounds,
}

impl<A: Answers> ServiceFactory<Request> for Workers<A> {
    type Response = Reply;
    type Error = Infallible;
    type Config = ();
    type Service = Worker<A>;
    type InitError = ();
    type Future = Ready<Result<Worker<A>, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        ready(Ok(Worker { answers: Arc::clone(&self.answers), unread: self.unread }))
    }
}

/// Answers requests; one per worker.
pub struct Worker<A> {
    answers: Arc<A>,
    unread: Bounds,
}

impl<A: Answers> Service<Request> for Worker<A> {
    type Response = Reply;
    type Error = Infallible;
    type Future = Answering<A::Future>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let under_way = request.conn_data::<Rc<Waiting>>().map(Waiting::request);
        let unread = Unread::of(&mut request, self.unread);
        Answering { future: self.answers.answer(request), answered: None, unread, under_way }
    }
}

/// An answer in the making. While it is, the connection has no deadline.
pub struct Answering<F> {
    future: F,
    answered: Option<Reply>,
    unread: Option<Unread>,
    under_way: Option<connection::Request>,
}

impl<F: Future<Output = Reply> + Unpin> Future for Answering<F> {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut reply = match this.answered.take() {
            Some(reply) => reply,
            None => ready!(Pin::new(&mut this.future).poll(context)),
        };
        let Some(unread) = &mut this.unread else { return this.answer(reply) };
        match unread.poll_end(context) {
            Poll::Pending => {
                this.answered = Some(reply);
                return Poll::Pending;
            }
            Poll::Ready(End::Whole) => {}
            Poll::Ready(End::Long) => {
                if let Some(unread) = this.unread.take() {
                    unread.let_go();
                }
            }
            // Whatever was asked for, it came with something that is no request.
            Poll::Ready(End::Broken) => {
                if !reply.status().is_client_error() {
                    reply = reply::problem(&Problem::malformed("body", "is incomplete or badly framed"), "-");
                }
                reply.head_mut().set_connection_type(actix_http::ConnectionType::Close);
            }
        }
        this.answer(reply)
    }
}

impl<F> Answering<F> {
    fn answer(&mut self, reply: Reply) -> Poll<Result<Reply, Infallible>> {
        self.under_way = None;
        Poll::Ready(Ok(reply))
    }
}
