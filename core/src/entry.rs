//! What is remembered: the records that the journal keeps and, later, peers exchange.
//!
//! Entries carry names, never indices of one process, so they mean the same everywhere and after every restart. Each kind is a
//! register with an order of its own: applying an entry twice, late or in another order changes nothing (R1, R2, R9, R15).

use serde::{Deserialize, Serialize};

use crate::clock::{Stamp, Time};
use crate::ids::{DatacenterName, DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

/// One remembered fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A seat or its tombstone.
    Seat(SeatEntry),
    /// A session's opaque state.
    State(StateEntry),
    /// A server's operator's word.
    ServerOrder(ServerOrder),
    /// An order about the active role.
    RoleOrder(RoleOrder),
    /// The last verdict about a server, repeated as unconfirmed after a restart.
    LastVerdict(LastVerdict),
    /// The last role of a pool.
    LastRole(LastRole),
    /// The writer's clock, so that it never runs backwards over a restart (R2).
    Clock(Time),
}

/// A seat: which server a key sits at, since when, and whether it still does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatEntry {
    /// The pool.
    pub pool: PoolName,
    /// What affinity is about.
    pub key: Key,
    /// The session's public id.
    pub session: SessionId,
    /// Where it sits.
    pub server: ServerName,
    /// The life of that server's process when it was seated.
    pub incarnation: IncarnationTag,
    /// How often the key has been seated.
    pub generation: Generation,
    /// When the last client start or end was (R1); zero is a server's word (R5).
    pub stamp: Stamp,
    /// The director that decided.
    pub writer: DirectorName,
    /// Seated or ended.
    pub life: Life,
    /// When it was last seen, by a start or in a server's list; a max-field (R18).
    pub seen: Time,
    /// The key was minted by a director.
    pub minted: bool,
}

/// Seated or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Life {
    /// A tombstone.
    Ended(EndReason),
    /// A seat.
    Live,
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndReason {
    /// The client: logout, delete or beacon.
    Client,
    /// The server that held it.
    Server,
    /// An operator.
    Operator,
    /// The agent confirmed another session (R5).
    Superseded,
}

/// A session's opaque state: a register of its own that survives a lost seat (R9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// The pool.
    pub pool: PoolName,
    /// The key.
    pub key: Key,
    /// The session that it belongs to.
    pub session: SessionId,
    /// Stamp of the seat under which it was written.
    pub stamp: Stamp,
    /// Counts writes under one seat.
    pub version: u64,
    /// The director that took it.
    pub writer: DirectorName,
    /// At most 4 KiB.
    pub bytes: Vec<u8>,
}

/// An operator's word about a server: a register ordered by (stamp, writer) (R15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerOrder {
    /// The server.
    pub server: ServerName,
    /// What is ordered.
    pub word: OperatorWord,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// When it lapses to ready, if ever.
    pub deadline: Option<Time>,
    /// When it was ordered.
    pub stamp: Stamp,
    /// The director that took it.
    pub writer: DirectorName,
}

/// An operator's word about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperatorWord {
    /// Normal.
    #[default]
    Ready,
    /// No new sessions; those that sit there stay.
    Drain,
    /// No sessions at all.
    Maint,
}

impl OperatorWord {
    /// The word of the interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

/// An order about the active role of a pool: a register ordered by (stamp, writer) (R15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleOrder {
    /// The pool.
    pub pool: PoolName,
    /// The datacenter to put first; `None` is automatic again.
    pub datacenter: Option<DatacenterName>,
    /// When it was ordered.
    pub stamp: Stamp,
    /// The director that took it.
    pub writer: DirectorName,
}

/// The last verdict about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVerdict {
    /// The server.
    pub server: ServerName,
    /// Whether it was up.
    pub up: bool,
    /// The incarnation that was known.
    pub incarnation: Option<String>,
    /// When it was written.
    pub time: Time,
}

/// The last role of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRole {
    /// The pool.
    pub pool: PoolName,
    /// The active datacenter.
    pub active: DatacenterName,
    /// Counts changes of the role (R13).
    pub epoch: u64,
    /// When it was written.
    pub time: Time,
}
