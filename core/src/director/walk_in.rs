//! A server's word about a key that nobody else knows: stored with stamp 0, so that it fills a gap, takes state, and loses to
//! every start and every tombstone (R5).

use super::Director;
use crate::clock::{Now, Stamp};
use crate::entry::Life;
use crate::held::{Whose, walk_in};
use crate::ids::{Generation, IncarnationTag, Key, SessionId};
use crate::session::{SeatKey, Seen, ServerIx, Shard, Sitting};
use crate::view::{PoolView, ServerView};

/// What a server tells of one of its sessions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) key: &'a Key,
    pub(super) session: Option<SessionId>,
    pub(super) generation: Option<Generation>,
    pub(super) whose: Whose<'a>,
}

/// Whether a seat that rests on a server's own word alone is outdated by the same server's next word: it is of another life, or of
/// a lower generation.
pub(super) fn outdated_word(
    known: &Sitting,
    server: ServerIx,
    incarnation: IncarnationTag,
    generation: Option<Generation>,
) -> bool {
    known.stamp == Stamp::ZERO
        && known.live_at() == Some(server)
        && (known.incarnation.contradicts(incarnation) || generation.is_some_and(|told| told > known.generation))
}

impl Director {
    /// Who sits at a key for this moment: a record that has expired and is not swept yet is none.
    pub(super) fn sitting(&self, shard: &Shard, key: &SeatKey<'_>, pool: &PoolView, now: Now) -> Option<Sitting> {
        let sitting = shard.find(key).map(|record| *record.sitting());
        sitting.filter(|sitting| sitting.expires(pool.settings().session_ttl) > now.time)
    }

    /// Stores a walk-in where no record is, or only the same server's word about a former life. `None` when the table is full.
    pub(super) fn adopt(
        &self,
        shard: &mut Shard,
        key: &SeatKey<'_>,
        word: Word<'_>,
        server: &ServerView,
        known: Option<&Sitting>,
        now: Now,
    ) -> Option<Sitting> {
        if known.is_none()
            && let Some(expired) = shard.remove(key)
            && let Some(server) = expired.sitting().live_at()
        {
            self.counts.of(server).unseated();
        }
        // Above what it replaces: of two words with the same stamp the generation decides (R1).
        let above = known.map_or(Generation::FIRST, |known| known.generation.next());
        let sitting = Sitting {
            session: word.session.or(known.map(|known| known.session)).unwrap_or_else(|| walk_in(word.whose, word.key)),
            incarnation: word.whose.incarnation,
            stamp: Stamp::ZERO,
            generation: word.generation.map_or(above, |told| told.max(above)),
            seen: Seen::at(now.time),
            server: server.ix,
            writer: self.writer,
            life: Life::Live,
            minted: false,
        };
        let change = shard.put(key, sitting).ok()?;
        self.counts.apply(change);
        if known.is_none() {
            // Most of these are seats with minted keys, which counted as placements until now.
            server.load.minted_adopted(now.time);
        }
        Some(sitting)
    }
}
