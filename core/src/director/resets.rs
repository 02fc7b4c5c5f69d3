//! Which sessions a server is told to reset (R6): computed when a beat is answered, never queued.
//!
//! Pure but for what it is shown: one listed session, the key's record, the picture and the other servers' lists. An order's id
//! is a digest of what it is about, so that every director gives the same one and a repeat is recognised.

use std::fmt;
use std::time::Duration;

use super::lists::{Latest, Lists};
use super::told::LastWord;
use crate::clock::{Mono, Stamp};
use crate::digest::Digest;
use crate::entry::{EndReason, Life};
use crate::held::Item;
use crate::ids::{Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};
use crate::session::{ServerIx, Sitting};
use crate::view::PoolView;
use crate::wire::ListSays;

/// How long list and table must differ before a session is reset whose generation does not settle it.
pub(super) const MISMATCH_STANDS: Duration = Duration::from_secs(60);

/// An order's id: equal at every director for the same order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(u128);

impl OrderId {
    /// Parses 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        SessionId::parse(text).ok().map(|id| Self(u128::from_be_bytes(id.0)))
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a session is to be reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetReason {
    /// It was ended.
    Ended(EndReason),
    /// A start seated the key at another server.
    Moved,
    /// A dependency of the server broke: the session is confirmed again at the same server.
    Dependency(String),
}

impl ResetReason {
    /// The stable word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ended(EndReason::Superseded) => "superseded",
            Self::Ended(_) => "ended",
            Self::Moved => "moved",
            Self::Dependency(_) => "dependency",
        }
    }
}

/// An order to a server: reset this session. It repeats with one id in every answer until a beat says that it is done; a server
/// that is given an id it has done already says so again and does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetOrder {
    /// Equal at every director.
    pub id: OrderId,
    /// The pool.
    pub pool: PoolName,
    /// The key to reset.
    pub key: Key,
    /// The session, as the server listed it.
    pub session: Option<SessionId>,
    /// The generation, as the server listed it.
    pub generation: Option<Generation>,
    /// Why.
    pub reason: ResetReason,
    /// This director gives it for the first time: one event, one line in the log.
    pub first: bool,
}

/// Whose sessions are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) pool: &'a PoolName,
    pub(super) server: &'a ServerName,
    pub(super) incarnation: IncarnationTag,
}

impl At<'_> {
    /// The order about a listed session. The generation of the record is part of the cause: the same key, reset once more after
    /// a later start, is another order. Its stamp is not: kept starts renew it.
    pub(super) fn order(&self, item: &Item, reason: ResetReason, cause: Option<u64>) -> ResetOrder {
        let digest = Digest::new("reset")
            .text(self.pool.as_str())
            .text(item.held.key.as_str())
            .bytes(item.held.session.as_ref().map(|session| session.0.as_slice()))
            .text(self.server.as_str())
            .number(Some(self.incarnation.to_bits()))
            .number(item.held.generation.map(|generation| u64::from(generation.get())))
            .text(reason.as_str())
            .text(if let ResetReason::Dependency(name) = &reason { name } else { "" })
            .number(cause);
        ResetOrder {
            id: OrderId(digest.finish()),
            pool: self.pool.clone(),
            key: item.held.key.clone(),
            session: item.held.session,
            generation: item.held.generation,
            reason,
            first: false,
        }
    }
}

/// A listed session that the table says is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) reason: ResetReason,
    /// The record's generation.
    pub(super) generation: Generation,
    /// The generations settle it: no waiting.
    pub(super) at_once: bool,
}

/// A difference between list and table, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) over: Over,
    pub(super) since: Mono,
}

/// Whether the record of a listed key says that this server's session is over (R6), and why.
///
/// Stricter than the rule in four places, each where a reset could hit the agent's only session: a server's own word (stamp 0)
/// ends nothing; a start at a server that has lost the session since ends nothing; without a lower generation nothing ends
/// here while the other server shows a complete list without the key; and a higher one than the record's may come of a later
/// start that nobody remembers any more (journals that were lost, or put back from an old copy), so it takes evidence to end it.
pub(super) fn judge(
    item: &Item,
    server: ServerIx,
    record: &Sitting,
    pool: &PoolView,
    lists: &Lists,
    now: Mono,
) -> Option<Over> {
    if record.stamp == Stamp::ZERO {
        return None;
    }
    let listed = item.held.generation;
    let at_once = listed.is_some_and(|listed| listed < record.generation);
    let higher = listed.is_some_and(|listed| listed > record.generation);
    // What was listed before the record's start or end is older than that: two directors that did not hear of each other count
    // generations alone, and the stamp decides (R1).
    let older = item.since < record.stamp.time() || (!higher && item.since == record.stamp.time());
    let over = |reason| Some(Over { reason, generation: record.generation, at_once });
    match record.life {
        Life::Ended(reason) => {
            let same = item.held.session.is_some_and(|session| session == record.session) && !higher;
            // A ticket without its session's id cannot be told from the one that ended.
            let alike = item.held.session.is_none() && listed.is_some() && !higher;
            (at_once || same || alike || older).then(|| over(ResetReason::Ended(reason)))?
        }
        Life::Live if record.server == server => None,
        Life::Live => {
            let other = pool.server(record.server).filter(|other| other.standing.is_usable())?;
            let (life, holds, unlisted) = match lists.latest(other, &item.place, now) {
                Latest::Told(LastWord { life, says: Some(ListSays::Lacks { unlisted }) }) => {
                    (life, Some(false), unlisted)
                }
                Latest::Told(LastWord { life, says: Some(ListSays::Holds { .. }) }) => (life, Some(true), false),
                Latest::Told(LastWord { life, says: None }) => (life, None, false),
                Latest::Own(list) => {
                    let holds = list.is_valid().then(|| list.find(&item.place).is_some());
                    (other.tag(), holds, list.is_unlisted(&item.place))
                }
                Latest::Nobody => (other.tag(), None, false),
            };
            if record.incarnation.contradicts(life) {
                return None;
            }
            let lacks = unlisted || (!at_once && holds == Some(false));
            // Also a sighting tells that both have it: only the other server's list raises it without a start (R18).
            let both = holds == Some(true) || record.seen.time() > item.since;
            let unproved = higher && !older && !both;
            if lacks || unproved { None } else { over(ResetReason::Moved) }
        }
    }
}
