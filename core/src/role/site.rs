//! One datacenter in the eyes of the role: whether it serves, since when, and since when in its own words.

use std::time::Duration;

use crate::clock::{Mono, Since};
use crate::ids::DatacenterName;

/// What is known of one datacenter's servers of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// At least `min_up` servers are up by fresh votes.
    Serves,
    /// Not known: too few fresh votes to say either. Unknown is not down.
    Unknown,
    /// So many are down that `min_up` cannot be reached.
    Fails,
}

impl Service {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::Unknown => "unknown",
            Self::Fails => "fails",
        }
    }
}

/// One datacenter.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) datacenter: DatacenterName,
    pub(super) service: Service,
    /// When `service` became what it is.
    pub(super) since: Mono,
    /// The last moment that it was known, or supposed, to serve.
    pub(super) last_served: Mono,
    /// When fresh votes last said that it serves; `None`: not in this run.
    pub(super) seen: Option<Mono>,
    /// Since how long it serves without a break, in the words of its own directors, and when they were heard.
    pub(super) claimed: Option<Since>,
}

impl Site {
    pub(super) fn new(datacenter: DatacenterName, now: Mono) -> Self {
        Self { datacenter, service: Service::Unknown, since: now, last_served: now, seen: None, claimed: None }
    }

    /// Since how long it serves without a break; its own directors know best.
    pub(super) fn serves_for(&self, now: Mono) -> Option<Duration> {
        (self.service == Service::Serves)
            .then(|| self.claimed.map_or_else(|| now.since(self.since), |claimed| claimed.age(now)))
    }
}
