//! What is remembered: the records that the journal keeps and, later, peers exchange.
//!
//! Entries carry names, never indices of one process, so they mean the same everywhere and after every restart. Each kind is a
//! register with an order of its own: applying an entry twice, late or in another order changes nothing (R1, R2, R9, R15).

use serde::{Deserialize, Serialize};

use crate::clock::{Stamp, Time};
use crate::ids::{DatacenterName, DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

/// One remembered fact.
///
/// The journal tells kinds apart by their position: a new kind goes to the END, and none ever goes away, so that an older journal
/// still reads.
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
    /// Who is logged in at a session, and by that the alias from agent to session.
    Confirmed(ConfirmedEntry),
    /// A dependency of a server that broke.
    Outage(OutageEntry),
}

impl Entry {
    /// The pool and the key of the session that it is about; `None` where it is about none.
    #[must_use]
    pub fn of_session(&self) -> Option<(&PoolName, &Key)> {
        match self {
            Self::Seat(seat) => Some((&seat.pool, &seat.key)),
            Self::State(state) => Some((&state.pool, &state.key)),
            Self::Confirmed(confirmed) => Some((&confirmed.pool, &confirmed.key)),
            Self::ServerOrder(_)
            | Self::RoleOrder(_)
            | Self::LastVerdict(_)
            | Self::LastRole(_)
            | Self::Clock(_)
            | Self::Outage(_) => None,
        }
    }
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

/// A server's word about who is logged in at one of its sessions: a register per session, ordered by (stamp, writer).
///
/// The alias (pool, agent) → session follows from it: the newest confirm of an agent wins (R5). It moves no seat's stamp (R1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedEntry {
    /// The pool.
    pub pool: PoolName,
    /// The session's key.
    pub key: Key,
    /// The session.
    pub session: SessionId,
    /// Several sessions of one key are apart in this pool (R10).
    pub by_session: bool,
    /// The server that confirmed.
    pub server: ServerName,
    /// The life of its process.
    pub incarnation: IncarnationTag,
    /// The generation of the seat that it confirmed.
    pub generation: Generation,
    /// Who is logged in; the key itself where the server named nobody.
    pub agent: Key,
    /// When it was confirmed.
    pub stamp: Stamp,
    /// The director that took it.
    pub writer: DirectorName,
}

/// The outages of a server's dependency with effect `reset`: a register ordered by (count, finished).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageEntry {
    /// The server.
    pub server: ServerName,
    /// The dependency's name.
    pub dependency: String,
    /// The life of the server's process.
    pub incarnation: IncarnationTag,
    /// Turns so far: odd while it is down. Outage number n begins with turn 2n - 1, so that directors that saw the same turns
    /// count the same number.
    pub count: u64,
    /// When the last outage began.
    pub began: Time,
    /// Every session that the last outage affected has been reset.
    pub finished: bool,
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
