//! The order of seats, the merge, and who is let in at the door.
//!
//! Pure functions of their arguments: any order, duplication or grouping of the same entries gives the same record (R1, R2).

use std::time::Duration;

use thiserror::Error;

use super::names::Book;
use super::record::{Seen, Sitting};
use crate::clock::{Stamp, Time};
use crate::entry::{Life, SeatEntry};
use crate::fault::{Fault, planted};
use crate::ids::{Generation, IncarnationTag, SessionId};

/// How far ahead of the own clock a stamp or sighting may lie (R2).
pub const STAMP_AHEAD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much longer than a seat a tombstone is kept, so that it outlives every copy of what it ended (R18).
pub const TOMBSTONE_EXTRA: Duration = Duration::from_secs(3600);

/// What decides between two seats of one key, in the order of the fields; the highest wins (R1).
///
/// Writers keep their own stamps apart (R2), so that the first three fields decide between any two decisions; the rest makes the
/// order total for whatever else may come. `seen` is no part of it: it is a max-field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank<'a> {
    stamp: Stamp,
    generation: Generation,
    writer: &'a str,
    life: Life,
    session: SessionId,
    server: &'a str,
    incarnation: IncarnationTag,
    minted: bool,
}

impl<'a> Rank<'a> {
    pub(super) fn of(sitting: &Sitting, book: &'a Book) -> Self {
        Self {
            stamp: order_of(sitting.stamp, sitting.generation),
            generation: sitting.generation,
            writer: book.writer(sitting.writer).as_str(),
            life: sitting.life,
            session: sitting.session,
            server: book.server(sitting.server).as_str(),
            incarnation: sitting.incarnation,
            minted: sitting.minted,
        }
    }
}

/// The place of an entry in the order of its key's seats (R1).
#[must_use]
pub fn rank(entry: &SeatEntry) -> Rank<'_> {
    Rank {
        stamp: order_of(entry.stamp, entry.generation),
        generation: entry.generation,
        writer: entry.writer.as_str(),
        life: entry.life,
        session: entry.session,
        server: entry.server.as_str(),
        incarnation: entry.incarnation,
        minted: entry.minted,
    }
}

/// The stamp, unless a planted bug puts the generation before it.
fn order_of(stamp: Stamp, generation: Generation) -> Stamp {
    if planted(Fault::GenerationFirst) {
        return Stamp::from_bits((u64::from(generation.get()) << 48) | (stamp.to_bits() >> 16));
    }
    stamp
}

/// The higher of two seats of one key, seen when either was (R1, R2).
#[must_use]
pub fn merge(one: SeatEntry, other: SeatEntry) -> SeatEntry {
    let seen = one.seen.max(other.seen);
    let winner = if rank(&other) > rank(&one) { other } else { one };
    SeatEntry { seen, ..winner }
}

/// When a seat or tombstone is forgotten, from the record alone (R18).
///
/// Sightings count in whole seconds everywhere, so that an entry and the record made of it expire in the same millisecond.
#[must_use]
pub fn expires(life: Life, stamp: Stamp, seen: Seen, ttl: Duration) -> Time {
    match life {
        Life::Live => stamp.time().max(seen.time()) + ttl,
        Life::Ended(_) => stamp.time() + ttl + TOMBSTONE_EXTRA,
    }
}

/// Why an entry from a link, the journal or a cookie was not merged. Counted by reason, never mended (R2, R18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum Dropped {
    /// The stamp lies more than 7 days ahead.
    #[error("its stamp lies more than 7 days ahead")]
    StampAhead,
    /// The last sighting lies more than 7 days ahead: it would never expire.
    #[error("it was last seen more than 7 days ahead")]
    SeenAhead,
    /// The generation is outside 1 to 2^32. A [`Generation`] cannot be; the codec that read the number says so.
    #[error("its generation is outside 1 to 2^32")]
    Generation,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
}

impl Dropped {
    /// The word of the metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StampAhead => "stamp_ahead",
            Self::SeenAhead => "seen_ahead",
            Self::Generation => "generation",
            Self::Expired => "expired",
        }
    }
}

/// Whether an entry from outside this table may be merged (R2, R18). `ttl` is that of its pool.
///
/// # Errors
/// The reason to count.
pub fn admit(entry: &SeatEntry, now: Time, ttl: Duration) -> Result<(), Dropped> {
    let latest = now + STAMP_AHEAD_MAX;
    if entry.stamp.time() > latest {
        return Err(Dropped::StampAhead);
    }
    if entry.seen > latest {
        return Err(Dropped::SeenAhead);
    }
    if expires(entry.life, entry.stamp, Seen::at(entry.seen), ttl) <= now {
        return Err(Dropped::Expired);
    }
    Ok(())
}
