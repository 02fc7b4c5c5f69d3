//! What the tests of the monitors share.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use maitred_core::health::{Look, Outcome};
use maitred_core::ids::{PoolName, ServerName};
use parking_lot::Mutex;

use super::server_monitor::Observer;
use crate::config::Host;
use crate::probe::{Ask, Check, Target};

/// An observer that notes what it is told and always answers the same delay.
pub(super) struct Notes {
    delay: Duration,
    panic: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    servers: BTreeSet<String>,
    looks: usize,
    bad: usize,
    last_at: Option<Instant>,
}

impl Notes {
    pub(super) fn answering(delay: Duration) -> Arc<Self> {
        Arc::new(Self { delay, panic: AtomicBool::new(false), seen: Mutex::default() })
    }

    pub(super) fn looks(&self) -> usize {
        self.seen.lock().looks
    }

    pub(super) fn all_good(&self) -> bool {
        self.seen.lock().bad == 0
    }

    pub(super) fn has_seen(&self, server: &str) -> bool {
        self.seen.lock().servers.contains(server)
    }

    pub(super) fn last_at(&self) -> Instant {
        self.seen.lock().last_at.unwrap()
    }

    /// The next look that is told makes it panic.
    pub(super) fn panic_once(&self) {
        self.panic.store(true, Ordering::SeqCst);
    }
}

impl Observer for Notes {
    fn observed(&self, server: &ServerName, look: Look) -> Duration {
        assert!(!self.panic.swap(false, Ordering::SeqCst), "as the test wants it");
        let mut seen = self.seen.lock();
        seen.servers.insert(server.to_string());
        seen.looks += 1;
        seen.bad += usize::from(matches!(look.outcome, Outcome::Bad(_)));
        seen.last_at = Some(Instant::now());
        self.delay
    }
}

/// A listener that takes every connection at once: a backlog that fills up would make good looks late.
pub(super) struct Door {
    port: u16,
}

impl Door {
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        Self { port }
    }
}

/// A server that is good.
pub(super) fn target(server: &str, door: &Door, interval: Duration) -> Arc<Target> {
    at(server, door.port, Ask::Tcp, interval, Duration::from_secs(20))
}

/// A server that refuses: nobody listens at port 1.
pub(super) fn closed(server: &str, interval: Duration) -> Arc<Target> {
    at(server, 1, Ask::Tcp, interval, Duration::from_secs(20))
}

/// A server that takes connections and never answers.
pub(super) fn hanging(server: &str, timeout: Duration) -> Arc<Target> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Listens for the rest of the test, and takes nothing.
    std::mem::forget(listener);
    at(server, port, Ask::Ajp, Duration::from_millis(1), timeout)
}

fn at(server: &str, port: u16, ask: Ask, interval: Duration, timeout: Duration) -> Arc<Target> {
    let check = Check { name: None, host: Host::parse("127.0.0.1").unwrap(), port, ask };
    let (pool, server) = (PoolName::parse("ua").unwrap(), ServerName::parse(server).unwrap());
    Arc::new(Target { pool, server, interval, timeout, checks: vec![check] })
}

/// Waits for a condition, with a limit that only a defect reaches.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < limit, "the condition never held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
