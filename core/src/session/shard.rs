//! One part of the table, under one lock: records, their index, the list of each server's live seats, and agent states.
//!
//! Every change goes through one place, `write`, which keeps index, list and dirty bit right together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::Full;
use super::change::{Change, Dirty, Mark, Merged, Swept};
use super::happened::{self, Happened, Happenings};
use super::merge::{Rank, rank};
use super::names::{Names, PoolIx, ServerIx};
use super::record::{Record, Row, SeatKey, Seen, Sitting};
use super::slab::{NONE, Reader, Slab};
use super::state::{StateMerged, StateRecord};
use super::texts::Texts;
use crate::clock::Time;
use crate::entry::{SeatEntry, StateEntry};
use crate::unwritten::Unwritten;

/// One part of the table.
///
/// What every search asks for comes first, so that it is few lines of the cache.
#[derive(Debug)]
#[repr(C)]
pub struct Shard {
    index: HashTable<u32>,
    rows: Slab<Row>,
    texts: Texts,
    seed: u64,
    limit: usize,
    /// First live seat by server number; [`NONE`] where there is none.
    heads: Vec<u32>,
    states: Slab<StateRecord>,
    state_index: HashTable<u32>,
    sweep_at: u32,
    sweep_states_at: u32,
    happenings: Happenings,
    unwritten: Arc<Unwritten>,
}

impl Shard {
    pub(super) fn new(seed: u64, limit: usize, unwritten: Arc<Unwritten>) -> Self {
        Self {
            seed,
            limit,
            rows: Slab::new(),
            texts: Texts::new(),
            index: HashTable::new(),
            heads: Vec::new(),
            states: Slab::new(),
            state_index: HashTable::new(),
            sweep_at: 0,
            sweep_states_at: 0,
            happenings: Happenings::default(),
            unwritten,
        }
    }

    /// The record of a key, seat or tombstone. Allocates nothing.
    #[must_use]
    pub fn find<'k>(&self, key: &SeatKey<'k>) -> Option<Record<'k>> {
        self.slot(key).and_then(|number| self.rows.get(number)).map(|row| Record::new(key.text, *row))
    }

    /// Writes the own decision about a key, in place of whatever is there. The caller has looked under this lock, and stamps
    /// by R2: above what it replaces, or the table of a peer would differ. `seen` never goes back.
    ///
    /// # Errors
    /// [`Full::Records`] when the key is new and the table full.
    pub fn put(&mut self, key: &SeatKey<'_>, sitting: Sitting) -> Result<Change, Full> {
        self.write(key, sitting, Mark::Dirty)
    }

    /// Merges an admitted entry of this key (R1, R2). Allocates nothing when it changes nothing.
    ///
    /// # Errors
    /// [`Full`] when the key is new and the table full, or a name finds no number.
    pub fn merge(&mut self, key: &SeatKey<'_>, entry: &SeatEntry, names: &Names, mark: Mark) -> Result<Merged, Full> {
        let slot = self.slot(key);
        let Some(known) = slot.and_then(|number| self.rows.get(number)).map(|row| row.sitting) else {
            return self.write_at(None, key, Sitting::of(entry, names)?, mark).map(Merged::New);
        };
        if rank(entry) > Rank::of(&known, &names.book()) {
            return self.write_at(slot, key, Sitting::of(entry, names)?, mark).map(Merged::Replaced);
        }
        let seen = Seen::at(entry.seen);
        if seen <= known.seen {
            return Ok(Merged::Kept);
        }
        self.write_at(slot, key, Sitting { seen, ..known }, mark).map(|_| Merged::Seen)
    }

    /// Notes that a key was seen, when that is at least `step` later than known (R18: TTL/8). Says whether it changed.
    pub fn touch_seen(&mut self, key: &SeatKey<'_>, seen: Time, step: Duration) -> bool {
        let Some(number) = self.slot(key) else { return false };
        let Some(row) = self.rows.get_mut(number) else { return false };
        let seen = Seen::at(seen);
        if seen <= row.sitting.seen || seen.time() < row.sitting.seen.time() + step {
            return false;
        }
        row.sitting.seen = seen;
        self.mark(number, Mark::Dirty);
        true
    }

    /// Forgets a key without a trace: nothing is handed on. An end is a tombstone, not this.
    pub fn remove<'k>(&mut self, key: &SeatKey<'k>) -> Option<Record<'k>> {
        let row = self.slot(key).and_then(|number| self.forget(number, &mut |_| ()))?;
        Some(Record::new(key.text, row))
    }

    /// The agent state of a key.
    #[must_use]
    pub fn state(&self, key: &SeatKey<'_>) -> Option<&StateRecord> {
        self.state_slot(key).and_then(|number| self.states.get(number))
    }

    /// Merges an agent state (R9).
    ///
    /// # Errors
    /// [`Full`] when it is longer than 4 KiB, there are too many, or the writer's name finds no number.
    pub fn merge_state(
        &mut self,
        key: &SeatKey<'_>,
        entry: &StateEntry,
        names: &Names,
        mark: Mark,
    ) -> Result<StateMerged, Full> {
        let known = self.state_slot(key);
        if known.and_then(|number| self.states.get(number)).is_some_and(|old| old.order(entry, &names.book()).is_ge()) {
            return Ok(StateMerged::Kept);
        }
        let state = StateRecord::new(key, entry, names)?;
        let (number, merged) = if let Some(number) = known {
            if let Some(old) = self.states.get_mut(number) {
                *old = state;
            }
            (number, StateMerged::Replaced)
        } else {
            let number = self.states.insert(state, self.limit).ok_or(Full::States)?;
            let (states, seed) = (&self.states, self.seed);
            let hash_of = |number: &u32| states.get(*number).map_or(0, |state| state.key(seed).hash);
            self.state_index.insert_unique(key.hash, number, hash_of);
            (number, StateMerged::New)
        };
        mark.readers().iter().for_each(|reader| self.states.mark(number, *reader));
        self.note(mark);
        Ok(merged)
    }

    /// Hands out what changed since it was last handed to this reader, at most `limit` seats and an eighth as many states, which
    /// are many times larger; says whether there is more.
    ///
    /// Repeated changes of one key are one. What has been forgotten in the meantime needs no entry.
    pub fn drain_dirty(&mut self, reader: Reader, limit: usize, sink: &mut dyn FnMut(Dirty<'_>)) -> bool {
        let texts = &self.texts;
        self.rows.drain_dirty(reader, limit, |row| sink(Dirty::Seat(Record::new(texts.text(row.text), *row))));
        self.states.drain_dirty(reader, limit.div_ceil(8), |state| sink(Dirty::State(state)));
        self.rows.dirty(reader) + self.states.dirty(reader) > 0
    }

    /// Forgets for a reader what changed since something was last handed to it.
    pub fn pass_over(&mut self, reader: Reader) {
        self.rows.pass_over(reader);
        self.states.pass_over(reader);
    }

    /// From now on what happens is told, and at most so many wait; zero tells nothing.
    pub fn tell(&mut self, most: usize) {
        self.happenings.tell(most);
    }

    /// Notes that a start found a seat and left it where it is.
    pub fn note_kept(&mut self, key: &SeatKey<'_>) {
        if let Some(record) = self.find(key) {
            self.happenings.note_kept(&record);
        }
    }

    /// What happened since the last call, in exchange for an empty queue; how much of it is lost.
    pub(super) fn take_happenings(&mut self, told: &mut VecDeque<Happened>) -> u64 {
        self.happenings.take(told)
    }

    /// Looks at the next `budget` slots of each kind and forgets what has expired (R18). `removed` gets each record that goes,
    /// for the counters by server.
    pub fn expire(
        &mut self,
        now: Time,
        ttl_of: &dyn Fn(PoolIx) -> Duration,
        kept: &dyn Fn(PoolIx, &str) -> bool,
        budget: u32,
        removed: &mut dyn FnMut(&Record<'_>),
    ) -> Swept {
        let mut swept = Swept::default();
        let end = self.rows.end().min(self.sweep_at.saturating_add(budget));
        for number in self.sweep_at..end {
            let over = |row: &Row| row.sitting.expires(ttl_of(row.pool)) <= now;
            if self.rows.get(number).is_some_and(over) && self.forget(number, removed).is_some() {
                swept.records += 1;
            }
        }
        self.sweep_at = end;
        let end = self.states.end().min(self.sweep_states_at.saturating_add(budget));
        for number in self.sweep_states_at..end {
            if self
                .states
                .get(number)
                .is_some_and(|state| self.state_is_over(state, now, ttl_of) && !kept(state.pool(), state.key(0).text))
            {
                self.forget_state(number);
                swept.states += 1;
            }
        }
        self.sweep_states_at = end;
        if self.sweep_at >= self.rows.end() && self.sweep_states_at >= self.states.end() {
            (self.sweep_at, self.sweep_states_at) = (0, 0);
            swept.round_done = true;
        }
        swept
    }

    /// Seats and tombstones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.used()
    }

    /// Whether there is neither seat nor tombstone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Agent states.
    #[must_use]
    pub fn states(&self) -> usize {
        self.states.used()
    }

    /// Live seats of a server, the last seated first.
    pub fn by_server(&self, server: ServerIx) -> impl Iterator<Item = Record<'_>> {
        let first = self.heads.get(server.index()).copied().unwrap_or(NONE);
        let first = self.rows.get(first);
        // No list is longer than the shard: a broken one must not hold the lock for ever.
        let rows = std::iter::successors(first, |row| self.rows.get(row.next)).take(self.len());
        rows.map(|row| Record::new(self.texts.text(row.text), *row))
    }

    /// Up to `limit` records from slot `from` on, each with its slot. A record keeps its slot as long as it is there.
    pub(super) fn page(&self, from: u32, limit: usize) -> impl Iterator<Item = (u32, Record<'_>)> {
        (from..self.rows.end()).filter_map(|number| Some((number, self.record(number)?))).take(limit)
    }

    /// Agent states, as [`Self::page`].
    pub(super) fn state_page(&self, from: u32, limit: usize) -> impl Iterator<Item = (u32, &StateRecord)> {
        (from..self.states.end()).filter_map(|number| Some((number, self.states.get(number)?))).take(limit)
    }

    fn record(&self, number: u32) -> Option<Record<'_>> {
        self.rows.get(number).map(|row| Record::new(self.texts.text(row.text), *row))
    }

    fn slot(&self, key: &SeatKey<'_>) -> Option<u32> {
        let same = |number: &u32| self.rows.get(*number).is_some_and(|row| row.is_of(key, &self.texts));
        self.index.find(key.hash, same).copied()
    }

    fn state_slot(&self, key: &SeatKey<'_>) -> Option<u32> {
        let same = |number: &u32| self.states.get(*number).is_some_and(|state| state.is_of(key));
        self.state_index.find(key.hash, same).copied()
    }

    fn write(&mut self, key: &SeatKey<'_>, sitting: Sitting, mark: Mark) -> Result<Change, Full> {
        self.write_at(self.slot(key), key, sitting, mark)
    }

    /// The same for who has looked where it is.
    fn write_at(
        &mut self,
        slot: Option<u32>,
        key: &SeatKey<'_>,
        mut sitting: Sitting,
        mark: Mark,
    ) -> Result<Change, Full> {
        // Where the session is part of the key, the two cannot differ.
        sitting.session = key.session.unwrap_or(sitting.session);
        let after = sitting.live_at();
        let mut known = None;
        let (number, before) = match slot {
            Some(number) => {
                let Some(row) = self.rows.get(number) else { return Err(Full::Records) };
                debug_assert!(row.sitting.stamp <= sitting.stamp, "a writer stamps above what it replaces (R2)");
                let before = row.sitting.live_at();
                sitting.seen = sitting.seen.max(row.sitting.seen);
                if row.sitting == sitting {
                    return Ok(Change { before, after });
                }
                known = Some(row.sitting);
                if before != after {
                    self.unlink(number);
                }
                if let Some(row) = self.rows.get_mut(number) {
                    row.sitting = sitting;
                }
                (number, before)
            }
            None => (self.insert(key, sitting)?, None),
        };
        if before != after {
            self.link(number);
        }
        self.mark(number, mark);
        if mark.is_news() {
            self.happenings.note(key.text, key.pool, known, Some(sitting));
        }
        Ok(Change { before, after })
    }

    fn mark(&mut self, number: u32, mark: Mark) {
        mark.readers().iter().for_each(|reader| self.rows.mark(number, *reader));
        self.note(mark);
    }

    fn note(&self, mark: Mark) {
        if mark != Mark::Clean {
            self.unwritten.note();
        }
    }

    fn insert(&mut self, key: &SeatKey<'_>, sitting: Sitting) -> Result<u32, Full> {
        let text = self.texts.insert(key.text).ok_or(Full::Records)?;
        let Some(number) = self.rows.insert(Row::new(key, text, sitting), self.limit) else {
            self.texts.remove(text);
            return Err(Full::Records);
        };
        if self.index.len() == self.index.capacity() {
            // Its row is there already.
            self.index = self.indexed();
        } else {
            // It has room, and asks for nobody's hash.
            self.index.insert_unique(key.hash, number, |_| 0);
        }
        Ok(number)
    }

    /// An index of all rows, with room for as many more. It is made in the order of the rows, each beside the one before: an index that
    /// grows by itself asks for them all over the memory, which was a tenth of what a session from a peer costs.
    fn indexed(&self) -> HashTable<u32> {
        let mut index = HashTable::with_capacity((self.index.len() * 2).max(self.rows.used()));
        for number in 0..self.rows.end() {
            if let Some(row) = self.rows.get(number) {
                index.insert_unique(row.hash(&self.texts, self.seed), number, |_| 0);
            }
        }
        index
    }

    /// `gone` gets the record while its text is still there.
    fn forget(&mut self, number: u32, gone: &mut dyn FnMut(&Record<'_>)) -> Option<Row> {
        let hash = self.rows.get(number)?.hash(&self.texts, self.seed);
        self.unlink(number);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        let row = self.rows.remove(number)?;
        let record = Record::new(self.texts.text(row.text), row);
        happened::forgotten(&mut self.happenings, &record);
        gone(&record);
        self.texts.remove(row.text);
        Some(row)
    }

    fn forget_state(&mut self, number: u32) {
        let Some(hash) = self.states.get(number).map(|state| state.key(self.seed).hash) else { return };
        if let Ok(entry) = self.state_index.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        self.states.remove(number);
    }

    /// A state outlives a lost seat by its own TTL, and never goes while a live seat has its key.
    fn state_is_over(&self, state: &StateRecord, now: Time, ttl_of: &dyn Fn(PoolIx) -> Duration) -> bool {
        state.expires(ttl_of(state.pool())) <= now
            && self.find(&state.key(self.seed)).is_none_or(|record| record.sitting().live_at().is_none())
    }

    /// Puts a live seat at the head of its server's list.
    fn link(&mut self, number: u32) {
        let Some(server) = self.rows.get(number).and_then(|row| row.sitting.live_at()) else { return };
        if self.heads.len() <= server.index() {
            self.heads.resize(server.index() + 1, NONE);
        }
        let next = std::mem::replace(&mut self.heads[server.index()], number);
        if let Some(neighbour) = self.rows.get_mut(next) {
            neighbour.prev = number;
        }
        if let Some(row) = self.rows.get_mut(number) {
            (row.prev, row.next) = (NONE, next);
        }
    }

    /// Takes a live seat out of its server's list.
    fn unlink(&mut self, number: u32) {
        let Some(row) = self.rows.get_mut(number) else { return };
        let Some(server) = row.sitting.live_at() else { return };
        let (prev, next) = (row.prev, row.next);
        (row.prev, row.next) = (NONE, NONE);
        if let Some(neighbour) = self.rows.get_mut(next) {
            neighbour.prev = prev;
        }
        if let Some(neighbour) = self.rows.get_mut(prev) {
            neighbour.next = next;
        } else if let Some(head) = self.heads.get_mut(server.index()) {
            *head = next;
        }
    }
}
