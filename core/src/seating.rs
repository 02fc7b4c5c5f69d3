//! The question and the answer of a start: the words that the edge and the director share.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::entry::SeatEntry;
use crate::ids::{DatacenterName, Generation, Key, LabelName, PoolName, ServerName, SessionId};
use crate::settings::ServerSettings;

/// Most alternates that an answer holds.
pub const ALTERNATES_MAX: usize = 16;

/// A start, parsed and checked by the edge.
#[derive(Debug, Clone)]
pub struct StartRequest<'a> {
    /// The pool that the request is routed to.
    pub pool: &'a PoolName,
    /// The key.
    pub key: RequestKey,
    /// The seat that the caller showed by a valid cookie or token of the same pool (R7).
    pub shown: Option<Shown>,
    /// What the server must offer.
    pub labels: &'a [(LabelName, Cow<'a, str>)],
    /// A server that is of no use to this caller (owner only).
    pub avoid: Option<&'a ServerName>,
    /// A fresh random id, used when a new session begins.
    pub session: SessionId,
}

/// Where the key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestKey {
    /// The client gave it.
    Given(Key),
    /// It is the key of the shown seat: the affinity cookie alone gave it.
    Shown(Key),
    /// Nothing gave one: the edge minted it from at least 128 random bits.
    Minted(Key),
}

impl RequestKey {
    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Given(key) | Self::Shown(key) | Self::Minted(key) => key,
        }
    }
}

/// A seat that the caller proved to know, and whether it is the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The seat as the cookie or token carries it.
    pub seat: SeatEntry,
    /// The caller placed the session, or got the right from whoever did.
    pub owner: bool,
}

/// How the session came to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// It had none.
    Placed,
    /// It had one that is usable.
    Kept,
    /// It had one that it cannot have any more.
    Moved,
}

impl Affinity {
    /// The word of the interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Kept => "kept",
            Self::Moved => "moved",
        }
    }
}

/// The answer to a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// The whole record, for the cookie and the token.
    pub entry: SeatEntry,
    /// How it came about.
    pub affinity: Affinity,
    /// Why, in a word for the log: `new`, `cookie`, `table`, `server_down`, `maint`, `avoid`, `operator`, `listed` ...
    pub reason: &'static str,
    /// The caller may end, move and read the session.
    pub owner: bool,
    /// Where: name, datacenter and origin, from the configuration only.
    pub server: Arc<ServerSettings>,
    /// How long it is remembered.
    pub ttl: Duration,
}

impl Seat {
    /// The session's id.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.entry.session
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.entry.generation
    }
}

/// Servers to try next, in failover order.
pub type Alternates = SmallVec<[Arc<ServerSettings>; ALTERNATES_MAX]>;

/// Why nobody could be seated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The pool is not configured (any more).
    UnknownPool,
    /// The key came from a cookie alone ([`RequestKey::Shown`]) and its session has ended or is forgotten: ask again with a
    /// minted key.
    SessionEnded,
    /// The label's name is not one of the pool's.
    UnknownLabel(LabelName),
    /// No server accepts this; what stood in the way, counted over the pool's servers.
    NoServer(Shortage),
    /// This datacenter is passive and refuses.
    Passive {
        /// The active one.
        active: DatacenterName,
    },
    /// Nothing is heard from the active datacenter, and the configuration says to wait for an operator.
    Isolated,
    /// Too many starts after a failover.
    Paced {
        /// When to come back.
        retry_after: Duration,
    },
    /// `avoid` by a caller who is not the session's owner, or too often.
    AvoidRefused(AvoidRefusal),
}

/// Why `avoid` was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AvoidRefusal {
    /// The caller does not own the session.
    NotOwner,
    /// More than 3 times in 10 minutes.
    TooOften,
}

/// What stood in the way of a placement: how many servers failed for which reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shortage {
    /// Servers of the pool.
    pub servers: u32,
    /// Down by the verdict.
    pub down: u32,
    /// In maint.
    pub maint: u32,
    /// In drain, by the operator or by their own word.
    pub drain: u32,
    /// At their own capacity.
    pub full: u32,
    /// Without a label that was asked for.
    pub labels: u32,
    /// In a datacenter that is not the active one and not reached down the ladder.
    pub elsewhere: u32,
    /// The one that the caller avoids.
    pub avoided: u32,
}
