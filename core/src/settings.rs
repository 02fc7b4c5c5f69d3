//! What the configuration tells the core: parsed and checked by the shell, trusted here.
//!
//! Owns the shape of a pool and its servers as decisions see them. Knows no file, URL scheme, certificate or route; a server's
//! origin is an opaque text that is handed back with the seat, so that members and addresses change in one swap of the view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{DatacenterName, DirectorName, LabelName, PoolName, ServerName};

/// Everything the core must know. Replaced as a whole by a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// This director.
    pub director: DirectorName,
    /// The datacenter it stands in.
    pub datacenter: DatacenterName,
    /// The other directors, without this one, by name.
    pub peers: BTreeMap<DirectorName, DatacenterName>,
    /// Pools by name; shared, so that a view points to them.
    pub pools: BTreeMap<PoolName, Arc<PoolSettings>>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolSettings {
    /// Its name.
    pub name: PoolName,
    /// Order of preference for the active role; never empty.
    pub datacenters: Vec<DatacenterName>,
    /// How a server is chosen for a session that has none.
    pub placement: Policy,
    /// Bounded loads: no placement above this many times the mean load, in thousandths (1250 is 1.25). Never below 1000.
    pub load_bound_permille: u32,
    /// Sessions per server, unless the server says otherwise.
    pub capacity: u32,
    /// How long a session is remembered after its last start or sighting.
    pub session_ttl: Duration,
    /// How long an orphan counts as load.
    pub orphan_grace: Duration,
    /// Several sessions of one key (R10).
    pub allow_multiple: bool,
    /// Its servers push heartbeats and list their sessions.
    pub beats: bool,
    /// Labels that a server must carry to be eligible for a request that names them.
    pub required_labels: BTreeSet<LabelName>,
    /// Label names that a start may give.
    pub labels: BTreeSet<LabelName>,
    /// How evidence about a server becomes a vote.
    pub health: HealthSettings,
    /// What a server's `depends` means here.
    pub depends: BTreeMap<String, DependencyEffect>,
    /// When the active role moves.
    pub failover: FailoverSettings,
    /// Its servers by name.
    pub servers: BTreeMap<ServerName, Arc<ServerSettings>>,
}

impl PoolSettings {
    /// A pool of no servers with the defaults of the manual (`docs/configuration.md`).
    #[must_use]
    pub fn new(name: PoolName, datacenters: Vec<DatacenterName>) -> Self {
        Self {
            name,
            datacenters,
            placement: Policy::default(),
            load_bound_permille: 1250,
            capacity: 1000,
            session_ttl: Duration::from_hours(24),
            orphan_grace: Duration::from_mins(10),
            allow_multiple: false,
            beats: false,
            required_labels: BTreeSet::new(),
            labels: BTreeSet::new(),
            health: HealthSettings::default(),
            depends: BTreeMap::new(),
            failover: FailoverSettings::default(),
            servers: BTreeMap::new(),
        }
    }
}

/// How a server is chosen for a session that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// Weighted rendezvous hashing with bounded loads: any director repeats the choice without asking.
    #[default]
    Rendezvous,
    /// The lowest load for its weight.
    LeastSessions,
    /// In turn, by weight.
    RoundRobin,
    /// The first in the order of the configuration that is not full.
    FirstAvailable,
}

/// One server, as decisions see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Its name, unique in the whole configuration.
    pub name: ServerName,
    /// Where it stands.
    pub datacenter: DatacenterName,
    /// What clients get: scheme, host and port. Opaque here.
    pub origin: Arc<str>,
    /// Its position in the configuration file, for [`Policy::FirstAvailable`].
    pub position: u32,
    /// Its share of the load; 100 is the usual one, 0 takes no placement.
    pub weight: u32,
    /// What it offers. A label that it does not carry takes any value, unless the pool requires it.
    pub labels: BTreeMap<LabelName, BTreeSet<String>>,
}

/// How looks at a server become a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// Time between two looks at a server of the own datacenter; others are looked at every five times that.
    pub interval: Duration,
    /// How long one look may take.
    pub timeout: Duration,
    /// Failed looks in a row that make it down.
    pub fall: u32,
    /// Good looks in a row that make it up again.
    pub rise: u32,
    /// Time between two looks while the vote is about to change.
    pub fast: Duration,
    /// How long a server that came up takes to get its full weight.
    pub slow_start: Duration,
    /// Silent share of the own datacenter above which this director suspects itself and abstains, in percent.
    pub suspect_above_percent: u8,
}

/// The defaults of the manual.
impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            fast: Duration::from_millis(500),
            slow_start: Duration::from_secs(30),
            suspect_above_percent: 50,
        }
    }
}

/// What a dependency that is down does to the server that reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DependencyEffect {
    /// Ranked last.
    Degrade,
    /// Counted as down.
    Down,
    /// Its sessions are reset once and confirmed again at the same server.
    Reset,
}

/// When the active role moves between datacenters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverSettings {
    /// How long the active datacenter must not serve before the role leaves it.
    pub after: Duration,
    /// When it comes back.
    pub failback: Failback,
    /// How many of the configured servers must be up for a datacenter to serve.
    pub min_up: MinUp,
    /// What a full datacenter does.
    pub overflow: Overflow,
    /// What a director of a passive datacenter answers.
    pub passive: Passive,
    /// What a director does that has no fresh word from the active datacenter.
    pub isolated: Isolated,
    /// Starts per second after a failover; 0 is unpaced.
    pub relogin_rate: u32,
}

/// The defaults of the manual.
impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(15),
            failback: Failback::After(Duration::from_mins(5)),
            min_up: MinUp::Servers(1),
            overflow: Overflow::Refuse,
            passive: Passive::Redirect,
            isolated: Isolated::Serve,
            relogin_rate: 0,
        }
    }
}

/// When the role returns to the preferred datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failback {
    /// After it has served this long without a break.
    After(Duration),
    /// When an operator says so.
    Manual,
}

/// Servers that must be up for a datacenter to serve; at least one, whatever is configured (R14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinUp {
    /// This many.
    Servers(u32),
    /// This share of the configured ones, rounded up.
    Percent(u8),
}

impl MinUp {
    /// The count for a datacenter with `configured` servers.
    #[must_use]
    pub fn of(self, configured: u32) -> u32 {
        match self {
            Self::Servers(count) => count,
            Self::Percent(share) => (configured * u32::from(share)).div_ceil(100),
        }
        .max(1)
    }
}

/// Full is not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Refuse with 2001.
    Refuse,
    /// Go down the ladder.
    NextDatacenter,
}

/// What a director answers while its datacenter is passive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passive {
    /// With a server in the active datacenter.
    Redirect,
    /// With 1002, for balancers that should look elsewhere.
    Refuse,
}

/// What a director does that hears nothing from the active datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolated {
    /// Serves whoever reaches it; the merge sorts it out.
    Serve,
    /// Waits for an operator.
    Hold,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_servers_is_rounded_up_and_never_zero() {
        assert_eq!(MinUp::Percent(50).of(3), 2);
        assert_eq!(MinUp::Percent(0).of(3), 1);
        assert_eq!(MinUp::Servers(0).of(3), 1);
        assert_eq!(MinUp::Servers(2).of(3), 2);
    }
}
