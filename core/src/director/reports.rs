//! Clients' reports that their server does not answer: each brings the next look at it forward, and does nothing else.
//!
//! A report is a hint and no evidence: it may come from one broken network, or from an attacker. So it changes no vote and no load, and
//! however many come, a server is looked at no more often than while its vote is about to change anyway.

use std::collections::BTreeMap;

use super::Director;
use crate::clock::{Mono, Now};
use crate::event::Effect;
use crate::ids::ServerName;

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reported {
    /// The next look comes at once.
    Forwarded,
    /// One has been brought forward a moment ago.
    Coalesced,
    /// No such server.
    Unknown,
}

impl Reported {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Coalesced => "coalesced",
            Self::Unknown => "unknown",
        }
    }
}

/// When a look at each server was last brought forward. Under a lock of its own, so that a flood of reports delays nothing else.
#[derive(Debug, Default)]
pub(super) struct Reports {
    by_server: BTreeMap<ServerName, Mono>,
}

impl Director {
    /// Brings the next look at a server forward, at most once per `fast` interval of its pool.
    pub fn report(&self, server: &ServerName, now: Now) -> Reported {
        let view = self.view.load();
        let Some((pool, _)) = view.server(server) else { return Reported::Unknown };
        let fast = pool.settings().health.fast;
        {
            let known = &mut self.reports.lock().by_server;
            match known.get_mut(server) {
                Some(last) if now.mono.since(*last) < fast => return Reported::Coalesced,
                Some(last) => *last = now.mono,
                None => {
                    // Only configured names get here; those that have left the configuration since are forgotten.
                    known.retain(|server, _| view.server(server).is_some());
                    known.insert(server.clone(), now.mono);
                }
            }
        }
        self.control.lock().push(Effect::ProbeNow(server.clone()));
        Reported::Forwarded
    }
}
