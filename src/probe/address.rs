//! From a host to addresses, with the last good ones held while the name service fails (`reliability.md`, row 32).
//!
//! At most one lookup per check is under way, however often the server is looked at meanwhile: a name service that hangs must not
//! pile up threads.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use maitred_core::health::FailureKind;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::fault::Fault;
use crate::config::Host;

/// How long addresses are used without asking again. Only new connections ask at all.
const FRESH: Duration = Duration::from_secs(30);
/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What a lookup will find.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Where names become addresses.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of `host`, in the order in which they should be tried.
    fn lookup(&self, host: String, port: u16) -> Found;
}

/// The system's resolver, on a thread for blocking work.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String, port: u16) -> Found {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// What is known about the addresses of one host.
pub(super) struct Addresses {
    host: Host,
    port: u16,
    lookup: Arc<dyn Lookup>,
    known: Vec<SocketAddr>,
    /// When the known ones must be asked for again; `None` at once.
    fresh_until: Option<Instant>,
    pending: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
}

impl Addresses {
    pub(super) fn new(host: Host, port: u16, lookup: Arc<dyn Lookup>) -> Self {
        let known: Vec<_> = host.as_str().parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
        Self { host, port, lookup, known, fresh_until: None, pending: None }
    }

    /// The addresses to dial. Waits for the name service without end when none are known (the caller has a deadline), for
    /// `patience` when there are some to fall back on.
    pub(super) async fn current(&mut self, patience: Duration) -> Result<&[SocketAddr], Fault> {
        let fresh = self.fresh_until.is_some_and(|until| Instant::now() < until);
        if self.host.is_address() || (fresh && !self.known.is_empty()) {
            return Ok(&self.known);
        }
        let (lookup, host, port) = (&self.lookup, &self.host, self.port);
        let pending = self.pending.get_or_insert_with(|| tokio::spawn(lookup.lookup(host.as_str().to_owned(), port)));
        let answer = if self.known.is_empty() { Some(pending.await) } else { timeout(patience, pending).await.ok() };
        let reason = match answer {
            None => return Ok(&self.known),
            Some(Ok(Ok(mut found))) if !found.is_empty() => {
                found.truncate(ADDRESSES_MAX);
                self.known = found;
                None
            }
            Some(Ok(Ok(_))) => Some("the name has no address".to_owned()),
            Some(Ok(Err(error))) => Some(error.to_string()),
            Some(Err(error)) => Some(error.to_string()),
        };
        self.pending = None;
        match reason {
            Some(reason) if self.known.is_empty() => Err(Fault::new(FailureKind::NoName, &reason)),
            Some(_) | None => {
                self.fresh_until = Some(Instant::now() + FRESH);
                Ok(&self.known)
            }
        }
    }

    /// None of the addresses answered: perhaps the host has moved.
    pub(super) fn doubt(&mut self) {
        self.fresh_until = None;
    }

    /// The address that answered is tried first from now on.
    pub(super) fn prefer(&mut self, good: SocketAddr) {
        if let Some(position) = self.known.iter().position(|address| *address == good) {
            self.known.swap(0, position);
        }
    }
}
