//! What one run is like: the houses, the clients, and which faults come when. All of it from the seed.

mod faults;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maitred_core::ids::{DatacenterName, DirectorName, PoolName, ServerName};
use maitred_core::settings::{
    DependencyEffect, Failback, FailoverSettings, HealthSettings, PoolSettings, ServerSettings, Settings,
};

use crate::random::Random;

/// The pool of every run.
pub const POOL: &str = "ua";
/// The two sites; the first is preferred.
pub const SITES: [&str; 2] = ["east", "west"];
/// Wall-clock milliseconds at which a run begins.
pub const EPOCH: u64 = 1_700_000_000_000;
/// How long everything is left alone after the heal: two comparisons of tables and a failback fit in.
pub const CALM_MS: u64 = 200_000;

/// How long sessions are remembered in a run that ends with none: longer than what digests leave out because it ends soon (R18).
const FORGOTTEN_AFTER: Duration = Duration::from_mins(12);

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Story {
    /// Anything.
    Mixed,
    /// Only the way between the sites is cut, once, for a long time.
    PureCut,
    /// All servers of the preferred site die while its directors live.
    SiteDies,
    /// Everything of the preferred site is gone for a while.
    SiteLost,
    /// Directors crash and come back with or without their journals.
    Crashes,
}

/// A fault, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server's process dies: connections are refused.
    ServerDies(usize),
    /// The server hangs: nothing answers.
    ServerHangs(usize),
    /// The server is back, as another process.
    ServerReturns(usize),
    /// A director dies.
    DirectorDies(usize),
    /// It starts again, with this much of its journal.
    DirectorStarts(usize, Journal),
    /// A director is stopped: what is meant for it waits.
    DirectorStops(usize),
    /// It goes on where it was.
    DirectorGoesOn(usize),
    /// Nothing goes from the first node to the second any more.
    Cut(Node, Node),
    /// It does again.
    Join(Node, Node),
    /// Frames of this director take so many milliseconds more.
    Slow(usize, u64),
    /// The director's wall clock jumps by so many milliseconds; seen at its next start.
    ClockJumps(usize, i64),
    /// An operator says drain (1), maint (2) or ready (0) about a server, at a director.
    Order(usize, usize, u8),
    /// The server says in its beats that it drains, or that it does not.
    ServerDrains(usize, bool),
    /// An operator puts a site first, or nobody (2), at a director.
    RoleOrder(usize, usize),
    /// The weights of the servers change at every director.
    Configure(u32),
    /// Everything is put right.
    Heal,
}

/// What a starting director finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// Everything that was written.
    Whole,
    /// A copy from some time ago.
    Old,
    /// Nothing.
    Gone,
}

/// A director or a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A director.
    Director(usize),
    /// A server.
    Server(usize),
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where everything comes from.
    pub seed: u64,
    /// What it is about.
    pub story: Story,
    /// Directors of each site.
    pub directors: Vec<usize>,
    /// Servers of each site.
    pub servers: Vec<usize>,
    /// Clients; each has a key of its own.
    pub clients: usize,
    /// One-way delay between the sites.
    pub far_ms: u64,
    /// Bytes that a link between sites carries in a millisecond.
    pub bytes_per_ms: u64,
    /// Share of frames that have to be sent again.
    pub lossy_percent: u64,
    /// Each director's clock against the true one.
    pub skews_ms: Vec<i64>,
    /// Faults in order of time.
    pub faults: Vec<(u64, Fault)>,
    /// Servers hold sessions and beat, clients have no cookie or no key or help themselves.
    pub talks: bool,
    /// Messages go through the real codec.
    pub coded: bool,
    /// How long everything is left alone after the heal.
    pub calm_ms: u64,
    /// When the last fault is healed.
    pub heal_ms: u64,
    /// The pool's settings.
    pub pool: PoolSettings,
}

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    // Every name of a plan is written here.
    #[allow(clippy::expect_used)]
    text.parse().map_err(|_| text).expect("a plan's names are well-formed")
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let story = match random.within(0, 10) {
            0 => Story::PureCut,
            1 | 2 => Story::SiteDies,
            3 => Story::SiteLost,
            4 | 5 => Story::Crashes,
            _ => Story::Mixed,
        };
        let count = |random: &mut Random, most: u64| usize::try_from(random.within(1, most + 1)).unwrap_or(1);
        let directors = vec![count(&mut random, 2), count(&mut random, 2)];
        let servers = vec![count(&mut random, 3), count(&mut random, 2)];
        let all: usize = directors.iter().sum();
        let skew = match random.within(0, 3) {
            0 => 0,
            1 => 2_000,
            _ => 50_000,
        };
        let skews_ms = (0..all)
            .map(|_| i64::try_from(random.within(0, 2 * skew + 1)).unwrap_or(0) - i64::try_from(skew).unwrap_or(0))
            .collect();
        let failback_s = random.within(20, 120);
        let mut plan = Self {
            seed,
            story,
            pool: pool(&servers, failback_s),
            clients: usize::try_from(random.within(4, 24)).unwrap_or(4),
            far_ms: random.within(5, 150),
            bytes_per_ms: if random.percent(25) { 20 } else { 10_000 },
            lossy_percent: if random.percent(30) { 10 } else { 0 },
            skews_ms,
            faults: Vec::new(),
            talks: seed % 2 == 1,
            coded: seed % 5 == 3,
            calm_ms: CALM_MS,
            heal_ms: 0,
            directors,
            servers,
        };
        if plan.talks {
            let depends = BTreeMap::from([("mail".to_owned(), DependencyEffect::Degrade)]);
            plan.pool = PoolSettings { beats: true, depends, ..plan.pool };
        }
        if seed % 50 == 8 {
            // Everybody is away for so long that nothing of them is left.
            plan.pool = PoolSettings { session_ttl: FORGOTTEN_AFTER, ..plan.pool };
            plan.calm_ms += 1000 * FORGOTTEN_AFTER.as_secs();
        }
        plan.draw(&mut random);
        plan
    }

    /// The settings of the director with this number.
    #[must_use]
    pub fn settings(&self, director: usize, weight: u32) -> Settings {
        let names: Vec<(DirectorName, DatacenterName)> =
            (0..self.hosts()).map(|at| (self.director(at), self.home(Node::Director(at)))).collect();
        let mut pool = self.pool.clone();
        for (position, server) in (0_u32..).zip(pool.servers.values_mut()) {
            let server = Arc::make_mut(server);
            server.weight = if position % 2 == 0 { weight } else { 100 };
        }
        Settings {
            director: names[director].0.clone(),
            datacenter: names[director].1.clone(),
            peers: names.iter().enumerate().filter(|(at, _)| *at != director).map(|(_, it)| it.clone()).collect(),
            pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
        }
    }

    /// How many directors there are.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.directors.iter().sum()
    }

    /// How many servers there are.
    #[must_use]
    pub fn backends(&self) -> usize {
        self.servers.iter().sum()
    }

    /// Which site a node stands in: 0 or 1.
    #[must_use]
    pub fn site(&self, node: Node) -> usize {
        match node {
            Node::Director(at) => usize::from(at >= self.directors[0]),
            Node::Server(at) => usize::from(at >= self.servers[0]),
        }
    }

    /// The name of a node's site.
    #[must_use]
    pub fn home(&self, node: Node) -> DatacenterName {
        name(SITES[self.site(node)])
    }

    /// The name of a director.
    #[must_use]
    pub fn director(&self, at: usize) -> DirectorName {
        name(&format!("{}-{at}", SITES[self.site(Node::Director(at))]))
    }

    /// The name of a server.
    #[must_use]
    pub fn server(&self, at: usize) -> ServerName {
        server_name(&self.servers, at)
    }

    /// All servers by number.
    pub fn all_servers(&self) -> impl Iterator<Item = usize> + '_ {
        0..self.backends()
    }

    /// The name of the pool.
    #[must_use]
    pub fn pool_name(&self) -> PoolName {
        name(POOL)
    }
}

fn server_name(servers: &[usize], at: usize) -> ServerName {
    name(&if at < servers[0] { format!("ua{at}") } else { format!("ub{at}") })
}

fn pool(servers: &[usize], failback_s: u64) -> PoolSettings {
    let all: usize = servers.iter().sum();
    let one = |at: usize| {
        let settings = ServerSettings {
            name: server_name(servers, at),
            datacenter: name(SITES[usize::from(at >= servers[0])]),
            origin: format!("https://s{at}.example.com").into(),
            position: u32::try_from(at).unwrap_or(0),
            weight: 100,
            labels: BTreeMap::new(),
        };
        (settings.name.clone(), Arc::new(settings))
    };
    PoolSettings {
        session_ttl: Duration::from_hours(4),
        health: HealthSettings { slow_start: Duration::ZERO, ..HealthSettings::default() },
        failover: FailoverSettings {
            failback: Failback::After(Duration::from_secs(failback_s)),
            ..FailoverSettings::default()
        },
        servers: (0..all).map(one).collect(),
        ..PoolSettings::new(name(POOL), SITES.iter().map(|site| name(site)).collect())
    }
}
