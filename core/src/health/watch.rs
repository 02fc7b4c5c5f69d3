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
    /// No later than the first moment at which time alone changes something. Looks mostly put that off, so it is kept as a lower
    /// bound and made exact by the timeout: no input has to walk over all servers.
    deadline: Option<Mono>,
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
        let mut changes = Vec::new();
        let Some((watched, pool)) = self.find(server, settings) else { return changes };
        let was_silent = watched.health.voter().is_silent();
        let mut found = Vec::new();
        watched.health.look(look, pool, now, &mut found);
        let turned = watched.health.voter().is_silent() != was_silent;
        // The observer first: the look that makes enough silent must not fell a server by the way.
        if turned || self.observers.values().any(|observer| observer.suspicion().is_some()) {
            self.weigh(settings, now, &mut changes);
        }
        self.refresh(server, settings, now, found, &mut changes);
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
        self.deadline = None;
        self.weigh(settings, now, &mut changes);
        for watched in self.servers.values_mut() {
            let Some(pool) = settings.pools.get(&watched.pool) else { continue };
            let deadline = watched.refresh(settings, pool, now, Vec::new(), &mut changes);
            self.deadline = earlier(self.deadline, deadline);
        }
        changes
    }

    /// When [`Self::handle_timeout`] may change something: never too late, perhaps too early. A call at that time moves it on.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadline
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

    fn find<'a>(&mut self, server: &ServerName, settings: &'a Settings) -> Option<(&mut Watched, &'a PoolSettings)> {
        let watched = self.servers.get_mut(server)?;
        settings.pools.get(&watched.pool).map(|pool| (watched, pool))
    }

    fn with(
        &mut self,
        server: &ServerName,
        settings: &Settings,
        now: Now,
        act: impl FnOnce(&mut ServerHealth, &PoolSettings, &mut Vec<ServerChange>),
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some((watched, pool)) = self.find(server, settings) {
            let mut found = Vec::new();
            act(&mut watched.health, pool, &mut found);
            self.refresh(server, settings, now, found, &mut changes);
        }
        changes
    }

    fn refresh(
        &mut self,
        server: &ServerName,
        settings: &Settings,
        now: Now,
        found: Vec<ServerChange>,
        changes: &mut Vec<Change>,
    ) {
        let Some((watched, pool)) = self.find(server, settings) else { return };
        let deadline = watched.refresh(settings, pool, now, found, changes);
        self.deadline = earlier(self.deadline, deadline);
    }

    /// Asks each pool's observer whether silence counts, and tells the pool's servers when that changed.
    fn weigh(&mut self, settings: &Settings, now: Now, changes: &mut Vec<Change>) {
        let hearing = self.hearing(now);
        for (name, observer) in &mut self.observers {
            let Some(pool) = settings.pools.get(name) else { continue };
            let after = pool.failover.after;
            let turn = observer.weigh(&hearing, pool.health.suspect_above_percent, after, now.mono);
            self.deadline = earlier(self.deadline, observer.deadline(after));
            let Some(turn) = turn else { continue };
            changes.push(Change::Observer(name.clone(), turn));
            for watched in self.servers.values_mut().filter(|it| it.pool == *name) {
                let mut found = Vec::new();
                let forget = turn == Turn::Trusted;
                watched.health.set_silence(observer.silence(), forget, pool, now, &mut found);
                let deadline = watched.refresh(settings, pool, now, found, changes);
                self.deadline = earlier(self.deadline, deadline);
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
    /// Brings the server up to date; returns when time alone may change it next.
    fn refresh(
        &mut self,
        settings: &Settings,
        pool: &PoolSettings,
        now: Now,
        mut found: Vec<ServerChange>,
        changes: &mut Vec<Change>,
    ) -> Option<Mono> {
        self.health.refresh(&settings.director, pool, now, &mut found);
        let name = self.health.name();
        changes.extend(found.into_iter().map(|change| Change::Server(name.clone(), change)));
        self.health.next_deadline(pool, now)
    }
}

fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    a.into_iter().chain(b).min()
}
