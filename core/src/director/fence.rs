//! A server's proof that it means the current seat (R4): without it nothing changes, and the answer is the current seat.

use thiserror::Error;

use super::Director;
use super::walk_in::{Word, outdated_word};
use crate::clock::Now;
use crate::entry::SeatEntry;
use crate::held::Whose;
use crate::ids::{Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};
use crate::session::{SeatKey, Shard, Sitting};
use crate::view::{PoolView, ServerView, View};

/// Which seat a server means: its own, in this life, of this generation. Without a generation it is a walk-in (R5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFence {
    /// The server, which the edge has recognised.
    pub server: ServerName,
    /// The life of its process.
    pub incarnation: IncarnationTag,
    /// The generation, as the ticket told it.
    pub generation: Option<Generation>,
}

/// Why a server's word about a session was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FenceRefusal {
    /// No such pool, or it has no such server.
    #[error("no such pool or server is configured")]
    Unknown,
    /// It names a seat that is not the current one, which is shown (R4).
    #[error("this names a seat that is not the current one")]
    Stale(Box<SeatEntry>),
    /// There is no room for one more.
    #[error("too many sessions")]
    Full,
}

/// A pool, one of its servers, and a session's place.
pub(super) struct Named<'v> {
    pub(super) pool: &'v PoolView,
    pub(super) server: &'v ServerView,
    /// The session, where the pool tells sessions of one key apart.
    pub(super) session: Option<SessionId>,
}

impl Director {
    /// Finds what a server names. In a pool with `allow_multiple` a session that it was told nothing of gets the id that its
    /// list would give it.
    pub(super) fn named<'v>(
        &self,
        view: &'v View,
        pool: &PoolName,
        key: &Key,
        session: Option<SessionId>,
        fence: &ServerFence,
    ) -> Result<Named<'v>, FenceRefusal> {
        let pool = view.pool(pool).ok_or(FenceRefusal::Unknown)?;
        let server = pool.server_named(&fence.server).ok_or(FenceRefusal::Unknown)?;
        let own = || crate::held::walk_in(whose(pool, fence), key);
        let session = pool.settings().allow_multiple.then(|| session.unwrap_or_else(own));
        Ok(Named { pool, server, session })
    }

    /// The current seat when it is the one that is meant. A key that nobody knows is a walk-in and gets one.
    #[expect(clippy::too_many_arguments, reason = "what is named, where it is, by whom and when")]
    pub(super) fn fenced(
        &self,
        shard: &mut Shard,
        seat_key: &SeatKey<'_>,
        key: &Key,
        told: Option<SessionId>,
        named: &Named<'_>,
        fence: &ServerFence,
        now: Now,
    ) -> Result<Sitting, FenceRefusal> {
        let word = Word { key, session: told, generation: fence.generation, whose: whose(named.pool, fence) };
        let known = self.sitting(shard, seat_key, named.pool, now);
        let Some(sitting) = known else {
            return self.adopt(shard, seat_key, word, named.server, None, now).ok_or(FenceRefusal::Full);
        };
        // Without a generation it is a walk-in's word (R5), which may replace that of a former life; one that is named is a fence (R4).
        if fence.generation.is_none() && outdated_word(&sitting, named.server.ix, fence.incarnation, None) {
            return self.adopt(shard, seat_key, word, named.server, Some(&sitting), now).ok_or(FenceRefusal::Full);
        }
        let meant = sitting.live_at() == Some(named.server.ix)
            && !sitting.incarnation.contradicts(fence.incarnation)
            && fence.generation.is_none_or(|generation| generation == sitting.generation);
        if meant {
            return Ok(sitting);
        }
        let current = shard.find(seat_key).map(|record| record.entry_for(key.clone(), &self.names));
        Err(current.map_or(FenceRefusal::Unknown, |entry| FenceRefusal::Stale(Box::new(entry))))
    }
}

fn whose<'a>(pool: &'a PoolView, fence: &'a ServerFence) -> Whose<'a> {
    Whose {
        pool: &pool.settings().name,
        server: &fence.server,
        incarnation: fence.incarnation,
        allow_multiple: pool.settings().allow_multiple,
    }
}
