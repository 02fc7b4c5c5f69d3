//! Which datacenter is active for a pool.
//!
//! Owns the delay before the role leaves, the hold-down before it returns, the epoch and the operator's order. Knows nothing of
//! servers, votes or links: it is told per datacenter whether it serves. R13: the same evidence gives the same role everywhere.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Mono;
use crate::ids::DatacenterName;
use crate::settings::{Failback, FailoverSettings};

/// Failovers are counted over this window for the growing hold-down.
const FAILOVERS_COUNT_FOR: Duration = Duration::from_hours(1);
/// The hold-down never grows above this.
const FAILBACK_MAX: Duration = Duration::from_hours(1);

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

/// The role of one pool.
#[derive(Debug, Clone)]
pub struct Role {
    sites: Vec<Site>,
    active: usize,
    epoch: u64,
    order: Option<DatacenterName>,
    failovers: VecDeque<Mono>,
    seen_any: bool,
}

#[derive(Debug, Clone)]
struct Site {
    datacenter: DatacenterName,
    service: Service,
    /// When `service` became what it is.
    since: Mono,
    /// The last moment that it was known, or supposed, to serve.
    last_served: Mono,
}

/// The role moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleChange {
    /// Where it was.
    pub from: DatacenterName,
    /// Where it is.
    pub to: DatacenterName,
    /// Counts changes.
    pub epoch: u64,
    /// Why.
    pub cause: RoleCause,
}

/// Why the role moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleCause {
    /// The active datacenter has not served for `failover.after`.
    Failover,
    /// The preferred one has served long enough again.
    Failback,
    /// An operator said so.
    Order,
    /// The configuration no longer names the active one.
    Configuration,
}

impl RoleCause {
    /// The stable word for logs and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::Order => "order",
            Self::Configuration => "configuration",
        }
    }
}

impl Role {
    /// A role before any evidence: the last known active datacenter, else the first in order (`rules.md`, Words).
    #[must_use]
    pub fn new(datacenters: &[DatacenterName], last: Option<(&DatacenterName, u64)>, now: Mono) -> Self {
        let sites = datacenters
            .iter()
            .map(|name| Site { datacenter: name.clone(), service: Service::Unknown, since: now, last_served: now })
            .collect();
        let (active, epoch) = last
            .and_then(|(name, epoch)| datacenters.iter().position(|d| d == name).map(|at| (at, epoch)))
            .unwrap_or((0, last.map_or(0, |(_, epoch)| epoch)));
        Self { sites, active, epoch, order: None, failovers: VecDeque::new(), seen_any: false }
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
        if site.service != service {
            site.service = service;
            site.since = now;
        }
    }

    /// Takes the last known role back, before any evidence of this run.
    pub fn restore(&mut self, active: &DatacenterName, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
        if !self.seen_any
            && let Some(at) = self.sites.iter().position(|site| site.datacenter == *active)
        {
            self.active = at;
        }
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
                self.sites.iter().find(|site| site.datacenter == *name).cloned().unwrap_or_else(|| Site {
                    datacenter: name.clone(),
                    service: Service::Unknown,
                    since: now,
                    last_served: now,
                })
            })
            .collect();
        let kept = from.as_ref().and_then(|name| datacenters.iter().position(|d| d == name));
        self.active = kept.unwrap_or(0);
        match (from, self.active().cloned()) {
            (Some(from), Some(to)) if from != to => {
                self.epoch += 1;
                Some(RoleChange { from, to, epoch: self.epoch, cause: RoleCause::Configuration })
            }
            _ => None,
        }
    }

    /// Moves the role if the evidence and the time say so.
    pub fn evaluate(&mut self, failover: &FailoverSettings, now: Mono) -> Option<RoleChange> {
        let any_serves = self.sites.iter().any(|site| site.service == Service::Serves);
        let starting = !self.seen_any;
        self.seen_any |= any_serves;
        while self.failovers.front().is_some_and(|at| now.since(*at) > FAILOVERS_COUNT_FOR) {
            self.failovers.pop_front();
        }
        let (target, cause) = self.target(failover, now)?;
        let from = self.active()?.clone();
        // Start-up counts none (R13): a director that comes up while the first site is down has seen no failover.
        if cause == RoleCause::Failover && !starting {
            self.failovers.push_back(now);
        }
        self.active = target;
        self.epoch += 1;
        let to = self.active()?.clone();
        Some(RoleChange { from, to, epoch: self.epoch, cause })
    }

    /// When [`Self::evaluate`] may answer differently without new evidence.
    #[must_use]
    pub fn next_deadline(&self, failover: &FailoverSettings) -> Option<Mono> {
        let active = self.sites.get(self.active)?;
        let leave = (active.service == Service::Fails).then(|| active.last_served + failover.after);
        let back = self.preferred().filter(|at| *at != self.active).and_then(|at| {
            let site = &self.sites[at];
            let delay = self.failback_after(failover)?;
            (site.service == Service::Serves).then(|| site.since + delay)
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
            let patient = now.since(active.last_served) < failover.after;
            let next = self.ladder().find(|at| self.sites[*at].service == Service::Serves);
            return next.filter(|at| !patient && *at != self.active).map(|at| (at, RoleCause::Failover));
        }
        let preferred = self.preferred().filter(|at| *at != self.active)?;
        let site = &self.sites[preferred];
        let stable = site.service == Service::Serves
            && self.failback_after(failover).is_some_and(|delay| now.since(site.since) >= delay);
        stable.then_some((preferred, RoleCause::Failback))
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
        let doublings = u32::try_from(self.failovers.len().saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        Some(base.saturating_mul(1 << doublings).min(FAILBACK_MAX.max(base)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Isolated, MinUp, Overflow, Passive};

    fn settings(failback: Failback) -> FailoverSettings {
        FailoverSettings {
            after: Duration::from_secs(15),
            failback,
            min_up: MinUp::Servers(1),
            overflow: Overflow::Refuse,
            passive: Passive::Redirect,
            isolated: Isolated::Serve,
            relogin_rate: 0,
        }
    }

    fn dc(name: &str) -> DatacenterName {
        DatacenterName::parse(name).unwrap()
    }

    fn two() -> Role {
        Role::new(&[dc("east"), dc("west")], None, Mono(0))
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    #[test]
    fn the_first_site_is_active_before_any_evidence() {
        let mut role = two();
        assert_eq!(role.active(), Some(&dc("east")));
        role.observe(&dc("west"), Service::Serves, at(1), at(1));
        assert_eq!(
            role.evaluate(&settings(Failback::After(Duration::from_mins(5))), at(1000)),
            None,
            "unknown is not down"
        );
    }

    #[test]
    fn the_role_leaves_after_the_delay_and_not_before() {
        let settings = settings(Failback::After(Duration::from_mins(5)));
        let mut role = two();
        role.observe(&dc("east"), Service::Serves, at(1), at(1));
        role.observe(&dc("west"), Service::Serves, at(1), at(1));
        role.observe(&dc("east"), Service::Fails, at(10), at(10));
        assert_eq!(role.evaluate(&settings, at(24)), None);
        assert_eq!(role.next_deadline(&settings), Some(at(25)));
        let change = role.evaluate(&settings, at(25)).unwrap();
        assert_eq!((change.to, change.cause, change.epoch), (dc("west"), RoleCause::Failover, 1));
        assert_eq!(role.evaluate(&settings, at(26)), None, "once");
    }

    #[test]
    fn a_short_outage_moves_nothing() {
        let settings = settings(Failback::After(Duration::from_mins(5)));
        let mut role = two();
        role.observe(&dc("west"), Service::Serves, at(0), at(0));
        for round in 0..100 {
            role.observe(&dc("east"), Service::Fails, at(round * 20), at(round * 20));
            assert_eq!(role.evaluate(&settings, at(round * 20 + 14)), None);
            role.observe(&dc("east"), Service::Serves, at(round * 20 + 14), at(round * 20 + 14));
        }
    }

    #[test]
    fn flapping_every_30_seconds_for_10_minutes_is_at_most_one_failover() {
        let settings = settings(Failback::After(Duration::from_mins(5)));
        let mut role = two();
        role.observe(&dc("west"), Service::Serves, at(0), at(0));
        let mut failovers = 0;
        for second in 0..600 {
            let service = if (second / 30) % 2 == 0 { Service::Serves } else { Service::Fails };
            let served = if service == Service::Serves { second } else { second / 30 * 30 };
            role.observe(&dc("east"), service, at(served), at(second));
            failovers += usize::from(role.evaluate(&settings, at(second)).is_some());
        }
        assert_eq!(failovers, 1);
        assert_eq!(role.active(), Some(&dc("west")));
    }

    #[test]
    fn failback_waits_for_a_stable_site_and_twice_as_long_the_second_time() {
        let settings = settings(Failback::After(Duration::from_mins(5)));
        let mut role = two();
        role.observe(&dc("west"), Service::Serves, at(0), at(0));
        role.observe(&dc("east"), Service::Serves, at(0), at(0));
        let mut clock = 10;
        for wait in [300, 600, 1200] {
            role.evaluate(&settings, at(clock));
            role.observe(&dc("east"), Service::Fails, at(clock), at(clock));
            assert!(role.evaluate(&settings, at(clock + 15)).is_some());
            role.observe(&dc("east"), Service::Serves, at(clock + 20), at(clock + 20));
            assert_eq!(role.evaluate(&settings, at(clock + 20 + wait - 1)), None);
            let change = role.evaluate(&settings, at(clock + 20 + wait)).unwrap();
            assert_eq!(change.cause, RoleCause::Failback);
            clock += 20 + wait;
        }
    }

    #[test]
    fn manual_failback_waits_for_an_order() {
        let settings = settings(Failback::Manual);
        let mut role = two();
        role.observe(&dc("west"), Service::Serves, at(0), at(0));
        role.observe(&dc("east"), Service::Fails, at(1), at(1));
        assert!(role.evaluate(&settings, at(20)).is_some());
        role.observe(&dc("east"), Service::Serves, at(21), at(21));
        assert_eq!(role.evaluate(&settings, at(100_000)), None);
        role.set_order(Some(dc("east")));
        assert_eq!(role.evaluate(&settings, at(100_001)).unwrap().cause, RoleCause::Order);
    }

    #[test]
    fn a_dead_ordered_site_is_passed_over() {
        let settings = settings(Failback::After(Duration::from_mins(5)));
        let mut role = two();
        role.observe(&dc("east"), Service::Serves, at(0), at(0));
        role.observe(&dc("west"), Service::Fails, at(0), at(0));
        role.set_order(Some(dc("west")));
        assert_eq!(role.evaluate(&settings, at(1)), None);
        role.observe(&dc("west"), Service::Serves, at(2), at(2));
        assert_eq!(role.evaluate(&settings, at(2)).unwrap().to, dc("west"));
    }

    #[test]
    fn start_up_with_a_dead_first_site_counts_no_failover() {
        let settings = settings(Failback::After(Duration::from_mins(5)));
        let mut role = two();
        role.observe(&dc("east"), Service::Fails, at(1), at(1));
        role.observe(&dc("west"), Service::Serves, at(1), at(1));
        assert!(role.evaluate(&settings, at(20)).is_some_and(|c| c.to == dc("west")));
        assert!(role.failovers.is_empty() || role.failback_after(&settings) == Some(Duration::from_mins(5)));
    }
}
