//! What changed, for logs, metrics, the event feed and the operator's page.
//!
//! One event for each decision that changes something. Events carry names and reasons, never a key: a server or a site changed,
//! not a session (sessions tell their changes through the table's dirty slots, where repeats coalesce).

use crate::entry::OperatorWord;
use crate::health::FailureKind;
use crate::ids::{DatacenterName, Incarnation, PoolName, ServerName};
use crate::role::RoleCause;

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A server's verdict is up.
    ServerUp {
        /// Its pool.
        pool: PoolName,
        /// The server.
        server: ServerName,
    },
    /// A server's verdict is down.
    ServerDown {
        /// Its pool.
        pool: PoolName,
        /// The server.
        server: ServerName,
        /// The kind of failure that decided.
        kind: FailureKind,
        /// The same for people.
        detail: String,
    },
    /// A server's process is another one: what it held is gone.
    ServerReborn {
        /// Its pool.
        pool: PoolName,
        /// The server.
        server: ServerName,
        /// The new life.
        incarnation: Incarnation,
    },
    /// A server degraded or recovered: a dependency, or its own word.
    ServerDegraded {
        /// Its pool.
        pool: PoolName,
        /// The server.
        server: ServerName,
        /// The dependency that decided.
        dependency: String,
        /// Whether it is degraded now.
        degraded: bool,
    },
    /// The operator's word about a server changed, by an order or by its deadline.
    ServerOrdered {
        /// Its pool.
        pool: PoolName,
        /// The server.
        server: ServerName,
        /// What held.
        before: OperatorWord,
        /// What holds.
        after: OperatorWord,
        /// The operator's reason.
        reason: String,
    },
    /// The active role of a pool moved.
    RoleMoved {
        /// The pool.
        pool: PoolName,
        /// Where it was.
        from: DatacenterName,
        /// Where it is.
        to: DatacenterName,
        /// Counts changes.
        epoch: u64,
        /// Why.
        cause: RoleCause,
    },
    /// So many servers fell silent at once that this director suspects itself and abstains, or it no longer does.
    Suspect {
        /// The pool whose rule decided.
        pool: PoolName,
        /// Whether it abstains now.
        abstains: bool,
        /// Servers of the own datacenter that are silent.
        silent: u32,
        /// Servers of the own datacenter.
        of: u32,
    },
}

impl Event {
    /// The stable word for logs and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ServerUp { .. } => "server_up",
            Self::ServerDown { .. } => "server_down",
            Self::ServerReborn { .. } => "server_reborn",
            Self::ServerDegraded { .. } => "server_degraded",
            Self::ServerOrdered { after: OperatorWord::Ready, .. } => "server_ready",
            Self::ServerOrdered { after: OperatorWord::Drain, .. } => "server_drain",
            Self::ServerOrdered { after: OperatorWord::Maint, .. } => "server_maint",
            Self::RoleMoved { .. } => "datacenter_active",
            Self::Suspect { .. } => "director_suspect",
        }
    }
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Log it, count it, hand it to whoever listens.
    Publish(Event),
    /// Bring the next look at this server forward.
    ProbeNow(ServerName),
}
