//! All monitors of a director, and the watchdog that builds a dead one anew.
//!
//! A panic in an actor of actix 0.13 kills it without a word, and a supervisor would only restart it after a clean stop, with the
//! old state. So somebody must look: [`Monitors::check`] does, and [`Watchdog`] calls it each second from a thread of the caller.
//! A monitor is rebuilt from its target alone. Knows nothing of what the monitors see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use maitred_core::ids::ServerName;
use parking_lot::Mutex;
use tracing::{error, info};

use super::server_monitor::{Monitor, Observer, spawn};
use crate::probe::Target;

/// Time between two checks: well within the shortest sensible `fall` × `interval`.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The monitors of all servers, on an arbiter of their own. Shared as `Arc` by whoever has orders for them.
pub struct Monitors {
    observer: Arc<dyn Observer>,
    inner: Mutex<Inner>,
}

struct Inner {
    arbiter: Option<Arbiter>,
    servers: BTreeMap<ServerName, Watched>,
    rebuilt: u64,
}

struct Watched {
    target: Arc<Target>,
    monitor: Monitor,
}

impl Monitors {
    /// None yet. Must be called within an actix system.
    #[must_use]
    pub fn new(observer: Arc<dyn Observer>) -> Arc<Self> {
        let inner = Inner { arbiter: Some(Arbiter::new()), servers: BTreeMap::new(), rebuilt: 0 };
        Arc::new(Self { observer, inner: Mutex::new(inner) })
    }

    /// Looks at exactly these servers from now on: starts the new, stops the vanished, retargets the others. Nothing after a stop.
    pub fn watch(&self, targets: Vec<Arc<Target>>) {
        let mut inner = self.inner.lock();
        let Inner { arbiter: Some(arbiter), servers, .. } = &mut *inner else { return };
        let mut before = std::mem::take(servers);
        for target in targets {
            let name = target.server.clone();
            let watched = match before.remove(&name) {
                Some(watched) if watched.monitor.is_alive() => {
                    watched.monitor.retarget(target.clone());
                    Watched { target, monitor: watched.monitor }
                }
                Some(_) | None => {
                    let monitor = spawn(&arbiter.handle(), target.clone(), self.observer.clone());
                    Watched { target, monitor }
                }
            };
            servers.insert(name, watched);
        }
        for watched in before.values() {
            watched.monitor.stop();
        }
        info!(servers = servers.len(), stopped = before.len(), "watching servers");
    }

    /// Brings a server's next look forward; nothing for a server that is not watched.
    pub fn probe_now(&self, server: &ServerName) {
        if let Some(watched) = self.inner.lock().servers.get(server) {
            watched.monitor.probe_now();
        }
    }

    /// Builds the dead anew, and their arbiter when it is dead itself. Answers how many were dead.
    pub fn check(&self) -> usize {
        let mut inner = self.inner.lock();
        let Inner { arbiter: Some(arbiter), servers, rebuilt } = &mut *inner else { return 0 };
        // An arbiter that has ended takes no task any more.
        if !arbiter.spawn(async {}) {
            error!("the monitors' thread has ended; starting another one");
            *arbiter = Arbiter::new();
        }
        let mut dead = 0;
        for (name, watched) in servers.iter_mut().filter(|(_, watched)| !watched.monitor.is_alive()) {
            error!(server = %name, "a monitor has died; building it anew");
            watched.monitor = spawn(&arbiter.handle(), watched.target.clone(), self.observer.clone());
            metrics::counter!("maitred_monitors_rebuilt_total").increment(1);
            dead += 1;
        }
        *rebuilt += u64::try_from(dead).unwrap_or(u64::MAX);
        dead
    }

    /// How many monitors were built anew since the start.
    #[must_use]
    pub fn rebuilt(&self) -> u64 {
        self.inner.lock().rebuilt
    }

    /// Ends all looks and their thread, for good.
    pub fn stop(&self) {
        let mut inner = self.inner.lock();
        for watched in std::mem::take(&mut inner.servers).values() {
            watched.monitor.stop();
        }
        if let Some(arbiter) = inner.arbiter.take() {
            arbiter.stop();
        }
    }
}

impl Drop for Monitors {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Calls [`Monitors::check`] each second until it is stopped or the monitors are gone.
pub struct Watchdog {
    monitors: std::sync::Weak<Monitors>,
}

impl Watchdog {
    /// Starts it on the caller's arbiter, which must not be the monitors' own.
    pub fn spawn(monitors: &Arc<Monitors>) -> Addr<Self> {
        Self { monitors: Arc::downgrade(monitors) }.start()
    }

    fn arm(context: &mut Context<Self>) {
        context.run_later(CHECK_EVERY, |watchdog, context| match watchdog.monitors.upgrade() {
            Some(monitors) => {
                monitors.check();
                Self::arm(context);
            }
            None => context.stop(),
        });
    }
}

impl Actor for Watchdog {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        Self::arm(context);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Door, Notes, target, until};
    use super::*;

    #[actix_rt::test]
    async fn a_dead_monitor_is_built_anew_and_counted() {
        let notes = Notes::answering(Duration::ZERO);
        let door = Door::open();
        let monitors = Monitors::new(notes.clone());
        monitors.watch(vec![target("ua1", &door, Duration::from_millis(1))]);
        let watchdog = Watchdog::spawn(&monitors);
        until(|| notes.looks() >= 1).await;
        assert_eq!(monitors.check(), 0);
        notes.panic_once();
        until(|| monitors.rebuilt() == 1).await;
        let before = notes.looks();
        until(|| notes.looks() > before).await;
        monitors.stop();
        drop(monitors);
        until(|| !watchdog.connected()).await;
    }

    #[actix_rt::test]
    async fn a_dead_thread_is_replaced() {
        let notes = Notes::answering(Duration::ZERO);
        let door = Door::open();
        let monitors = Monitors::new(notes.clone());
        monitors.watch(vec![target("ua1", &door, Duration::from_millis(1))]);
        until(|| notes.looks() >= 1).await;
        monitors.inner.lock().arbiter.as_ref().unwrap().stop();
        until(|| monitors.check() == 1).await;
        let before = notes.looks();
        until(|| notes.looks() > before).await;
    }

    #[actix_rt::test]
    async fn a_reload_starts_the_new_and_stops_the_vanished() {
        let notes = Notes::answering(Duration::ZERO);
        let door = Door::open();
        let target = |name: &str| target(name, &door, Duration::from_millis(1));
        let (one, two, three) = (target("ua1"), target("ua2"), target("ua3"));
        let monitors = Monitors::new(notes.clone());
        monitors.watch(vec![one.clone(), two.clone()]);
        until(|| notes.has_seen("ua1") && notes.has_seen("ua2")).await;
        assert!(!notes.has_seen("ua3"));
        monitors.watch(vec![two.clone(), three.clone()]);
        until(|| notes.has_seen("ua3")).await;
        until(|| Arc::strong_count(&one) == 1).await;
        monitors.stop();
        until(|| Arc::strong_count(&two) == 1 && Arc::strong_count(&three) == 1).await;
        monitors.watch(vec![one.clone()]);
        assert_eq!((monitors.check(), Arc::strong_count(&one)), (0, 1));
    }
}
