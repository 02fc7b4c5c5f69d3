//! Walks through a whole table in small steps: to draw its digests, and to send the buckets that differ.

use std::collections::VecDeque;

use super::digest::{Part, bucket, hash, part};
use super::{Page, Store};
use crate::clock::Time;
use crate::entry::Entry;
use crate::wire::{BUCKETS, DATA_BYTES_MAX, ENTRIES_MAX, weight};

/// What one step may cost, in pages of seats: a millisecond or two.
const STEP: usize = 16;

/// What a page costs: those of states and confirms have no bound as small.
fn cost(page: Page) -> usize {
    match page {
        Page::Start | Page::Seats(_) => 1,
        Page::States(_) | Page::Confirms(_) => 4,
    }
}

/// Goes through pages for a moment, or until `sink` says that it has enough.
fn go_on(at: &mut Option<Page>, store: &dyn Store, mut sink: impl FnMut(Entry) -> bool) {
    let (mut spent, mut enough) = (0, false);
    while let Some(page) = at.filter(|_| spent < STEP && !enough) {
        spent += cost(page);
        *at = store.page(page, &mut |entry| enough = sink(entry));
    }
}

/// A set of buckets, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buckets(Vec<u8>);

impl Buckets {
    pub(super) const BYTES: usize = BUCKETS / 8;

    pub(super) fn none() -> Self {
        Self(vec![0; Self::BYTES])
    }

    /// Exactly one bit for each bucket, or none at all.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == Self::BYTES).then_some(Self(bytes))
    }

    pub(super) fn set(&mut self, bucket: usize) {
        if let Some(byte) = self.0.get_mut(bucket / 8) {
            *byte |= 1 << (bucket % 8);
        }
    }

    fn unset(&mut self, bucket: usize) {
        if let Some(byte) = self.0.get_mut(bucket / 8) {
            *byte &= !(1 << (bucket % 8));
        }
    }

    pub(super) fn has(&self, bucket: usize) -> bool {
        self.0.get(bucket / 8).is_some_and(|byte| byte & (1 << (bucket % 8)) != 0)
    }

    pub(super) fn both(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Digests that are being drawn.
#[derive(Debug)]
pub(super) struct Drawing {
    at: Option<Page>,
    sums: Vec<u64>,
    scratch: Vec<u8>,
    /// By whose clock records are young or expire soon.
    as_of: Time,
}

impl Drawing {
    pub(super) fn new(as_of: Time) -> Self {
        Self { at: Some(Page::Start), sums: vec![0; BUCKETS], scratch: Vec::new(), as_of }
    }

    pub(super) fn as_of(&self) -> Time {
        self.as_of
    }

    /// Goes on for a moment; says whether all is drawn.
    pub(super) fn step(&mut self, store: &dyn Store) -> bool {
        let Self { at, sums, scratch, as_of } = self;
        go_on(at, store, |entry| {
            if part_of(&entry, store, *as_of) == Part::Compared {
                let at = bucket(&entry);
                // A sum: the order of a table's slots is its own affair.
                sums[at] = sums[at].wrapping_add(hash(&entry, scratch) | 1);
            }
            false
        });
        self.at.is_none()
    }

    pub(super) fn into_sums(self) -> Vec<u64> {
        self.sums
    }

    /// Which buckets differ and are not empty over there: an empty one has nothing that is lacking here.
    pub(super) fn lacking(&self, theirs: &[u64]) -> Buckets {
        let mut buckets = self.differing(theirs);
        let empty = theirs.iter().enumerate().filter(|(_, sum)| **sum == 0);
        empty.for_each(|(bucket, _)| buckets.unset(bucket));
        buckets
    }

    /// Which buckets differ.
    pub(super) fn differing(&self, theirs: &[u64]) -> Buckets {
        let mut buckets = Buckets::none();
        let differing = self.sums.iter().zip(theirs).enumerate().filter(|(_, (mine, theirs))| mine != theirs);
        differing.for_each(|(bucket, _)| buckets.set(bucket));
        buckets
    }
}

/// What is being sent of a table.
#[derive(Debug)]
pub(super) struct Walk {
    at: Option<Page>,
    what: Wanted,
    /// The clock by which the digests were drawn: what was left out of them must be left out here by the same measure, or it
    /// would fall between the two.
    as_of: Time,
    found: VecDeque<Entry>,
    /// What it weighs.
    bytes: usize,
}

#[derive(Debug)]
enum Wanted {
    /// To whom has nothing.
    All {
        /// Those that a comparison would have found to differ.
        lacked: Buckets,
    },
    /// What differs.
    Buckets {
        wanted: Buckets,
        /// Also what digests leave out: the other side cannot know that it lacks it.
        passing: bool,
    },
}

impl Wanted {
    fn has(&self, entry: &Entry, part: Part) -> bool {
        match (self, part) {
            (_, Part::None) => false,
            (Self::All { .. }, Part::Compared | Part::Passing)
            | (Self::Buckets { passing: true, .. }, Part::Passing) => true,
            (Self::Buckets { wanted, .. }, Part::Compared | Part::Passing) => wanted.has(bucket(entry)),
        }
    }
}

impl Walk {
    pub(super) fn all(as_of: Time) -> Self {
        Self::new(Some(Page::Start), Wanted::All { lacked: Buckets::none() }, as_of)
    }

    pub(super) fn of(wanted: Buckets, passing: bool, as_of: Time) -> Self {
        let at = (passing || wanted.count() > 0).then_some(Page::Start);
        Self::new(at, Wanted::Buckets { wanted, passing }, as_of)
    }

    fn new(at: Option<Page>, what: Wanted, as_of: Time) -> Self {
        Self { at, what, as_of, found: VecDeque::new(), bytes: 0 }
    }

    /// The buckets that a comparison would have found to differ until here; `None` where one was made.
    pub(super) fn lacked(&self) -> Option<&Buckets> {
        match &self.what {
            Wanted::All { lacked } => Some(lacked),
            Wanted::Buckets { .. } => None,
        }
    }

    /// Looks on until a message is full, for a moment at most; what it holds, or nothing yet.
    pub(super) fn step(&mut self, store: &dyn Store) -> Vec<Entry> {
        if self.bytes < DATA_BYTES_MAX {
            let Self { at, what, as_of, found, bytes } = self;
            go_on(at, store, |entry| {
                let part = part_of(&entry, store, *as_of);
                if let (Wanted::All { lacked }, Part::Compared) = (&mut *what, part) {
                    lacked.set(bucket(&entry));
                }
                if what.has(&entry, part) {
                    *bytes += weight(&entry);
                    found.push_back(entry);
                }
                *bytes >= DATA_BYTES_MAX
            });
        }
        if self.at.is_some() && self.bytes < DATA_BYTES_MAX { Vec::new() } else { self.take() }
    }

    /// As much as a message may hold, and one entry at least.
    fn take(&mut self) -> Vec<Entry> {
        let (mut fit, mut bytes) = (0, 0);
        for entry in self.found.iter().take(ENTRIES_MAX) {
            let more = bytes + weight(entry);
            if fit > 0 && more > DATA_BYTES_MAX {
                break;
            }
            (fit, bytes) = (fit + 1, more);
        }
        self.bytes -= bytes;
        self.found.drain(..fit).collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.at.is_none() && self.found.is_empty()
    }
}

fn part_of(entry: &Entry, store: &dyn Store, now: Time) -> Part {
    let ttl = entry.of_session().and_then(|(pool, _)| store.ttl(pool));
    ttl.map_or(Part::None, |ttl| part(entry, ttl, now))
}
