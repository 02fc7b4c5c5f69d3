//! Why the active datacenter is the active one, told in parts: for explanations and the status.
//!
//! Decides nothing. What it tells is the role's own state and the deadlines that the role itself keeps.

use std::time::Duration;

use super::{Claim, Role, RoleCause, Service};
use crate::clock::Mono;
use crate::ids::DatacenterName;
use crate::settings::FailoverSettings;

/// The role of one pool, with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleStory {
    /// The active datacenter.
    pub active: DatacenterName,
    /// Why.
    pub because: Because,
    /// Since how long; `None` when that is only supposed.
    pub since: Option<Duration>,
    /// Counts changes.
    pub epoch: u64,
    /// The operator's order in force.
    pub order: Option<DatacenterName>,
    /// The active one is not heard of, and the configuration says to wait for an operator.
    pub held: bool,
    /// Failovers in the last hour: each doubles the hold-down before the role returns.
    pub failovers: u32,
    /// Where the role goes next if nothing changes, and when.
    pub next: Option<NextMove>,
    /// What other directors hold to be active.
    pub claims: Vec<Claim>,
    /// The datacenters, the ordered one first, then in the order of the configuration.
    pub sites: Vec<SiteStory>,
}

/// Why a datacenter is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// An operator's order names it.
    Ordered,
    /// It is the first in order, and the role has had no reason to leave it.
    Preferred,
    /// It is what was known when this director started.
    LastKnown,
    /// The role came here by this.
    Moved(RoleCause),
}

impl Because {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Preferred => "preferred",
            Self::LastKnown => "last_known",
            Self::Moved(cause) => cause.as_str(),
        }
    }
}

/// A move of the role that is due when nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextMove {
    /// Where to.
    pub to: DatacenterName,
    /// By what.
    pub cause: RoleCause,
    /// How long until then.
    pub wait: Duration,
}

/// One datacenter of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteStory {
    /// Its name.
    pub datacenter: DatacenterName,
    /// Whether it serves.
    pub service: Service,
    /// Since how long that is so.
    pub since: Duration,
    /// How long ago it was last known, or supposed, to serve.
    pub served_ago: Duration,
    /// Since how long it serves without a break, by its own directors' word where there is one.
    pub serves_for: Option<Duration>,
    /// The servers that it follows from.
    pub count: SiteCount,
}

/// A datacenter's servers of a pool, as the role counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteCount {
    /// Configured.
    pub configured: u32,
    /// Up by the verdict and not held back.
    pub up: u32,
    /// Of which nothing fresh is known.
    pub unknown: u32,
    /// As many must be up (`min_up`).
    pub needed: u32,
}

impl SiteCount {
    /// Whether the datacenter serves.
    #[must_use]
    pub fn service(self) -> Service {
        if self.up >= self.needed {
            Service::Serves
        } else if self.up + self.unknown >= self.needed {
            Service::Unknown
        } else {
            Service::Fails
        }
    }
}

impl Role {
    /// Why the active datacenter is the active one, if any is configured. `counts` says what a datacenter's service follows from.
    #[must_use]
    pub fn story(
        &self,
        failover: &FailoverSettings,
        counts: impl Fn(&DatacenterName) -> SiteCount,
        now: Mono,
    ) -> Option<RoleStory> {
        let tell = |at: usize| {
            let site = self.sites.get(at)?;
            Some(SiteStory {
                datacenter: site.datacenter.clone(),
                service: site.service,
                since: now.since(site.since),
                served_ago: if site.service == Service::Fails { now.since(site.last_served) } else { Duration::ZERO },
                serves_for: site.serves_for(now),
                count: counts(&site.datacenter),
            })
        };
        Some(RoleStory {
            active: self.active()?.clone(),
            because: self.because(),
            since: self.began(now),
            epoch: self.epoch,
            order: self.order.clone(),
            held: self.held,
            failovers: self.failovers(),
            next: self.next_move(failover, now),
            claims: self.claims.clone(),
            sites: self.ladder().filter_map(tell).collect(),
        })
    }

    fn because(&self) -> Because {
        if self.order.is_some() && self.order.as_ref() == self.active() {
            return Because::Ordered;
        }
        match self.moved {
            Some(cause) => Because::Moved(cause),
            None if self.preferred() == Some(self.active) => Because::Preferred,
            None => Because::LastKnown,
        }
    }

    /// Asked of the role's own rules, now and at its own next deadline.
    fn next_move(&self, failover: &FailoverSettings, now: Mono) -> Option<NextMove> {
        let due = self.next_deadline(failover, now).map(|at| at.max(now));
        std::iter::once(now).chain(due).find_map(|at| {
            let (to, cause) = self.target(failover, at)?;
            Some(NextMove { to: self.sites.get(to)?.datacenter.clone(), cause, wait: at.since(now) })
        })
    }
}
