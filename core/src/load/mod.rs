//! How much a server carries, counted where starts happen.
//!
//! Load = max(reported sessions + placements since, own count of seats without orphans past grace) (`rules.md`). Placements count
//! before a load report does, so that a crowd does not land on the server whose report is oldest. Counters are atomics that live
//! as long as the server is configured; the view only points to them, so a start changes them without touching the view. What they
//! come to stands on the board as well, where a placement reads the loads of many servers at once.

mod board;

pub(crate) use board::{Board, Shown};

use board::Place;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::{Mono, Time, millis};

/// How long a seat with a minted key that nobody has shown again counts as load (R10).
pub const MINTED_COUNTS_FOR: Duration = Duration::from_mins(10);

const BUCKETS: usize = 11;
const NOT_REPORTED: u32 = u32::MAX;

/// The counters of one server.
///
/// What every load asks for comes first, so that it is one line of the cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ServerLoad {
    /// Live seats in the table.
    seats: AtomicU32,
    /// Of those, orphans past grace.
    stale: AtomicU32,
    /// Placements decided and not yet in the table.
    reserved: AtomicU32,
    /// What the server said last.
    reported: AtomicU32,
    /// All placements so far.
    placed: AtomicU64,
    /// `placed` at the report before the last one: a placement counts until the second report after it, because the first may
    /// have been written before the client arrived.
    counted: AtomicU64,
    /// The server's own capacity, else the pool's.
    capacity: AtomicU32,
    /// Whether there may be any minted ones, so that pools with given keys never look.
    any_minted: AtomicBool,
    /// Placements of minted keys that are not stored, by minute; the minute itself in the upper half.
    minted: [AtomicU64; BUCKETS],
    /// `placed` at the last report.
    placed_at_report: AtomicU64,
    /// When the last report came.
    reported_at: AtomicU64,
    /// Where the load is shown.
    place: Option<Place>,
}

impl ServerLoad {
    /// A server that carries nothing yet, and is shown on no board.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self::on(&Board::default(), 0, capacity)
    }

    /// A server that carries nothing yet, at its place on a board.
    pub(crate) fn on(board: &Board, number: usize, capacity: u32) -> Self {
        Self {
            place: board.place(number),
            seats: AtomicU32::new(0),
            stale: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
            minted: std::array::from_fn(|_| AtomicU64::new(0)),
            any_minted: AtomicBool::new(false),
            reported: AtomicU32::new(NOT_REPORTED),
            placed: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            placed_at_report: AtomicU64::new(0),
            capacity: AtomicU32::new(capacity),
            reported_at: AtomicU64::new(0),
        }
    }

    /// The load now.
    #[must_use]
    pub fn load(&self, now: Time) -> u32 {
        self.load_with(self.minted_pending(now))
    }

    fn load_with(&self, minted: u32) -> u32 {
        let reserved = self.reserved.load(Relaxed);
        let own = self
            .seats
            .load(Relaxed)
            .saturating_sub(self.stale.load(Relaxed))
            .saturating_add(reserved)
            .saturating_add(minted);
        match self.reported.load(Relaxed) {
            NOT_REPORTED => own,
            reported => {
                let since = self.placed.load(Relaxed).saturating_sub(self.counted.load(Relaxed));
                let since = u32::try_from(since).unwrap_or(u32::MAX);
                own.max(reported.saturating_add(since).saturating_add(reserved))
            }
        }
    }

    /// Writes the load on the board. Minted keys stop counting by the clock alone, so those who have any must be asked.
    fn show(&self) {
        if let Some(place) = &self.place {
            place.show(|| (!self.any_minted.load(Relaxed)).then(|| self.load_with(0)));
        }
    }

    /// Live seats in the table, orphans included.
    #[must_use]
    pub fn seats(&self) -> u32 {
        self.seats.load(Relaxed)
    }

    /// What the server reported last.
    #[must_use]
    pub fn reported(&self) -> Option<u32> {
        Some(self.reported.load(Relaxed)).filter(|count| *count != NOT_REPORTED)
    }

    /// When the last report came.
    #[must_use]
    pub fn reported_at(&self) -> Option<Mono> {
        self.reported().map(|_| Mono(self.reported_at.load(Relaxed)))
    }

    /// Sessions that it can hold.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity.load(Relaxed)
    }

    /// Takes the server's own word, else the pool's.
    pub fn limit(&self, capacity: u32) {
        self.capacity.store(capacity, Relaxed);
    }

    /// Takes a load report.
    pub fn report(&self, sessions: u32, now: Mono) {
        let placed = self.placed.load(Relaxed);
        let before = self.placed_at_report.swap(placed, Relaxed);
        self.counted.store(before, Relaxed);
        self.reported.store(sessions.min(NOT_REPORTED - 1), Relaxed);
        self.reported_at.store(now.0, Relaxed);
        self.show();
    }

    /// Forgets the report: it is of another life of the process, or too old.
    pub fn forget_report(&self) {
        self.reported.store(NOT_REPORTED, Relaxed);
        self.show();
    }

    /// Takes a place before the seat is in the table; follow with [`Self::settle`] or [`Self::release`].
    pub fn reserve(&self) {
        self.reserved.fetch_add(1, Relaxed);
        self.show();
    }

    /// Gives the place back.
    pub fn release(&self) {
        decrease(&self.reserved);
        self.show();
    }

    /// The reserved place is now a stored seat (counted by [`Self::seated`]).
    pub fn settle(&self) {
        self.placed.fetch_add(1, Relaxed);
        decrease(&self.reserved);
        self.show();
    }

    /// Both at once: a new seat takes the reserved place, so the load stays what it was.
    pub fn settle_seated(&self) {
        self.seats.fetch_add(1, Relaxed);
        self.settle();
    }

    /// The reserved place is now a seat with a minted key, which is not stored until it is seen again.
    pub fn settle_minted(&self, now: Time) {
        self.placed.fetch_add(1, Relaxed);
        decrease(&self.reserved);
        self.any_minted.store(true, Relaxed);
        let minute = minute(now);
        let bucket = &self.minted[bucket(minute)];
        let _ = bucket.fetch_update(Relaxed, Relaxed, |word| {
            let count = if word >> 32 == minute { word & 0xffff_ffff } else { 0 };
            Some((minute << 32) | (count + 1).min(0xffff_ffff))
        });
        self.show();
    }

    /// A minted key was seen again and is stored now: its placement no longer counts apart.
    pub fn minted_seen(&self, placed_at: Time) {
        let minute = minute(placed_at);
        let _ = self.minted[bucket(minute)]
            .fetch_update(Relaxed, Relaxed, |word| (word >> 32 == minute && word & 0xffff_ffff > 0).then(|| word - 1));
    }

    /// A session that only its server knew is stored now: most probably one of those with a minted key that nobody has shown
    /// again. The oldest that counts is taken, whichever it was: the sum is right, and it would have been forgotten first.
    pub fn minted_adopted(&self, now: Time) {
        if !self.any_minted.load(Relaxed) {
            return;
        }
        let now = minute(now);
        for minute in now.saturating_sub(millis(MINTED_COUNTS_FOR) / 60_000) + 1..=now {
            let take = |word: u64| (word >> 32 == minute && word & 0xffff_ffff > 0).then(|| word - 1);
            if self.minted[bucket(minute)].fetch_update(Relaxed, Relaxed, take).is_ok() {
                return;
            }
        }
    }

    /// A live seat entered the table.
    pub fn seated(&self) {
        self.seats.fetch_add(1, Relaxed);
        self.show();
    }

    /// A live seat left the table.
    pub fn unseated(&self) {
        decrease(&self.seats);
        self.show();
    }

    /// Seats that are orphans past grace, as the sweeper counted them.
    pub fn mark_stale(&self, orphans: u32) {
        self.stale.store(orphans, Relaxed);
        self.show();
    }

    fn minted_pending(&self, now: Time) -> u32 {
        if !self.any_minted.load(Relaxed) {
            return 0;
        }
        let oldest = minute(now).saturating_sub(millis(MINTED_COUNTS_FOR) / 60_000);
        let pending: u64 = self
            .minted
            .iter()
            .map(|bucket| bucket.load(Relaxed))
            .filter(|word| word >> 32 > oldest)
            .map(|word| word & 0xffff_ffff)
            .sum();
        u32::try_from(pending).unwrap_or(u32::MAX)
    }
}

/// Minutes since the epoch fit 32 bits for 8,000 years.
fn minute(time: Time) -> u64 {
    (time.0 / 60_000) & 0xffff_ffff
}

fn bucket(minute: u64) -> usize {
    usize::try_from(minute % BUCKETS as u64).unwrap_or(0)
}

fn decrease(counter: &AtomicU32) {
    let _ = counter.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Time = Time(1_700_000_000_000);

    fn place(load: &ServerLoad) {
        load.reserve();
        load.settle();
        load.seated();
    }

    #[test]
    fn placements_count_before_a_report_does() {
        let load = ServerLoad::new(1000);
        load.report(10, Mono(0));
        place(&load);
        place(&load);
        assert_eq!(load.load(T), 12);
    }

    #[test]
    fn a_placement_counts_until_the_second_report_after_it() {
        let load = ServerLoad::new(1000);
        load.report(10, Mono(0));
        place(&load);
        load.report(10, Mono(1000));
        assert_eq!(load.load(T), 11, "the report may be older than the client's arrival");
        load.report(11, Mono(2000));
        assert_eq!(load.load(T), 11);
    }

    #[test]
    fn the_own_count_wins_where_the_server_reports_less() {
        let load = ServerLoad::new(1000);
        for _ in 0..5 {
            place(&load);
        }
        load.report(0, Mono(0));
        load.report(0, Mono(1));
        assert_eq!(load.load(T), 5);
        load.mark_stale(2);
        assert_eq!(load.load(T), 3);
    }

    #[test]
    fn a_minted_key_counts_for_ten_minutes_or_until_it_is_seen() {
        let load = ServerLoad::new(1000);
        load.reserve();
        load.settle_minted(T);
        load.reserve();
        load.settle_minted(T);
        assert_eq!(load.load(T), 2);
        load.minted_seen(T);
        load.seated();
        assert_eq!(load.load(T), 2, "seen again: counted once, as a seat");
        assert_eq!(load.load(T + Duration::from_mins(11)), 1);
    }

    #[test]
    fn a_reservation_counts_at_once() {
        let load = ServerLoad::new(1000);
        load.reserve();
        assert_eq!(load.load(T), 1);
        load.release();
        load.release();
        assert_eq!(load.load(T), 0, "and never below zero");
    }
}
