//! The threads of a listener: each accepts its own connections and serves them to their end.
//!
//! ```text
//! address ─┬─ socket 0 ─ worker 0: accept ─ place ─ service
//!          └─ socket 1 ─ worker 1: accept ─ place ─ service       places: limits.connections, for all workers together
//! ```
//! A start comes on a new connection, and a thread that only accepts would be one more to wake for each
//! (docs/decisions/0013). The system spreads connections over the sockets of one address. Owns accepting, the limit of
//! connections, and how a listener stops; what is said on a connection is the service's.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use actix_service::{Service, ServiceFactory};
use futures_util::future::select;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;
use tracing::error;

use super::socket::Socket;

/// How long a worker waits when the system gives it no connection for want of something: descriptors, memory.
const PAUSE: Duration = Duration::from_millis(500);

/// A connection as it was accepted.
pub(super) type Accepted = (Socket, SocketAddr);

/// How far a listener has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// No new connections; those that stand end with their next answer.
    Stopping,
    /// The threads end.
    Over,
}

/// Tells a connection that its listener stops.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<Phase>);

impl Stopping {
    /// Ready when the listener stops.
    pub async fn notified(self) {
        self.reached(Phase::Stopping).await;
    }

    async fn reached(mut self, phase: Phase) {
        // Whoever dropped the listener's handle has stopped it.
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}

/// A listener that serves until this is stopped or dropped.
#[must_use = "a listener ends when this is dropped"]
pub struct Serving {
    phase: watch::Sender<Phase>,
    places: Arc<Semaphore>,
    connections: u32,
}

impl Serving {
    /// Accepts nothing more, lets open requests end, and returns when no connection is left.
    pub async fn stop(self) {
        self.phase.send_replace(Phase::Stopping);
        // All places are free: nobody is here any more.
        let _ = self.places.acquire_many(self.connections).await;
        self.phase.send_replace(Phase::Over);
    }
}

/// What the workers of a listener need besides their sockets.
pub(super) struct Workers {
    phase: watch::Sender<Phase>,
    connections: u32,
}

impl Workers {
    /// For at most so many connections at a time.
    pub(super) fn new(connections: usize) -> Self {
        let connections = u32::try_from(connections.max(1)).unwrap_or(u32::MAX);
        Self { phase: watch::Sender::new(Phase::Serving), connections }
    }

    /// What tells connections that the listener stops.
    pub(super) fn stopping(&self) -> Stopping {
        Stopping(self.phase.subscribe())
    }

    /// Starts a thread for each socket; each makes a service of its own.
    ///
    /// # Errors
    /// When a thread or its service cannot be made.
    pub(super) fn serve<F, M>(self, name: &'static str, sockets: Vec<TcpListener>, make: M) -> io::Result<Serving>
    where
        F: ServiceFactory<Accepted, Config = (), Response = (), Error = (), InitError = ()> + 'static,
        F::Service: 'static,
        M: Fn() -> F + Clone + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(self.connections as usize));
        let (report, started) = mpsc::channel();
        for (number, socket) in sockets.into_iter().enumerate() {
            let (stopping, places, make, report) = (self.stopping(), Arc::clone(&places), make.clone(), report.clone());
            let thread = move || {
                let mut report = Some(report);
                if let (Err(error), Some(report)) = (live(socket, &places, stopping, &make, &mut report), report) {
                    let _ = report.send(Err(error));
                }
            };
            thread::Builder::new().name(format!("{name} {number}")).spawn(thread)?;
        }
        drop(report);
        started.into_iter().collect::<io::Result<()>>()?;
        Ok(Serving { phase: self.phase, places, connections: self.connections })
    }
}

/// The life of one thread.
fn live<F, M>(
    socket: TcpListener,
    places: &Arc<Semaphore>,
    stopping: Stopping,
    make: &M,
    report: &mut Option<mpsc::Sender<io::Result<()>>>,
) -> io::Result<()>
where
    F: ServiceFactory<Accepted, Config = (), Response = (), Error = (), InitError = ()> + 'static,
    F::Service: 'static,
    M: Fn() -> F,
{
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        socket.set_nonblocking(true)?;
        // Connections inherit it. Without it an answer behind a TLS ticket would wait for the client's delayed acknowledgement.
        SockRef::from(&socket).set_tcp_nodelay(true)?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; a listener that owns its descriptor keeps the promise"
        )]
        let listener = AsyncFd::new(socket)?;
        let service = make().new_service(()).await.map_err(|()| io::Error::other("no service"))?;
        // Whoever waits for the start hears of it, and no more.
        report.take().into_iter().for_each(|report| drop(report.send(Ok(()))));
        let accepting = accept(listener, Rc::new(service), places);
        select(Box::pin(accepting), Box::pin(stopping.clone().notified())).await;
        // Connections that stand are served to their end.
        stopping.reached(Phase::Over).await;
        Ok(())
    })
}

/// Takes one connection after another.
async fn accept<S>(listener: AsyncFd<TcpListener>, service: Rc<S>, places: &Arc<Semaphore>)
where
    S: Service<Accepted, Response = (), Error = ()> + 'static,
{
    loop {
        // A service that has its hands full with handshakes is given no more.
        let _ = poll_fn(|context| service.poll_ready(context)).await;
        let accepted = match next(&listener).await {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_connection(&error) => continue,
            Err(error) => {
                error!(%error, "the system gives no connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Who comes when all places are taken waits here, and those behind it in the system's queue.
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
        let service = Rc::clone(&service);
        spawn_local(async move {
            let _ = service.call(accepted).await;
            drop(place);
        });
    }
}

/// The next connection; the runtime does not know it yet.
async fn next(listener: &AsyncFd<TcpListener>) -> io::Result<Accepted> {
    loop {
        let mut ready = listener.readable().await?;
        let accepted = ready.try_io(|listener| {
            // Set on the way, where the standard library would ask the system once more.
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let (socket, peer) = acceptfrom_with(listener.get_ref(), flags)?;
            let peer = peer.ok_or(ErrorKind::ConnectionAborted)?.try_into()?;
            Ok((Socket::fresh(TcpStream::from(socket)), peer))
        });
        // Otherwise another worker's wake or a client that has gone again: there was none.
        if let Ok(accepted) = accepted {
            return accepted;
        }
    }
}

/// Whether only this one connection could not be accepted, and the next one may be.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}
