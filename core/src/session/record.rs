//! One remembered seat as the table holds it: of fixed size, with numbers in place of names and of the key's text.

use std::fmt;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Full;
use super::merge::expires;
use super::names::{Book, Names, PoolIx, ServerIx, WriterIx};
use super::slab::NONE;
use super::texts::{TextPlace, Texts};
use crate::clock::{Stamp, Time};
use crate::entry::{Life, SeatEntry};
use crate::ids::{DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

/// When a seat was last seen, in whole seconds since the Unix epoch; fits until 2106.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seen(u32);

impl Seen {
    /// The second that holds a moment.
    #[must_use]
    pub fn at(time: Time) -> Self {
        Self(u32::try_from(time.0 / 1000).unwrap_or(u32::MAX))
    }

    /// Its first millisecond.
    #[must_use]
    pub fn time(self) -> Time {
        Time(u64::from(self.0) * 1000)
    }
}

/// What the map is asked with: pool, key and, where a key may have several sessions, the session (R10). Hashed once.
#[derive(Debug, Clone, Copy)]
pub struct SeatKey<'k> {
    pub(super) pool: PoolIx,
    pub(super) text: &'k str,
    pub(super) session: Option<SessionId>,
    pub(super) hash: u64,
}

impl<'k> SeatKey<'k> {
    /// `session` only where the pool says `allow_multiple`.
    pub(super) fn new(seed: u64, pool: PoolIx, text: &'k str, session: Option<SessionId>) -> Self {
        Self { pool, text, session, hash: hash(seed, pool, text.as_bytes(), session) }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> PoolIx {
        self.pool
    }
}

/// A place in the map.
fn hash(seed: u64, pool: PoolIx, text: &[u8], session: Option<SessionId>) -> u64 {
    // The pool goes into the seed, spread over all bits, so that nothing has to be copied together.
    let spread = u64::from(pool.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let by_key = xxh3_64_with_seed(text, seed ^ spread);
    session.map_or(by_key, |session| xxh3_64_with_seed(&session.0, by_key))
}

/// Who sits where: everything about a seat but its key. Small and `Copy`, so that a changed one is written in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sitting {
    /// The session's public id.
    pub session: SessionId,
    /// The life of the server's process when it was seated.
    pub incarnation: IncarnationTag,
    /// When the last client start or end was (R1).
    pub stamp: Stamp,
    /// How often the key has been seated.
    pub generation: Generation,
    /// When it was last seen; a max-field (R18).
    pub seen: Seen,
    /// Where it sits.
    pub server: ServerIx,
    /// The director that decided.
    pub writer: WriterIx,
    /// Seated or ended.
    pub life: Life,
    /// The key was minted by a director.
    pub minted: bool,
}

impl Sitting {
    /// What an entry says; gives numbers to names at first sight.
    ///
    /// # Errors
    /// When there is no number left for a name.
    pub fn of(entry: &SeatEntry, names: &Names) -> Result<Self, Full> {
        let (server, writer) = names.of_seat(&entry.server, &entry.writer)?;
        Ok(Self {
            session: entry.session,
            incarnation: entry.incarnation,
            stamp: entry.stamp,
            generation: entry.generation,
            seen: Seen::at(entry.seen),
            server,
            writer,
            life: entry.life,
            minted: entry.minted,
        })
    }

    /// The entry with names; allocates nothing.
    #[must_use]
    pub fn entry(&self, pool: PoolName, key: Key, book: &Book) -> SeatEntry {
        self.entry_at(pool, key, book.server(self.server).clone(), book.writer(self.writer).clone())
    }

    /// The same for who has the names of its server and its writer at hand.
    #[must_use]
    pub fn entry_at(&self, pool: PoolName, key: Key, server: ServerName, writer: DirectorName) -> SeatEntry {
        SeatEntry {
            pool,
            key,
            session: self.session,
            server,
            incarnation: self.incarnation,
            generation: self.generation,
            stamp: self.stamp,
            writer,
            life: self.life,
            seen: self.seen.time(),
            minted: self.minted,
        }
    }

    /// The server that it counts at: a tombstone counts nowhere.
    #[must_use]
    pub fn live_at(&self) -> Option<ServerIx> {
        (self.life == Life::Live).then_some(self.server)
    }

    /// When it is forgotten (R18).
    #[must_use]
    pub fn expires(&self, ttl: Duration) -> Time {
        expires(self.life, self.stamp, self.seen, ttl)
    }
}

/// What a shard keeps of a seat or tombstone. Its key's text lies elsewhere ([`Texts`]), so that a short one takes less. One line of
/// the cache, and never parts of two.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Row {
    pub(super) sitting: Sitting,
    pub(super) text: TextPlace,
    /// Neighbours in the list of the server's live seats.
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) pool: PoolIx,
    /// The session is part of the map's key (R10).
    by_session: bool,
}

impl Row {
    pub(super) fn new(key: &SeatKey<'_>, text: TextPlace, sitting: Sitting) -> Self {
        Self { sitting, text, prev: NONE, next: NONE, pool: key.pool, by_session: key.session.is_some() }
    }

    pub(super) fn is_of(&self, key: &SeatKey<'_>, texts: &Texts) -> bool {
        self.pool == key.pool
            && texts.bytes(self.text) == key.text.as_bytes()
            && match key.session {
                Some(session) => self.by_session && self.sitting.session == session,
                None => !self.by_session,
            }
    }

    /// Its place in the map.
    pub(super) fn hash(&self, texts: &Texts, seed: u64) -> u64 {
        hash(seed, self.pool, texts.bytes(self.text), self.by_session.then_some(self.sitting.session))
    }
}

/// One seat or tombstone of the table, as it is at this moment.
#[derive(Clone, Copy)]
pub struct Record<'t> {
    text: &'t str,
    row: Row,
}

impl<'t> Record<'t> {
    pub(super) fn new(text: &'t str, row: Row) -> Self {
        Self { text, row }
    }

    /// What it says but its key.
    #[must_use]
    pub fn sitting(&self) -> &Sitting {
        &self.row.sitting
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> PoolIx {
        self.row.pool
    }

    /// The key as text. It may be an agent's id: never log it in clear above debug.
    #[must_use]
    pub fn key_text(&self) -> &'t str {
        self.text
    }

    /// The entry with names, for the journal, a peer, or a reader who does not have the key at hand.
    #[must_use]
    pub fn entry(&self, names: &Names) -> SeatEntry {
        self.entry_for(Key::trusted(self.text), names)
    }

    /// The entry with names, with the caller's copy of the key: allocates nothing.
    #[must_use]
    pub fn entry_for(&self, key: Key, names: &Names) -> SeatEntry {
        let book = names.book();
        self.row.sitting.entry(book.pool(self.row.pool).clone(), key, &book)
    }
}

impl fmt::Debug for Record<'_> {
    /// The key as a short hash, as for [`Key`]: it may be an agent's id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("key", &Key::trusted(self.text)).field("row", &self.row).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::Slot;
    use super::super::texts;
    use super::*;

    #[test]
    fn a_seat_takes_64_bytes_in_its_slot() {
        assert!(size_of::<Slot<Row>>() <= 64, "{}", size_of::<Slot<Row>>());
    }

    #[test]
    fn a_remembered_seat_takes_at_most_89_bytes_all_in_for_an_agents_id_and_113_for_a_uuid() {
        // The indices of all shards, and one dirty bit for each reader.
        let all = |key: &str| (size_of::<Slot<Row>>() + texts::bytes_of(key)) as f64 + 8.7 + 0.25;
        assert!(all("agent-00000001") <= 89.0, "{}", all("agent-00000001"));
        let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert!(all(uuid) <= 113.0, "{}", all(uuid));
    }

    #[test]
    fn an_entry_reads_back_with_whole_seconds() {
        let names = Names::default();
        for key in ["a".to_owned(), "k".repeat(128)] {
            let entry = SeatEntry {
                pool: PoolName::parse("agents").unwrap(),
                key: Key::parse(&key).unwrap(),
                session: SessionId([3; 16]),
                server: ServerName::parse("ua1").unwrap(),
                incarnation: IncarnationTag::from_bits(77),
                generation: Generation::FIRST,
                stamp: Stamp::at(Time(123_456)),
                writer: DirectorName::parse("d1").unwrap(),
                life: Life::Live,
                seen: Time(123_456),
                minted: true,
            };
            let pool = names.pool(&entry.pool).unwrap();
            let mut texts = Texts::new();
            let text = texts.insert(&key).unwrap();
            let row = Row::new(&SeatKey::new(1, pool, &key, None), text, Sitting::of(&entry, &names).unwrap());
            let record = Record::new(texts.text(text), row);
            assert_eq!(record.entry(&names), SeatEntry { seen: Time(123_000), ..entry });
        }
    }
}
