//! The immutable picture that a decision reads: members, addresses, health and roles of one moment.
//!
//! Rebuilt by the control side when something changed and swapped in ONE step, so that no start can see new members with old
//! health. Owns no rule: standings come from `health`, roles from `role`, the choice from `placement`. The only things that
//! change behind it are the load counters, which it points to.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Mono, Time};
use crate::health::{Standing, Tier};
use crate::ids::{DatacenterName, Incarnation, IncarnationTag, LabelName, PoolName, ServerName};
use crate::load::{Board, ServerLoad, Shown};
use crate::placement::{Loads, PlacementSet, Seatable, ServerSlot, stepped_weight};
use crate::role::Service;
use crate::session::{PoolIx, ServerIx};
use crate::settings::{Passive, PoolSettings, ServerSettings, Settings};

/// The whole picture.
#[derive(Debug)]
pub struct View {
    number: u64,
    settings: Arc<Settings>,
    /// In order of name.
    pools: Vec<Arc<PoolView>>,
}

/// One pool.
#[derive(Debug)]
pub struct PoolView {
    settings: Arc<PoolSettings>,
    ix: PoolIx,
    servers: Vec<ServerView>,
    /// Where the loads of all servers are shown.
    board: Board,
    /// Where each server stands among `servers`, sorted by the table's index.
    by_ix: Vec<(ServerIx, u32)>,
    sites: Vec<SiteView>,
    resort: PlacementSet,
    role: RoleView,
    /// Counts placements, for policies that go in turn; outlives the view.
    turn: Arc<AtomicU64>,
}

/// One server.
#[derive(Debug, Clone)]
pub struct ServerView {
    /// Name, datacenter, origin, weight, labels.
    pub settings: Arc<ServerSettings>,
    /// The table's index of it.
    pub ix: ServerIx,
    /// What decisions may do with it.
    pub standing: Standing,
    /// The life of its process, when known.
    pub incarnation: Option<Incarnation>,
    /// Its live counters.
    pub load: Arc<ServerLoad>,
}

/// One datacenter of a pool, in the order of the ladder.
#[derive(Debug)]
pub struct SiteView {
    /// Its name.
    pub datacenter: DatacenterName,
    /// Whether it serves.
    pub service: Service,
    /// Servers that are up and not held back.
    pub first: PlacementSet,
    /// Servers that are held down, degraded or unconfirmed: ranked after all of `first`.
    pub last: PlacementSet,
}

/// The role of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleView {
    /// The active datacenter.
    pub active: DatacenterName,
    /// Counts changes.
    pub epoch: u64,
    /// The operator's order in force.
    pub order: Option<DatacenterName>,
    /// When the role last left a datacenter that failed: starts are paced for a while.
    pub left: Option<Mono>,
    /// Nothing is heard of the active datacenter, and the configuration says to wait for an operator.
    pub held: bool,
    /// Directors of this datacenter that are alive, this one included: they share the pace.
    pub directors: u32,
}

impl View {
    /// Puts a picture together.
    #[must_use]
    pub fn new(number: u64, settings: Arc<Settings>, pools: impl IntoIterator<Item = Arc<PoolView>>) -> Self {
        let mut pools: Vec<_> = pools.into_iter().collect();
        pools.sort_by(|one, other| one.settings.name.cmp(&other.settings.name));
        Self { number, settings, pools }
    }

    /// Counts pictures; a start compares it under the shard's lock.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The settings that it was built from.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// A pool by name.
    #[must_use]
    pub fn pool(&self, name: &PoolName) -> Option<&Arc<PoolView>> {
        let at = self.pools.binary_search_by(|pool| pool.settings.name.cmp(name)).ok()?;
        self.pools.get(at)
    }

    /// All pools in order of name.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<PoolView>> {
        self.pools.iter()
    }

    /// A server by name, with its pool.
    #[must_use]
    pub fn server(&self, name: &ServerName) -> Option<(&Arc<PoolView>, &ServerView)> {
        self.pools.iter().find_map(|pool| pool.server_named(name).map(|server| (pool, server)))
    }

    /// The same by the table's index: for who asks often, since it compares no names.
    #[must_use]
    pub fn server_at(&self, ix: ServerIx) -> Option<(&Arc<PoolView>, &ServerView)> {
        self.pools.iter().find_map(|pool| pool.server(ix).map(|server| (pool, server)))
    }
}

impl PoolView {
    /// Puts one pool's picture together. `sites` is the ladder: the active datacenter first, then the others in order.
    #[must_use]
    pub(crate) fn new(
        settings: Arc<PoolSettings>,
        ix: PoolIx,
        mut servers: Vec<ServerView>,
        role: RoleView,
        ladder: &[(DatacenterName, Service)],
        turn: Arc<AtomicU64>,
        board: Board,
    ) -> Self {
        // They are found by name.
        servers.sort_by(|one, other| one.settings.name.cmp(&other.settings.name));
        let mut by_ix: Vec<_> = servers.iter().map(|server| server.ix).zip(0..).collect();
        by_ix.sort_unstable();
        let set = |wanted: &dyn Fn(&ServerView) -> bool| {
            PlacementSet::new(servers.iter().filter(|server| wanted(server)).map(|server| Seatable {
                server: server.slot(),
                name: server.settings.name.as_str(),
                weight: stepped_weight(server.settings.weight, u32::from(server.standing.weight_step)),
                position: server.settings.position,
            }))
        };
        let rung = |datacenter: &DatacenterName, first: bool| {
            set(&|server| {
                server.settings.datacenter == *datacenter
                    && server.standing.is_placeable()
                    && (server.standing.tier() == Tier::Normal) == first
            })
        };
        let sites = ladder
            .iter()
            .map(|(datacenter, service)| SiteView {
                datacenter: datacenter.clone(),
                service: *service,
                first: rung(datacenter, true),
                last: rung(datacenter, false),
            })
            .collect();
        let resort = set(&|server| server.standing.is_last_resort());
        Self { settings, ix, board, by_ix, sites, resort, role, servers, turn }
    }

    /// Its configuration.
    #[must_use]
    pub fn settings(&self) -> &Arc<PoolSettings> {
        &self.settings
    }

    /// The table's index of it.
    #[must_use]
    pub fn ix(&self) -> PoolIx {
        self.ix
    }

    /// All servers, in order of name.
    #[must_use]
    pub fn servers(&self) -> &[ServerView] {
        &self.servers
    }

    /// The ladder: the active datacenter first.
    #[must_use]
    pub fn sites(&self) -> &[SiteView] {
        &self.sites
    }

    /// The turn of one more placement.
    #[must_use]
    pub fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The turn that the next placement will have.
    #[must_use]
    pub fn coming_turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Where the turns are counted, for the next view of this pool.
    #[must_use]
    pub fn turn(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.turn)
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> &RoleView {
        &self.role
    }

    /// A server as placement names it.
    #[must_use]
    pub fn at(&self, slot: ServerSlot) -> Option<&ServerView> {
        self.server(ServerIx::at(slot.0))
    }

    /// A server by the table's index; `None` when it is not configured any more.
    #[must_use]
    pub fn server(&self, ix: ServerIx) -> Option<&ServerView> {
        // The servers of a pool get their numbers in a row, unless a reload adds some: one look finds most of them.
        let guess = ix.index().checked_sub(self.by_ix.first()?.0.index())?;
        let at = match self.by_ix.get(guess) {
            Some((there, at)) if *there == ix => *at,
            _ => self.by_ix.binary_search_by_key(&ix, |(ix, _)| *ix).ok().and_then(|at| self.by_ix.get(at))?.1,
        };
        self.servers.get(at as usize)
    }

    /// A server by name.
    #[must_use]
    pub fn server_named(&self, name: &ServerName) -> Option<&ServerView> {
        let at = self.servers.binary_search_by(|server| server.settings.name.cmp(name)).ok()?;
        self.servers.get(at)
    }

    /// Below the ladder: servers that are disputed, for those who would be refused otherwise.
    #[must_use]
    pub fn resort(&self) -> &PlacementSet {
        &self.resort
    }

    /// Whether any server could take a start now, whatever it asks for.
    #[must_use]
    pub fn can_seat(&self) -> bool {
        self.servers.iter().any(|server| server.standing.is_usable() || server.standing.is_last_resort())
    }

    /// Whether any of one datacenter's servers could.
    #[must_use]
    pub fn can_seat_in(&self, datacenter: &DatacenterName) -> bool {
        self.servers.iter().any(|server| server.standing.is_usable() && server.settings.datacenter == *datacenter)
    }

    /// Whether a director of this datacenter leaves new sessions to the active one (`failover.passive`).
    #[must_use]
    pub fn refuses_in(&self, here: &DatacenterName) -> bool {
        let active = &self.role().active;
        self.settings().failover.passive == Passive::Refuse && here != active && self.can_seat_in(active)
    }
}

impl SiteView {
    /// Its rungs of the ladder, the better one first.
    #[must_use]
    pub fn rungs(&self) -> [&PlacementSet; 2] {
        [&self.first, &self.last]
    }
}

impl ServerView {
    /// Its name in placement: its place on the board of loads.
    #[must_use]
    pub fn slot(&self) -> ServerSlot {
        ServerSlot(self.ix.number())
    }

    /// The life of its process as seats carry it.
    #[must_use]
    pub fn tag(&self) -> IncarnationTag {
        self.incarnation.as_ref().map_or(IncarnationTag::UNKNOWN, Incarnation::tag)
    }

    /// Whether it offers what is asked for: a label that it does not carry takes any value, unless the pool requires it.
    #[must_use]
    pub fn offers(&self, pool: &PoolSettings, labels: &[(LabelName, Cow<'_, str>)]) -> bool {
        labels.iter().all(|(name, value)| match self.settings.labels.get(name) {
            Some(offered) => offered.contains(value.as_ref()),
            None => !pool.required_labels.contains(name),
        })
    }
}

/// The loads of one pool at one moment, as placement asks for them.
#[derive(Debug, Clone, Copy)]
pub struct PoolLoads<'v> {
    pool: &'v PoolView,
    now: Time,
}

impl<'v> PoolLoads<'v> {
    /// The loads now.
    #[must_use]
    pub fn new(pool: &'v PoolView, now: Time) -> Self {
        Self { pool, now }
    }
}

impl Loads for PoolLoads<'_> {
    fn load(&self, server: ServerSlot) -> u32 {
        match self.pool.board.read(server.0 as usize) {
            Shown::Load(load) => load,
            Shown::Ask => self.pool.at(server).map_or(u32::MAX, |server| server.load.load(self.now)),
        }
    }

    fn sum(&self, servers: Range<u32>) -> u64 {
        let shown = self.pool.board.sum(servers.start as usize..servers.end as usize);
        shown.unwrap_or_else(|| servers.map(|server| u64::from(self.load(ServerSlot(server)))).sum())
    }

    fn capacity(&self, server: ServerSlot) -> u32 {
        self.pool.at(server).map_or(0, |server| server.load.capacity())
    }
}
