//! The control side: health, roles and orders behind one lock, and the picture that follows from them.
//!
//! Every input goes the same way: the module that owns the rule says what changed, changes become events and entries to
//! remember, roles are weighed again, and if a decision would see anything otherwise, a new picture is swapped in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::counts::Counts;
use super::hearsay::Hearsay;
use super::orders::GaveWay;
use super::picture;
use super::{Director, orders};
use crate::clock::{Mono, Now, Since, millis};
use crate::entry::{Entry, LastRole, OperatorWord, OutageEntry, RoleOrder};
use crate::event::{Effect, Event};
use crate::fault::{Fault, planted};
use crate::health::{Change, Look, Outcome, ServerChange, State, Turn, Verdict, Watch};
use crate::ids::{PoolName, ServerName};
use crate::logout::Logouts;
use crate::role::{Role, Service};
use crate::session::{Full, Names};
use crate::settings::{DependencyEffect, Settings};
use crate::unwritten::Unwritten;
use crate::view::View;

/// Effects that wait for the shell at most; beyond that the oldest is dropped and counted. The shell drains after each input,
/// so this is only reached when it is stuck.
const EFFECTS_MAX: usize = 16_384;
/// How long a server's word about its load stands when it does not repeat it.
const LOAD_REPORT_LASTS: Duration = Duration::from_secs(60);
/// How long after a look the next one is due when its server is not configured (any more).
const UNKNOWN_SERVER_DELAY: Duration = Duration::from_secs(5);
/// How long looks that change nothing leave the roles as they were weighed: far below any delay of a failover.
const ROLES_STAND_FOR: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Control {
    pub(super) settings: Arc<Settings>,
    pub(super) watch: Watch,
    pub(super) roles: BTreeMap<PoolName, Role>,
    pub(super) role_orders: BTreeMap<PoolName, RoleOrder>,
    pub(super) view: Arc<View>,
    /// What the journal has not been given yet. Registers: the latest of each is enough, so the configuration is the bound.
    pub(super) unwritten: BTreeMap<Register, Entry>,
    /// Where it is noted that there are some.
    noted: Arc<Unwritten>,
    /// Words in force about servers, to notice that a deadline has passed.
    words: BTreeMap<ServerName, OperatorWord>,
    /// When to count a reborn server's orphans out of its load.
    pub(super) orphans_due: BTreeMap<ServerName, Mono>,
    /// Dependencies with effect `reset`, by server and name; bounded by the configuration.
    pub(super) outages: BTreeMap<(ServerName, String), OutageEntry>,
    effects: VecDeque<Effect>,
    effects_dropped: u64,
    /// What the event feed has not been told yet; bounded like the effects.
    untold: VecDeque<Event>,
    /// When the roles were weighed last.
    pub(super) weighed: Mono,
    /// A server's standing changed since its site was counted.
    recount: bool,
    /// What the other directors say.
    pub(super) hearsay: Hearsay,
    /// Orders that gave way, to tell which of another director's are old and which were given at the same time.
    pub(super) gave_way: GaveWay,
    /// Ends of sessions, by pool.
    pub(super) logouts: BTreeMap<PoolName, Logouts>,
}

/// Which register an entry is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Register {
    Verdict(ServerName),
    Order(ServerName),
    Role(PoolName),
    RoleOrder(PoolName),
    Outage(ServerName, String),
}

impl Control {
    pub(super) fn new(
        settings: Arc<Settings>,
        (names, counts): (&Names, &Counts),
        noted: Arc<Unwritten>,
        now: Now,
    ) -> Result<Self, Full> {
        let roles = settings
            .pools
            .values()
            .map(|pool| (pool.name.clone(), Role::new(&pool.datacenters, None, now.mono)))
            .collect();
        let mut control = Self {
            watch: Watch::new(&settings, now),
            view: Arc::new(View::new(0, Arc::clone(&settings), [])),
            settings,
            roles,
            role_orders: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            noted,
            words: BTreeMap::new(),
            orphans_due: BTreeMap::new(),
            outages: BTreeMap::new(),
            effects: VecDeque::new(),
            effects_dropped: 0,
            untold: VecDeque::new(),
            weighed: now.mono,
            recount: true,
            hearsay: Hearsay::default(),
            gave_way: GaveWay::default(),
            logouts: BTreeMap::new(),
        };
        control.view = Arc::new(picture::build(&control, names, counts, None)?);
        Ok(control)
    }

    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What happened since the last call, for the event feed.
    pub(super) fn take_untold(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.untold)
    }

    pub(super) fn effects_dropped(&self) -> u64 {
        self.effects_dropped
    }

    pub(super) fn publish(&mut self, event: Event) {
        if self.untold.len() >= EFFECTS_MAX {
            self.untold.pop_front();
        }
        self.untold.push_back(event.clone());
        self.push(Effect::Publish(event));
    }

    pub(super) fn push(&mut self, effect: Effect) {
        if self.effects.len() >= EFFECTS_MAX {
            self.effects.pop_front();
            self.effects_dropped += 1;
        }
        self.effects.push_back(effect);
    }

    /// Turns what changed into events and entries; says which pools' decisions may see something otherwise.
    pub(super) fn absorb(&mut self, changes: Vec<Change>, now: Now) -> Vec<PoolName> {
        let mut touched = Vec::new();
        for change in changes {
            let pool = match change {
                Change::Observer(pool, turn) => {
                    self.publish(suspect(turn, &self.watch, &pool));
                    pool
                }
                Change::Server(server, change) => {
                    let Some(pool) = orders::pool_of(&self.settings, &server).cloned() else { continue };
                    self.absorb_one(&pool, server, change, now);
                    pool
                }
            };
            if touched.last() != Some(&pool) && !touched.contains(&pool) {
                touched.push(pool);
            }
        }
        touched
    }

    fn absorb_one(&mut self, pool: &PoolName, server: ServerName, change: ServerChange, now: Now) {
        let pool = pool.clone();
        match change {
            ServerChange::Vote(_) => self.hearsay.own_votes += 1,
            ServerChange::Verdict { from, to } => {
                self.remember_verdict(&server, now);
                if let Some(event) = verdict_event(pool.clone(), server.clone(), &from, &to) {
                    let fell = matches!(event, Event::ServerDown { .. });
                    self.publish(event);
                    let seats = self.view.server(&server).map_or(0, |(_, server)| server.load.seats());
                    if fell {
                        self.ended(&pool, u64::from(seats), Some(&server), now);
                    }
                }
            }
            ServerChange::Incarnation { old, new } => {
                self.remember_verdict(&server, now);
                if old.is_some() {
                    let grace = self.settings.pools.get(&pool).map_or(Duration::ZERO, |pool| pool.orphan_grace);
                    self.orphans_due.insert(server.clone(), now.mono + grace);
                    self.publish(Event::ServerReborn { pool, server, incarnation: new });
                }
            }
            ServerChange::Dependency { name, effect, up, known } => match effect {
                DependencyEffect::Degrade => {
                    self.publish(Event::ServerDegraded { pool, server, dependency: name, degraded: !up });
                }
                DependencyEffect::Reset if known => self.turn(&server, &name, up, now),
                DependencyEffect::Reset | DependencyEffect::Down => {}
            },
            ServerChange::Asked => self.push(Effect::ProbeNow(server)),
            ServerChange::Standing { .. } => {
                self.recount = true;
                let (word, reason) = self.watch.server(&server).map_or_else(Default::default, |health| {
                    let reason = health.operator().map_or_else(String::new, |order| order.reason.clone());
                    (health.operator_word(now.time), reason)
                });
                let before = self.words.insert(server.clone(), word).unwrap_or_default();
                if before != word {
                    self.publish(Event::ServerOrdered { pool, server, before, after: word, reason });
                }
            }
        }
    }

    /// Also an unconfirmed verdict is written: a fall that was taken back must not come back from the journal.
    fn remember_verdict(&mut self, server: &ServerName, now: Now) {
        if let Some(last) = self.watch.server(server).and_then(|health| health.last_verdict(now.time)) {
            self.write(Register::Verdict(server.clone()), Entry::LastVerdict(last));
        }
    }

    /// The journal is to keep this, in place of an earlier one of the same register.
    pub(super) fn write(&mut self, register: Register, entry: Entry) {
        self.unwritten.insert(register, entry);
        self.noted.note();
    }

    /// Weighs all roles again and says which moved.
    pub(super) fn weigh_roles(&mut self, now: Now) {
        self.weighed = now.mono;
        // Counting asks every server, and a tick comes five times a second: only where an answer may be another one.
        let recount = std::mem::take(&mut self.recount);
        let settings = Arc::clone(&self.settings);
        for (name, pool) in &settings.pools {
            let Some(role) = self.roles.get_mut(name) else { continue };
            for datacenter in &pool.datacenters {
                let before = role.service(datacenter).map(|(service, _)| service);
                let known = before.filter(|_| !recount);
                let service = known.unwrap_or_else(|| picture::service(&self.watch, pool, datacenter));
                // A site served until this moment: votes change at once, and the delay runs from the last good one (R13).
                let served_at = if before == Some(service) { Mono::default() } else { now.mono };
                role.observe(datacenter, service, served_at, now.mono);
            }
            role.hear(self.hearsay.claims(name, now.mono));
            for datacenter in &pool.datacenters {
                let own = (*datacenter == settings.datacenter)
                    .then(|| role.service(datacenter).filter(|(service, _)| *service == Service::Serves))
                    .flatten()
                    .map(|(_, since)| now.mono.since(since));
                let heard = self.hearsay.serving(name, datacenter, &settings, now.mono);
                role.set_claimed(datacenter, own.max(heard), now.mono);
            }
            let failing = role.active().filter(|active| role.service(active).is_some_and(|it| it.0 == Service::Fails));
            let witnessed = failing.is_some_and(|active| picture::witnessed(&self.watch, pool, active));
            let linked = |site| self.hearsay.fresh_directors(site, &settings, now.mono) > 0;
            if planted(Fault::LinkVeto) && role.active().is_some_and(linked) {
                continue;
            }
            let Some(change) = role.evaluate(&pool.failover, witnessed, now.mono) else { continue };
            self.hearsay.own_roles += 1;
            let last = LastRole { pool: name.clone(), active: change.to.clone(), epoch: change.epoch, time: now.time };
            self.write(Register::Role(name.clone()), Entry::LastRole(last));
            self.publish(Event::RoleMoved {
                pool: name.clone(),
                from: change.from,
                to: change.to,
                epoch: change.epoch,
                cause: change.cause,
            });
        }
    }
}

impl Director {
    /// Takes one look at a server and says how long after its start the next one is due. Looks at unknown servers are ignored.
    pub fn handle_look(&self, server: &ServerName, look: &Look, now: Now) -> Duration {
        self.wake(now);
        let mut control = self.control.lock();
        if self.was_asleep(look, now) {
            let settings = Arc::clone(&control.settings);
            return control.watch.next_probe(server, &settings, now.mono).unwrap_or(UNKNOWN_SERVER_DELAY);
        }
        let settings = Arc::clone(&control.settings);
        let changes = control.watch.look(server, look, &settings, now);
        let report = match &look.outcome {
            Outcome::Good(report) => Some(report).filter(|it| it.server.as_ref().is_none_or(|name| name == server)),
            Outcome::Bad(_) => None,
        };
        if let Some(report) = report {
            self.count_report(&control, server, report.sessions, Since::new(now.mono, Duration::ZERO), now);
        }
        // Most looks change nothing. Every change weighs at once.
        if !changes.is_empty() || now.mono.since(control.weighed) >= ROLES_STAND_FOR {
            self.settle(&mut control, changes, now);
        }
        if let Some(report) = report {
            control.mend_outages(server, report, now);
        }
        control.watch.next_probe(server, &settings, now.mono).unwrap_or(UNKNOWN_SERVER_DELAY)
    }

    /// Takes new settings, already checked, in one step. What is known of servers, sessions and orders stays.
    ///
    /// # Errors
    /// When they name more pools, servers or directors than one process can remember; nothing changes then.
    pub fn handle_settings(&self, settings: Settings, now: Now) -> Result<(), Full> {
        let settings = Arc::new(settings);
        for pool in settings.pools.values() {
            self.names.pool(&pool.name)?;
            for server in pool.servers.keys() {
                self.names.server(server)?;
            }
        }
        let mut control = self.control.lock();
        let control = &mut *control;
        control.settings = Arc::clone(&settings);
        control.roles.retain(|name, _| settings.pools.contains_key(name));
        control.logouts.retain(|name, _| settings.pools.contains_key(name));
        let mut moved = Vec::new();
        for (name, pool) in &settings.pools {
            let Some(role) = control.roles.get_mut(name) else {
                control.roles.insert(name.clone(), Role::new(&pool.datacenters, None, now.mono));
                continue;
            };
            if let Some(change) = role.reconfigure(&pool.datacenters, now.mono) {
                moved.push(Event::RoleMoved {
                    pool: name.clone(),
                    from: change.from,
                    to: change.to,
                    epoch: change.epoch,
                    cause: change.cause,
                });
            }
        }
        moved.into_iter().for_each(|event| control.publish(event));
        control.hearsay.configure(&settings);
        self.lists.told.configure(&settings);
        self.peers.lock().configure(settings.peers.clone(), super::peers::config_digest(&settings));
        let changes = control.watch.configure(&settings, now);
        control.recount = true;
        control.absorb(changes, now);
        control.weigh_roles(now);
        let view = picture::build(control, &self.names, &self.counts, None)?;
        control.view = Arc::new(view);
        self.show(control);
        let configured = |ix| control.view.pools().any(|pool| pool.server(ix).is_some());
        self.lists.forget_all_but(configured, self.names.book().servers());
        let gone: Vec<_> =
            control.outages.iter().filter(|(_, it)| !control.resets_by(it)).map(|(at, _)| at.clone()).collect();
        gone.iter().for_each(|at| drop(control.outages.remove(at)));
        Ok(())
    }

    /// Lets time pass: votes lapse, slow starts rise, orders end, roles move, sessions expire. Harmless early, late or twice.
    pub fn handle_timeout(&self, now: Now) {
        {
            let mut control = self.control.lock();
            self.notice_lost_time(&mut control, now);
            let settings = Arc::clone(&control.settings);
            let changes = control.watch.handle_timeout(&settings, now);
            control.pass_logouts(now);
            self.settle(&mut control, changes, now);
            self.note_tick(now);
        }
        self.sweep(now);
        self.collect_events(now);
    }

    /// When [`Self::handle_timeout`] is due next, at the latest.
    #[must_use]
    pub fn next_deadline(&self, now: Now) -> Mono {
        let control = self.control.lock();
        let roles = control.settings.pools.iter().filter_map(|(name, pool)| {
            control.roles.get(name)?.next_deadline(&pool.failover, now.mono).filter(|at| *at > now.mono)
        });
        let watch = control.watch.next_deadline();
        roles.chain(watch).min().unwrap_or(Mono(u64::MAX)).min(now.mono + super::memory::SWEEP_EVERY)
    }

    /// What is known of a server's health, for the status and the reads.
    #[must_use]
    pub fn server_health(&self, server: &ServerName) -> Option<crate::health::ServerHealth> {
        self.control.lock().watch.server(server).cloned()
    }

    /// This director's suspicion against itself, for the servers of a pool.
    #[must_use]
    pub fn suspicion(&self, pool: &PoolName) -> Option<crate::health::Suspicion> {
        self.control.lock().watch.suspicion(pool).cloned()
    }

    /// Absorbs changes, weighs the roles and swaps the picture when a decision would see anything otherwise.
    pub(super) fn settle(&self, control: &mut Control, changes: Vec<Change>, now: Now) {
        let touched = control.absorb(changes, now);
        control.weigh_roles(now);
        let stale = picture::stale_pools(control, touched);
        if stale.is_empty() {
            return;
        }
        // Names cannot run out here: the settings have been admitted with all their names.
        if let Ok(view) = picture::build(control, &self.names, &self.counts, Some(&stale)) {
            control.view = Arc::new(view);
            self.show(control);
        }
    }

    /// Takes what a report of the server, already taken, says of load. What it leaves out is unknown: an earlier word, perhaps by
    /// a beat beside plain probes, stands until it is too old.
    pub(super) fn count_report(
        &self,
        control: &Control,
        server: &ServerName,
        sessions: Option<u32>,
        said: Since,
        now: Now,
    ) {
        let ix = self.names.book().server_ix(server);
        let Some((pool, view)) = ix.and_then(|ix| control.view.server_at(ix)) else { return };
        let own = control.watch.server(server).and_then(|health| health.said().capacity());
        view.load.limit(own.unwrap_or(pool.settings().capacity));
        let at = Mono(now.mono.0.saturating_sub(millis(said.age(now.mono))));
        let known = view.load.reported_at();
        match sessions {
            Some(sessions) if known.is_none_or(|known| known <= at) => view.load.report(sessions, at),
            _ if known.is_some_and(|known| now.mono.since(known) >= LOAD_REPORT_LASTS) => view.load.forget_report(),
            _ => {}
        }
    }
}

fn verdict_event(pool: PoolName, server: ServerName, from: &Verdict, to: &Verdict) -> Option<Event> {
    match (from.state(), to) {
        (_, Verdict::Unconfirmed { .. }) => None,
        (Some(State::Up), Verdict::Up { .. }) if from.is_confirmed() => None,
        (_, Verdict::Up { .. }) => Some(Event::ServerUp { pool, server }),
        (_, Verdict::Down { failure, .. }) => {
            Some(Event::ServerDown { pool, server, kind: failure.kind, detail: failure.detail.clone() })
        }
    }
}

fn suspect(turn: Turn, watch: &Watch, pool: &PoolName) -> Event {
    let (silent, of) = watch.suspicion(pool).map_or((0, 0), |it| (it.silent, it.servers));
    Event::Suspect { pool: pool.clone(), abstains: turn == Turn::Suspected, silent, of }
}
