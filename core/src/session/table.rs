//! All shards: finds the one of a key, and walks them one by one for whoever needs everything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::change::{Dirty, Swept};
use super::happened;
use super::names::{Names, PoolIx, ServerIx};
use super::record::{Record, SeatKey};
use super::shard::Shard;
use super::shares::{shard_of, share_of};
use super::slab::Reader;
use crate::clock::Time;
use crate::entry::{Entry, SeatEntry, StateEntry};
use crate::event::SessionEvent;
use crate::ids::{Key, SessionId};
use crate::unwritten::Unwritten;

/// Records that a walk looks at before it lets go of a shard's lock: some ten microseconds.
const STEP: usize = 256;
/// The same for agent states, which are many times larger.
const STATES_STEP: usize = STEP / 8;

/// A locked shard. Never hold two.
pub type ShardGuard<'a> = MutexGuard<'a, Shard>;

/// How large a table may become and how it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableOptions {
    /// Shards; raised to a power of two, at most 4,096.
    pub shards: u32,
    /// Seed of the keys' hash: the same seed and inputs give the same table.
    pub seed: u64,
    /// Seats and tombstones that it holds at most, up to a quarter more where keys fall unevenly.
    pub records_max: usize,
}

impl Default for TableOptions {
    /// 64 shards keep two threads apart 98 times of 100; 16 million records are 1.5 to 2 GB.
    fn default() -> Self {
        Self { shards: 64, seed: 0, records_max: 16_000_000 }
    }
}

/// Where a walk through the table goes on. It stays right while the table changes: what is there all the time is met once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(u64);

impl Cursor {
    /// As a number, for a page's link.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// From a number; any number is harmless.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn at(shard: usize, slot: u32) -> Self {
        Self(((shard as u64) << 32) | u64::from(slot))
    }

    fn shard(self) -> usize {
        usize::try_from(self.0 >> 32).unwrap_or(usize::MAX)
    }

    fn slot(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

/// The session table.
#[derive(Debug)]
pub struct Table {
    shards: Box<[Mutex<Shard>]>,
    seed: u64,
    unwritten: Arc<Unwritten>,
    sweep_at: AtomicU32,
    /// The shard that each reader is handed first.
    drain_at: [AtomicU32; Reader::COUNT],
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(options: TableOptions) -> Self {
        let shards = options.shards.clamp(1, 4096).next_power_of_two() as usize;
        let unwritten = Arc::<Unwritten>::default();
        let shard = |number| {
            let even = (options.records_max as f64 * share_of(number, shards)).ceil() as usize;
            let limit = even + even / 4 * usize::from(shards > 1);
            Mutex::new(Shard::new(options.seed, limit, Arc::clone(&unwritten)))
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            seed: options.seed,
            unwritten,
            sweep_at: AtomicU32::new(0),
            drain_at: Default::default(),
        }
    }

    /// What a key is asked for with. `session` only where the pool says `allow_multiple` (R10).
    #[must_use]
    pub fn key<'k>(&self, pool: PoolIx, key: &'k Key, session: Option<SessionId>) -> SeatKey<'k> {
        SeatKey::new(self.seed, pool, key.as_str(), session)
    }

    /// Where it is noted that something waits for [`Reader::Journal`].
    #[must_use]
    pub fn unwritten(&self) -> &Arc<Unwritten> {
        &self.unwritten
    }

    /// Locks the shard of a key.
    pub fn lock(&self, key: &SeatKey<'_>) -> ShardGuard<'_> {
        self.shards[shard_of(key.hash, self.shards.len())].lock()
    }

    /// Takes and lets go of every shard once: whoever held one before has finished when this returns.
    pub fn pass(&self) {
        for shard in &self.shards {
            drop(shard.lock());
        }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Seats and tombstones. Shards are counted one after the other.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether there is neither seat nor tombstone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Agent states.
    #[must_use]
    pub fn states(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().states()).sum()
    }

    /// Hands out every seat, tombstone and agent state that changed since the last call for this reader. One caller per reader
    /// at a time, or the order of one key's changes is lost. `sink` runs under a shard's lock: it must neither wait nor touch
    /// the table.
    pub fn drain_dirty(&self, reader: Reader, names: &Names, sink: &mut dyn FnMut(Entry)) {
        self.drain(reader, names, &mut |_| (), &mut |entry| {
            sink(entry);
            true
        });
    }

    /// The same as long as `sink` asks for more, and a little beyond; says whether it was cut short. The next call goes on where
    /// this one stopped, so that everything comes in its turn, whatever changes again in the meantime.
    pub fn drain_some(&self, reader: Reader, names: &Names, sink: &mut dyn FnMut(Entry) -> bool) -> bool {
        self.drain(reader, names, &mut |_| (), sink)
    }

    /// The same for the peers, with what happened to sessions: whoever hears of a record must be able to hear before what
    /// happened, so both are taken under one lock and the news are told first. How many of them are lost.
    pub fn drain_with_news(
        &self,
        names: &Names,
        news: &mut dyn FnMut(SessionEvent),
        sink: &mut dyn FnMut(Entry),
    ) -> u64 {
        let (mut lost, mut told) = (0, VecDeque::new());
        let mut first = |shard: &mut Shard| {
            lost += shard.take_happenings(&mut told);
            happened::tell_all(&mut told, names, news);
        };
        self.drain(Reader::Peers, names, &mut first, &mut |entry| {
            sink(entry);
            true
        });
        lost
    }

    /// Forgets for a reader what changed until now, and tells what happened meanwhile; how many of these are lost.
    pub fn pass_over(&self, reader: Reader, names: &Names, news: &mut dyn FnMut(SessionEvent)) -> u64 {
        let (mut lost, mut told) = (0, VecDeque::new());
        for shard in &self.shards {
            lost += {
                let mut shard = shard.lock();
                shard.pass_over(reader);
                shard.take_happenings(&mut told)
            };
            happened::tell_all(&mut told, names, news);
        }
        lost
    }

    fn drain(
        &self,
        reader: Reader,
        names: &Names,
        first: &mut dyn FnMut(&mut Shard),
        sink: &mut dyn FnMut(Entry) -> bool,
    ) -> bool {
        let at = &self.drain_at[reader.at()];
        let begin = at.load(Ordering::Relaxed) as usize;
        for step in 0..self.shards.len() {
            let number = (begin + step) & (self.shards.len() - 1);
            let mut left = None;
            loop {
                let mut shard = self.shards[number].lock();
                // A shard that changes faster than it is drained must not keep the others waiting: what it held at first is the
                // bound.
                let steps = left.unwrap_or_else(|| (shard.len() / STEP).max(shard.states() / STATES_STEP));
                first(&mut shard);
                let mut goes_on = true;
                let more = shard.drain_dirty(reader, STEP, &mut |dirty| {
                    goes_on = sink(match dirty {
                        Dirty::Seat(record) => Entry::Seat(record.entry(names)),
                        Dirty::State(state) => Entry::State(state.entry(names)),
                    });
                });
                if !goes_on {
                    // Not this one again first: it may have changed so much by then that the others would never come. There are
                    // at most 4,096 shards.
                    at.store(number as u32 + 1, Ordering::Relaxed);
                    return true;
                }
                if !more || steps == 0 {
                    break;
                }
                left = Some(steps - 1);
            }
        }
        false
    }

    /// From now on what happens to sessions is told, and at most so many changes wait in a shard; zero tells nothing.
    pub fn tell(&self, most_per_shard: usize) {
        self.shards.iter().for_each(|shard| shard.lock().tell(most_per_shard));
    }

    /// Tells what happened to sessions since the last call, in order for each key; says how many changes are lost because they
    /// waited too long. `sink` runs under no lock.
    pub fn drain_news(&self, names: &Names, sink: &mut dyn FnMut(SessionEvent)) -> u64 {
        let (mut lost, mut told) = (0, VecDeque::new());
        for shard in &self.shards {
            lost += shard.lock().take_happenings(&mut told);
            happened::tell_all(&mut told, names, sink);
        }
        lost
    }

    /// One step of the sweeper: looks at the next `budget` slots of one shard. After [`Table::shards`] steps with
    /// `round_done`, everything has been looked at once.
    pub fn expire(
        &self,
        now: Time,
        ttl_of: &dyn Fn(PoolIx) -> Duration,
        budget: u32,
        removed: &mut dyn FnMut(&Record<'_>),
    ) -> Swept {
        self.expire_but(now, ttl_of, &|_, _| false, budget, removed)
    }

    /// The same, but agent states that `kept` speaks for stay: their session has another key. `kept` runs under a shard's lock.
    pub fn expire_but(
        &self,
        now: Time,
        ttl_of: &dyn Fn(PoolIx) -> Duration,
        kept: &dyn Fn(PoolIx, &str) -> bool,
        budget: u32,
        removed: &mut dyn FnMut(&Record<'_>),
    ) -> Swept {
        let at = self.sweep_at.load(Ordering::Relaxed);
        let swept =
            self.shards[at as usize & (self.shards.len() - 1)].lock().expire(now, ttl_of, kept, budget, removed);
        if swept.round_done {
            self.sweep_at.store(at.wrapping_add(1), Ordering::Relaxed);
        }
        swept
    }

    /// Up to `limit` seats and tombstones from a cursor on; the cursor to go on with, `None` at the end.
    pub fn page(&self, from: Cursor, limit: usize, sink: &mut dyn FnMut(&Record<'_>)) -> Option<Cursor> {
        walk(&self.shards, from, limit, STEP, &mut |shard, slot, step, met| {
            for (number, record) in shard.page(slot, step) {
                sink(&record);
                met(number);
            }
        })
    }

    /// Up to `limit` agent states from a cursor on, as [`Self::page`].
    pub fn state_page(
        &self,
        from: Cursor,
        limit: usize,
        names: &Names,
        sink: &mut dyn FnMut(StateEntry),
    ) -> Option<Cursor> {
        walk(&self.shards, from, limit, STATES_STEP, &mut |shard, slot, step, met| {
            for (number, state) in shard.state_page(slot, step) {
                sink(state.entry(names));
                met(number);
            }
        })
    }

    /// All agent states of one shard: `None` when there is no such shard.
    pub fn states_of(&self, shard: usize, names: &Names, sink: &mut dyn FnMut(StateEntry)) -> Option<()> {
        let states = self.shards.get(shard)?.lock();
        states.state_page(0, usize::MAX).for_each(|(_, state)| sink(state.entry(names)));
        Some(())
    }

    /// The live seats of a server, whole shards from shard `from` on until at least `limit` were met; the shard to go on with.
    pub fn by_server(
        &self,
        server: ServerIx,
        from: usize,
        limit: usize,
        sink: &mut dyn FnMut(&Record<'_>),
    ) -> Option<usize> {
        let mut met = 0;
        for (number, shard) in self.shards.iter().enumerate().skip(from) {
            if met >= limit {
                return Some(number);
            }
            for record in shard.lock().by_server(server) {
                sink(&record);
                met += 1;
            }
        }
        None
    }

    /// Looks through the whole table for a session's id: for operators and rare reads, never on the path of a start.
    #[must_use]
    pub fn find_session(&self, session: SessionId, names: &Names) -> Option<SeatEntry> {
        let (mut from, mut found) = (Some(Cursor::default()), None);
        while let (Some(cursor), None) = (from, &found) {
            from = self.page(cursor, STEP, &mut |record| {
                if record.sitting().session == session {
                    found = Some(record.entry(names));
                }
            });
        }
        found
    }
}

/// What one step of a walk does: looks at up to so many slots of a shard from one on, and says which it met.
type Step<'a> = dyn FnMut(&Shard, u32, usize, &mut dyn FnMut(u32)) + 'a;

/// Walks on from a cursor until `limit` slots were met, `stride` of them under one lock.
fn walk(shards: &[Mutex<Shard>], from: Cursor, limit: usize, stride: usize, look: &mut Step<'_>) -> Option<Cursor> {
    let (mut shard, mut slot) = (from.shard(), from.slot());
    let mut left = limit.max(1);
    while shard < shards.len() {
        if left == 0 {
            return Some(Cursor::at(shard, slot));
        }
        let step = left.min(stride);
        let mut met = 0;
        look(&shards[shard].lock(), slot, step, &mut |number| (met, slot) = (met + 1, number + 1));
        left -= met;
        if met < step {
            (shard, slot) = (shard + 1, 0);
        }
    }
    None
}
