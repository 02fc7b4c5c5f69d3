//! A listener's sockets: workers, TLS, limits on connections and time. The same for every listener; what is answered is given as
//! one function from a request to an answer, without a router's tables and extractors.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::{ConnectionType, Extensions, HttpMessage as _, HttpService, Request, Response};
use actix_rt::net::TcpStream;
use actix_service::{Service, ServiceFactory, ServiceFactoryExt as _, fn_factory, fn_service};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use futures_util::future::Either;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::Limits;
use crate::http::connection::{self, Connection, Patience, Waiting};
use crate::http::content::{Content, is_streamed, with_body};
use crate::http::http2;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};
use crate::http::socket::Parting;
use crate::http::unread::{Bounds, End, Unread};
use crate::http::workers::{self, Serving, Stopping, Workers};
use crate::tls::client_identities;

/// Actix counts time in steps of half a second; a deadline that is shorter may lie in the past when its timer is set, and then
/// never fires.
const SHORTEST: Duration = Duration::from_secs(1);

/// How much later than actix the connection's own deadline falls, so that a client hears its 408 and a clean
/// close where actix gives them.
pub(super) const AFTER_ACTIX: Duration = Duration::from_secs(1);

/// How a listener is opened.
pub struct ListenerOptions {
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

impl ShownNames {
    /// Of the connection that a request came on.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        let of_frames = || request.extensions().get::<Rc<Self>>().map(|names| names.as_ref().clone());
        request.conn_data::<Self>().cloned().or_else(of_frames)
    }
}

/// Serves on the bound sockets of one address, each with a thread of its own, until what is returned is stopped.
///
/// # Errors
/// When a socket cannot be used, or the system gives no thread.
pub fn serve<A: Answers>(
    answers: Arc<A>,
    name: &'static str,
    sockets: Vec<TcpListener>,
    options: ListenerOptions,
) -> io::Result<Serving> {
    let ListenerOptions { limits, tls } = options;
    let workers = Workers::new(limits.connections);
    let http = Http { answers, limits, stopping: workers.stopping() };
    match tls {
        Some(tls) => workers.serve(name, sockets, move || http.over_tls(tls.clone())),
        None => workers.serve(name, sockets, move || http.in_clear()),
    }
}

/// Makes the services of a worker.
struct Http<A> {
    answers: Arc<A>,
    limits: Limits,
    stopping: Stopping,
}

impl<A> Clone for Http<A> {
    fn clone(&self) -> Self {
        Self { answers: Arc::clone(&self.answers), limits: self.limits, stopping: self.stopping.clone() }
    }
}

/// An open connection of HTTP/1 and where it comes from.
type Accepted<Io> = (Connection<Io>, Option<SocketAddr>);

impl<A: Answers> Http<A> {
    fn in_clear(
        &self,
    ) -> impl ServiceFactory<workers::Accepted, Config = (), Response = (), Error = (), InitError = ()> + use<A> {
        let http = self.clone();
        fn_factory(move || {
            let (http1, patience) = (http.http1(|_, _| {}), http.patience());
            async move {
                let http1 = Rc::new(http1.new_service(()).await?);
                Ok(fn_service(move |(io, peer)| http1.call((Connection::new(io, patience), Some(peer)))))
            }
        })
    }

    fn over_tls(
        &self,
        mut tls: ServerConfig,
    ) -> impl ServiceFactory<workers::Accepted, Config = (), Response = (), Error = (), InitError = ()> + use<A> {
        // Old balancers and `curl --http1.0` offer that name alone; refusing the name would refuse HTTP/1.0.
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        let mut acceptor = Acceptor::new(tls);
        acceptor.set_handshake_timeout(self.limits.idle.max(SHORTEST));
        let http = self.clone();
        let by_protocol = fn_factory(move || {
            let http = http.clone();
            async move {
                let http1 = Rc::new(http.http1(note_client).new_service(()).await?);
                let worker = Rc::new(http.worker());
                Ok(fn_service(move |io: TlsStream<TcpStream>| http.speak(io, &http1, &worker)))
            }
        });
        // Who fails a handshake has heard so by TLS; a log line each would be theirs to write.
        fn_service(|(io, _): workers::Accepted| ready(io.into_awaited().map_err(|_| ())))
            .and_then(acceptor.map_err(|_| ()))
            .and_then(by_protocol)
    }

    /// The protocol that the handshake has settled on.
    fn speak<S>(
        &self,
        io: TlsStream<TcpStream>,
        http1: &Rc<S>,
        worker: &Rc<Worker<A>>,
    ) -> impl Future<Output = Result<(), ()>> + use<A, S>
    where
        S: Service<Accepted<TlsStream<TcpStream>>, Response = (), Error = ()>,
    {
        let (socket, session) = io.get_ref();
        // A socket that is gone already says so when it is read.
        let peer = socket.peer_addr().ok();
        if session.alpn_protocol() != Some(b"h2") {
            return Either::Left(http1.call((Connection::new(io, self.patience()), peer)));
        }
        let names = client_identities(session).map(|names| Rc::new(ShownNames(names)));
        let connection = http2::Accepted { io: Connection::of_frames(io, self.patience()), peer, names };
        let (worker, limits, stopping) = (Rc::clone(worker), self.limits, self.stopping.clone());
        Either::Right(async move {
            http2::serve(&worker, connection, &limits, stopping).await;
            Ok(())
        })
    }

    /// HTTP/1 over a connection that is open.
    fn http1<Io: AsyncRead + AsyncWrite + Parting + Unpin + 'static>(
        &self,
        note: fn(&Io, &mut Extensions),
    ) -> impl ServiceFactory<Accepted<Io>, Config = (), Response = (), Error = (), InitError = ()> + use<A, Io> {
        let (http, stopping) = (self.clone(), self.stopping.clone());
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(self.limits.idle.max(SHORTEST))
            .client_request_timeout(self.limits.header_timeout.max(SHORTEST))
            .on_connect_ext(move |io: &Connection<Io>, data| {
                data.insert(io.waiting());
                note(io.inner(), data);
            })
            .h1(fn_factory(move || ready(Ok::<_, ()>(http.worker()))))
            .map_err(|_| ())
    }

    fn worker(&self) -> Worker<A> {
        Worker { answers: Arc::clone(&self.answers), unread: self.unread() }
    }

    fn unread(&self) -> Bounds {
        Bounds { bytes: self.limits.body, time: self.limits.body_timeout }
    }

    fn patience(&self) -> Patience {
        let Limits { idle, header_timeout, .. } = self.limits;
        Patience { idle: idle.max(SHORTEST) + AFTER_ACTIX, head: header_timeout.max(SHORTEST) + AFTER_ACTIX }
    }
}

impl Parting for TlsStream<TcpStream> {}

fn note_client(io: &TlsStream<TcpStream>, data: &mut Extensions) {
    if let Some(names) = client_identities(io.get_ref().1) {
        data.insert(ShownNames(names));
    }
}

/// Answers requests; one per worker.
pub struct Worker<A> {
    answers: Arc<A>,
    unread: Bounds,
}

impl<A: Answers> Service<Request> for Worker<A> {
    type Response = Response<Content>;
    type Error = Infallible;
    type Future = Answering<A::Future>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, request: Request) -> Self::Future {
        let waiting = request.conn_data::<Rc<Waiting>>().cloned();
        match waiting {
            Some(waiting) if waiting.is_ending() => Answering::Never(waiting),
            waiting => self.begin(request, waiting),
        }
    }
}

impl<A: Answers> Worker<A> {
    /// Begins to answer a request.
    pub(super) fn begin(&self, mut request: Request, waiting: Option<Rc<Waiting>>) -> Answering<A::Future> {
        let last = request.head().connection_type() == ConnectionType::Close;
        let under_way = waiting.as_ref().map(Waiting::request);
        let unread = Unread::of(&mut request, self.unread);
        let future = self.answers.answer(request);
        Answering::Begun(Begun { future, answered: None, unread, waiting, last, under_way })
    }
}

/// An answer in the making.
pub enum Answering<F> {
    /// To a request.
    Begun(Begun<F>),
    /// To what stands behind the last request of a connection: none.
    Never(Rc<Waiting>),
}

/// An answer to a request. While it is made, the connection has no deadline.
pub struct Begun<F> {
    future: F,
    answered: Option<Reply>,
    unread: Option<Unread>,
    waiting: Option<Rc<Waiting>>,
    last: bool,
    under_way: Option<connection::Request>,
}

impl<F: Future<Output = Reply> + Unpin> Future for Answering<F> {
    type Output = Result<Response<Content>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Begun(begun) => begun.poll(context).map(|reply| Ok(with_body(reply, begun.waiting.as_ref()))),
            Self::Never(waiting) => {
                waiting.leave();
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<F: Future<Output = Reply> + Unpin> Begun<F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Reply> {
        let reply = match self.answered.take() {
            Some(reply) => reply,
            None => ready!(Pin::new(&mut self.future).poll(context)),
        };
        match self.unread.as_mut().map_or(Poll::Ready(End::Whole), |unread| unread.poll_end(context)) {
            Poll::Pending => {
                self.answered = Some(reply);
                Poll::Pending
            }
            Poll::Ready(end) => Poll::Ready(self.finish(reply, end)),
        }
    }

    fn finish(&mut self, mut reply: Reply, end: End) -> Reply {
        match (end, self.unread.take()) {
            (End::Long, Some(unread)) => unread.let_go(),
            // Whatever was asked for, it came with something that is no request.
            (End::Broken, _) => {
                if !reply.status().is_client_error() {
                    reply = reply::problem(&Problem::malformed("body", "is incomplete or badly framed"), "-");
                }
                reply.head_mut().set_connection_type(ConnectionType::Close);
            }
            (End::Whole | End::Long, _) => {}
        }
        if self.last
            && end == End::Whole
            && let Some(waiting) = &self.waiting
        {
            waiting.part();
        }
        if let Some(waiting) = &self.waiting
            && (self.last || reply.head().connection_type() == ConnectionType::Close)
            && !is_streamed(&reply)
        {
            waiting.answer_last();
        }
        self.under_way = None;
        reply
    }
}
