//! All servers' health as one director sees it: hands each look to its server and lets the observer judge over all.
//!
//! Call order: any input (`look`, `order`, `hear`, `handle_timeout` …) returns what changed; `next_deadline` afterwards.

use std::collections::BTreeMap;

use super::observer::{Hearing, Observer, Suspicion, Turn};
use super::status::{HeardVote, ServerChange, ServerHealth};
use super::vote::Site;
use super::{Look, Report};
use crate::clock::{Mono, Now};
use crate::entry::{LastVerdict, OperatorWord, ServerOrder};
use crate::ids::{DirectorName, PoolName, ServerName};
use crate::settings::{PoolSettings, Settings};

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// About one server.
    Server(ServerName, ServerChange),
    /// This director began or ceased to suspect itself, for the servers of this pool.
    Observer(PoolName, Turn),
}

/// The health of all configured servers.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    servers: BTreeMap<ServerName, Watched>,
    observers: BTreeMap<PoolName, Observer>,
}

#[derive(Debug, Clone)]
struct Watched {
    pool: PoolName,
    health: ServerHealth,
}

impl Watch {
    /// Nothing is known of any server.
    #[must_use]
    pub fn new(settings: &Settings, now: Now) -> Self {
        let mut watch = Self::default();
        watch.configure(settings, now);
        watch
    }

    /// Follows the configuration: new servers are unknown, gone ones forgotten, others keep what is known of them, unless they
    /// moved to another pool or site.
    pub fn configure(&mut self, settings: &Settings, now: Now) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.servers);
        for pool in settings.pools.values() {
            for server in pool.servers.values() {
                let site = if server.datacenter == settings.datacenter { Site::Own } else { Site::Other };
                let known =
                    before.remove(&server.name).filter(|it| it.pool == pool.name && it.health.voter().site() == site);
                let health = known.map_or_else(|| ServerHealth::new(server.name.clone(), site, now), |it| it.health);
                self.servers.insert(server.name.clone(), Watched { pool: pool.name.clone(), health });
            }
        }
        self.observers.retain(|pool, _| settings.pools.contains_key(pool));
        for pool in settings.pools.keys() {
            self.observers.entry(pool.clone()).or_default();
        }
        let mut changes = Vec::new();
        for watched in self.servers.values_mut() {
            watched.health.forget_all_but(&settings.peers);
            let (Some(pool), Some(observer)) = (settings.pools.get(&watched.pool), self.observers.get(&watched.pool))
            else {
                continue;
            };
            let mut found = Vec::new();
            watched.health.set_silence(observer.silence(), false, pool, now, &mut found);
            watched.refresh(settings, pool, now, found, &mut changes);
        }
        changes.append(&mut self.handle_timeout(settings, now));
        changes
    }

    /// What the journal knows; unknown servers are ignored.
    pub fn restore(&mut self, last: &LastVerdict, settings: &Settings, now: Now) -> Vec<Change> {
        self.with(&last.server, settings, now, |health, _, _| health.restore(last))
    }

    /// One look at one server. Unknown servers (a look that outlived a reload) are ignored.
    pub fn look(&mut self, server: &ServerName, look: &Look, settings: &Settings, now: Now) -> Vec<Change> {
        let silent = |watch: &Self| watch.server(server).map(|health| health.voter().is_silent());
        let before = silent(self);
        let mut changes =
            self.with(server, settings, now, |health, pool, changes| health.look(look, pool, now, changes));
        let suspects = self.observers.values().any(|observer| observer.suspicion().is_some());
        if before != silent(self) || suspects {
            self.weigh(settings, now, &mut changes);
        }
        changes
    }

    /// What a server says of itself by a beat.
    pub fn beat(&mut self, server: &ServerName, report: &Report, settings: &Settings, now: Now) -> Vec<Change> {
        // A beat under a wrong name is refused at the door; a dependency that is down counts with the next look.
        self.with(server, settings, now, |health, pool, changes| drop(health.take_report(report, pool, now, changes)))
    }

    /// An operator's order; an older one changes nothing.
    pub fn order(&mut self, order: &ServerOrder, settings: &Settings, now: Now) -> Vec<Change> {
        let mut changes = self.with(&order.server, settings, now, |health, _, _| {
            health.order(order);
        });
        self.weigh(settings, now, &mut changes);
        changes
    }

    /// Another director's vote.
    pub fn hear(
        &mut self,
        server: &ServerName,
        director: DirectorName,
        vote: HeardVote,
        settings: &Settings,
        now: Now,
    ) -> Vec<Change> {
        self.with(server, settings, now, |health, _, _| health.hear(director, vote))
    }

    /// Lets time pass. Early, late or twice is harmless.
    pub fn handle_timeout(&mut self, settings: &Settings, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        self.weigh(settings, now, &mut changes);
        for watched in self.servers.values_mut() {
            let Some(pool) = settings.pools.get(&watched.pool) else { continue };
            watched.refresh(settings, pool, now, Vec::new(), &mut changes);
        }
        changes
    }

    /// When [`Self::handle_timeout`] may change something.
    #[must_use]
    pub fn next_deadline(&self, settings: &Settings, now: Now) -> Option<Mono> {
        let servers = self.servers.values().filter_map(|watched| {
            settings.pools.get(&watched.pool).and_then(|pool| watched.health.next_deadline(pool, now))
        });
        let observers = self.observers.iter().filter_map(|(name, observer)| {
            settings.pools.get(name).and_then(|pool| observer.deadline(pool.failover.after)).filter(|at| *at > now.mono)
        });
        servers.chain(observers).min()
    }

    /// How long after the start of the last look the next one is due.
    #[must_use]
    pub fn next_probe(&self, server: &ServerName, settings: &Settings, now: Mono) -> Option<std::time::Duration> {
        let watched = self.servers.get(server)?;
        settings.pools.get(&watched.pool).map(|pool| watched.health.next_probe(pool, now))
    }

    /// One server.
    #[must_use]
    pub fn server(&self, name: &ServerName) -> Option<&ServerHealth> {
        self.servers.get(name).map(|watched| &watched.health)
    }

    /// All servers by name.
    pub fn servers(&self) -> impl Iterator<Item = &ServerHealth> {
        self.servers.values().map(|watched| &watched.health)
    }

    /// This director's suspicion against itself, for the servers of a pool.
    #[must_use]
    pub fn suspicion(&self, pool: &PoolName) -> Option<&Suspicion> {
        self.observers.get(pool).and_then(Observer::suspicion)
    }

    fn with(
        &mut self,
        server: &ServerName,
        settings: &Settings,
        now: Now,
        act: impl FnOnce(&mut ServerHealth, &PoolSettings, &mut Vec<ServerChange>),
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let Some(watched) = self.servers.get_mut(server) else { return changes };
        let Some(pool) = settings.pools.get(&watched.pool) else { return changes };
        let mut found = Vec::new();
        act(&mut watched.health, pool, &mut found);
        watched.refresh(settings, pool, now, found, &mut changes);
        changes
    }

    /// Asks each pool's observer whether silence counts, and tells the pool's servers when that changed.
    fn weigh(&mut self, settings: &Settings, now: Now, changes: &mut Vec<Change>) {
        let hearing = self.hearing(now);
        for (name, observer) in &mut self.observers {
            let Some(pool) = settings.pools.get(name) else { continue };
            let after = pool.failover.after;
            let Some(turn) = observer.weigh(&hearing, pool.health.suspect_above_percent, after, now.mono) else {
                continue;
            };
            changes.push(Change::Observer(name.clone(), turn));
            for watched in self.servers.values_mut().filter(|it| it.pool == *name) {
                let mut found = Vec::new();
                let forget = turn == Turn::Trusted;
                watched.health.set_silence(observer.silence(), forget, pool, now, &mut found);
                watched.refresh(settings, pool, now, found, changes);
            }
        }
    }

    fn hearing(&self, now: Now) -> Hearing {
        let mut hearing = Hearing::default();
        for health in self.servers() {
            let voter = health.voter();
            hearing.answered = hearing.answered.max(voter.answered());
            if voter.site() == Site::Own && health.operator_word(now.time) != OperatorWord::Maint {
                hearing.servers += 1;
                hearing.silent += u32::from(voter.is_silent());
            }
        }
        hearing
    }
}

impl Watched {
    fn refresh(
        &mut self,
        settings: &Settings,
        pool: &PoolSettings,
        now: Now,
        mut found: Vec<ServerChange>,
        changes: &mut Vec<Change>,
    ) {
        self.health.refresh(&settings.director, pool, now, &mut found);
        let name = self.health.name();
        changes.extend(found.into_iter().map(|change| Change::Server(name.clone(), change)));
    }
}
