//! What changed, for logs, metrics, the event feed and the operator's page.
//!
//! One event for each decision that changes something. An [`Event`] carries names and reasons, never a key: a server or a site
//! changed, not a session. What happened to one session is a [`SessionEvent`]: every director that learns of it tells the same,
//! with the same identity, so that a feed can go on at another director.

use crate::clock::Time;
use crate::entry::{EndReason, OperatorWord};
use crate::health::FailureKind;
use crate::ids::{DatacenterName, DirectorName, Generation, Incarnation, Key, PoolName, ServerName, SessionId};
use crate::logout::MassLogout;
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
    /// Two orders were given at directors that did not hear of each other: this one gave way to the later one (R15).
    OrderSuperseded {
        /// The pool.
        pool: PoolName,
        /// The server that both are about; `None` when they are about the active datacenter.
        server: Option<ServerName>,
        /// What the one that gave way said: a word about the server, or a datacenter, or `auto`.
        lost: String,
        /// Who had taken it.
        director: DirectorName,
        /// What holds.
        holds: String,
    },
    /// Many sessions ended at once, or lost their server: one incident, told once.
    MassLogout {
        /// The pool.
        pool: PoolName,
        /// How many, of how many.
        incident: MassLogout,
    },
    /// This director did not live for so long: it was stopped, or starved. It is cold until it has heard of its peers.
    TimeLost {
        /// Since the tick before.
        lost: std::time::Duration,
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
            Self::OrderSuperseded { .. } => "order_superseded",
            Self::MassLogout { .. } => "mass_logout",
            Self::TimeLost { .. } => "time_lost",
            Self::Suspect { .. } => "director_suspect",
        }
    }
}

/// Something happened to one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEvent {
    /// The same at every director that tells it, however it learned of it: two events of one identity are one.
    pub identity: u128,
    /// The pool.
    pub pool: PoolName,
    /// The key. It may be an agent's id: never log it in clear above debug.
    pub key: Key,
    /// The session.
    pub session: SessionId,
    /// The generation that began or is over.
    pub generation: Generation,
    /// The server of that generation.
    pub server: ServerName,
    /// The director that decided it.
    pub director: DirectorName,
    /// When it decided, by its clock; for an expiry, when the session was last started.
    pub time: Time,
    /// What happened.
    pub news: SessionNews,
}

/// What happened to a session. Each generation at a server begins once (placed or moved) and is over once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionNews {
    /// It began.
    Placed,
    /// It went on at another server.
    Moved {
        /// Where it was; `None` when this director had not heard of that.
        from: Option<ServerName>,
    },
    /// It had been told to be over, and somebody who had not heard of that kept it later (R1).
    Revived,
    /// A start found it and left it where it is. Told only while somebody listens for it.
    Kept,
    /// It is over.
    Over(Over),
}

/// Why a generation of a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It was ended.
    Ended(EndReason),
    /// It goes on in the next generation, at another server.
    Moved,
    /// Two directors that did not hear of each other had seated the key: the later start won. A double seat, found.
    Outranked,
    /// Nobody came back in time (R18).
    Expired,
}

impl SessionEvent {
    /// The stable word for the feed and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self.news {
            SessionNews::Placed => "placed",
            SessionNews::Moved { .. } => "moved",
            SessionNews::Revived => "revived",
            SessionNews::Kept => "kept",
            SessionNews::Over(_) => "ended",
        }
    }

    /// Why, in a stable word; empty where the event says it all.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.news {
            SessionNews::Placed | SessionNews::Moved { .. } | SessionNews::Revived | SessionNews::Kept => "",
            SessionNews::Over(Over::Ended(EndReason::Client)) => "client",
            SessionNews::Over(Over::Ended(EndReason::Server)) => "server",
            SessionNews::Over(Over::Ended(EndReason::Operator)) => "operator",
            SessionNews::Over(Over::Ended(EndReason::Superseded)) => "superseded",
            SessionNews::Over(Over::Moved) => "moved",
            SessionNews::Over(Over::Outranked) => "double_seat",
            SessionNews::Over(Over::Expired) => "expired",
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
