//! Performs what the core returns: an event becomes one log line and a count, a wish for a look reaches its monitor.
//!
//! Owns no decision. Whoever gives the director an input calls [`Effects::perform`] afterwards; the keeper's tick catches what
//! others left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use maitred_core::director::Director;
use maitred_core::event::{Effect, Event};
use metrics::counter;
use tracing::{info, warn};

use super::watchdog::Monitors;

/// Effects that one call performs at most, so that a handler's turn ends.
const PER_CALL_MAX: usize = 4096;

/// The hands of the director.
pub struct Effects {
    director: Arc<Director>,
    /// Known once the monitors stand, which look through the director themselves.
    monitors: OnceLock<Weak<Monitors>>,
    /// Dropped ones that have been told.
    dropped: AtomicU64,
}

impl Effects {
    /// For one director.
    #[must_use]
    pub fn new(director: Arc<Director>) -> Arc<Self> {
        Arc::new(Self { director, monitors: OnceLock::new(), dropped: AtomicU64::new(0) })
    }

    /// Who looks when a look is wished for. The first one given stays.
    pub fn reach(&self, monitors: &Arc<Monitors>) {
        let _ = self.monitors.set(Arc::downgrade(monitors));
    }

    /// Performs what is waiting.
    pub fn perform(&self) {
        for _ in 0..PER_CALL_MAX {
            match self.director.next_effect() {
                None => return self.tell_dropped(),
                Some(Effect::Publish(event)) => publish(&event),
                Some(Effect::ProbeNow(server)) => {
                    if let Some(monitors) = self.monitors.get().and_then(Weak::upgrade) {
                        monitors.probe_now(&server);
                    }
                }
            }
        }
    }

    /// What the core had to drop because nobody came for it: counted, and one line for each time it happened.
    fn tell_dropped(&self) {
        let all = self.director.effects_dropped();
        let dropped = all.saturating_sub(self.dropped.fetch_max(all, Ordering::Relaxed));
        if dropped > 0 {
            counter!("maitred_effects_dropped_total").increment(dropped);
            warn!(dropped, "events were dropped, because nobody had taken them for too long");
        }
    }
}

/// One line for each decision that changes something.
fn publish(event: &Event) {
    let kind = event.as_str();
    counter!("maitred_events_total", "event" => kind).increment(1);
    match event {
        Event::ServerUp { pool, server } => info!(event = kind, %pool, %server, "server is up"),
        Event::ServerDown { pool, server, kind: failure, detail } => {
            warn!(event = kind, %pool, %server, reason = failure.as_str(), detail, "server is down");
        }
        Event::ServerReborn { pool, server, incarnation } => {
            info!(event = kind, %pool, %server, incarnation = incarnation.as_str(), "server is another process; what it held is gone");
        }
        Event::ServerDegraded { pool, server, dependency, degraded } => {
            warn!(event = kind, %pool, %server, dependency, degraded, "server's dependency changed");
        }
        Event::ServerOrdered { pool, server, before, after, reason } => {
            info!(event = kind, %pool, %server, before = before.as_str(), after = after.as_str(), reason, "operator's word is in force");
        }
        Event::RoleMoved { pool, from, to, epoch, cause } => {
            warn!(event = kind, %pool, %from, %to, epoch, reason = cause.as_str(), "active datacenter moved");
        }
        Event::OrderSuperseded { pool, server, lost, director, holds } => {
            let server = server.as_ref().map_or("", |server| server.as_str());
            warn!(event = kind, %pool, server, lost, %director, holds, "two orders were given apart: the later one holds");
        }
        Event::MassLogout { pool, incident } => {
            let (count, of, window_s) = (incident.count, incident.of, incident.window.as_secs());
            let (threshold, panic) = (incident.threshold_percent, incident.panic);
            warn!(event = kind, %pool, count, of, window_s, threshold, panic, "many sessions ended at once");
        }
        Event::TimeLost { lost } => {
            warn!(
                event = kind,
                lost_s = lost.as_secs_f64(),
                "this director did not run for a while: it asks its peers before it is ready"
            );
        }
        Event::Suspect { pool, abstains: true, silent, of } => {
            warn!(event = kind, %pool, silent, of, "many servers fell silent at once: this director suspects itself and abstains");
        }
        Event::Suspect { pool, abstains: false, .. } => {
            info!(event = kind, %pool, "this director trusts its own looks again");
        }
    }
}
