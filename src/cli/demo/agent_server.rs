//! A simulated agent server: an [`Application`] over TLS on loopback, which can die and come back.
//!
//! Knows nothing of directors.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::application::Application;
use super::ports;
use crate::tls::ReloadableServer;

/// How long a handshake may take: somebody may only knock.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// One agent server. Its address stays the same over its lives.
pub(super) struct AgentServer {
    name: String,
    datacenter: String,
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    lives: AtomicU64,
    life: Mutex<Option<Life>>,
}

/// What is gone when the server dies.
struct Life {
    application: Arc<Application>,
    serving: JoinHandle<()>,
}

impl AgentServer {
    /// Starts one on a free port of loopback, with the certificate of its name.
    ///
    /// # Errors
    /// When the certificate or the port cannot be had.
    pub(super) async fn start(name: &str, datacenter: &str, certs: &Path) -> anyhow::Result<Self> {
        let pair = ReloadableServer::public(&certs.join(format!("{name}.pem")), &certs.join(format!("{name}.key")))?;
        let mut tls = pair.config();
        // What answers here speaks no other.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = ports::hold().context("no free port on loopback")?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let server = Self {
            name: name.to_owned(),
            datacenter: datacenter.to_owned(),
            address: listener.local_addr()?,
            tls: Arc::new(tls),
            lives: AtomicU64::new(0),
            life: Mutex::new(None),
        };
        server.live(listener);
        Ok(server)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    pub(super) fn datacenter(&self) -> &str {
        &self.datacenter
    }

    /// The host by which browsers know it: a name of its own, so that each server keeps cookies of its own.
    pub(super) fn host(&self) -> String {
        format!("{}.localhost", self.name)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its origin, as the configuration has it.
    pub(super) fn origin(&self) -> String {
        format!("https://{}:{}", self.host(), self.address.port())
    }

    /// How many agents are logged in; `None` while it is dead.
    pub(super) fn agents(&self) -> Option<usize> {
        self.life.lock().as_ref().map(|life| life.application.agents())
    }

    /// Dies at once: the port is closed, connections break, sessions are gone.
    pub(super) async fn die(&self) {
        let life = self.life.lock().take();
        if let Some(life) = life {
            life.serving.abort();
            // Only when the task is over is the port closed.
            let _ = life.serving.await;
        }
    }

    /// Comes back on the same port, as another process would: with nothing in memory.
    ///
    /// # Errors
    /// When somebody else took the port.
    pub(super) async fn come_back(&self) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address).await.with_context(|| format!("{} is taken", self.address))?;
        self.live(listener);
        Ok(())
    }

    fn live(&self, listener: TcpListener) {
        let number = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let application = Arc::new(Application::new(&self.name, number));
        let serving = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::clone(&self.tls)), Arc::clone(&application)));
        *self.life.lock() = Some(Life { application, serving });
    }
}

/// Accepts until it is aborted; all connections end with it.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, application: Arc<Application>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(answer(stream, acceptor.clone(), Arc::clone(&application)));
                }
                // Out of file descriptors: take a breath instead of spinning.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, application: Arc<Application>) {
    let Ok(Ok(secured)) = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await else { return };
    let service = service_fn(move |request| {
        let answer = application.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    // A client that goes away in the middle is its own affair.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(secured), service).await;
}
