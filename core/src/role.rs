//! Which datacenter is active for a pool.
//!
//! Owns the delay before the role leaves, the hold-down before it returns, the epoch and the operator's order. Knows nothing of
//! servers, votes or links: it is told per datacenter whether it serves, and what the other directors hold.
//!
//! R13: the same evidence gives the same role everywhere. What two directors can differ in is the past, and only one question
//! settles it: did the preferred site serve without a break since before the other began? Both answer it from the same two
//! numbers. Only a failover that somebody witnessed (a fresh vote from that site, or an answer from its servers) counts as one;
//! a site that serves because nothing is heard from the other raises nothing.

mod change;
mod site;
mod story;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub use change::{RoleCause, RoleChange};
pub use site::Service;
pub use story::{Because, NextMove, RoleStory, SiteCount, SiteStory};

use crate::clock::{Mono, Since, millis};
use crate::fault::{Fault, planted};
use crate::ids::{DatacenterName, DirectorName};
use crate::settings::{Failback, FailoverSettings, Isolated};
use site::Site;

/// Failovers are counted over this window for the growing hold-down.
const FAILOVERS_COUNT_FOR: Duration = Duration::from_hours(1);
/// More failovers in an hour than these are no news.
const FAILOVERS_MAX: u32 = 32;
/// An epoch that is further ahead is poisoned.
const EPOCH_AHEAD_MAX: u64 = 1_000_000;
/// The hold-down never grows above this.
const FAILBACK_MAX: Duration = Duration::from_hours(1);

/// The role of one pool.
#[derive(Debug, Clone)]
pub struct Role {
    sites: Vec<Site>,
    active: usize,
    epoch: u64,
    order: Option<DatacenterName>,
    /// Since when the active one is active; `None` when that is only supposed.
    began: Option<Since>,
    failovers: VecDeque<Mono>,
    /// The highest count of failovers that others know of.
    heard_failovers: u32,
    claims: Vec<Claim>,
    /// When the active one was last left because it failed: starts are paced from then on.
    left: Option<Mono>,
    /// It fails, nobody has witnessed it, and the configuration says to wait.
    held: bool,
    seen_any: bool,
    /// Why the role last moved, in this run.
    moved: Option<RoleCause>,
}

/// What another director holds about the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose word.
    pub director: DirectorName,
    /// The datacenter that it holds to be active.
    pub active: DatacenterName,
    /// Since how long; zero when it only supposes so.
    pub began: Duration,
    /// Its epoch.
    pub epoch: u64,
    /// Failovers in the last hour, as it knows.
    pub failovers: u32,
}

impl Role {
    /// A role before any evidence: the last known active datacenter, else the first in order (`rules.md`, Words).
    #[must_use]
    pub fn new(datacenters: &[DatacenterName], last: Option<(&DatacenterName, u64)>, now: Mono) -> Self {
        let sites = datacenters.iter().map(|name| Site::new(name.clone(), now)).collect();
        let (active, epoch) = last
            .and_then(|(name, epoch)| datacenters.iter().position(|d| d == name).map(|at| (at, epoch)))
            .unwrap_or((0, last.map_or(0, |(_, epoch)| epoch)));
        Self {
            sites,
            active,
            epoch,
            order: None,
            began: None,
            failovers: VecDeque::new(),
            heard_failovers: 0,
            claims: Vec::new(),
            left: None,
            held: false,
            seen_any: false,
            moved: None,
        }
    }

    /// The active datacenter, if any is configured.
    #[must_use]
    pub fn active(&self) -> Option<&DatacenterName> {
        self.sites.get(self.active).map(|site| &site.datacenter)
    }

    /// Counts changes of the role.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The order in force.
    #[must_use]
    pub fn order(&self) -> Option<&DatacenterName> {
        self.order.as_ref()
    }

    /// What is known of a datacenter, and since when.
    #[must_use]
    pub fn service(&self, datacenter: &DatacenterName) -> Option<(Service, Mono)> {
        self.sites.iter().find(|site| site.datacenter == *datacenter).map(|site| (site.service, site.since))
    }

    /// Takes what is known of a datacenter now; `served_at` is the last fresh word by which it served, from which the delay of a
    /// failover runs (R13).
    pub fn observe(&mut self, datacenter: &DatacenterName, service: Service, served_at: Mono, now: Mono) {
        let Some(site) = self.sites.iter_mut().find(|site| site.datacenter == *datacenter) else { return };
        site.last_served = if service == Service::Fails { site.last_served.max(served_at) } else { now };
        if service == Service::Serves {
            site.seen = Some(now);
        }
        if site.service != service {
            site.service = service;
            site.since = now;
        }
    }

    /// So much time was lost: nobody has looked meanwhile, and no delay of a failover has passed.
    pub fn lapse(&mut self, lost: Duration, now: Mono) {
        self.sites.iter_mut().for_each(|site| site.last_served = (site.last_served + lost).min(now));
    }

    /// Takes the last known role back, before any evidence of this run; `age` is how long ago it began.
    pub fn restore(&mut self, active: &DatacenterName, epoch: u64, age: Duration, now: Mono) {
        self.epoch = self.epoch.max(epoch);
        if !self.seen_any
            && let Some(at) = self.sites.iter().position(|site| site.datacenter == *active)
        {
            self.active = at;
            self.began = Some(Since::new(now, age));
        }
    }

    /// What the other directors hold now, stale words left out by the caller; replaces what they held before.
    pub fn hear(&mut self, claims: Vec<Claim>) {
        let highest = claims.iter().map(|claim| claim.epoch).max().unwrap_or(0);
        // R13: it counts changes and picks no winner. A poisoned one is not believed.
        if highest <= self.epoch.saturating_add(EPOCH_AHEAD_MAX) {
            self.epoch = self.epoch.max(highest);
        }
        self.heard_failovers = claims.iter().map(|claim| claim.failovers.min(FAILOVERS_MAX)).max().unwrap_or(0);
        self.claims = claims;
    }

    /// Since how long a datacenter serves in the words of its own directors; `None` when there is no fresh one.
    pub fn set_claimed(&mut self, datacenter: &DatacenterName, serves_for: Option<Duration>, now: Mono) {
        if let Some(site) = self.sites.iter_mut().find(|site| site.datacenter == *datacenter) {
            site.claimed = serves_for.map(|before| Since::new(now, before));
        }
    }

    /// Since how long the active one is active; `None` when that is only supposed.
    #[must_use]
    pub fn began(&self, now: Mono) -> Option<Duration> {
        self.began.map(|began| began.age(now))
    }

    /// Failovers of the last hour, this director's or others' count, whichever is higher.
    #[must_use]
    pub fn failovers(&self) -> u32 {
        u32::try_from(self.failovers.len()).unwrap_or(u32::MAX).max(self.heard_failovers)
    }

    /// When the role last left a datacenter that failed.
    #[must_use]
    pub fn left(&self) -> Option<Mono> {
        self.left
    }

    /// The active one is not heard of, and the configuration says to wait for an operator.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Takes an operator's order; `None` is automatic again.
    pub fn set_order(&mut self, order: Option<DatacenterName>) {
        self.order = order;
    }

    /// Takes a new list of datacenters; what is known of those that stay is kept.
    pub fn reconfigure(&mut self, datacenters: &[DatacenterName], now: Mono) -> Option<RoleChange> {
        let from = self.active().cloned();
        self.sites = datacenters
            .iter()
            .map(|name| {
                let known = self.sites.iter().find(|site| site.datacenter == *name).cloned();
                known.unwrap_or_else(|| Site::new(name.clone(), now))
            })
            .collect();
        let kept = from.as_ref().and_then(|name| datacenters.iter().position(|d| d == name));
        self.active = kept.unwrap_or(0);
        match (from, self.active().cloned()) {
            (Some(from), Some(to)) if from != to => {
                self.epoch += 1;
                self.moved = Some(RoleCause::Configuration);
                Some(RoleChange { from, to, epoch: self.epoch, cause: RoleCause::Configuration })
            }
            _ => None,
        }
    }

    /// Moves the role if the evidence and the time say so. `witnessed` says whether there is fresh word that the active one
    /// fails: a vote from its own site, or an answer of one of its servers.
    pub fn evaluate(&mut self, failover: &FailoverSettings, witnessed: bool, now: Mono) -> Option<RoleChange> {
        let any_serves = self.sites.iter().any(|site| site.service == Service::Serves);
        let starting = !self.seen_any;
        self.seen_any |= any_serves;
        while self.failovers.front().is_some_and(|at| now.since(*at) > FAILOVERS_COUNT_FOR) {
            self.failovers.pop_front();
        }
        let alone = !witnessed && self.sites.get(self.active).is_some_and(|site| site.service == Service::Fails);
        // At once and not after the delay: until then the ladder would seat here whom the other side may be seating too.
        self.held = alone && failover.isolated == Isolated::Hold;
        let (target, mut cause) = self.target(failover, now)?;
        if cause == RoleCause::Failover && !witnessed {
            if self.held {
                return None;
            }
            cause = RoleCause::Isolated;
        }
        self.held = false;
        let from = self.active()?.clone();
        let failed = self.sites.get(self.active).is_some_and(|site| site.service == Service::Fails);
        // Start-up counts none (R13): a director that comes up while the first site is down has seen no failover.
        if cause == RoleCause::Failover && !starting {
            self.failovers.push_back(now);
        }
        if matches!(cause, RoleCause::Failover | RoleCause::Isolated) {
            self.left = Some(now);
        }
        self.active = target;
        self.moved = Some(cause);
        let to = self.active()?.clone();
        match cause {
            RoleCause::Isolated => self.began = Some(Since::new(now, Duration::ZERO)),
            RoleCause::Agreed => {
                let began = self.claimed(&to);
                self.began = began.map(|before| Since::new(now, before));
                if failed {
                    // The crowd came when the others left it.
                    self.left = began.map(|before| Mono(now.0.saturating_sub(millis(before))));
                }
            }
            RoleCause::Failover | RoleCause::Failback | RoleCause::Order | RoleCause::Configuration => {
                self.epoch += 1;
                self.began = Some(Since::new(now, Duration::ZERO));
            }
        }
        Some(RoleChange { from, to, epoch: self.epoch, cause })
    }

    /// When [`Self::evaluate`] may answer differently without new evidence.
    #[must_use]
    pub fn next_deadline(&self, failover: &FailoverSettings, now: Mono) -> Option<Mono> {
        let active = self.sites.get(self.active)?;
        let leave = (active.service == Service::Fails).then(|| active.last_served + failover.after);
        let back = self.preferred().filter(|at| *at != self.active).and_then(|at| {
            let delay = self.failback_after(failover)?;
            let served = self.sites[at].serves_for(now)?;
            Some(now + delay.saturating_sub(served))
        });
        match (leave, back) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn target(&self, failover: &FailoverSettings, now: Mono) -> Option<(usize, RoleCause)> {
        let active = self.sites.get(self.active)?;
        let ordered = self.order.as_ref().and_then(|name| self.sites.iter().position(|s| s.datacenter == *name));
        if let Some(at) = ordered
            && at != self.active
            && self.sites[at].service != Service::Fails
        {
            return Some((at, RoleCause::Order));
        }
        if active.service == Service::Fails {
            if let Some(at) = self.left_by_others(failover, now) {
                return Some((at, RoleCause::Agreed));
            }
            let patient = now.since(active.last_served) < failover.after && !planted(Fault::NoDelay);
            let next = self.ladder().find(|at| self.sites[*at].service == Service::Serves);
            return next.filter(|at| !patient && *at != self.active).map(|at| (at, RoleCause::Failover));
        }
        if let Some(agreed) = self.agreed(failover, now) {
            return Some((agreed, RoleCause::Agreed));
        }
        let preferred = self.preferred().filter(|at| *at != self.active)?;
        self.is_stable(preferred, failover, now).then_some((preferred, RoleCause::Failback))
    }

    /// Whether a site has served long enough to get the role back.
    fn is_stable(&self, site: usize, failover: &FailoverSettings, now: Mono) -> bool {
        let served = self.sites[site].serves_for(now);
        served.zip(self.failback_after(failover)).is_some_and(|(served, delay)| served >= delay)
    }

    /// Another site than the own one that others hold to be active, and rightly so.
    fn agreed(&self, failover: &FailoverSettings, now: Mono) -> Option<usize> {
        // An order is above every claim; the others have it or will get it.
        if self.order.is_some() && self.order.as_ref() == self.active() {
            return None;
        }
        let order: Vec<usize> = self.ladder().collect();
        let place = |site: usize| order.iter().position(|at| *at == site).unwrap_or(usize::MAX);
        let began = self.began(now).unwrap_or(Duration::ZERO);
        order.iter().copied().filter(|at| *at != self.active && self.sites[*at].service == Service::Serves).find(|at| {
            let Some(claimed) = self.claimed(&self.sites[*at].datacenter) else { return false };
            if place(*at) < place(self.active) {
                // The preferred one keeps it when it served without a break since before the other began (R13).
                self.sites[*at].serves_for(now).is_some_and(|served| served >= began)
            } else {
                let kept = self.sites[self.active].serves_for(now).is_none_or(|served| served >= claimed);
                !kept && !self.is_stable(self.active, failover, now)
            }
        })
    }

    /// The site that others hold to be active for as long as this one, which fails, would have to wait: they have been through that
    /// delay, and a director that has just started, or was stopped, counts no failover of its own. A claim from before this one was
    /// last seen to serve spares nobody the delay: whoever makes it was isolated, or has not heard of the failback.
    fn left_by_others(&self, failover: &FailoverSettings, now: Mono) -> Option<usize> {
        if self.order.is_some() && self.order.as_ref() == self.active() {
            return None;
        }
        let seen = self.sites.get(self.active).and_then(|site| site.seen);
        let left =
            |claim: &Claim| claim.began >= failover.after && seen.is_none_or(|served| now.since(served) >= claim.began);
        self.ladder().find(|at| {
            let site = &self.sites[*at];
            let held = || self.claims.iter().any(|claim| claim.active == site.datacenter && left(claim));
            *at != self.active && site.service == Service::Serves && held()
        })
    }

    /// Since how long others hold a datacenter to be active; `None` when nobody does.
    fn claimed(&self, datacenter: &DatacenterName) -> Option<Duration> {
        self.claims.iter().filter(|claim| claim.active == *datacenter).map(|claim| claim.began).max()
    }

    /// The ordered site first, then the order of the configuration.
    fn ladder(&self) -> impl Iterator<Item = usize> + '_ {
        let ordered = self.order.as_ref().and_then(|name| self.sites.iter().position(|s| s.datacenter == *name));
        ordered.into_iter().chain((0..self.sites.len()).filter(move |at| Some(*at) != ordered))
    }

    fn preferred(&self) -> Option<usize> {
        self.ladder().next()
    }

    /// The hold-down: failback × 2^(n-1) for n failovers in the last hour, at most 1 h (R13); `None` waits for an operator.
    fn failback_after(&self, failover: &FailoverSettings) -> Option<Duration> {
        let Failback::After(base) = failover.failback else { return None };
        let doublings = self.failovers().saturating_sub(1).min(16);
        Some(base.saturating_mul(1 << doublings).min(FAILBACK_MAX.max(base)))
    }
}
