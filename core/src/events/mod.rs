//! The event feed: what happened, in an order in which somebody can go on reading at any director.
//!
//! ```text
//! own turns ── tell ──▶ row of this director ─┐                      ┌─▶ readers: next behind a Place, each once
//! peers' events ─ hear ▶ rows of the others ──┴─ ring, by arrival ───┤
//!                                                                    └─▶ peers: what they lack (share)
//! ```
//! Each event is numbered by the director that tells it, and that number goes with it to every other director; so a reader's
//! place, one mark per director, means the same everywhere. What several directors may tell (a seat that lost a merge, expiry, a
//! verdict) is told apart by what it is about and shown once. An own event is shown when the linked peers have it, so that whoever
//! has read it here can go on anywhere. Bounded by [`EVENTS_MAX`]; a reader that falls behind is told so, never waited for.
//!
//! Refuses to know how events come about, sockets, and formats.

mod notice;
mod place;
mod ring;
mod share;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use notice::{Notice, OfSession, REASON_BYTES_MAX, ServerTurn, SessionTurn, What};
pub use place::{DIRECTORS_MAX, Mark, Place};

use notice::Sameness;
use ring::{Gone, Group, Item, Number, Ring};
pub(crate) use share::NOTICES_MAX;
use share::Reach;

use crate::clock::{Mono, Now, Time};
use crate::ids::{DirectorName, PoolName};

/// Events that one director keeps, its own and the others': some 4 MB, and two relogins of 5,000 agents.
pub const EVENTS_MAX: usize = 16_384;
/// Events that are told as they happen and not kept.
const PASSING_MAX: usize = 1024;
/// An own event waits at most so long for slow peers before it is shown.
const SHOWN_AFTER: Duration = Duration::from_secs(2);

/// What is known of one director's events.
#[derive(Debug, Default)]
struct Row {
    /// Everything up to here is known, as far as it is kept.
    have: Mark,
    /// Everything behind this is kept.
    floor: Mark,
    items: VecDeque<Number>,
}

/// The latest statement about a subject.
#[derive(Debug)]
struct Latest {
    said: u128,
    group: u128,
    at: Mono,
}

/// The feed of one director.
#[derive(Debug)]
pub struct Feed {
    me: DirectorName,
    run: u64,
    number: u64,
    arrivals: u64,
    ring: Ring,
    passing: VecDeque<Item>,
    rows: BTreeMap<DirectorName, Row>,
    latest: BTreeMap<u128, Latest>,
    reach: BTreeMap<DirectorName, Reach>,
    /// Rises when `have` of any row does.
    heard: u64,
    dropped: u64,
    /// Ends that were told since the last question, by pool.
    ended: BTreeMap<PoolName, u64>,
}

/// A reader, and how far it is.
#[derive(Debug, Clone)]
pub struct Reading {
    place: Place,
    arrival: u64,
    /// It wants what happens from now on, and nothing was told yet.
    from_now: bool,
    /// It came to a director that was cold.
    pub(crate) waited: bool,
}

impl Reading {
    /// Whether it has no place of its own yet.
    pub(crate) fn is_from_now(&self) -> bool {
        self.from_now
    }

    /// Where it is: the id to go on from.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// What a reader is told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An event.
    Event {
        /// Its id: where the reader stands after it.
        id: Place,
        /// The director that tells it.
        director: DirectorName,
        /// The event.
        notice: Notice,
    },
    /// Events of these directors between these marks are not kept any more: a snapshot is needed, and the feed goes on behind.
    Lost {
        /// Where the reader stands now.
        id: Place,
        /// Director, the last that was read, the last that is lost.
        of: Vec<(DirectorName, Mark, Mark)>,
    },
}

impl Feed {
    /// Nothing has happened. A run begins as the time of its start, so that each is higher than the one before.
    #[must_use]
    pub fn new(me: DirectorName, time: Time) -> Self {
        let run = time.0.max(1);
        let mut rows = BTreeMap::new();
        let begin = Mark { run, number: 0 };
        rows.insert(me.clone(), Row { have: begin, floor: begin, items: VecDeque::new() });
        Self {
            me,
            run,
            number: 0,
            arrivals: 0,
            ring: Ring::default(),
            passing: VecDeque::new(),
            rows,
            latest: BTreeMap::new(),
            reach: BTreeMap::new(),
            heard: 0,
            dropped: 0,
            ended: BTreeMap::new(),
        }
    }

    /// Tells something of its own, unless it is known already. Says whether it was news.
    pub fn tell(&mut self, time: Time, what: What, reason: &str, now: Now) -> bool {
        let mark = Mark { run: self.run, number: self.number + 1 };
        let kept = !matches!(what, What::Session(OfSession { turn: SessionTurn::Kept, .. }));
        let me = self.me.clone();
        let group = self.group_of(what.sameness(&me, mark), now.mono);
        if kept && self.ring.has(group) {
            return false;
        }
        self.number = mark.number;
        let notice = Notice { number: mark.number, time, what, reason: cut(reason).into() };
        if let Some(row) = self.rows.get_mut(&me) {
            row.have = mark;
        }
        if kept {
            self.add(me, mark.run, notice, group, now.mono);
        } else {
            let arrival = self.next_arrival();
            if self.passing.len() >= PASSING_MAX {
                self.passing.pop_front();
            }
            let group = Group::Passing;
            self.passing.push_back(Item { arrival, at: now.mono, director: me, run: mark.run, notice, group });
        }
        true
    }

    /// Own events happened that nobody could keep: whoever reads on is told that they are lost.
    pub fn lose(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        self.number += count;
        self.dropped += count;
        let mark = Mark { run: self.run, number: self.number };
        if let Some(row) = self.rows.get_mut(&self.me) {
            (row.have, row.floor) = (mark, mark);
        }
        self.heard += 1;
    }

    /// A reader that begins now, or goes on behind a place.
    #[must_use]
    pub fn read_from(&self, place: Option<Place>, now: Mono) -> Reading {
        match place {
            Some(place) => Reading { place, arrival: 0, from_now: false, waited: false },
            None => {
                let place = self.rows.iter().map(|(name, row)| (name.clone(), row.have)).collect();
                let mut reading = Reading { place, arrival: self.arrivals + 1, from_now: true, waited: false };
                // What is not shown yet is still to come.
                if let Some(hidden) = self.ring.iter().find(|item| self.waits(item, now)) {
                    reading.arrival = hidden.arrival;
                    let mark = hidden.mark();
                    let before = Mark { number: mark.number - 1, ..mark };
                    reading.place.back_to(&self.me, before);
                }
                reading
            }
        }
    }

    /// What the reader is told next, at most so much of it. Nothing: wait.
    pub fn read(&self, reading: &mut Reading, most: usize, now: Mono) -> Vec<Told> {
        let mut told = Vec::new();
        reading.from_now = false;
        if let Some(lost) = self.lost(reading) {
            told.push(lost);
        }
        let mut kept = self.ring.since(reading.arrival).peekable();
        let passed = self.passing.partition_point(|item| item.arrival < reading.arrival);
        let mut passing = self.passing.range(passed..).peekable();
        while told.len() < most {
            let passing_first = match (kept.peek(), passing.peek()) {
                (None, None) => break,
                (Some(kept), Some(passing)) => passing.arrival < kept.arrival,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let Some(item) = (if passing_first { passing.next() } else { kept.next() }) else { break };
            if self.waits(item, now) {
                break;
            }
            reading.arrival = item.arrival + 1;
            if reading.place.covers(&item.director, item.mark()) {
                continue;
            }
            let shown = self.is_shown(item, &reading.place);
            reading.place.reach(&item.director, item.mark());
            if shown {
                let (id, director) = (reading.place.clone(), item.director.clone());
                told.push(Told::Event { id, director, notice: item.notice.clone() });
            }
        }
        told
    }

    /// What is kept of sessions' turns, the oldest first.
    pub(crate) fn turns(&self) -> impl DoubleEndedIterator<Item = &OfSession> {
        self.ring.iter().filter_map(|item| match &item.notice.what {
            What::Session(of) => Some(of),
            _ => None,
        })
    }

    /// Sessions that somebody ended since the last call, by pool, whichever director told of it.
    pub(crate) fn take_ended(&mut self) -> BTreeMap<PoolName, u64> {
        std::mem::take(&mut self.ended)
    }

    /// Events that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.len() == 0
    }

    /// Own events that were lost before anybody could read them, and events of others that broke a limit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn lost(&self, reading: &mut Reading) -> Option<Told> {
        let behind = |(name, row): (&DirectorName, &Row)| {
            let read = reading.place.of(name);
            let lost = match read {
                Some(read) => read < row.floor,
                // Nothing of it was known where the reader was: all of this run is new to it.
                None => row.floor.number > 0,
            };
            lost.then(|| (name.clone(), read.unwrap_or_default(), row.floor))
        };
        let of: Vec<_> = self.rows.iter().filter_map(behind).collect();
        if of.is_empty() {
            return None;
        }
        of.iter().for_each(|(name, _, floor)| reading.place.reach(name, *floor));
        Some(Told::Lost { id: reading.place.clone(), of })
    }

    /// An own event is shown when every linked peer has it: else a reader that goes on there would lack it, or be told again.
    fn waits(&self, item: &Item, now: Mono) -> bool {
        item.is_kept()
            && item.director == self.me
            && now.since(item.at) < SHOWN_AFTER
            && self.reach.values().any(|reach| reach.lacks(&self.me, item.mark()))
    }

    /// Of events that are one, the first that came here is shown, unless the reader was told another one of them.
    fn is_shown(&self, item: &Item, place: &Place) -> bool {
        match item.group {
            Group::Passing => true,
            Group::First(group) => !self.ring.of(group).any(|one| place.covers(&one.director, one.mark())),
            Group::Again { .. } => false,
        }
    }

    /// Which group a statement belongs to: that of the latest one about its subject if that says the same and is recent.
    fn group_of(&self, sameness: Sameness, now: Mono) -> u128 {
        match sameness {
            Sameness::Once(group) => group,
            Sameness::Says { subject, said, within } => {
                let latest = self.latest.get(&subject);
                let same = latest.filter(|latest| latest.said == said && now.since(latest.at) < within);
                // A number that nothing else has: what arrives next is one thing only.
                same.map_or_else(|| subject ^ said.rotate_left(64) ^ u128::from(self.arrivals + 1), |same| same.group)
            }
        }
    }

    fn add(&mut self, director: DirectorName, run: u64, notice: Notice, group: u128, now: Mono) {
        let (arrival, mark) = (self.next_arrival(), Mark { run, number: notice.number });
        if let Sameness::Says { subject, said, .. } = notice.what.sameness(&director, mark) {
            self.latest.entry(subject).or_insert(Latest { said, group, at: now });
            if let Some(latest) = self.latest.get_mut(&subject)
                && latest.group != group
            {
                *latest = Latest { said, group, at: now };
            }
        }
        let (group, number) = self.ring.join(group);
        if let (Group::First(_), What::Session(OfSession { turn: SessionTurn::Ended, pool, .. })) =
            (group, &notice.what)
            && matches!(&*notice.reason, "client" | "server" | "operator")
        {
            *self.ended.entry(pool.clone()).or_default() += 1;
        }
        if self.ring.len() >= EVENTS_MAX {
            self.forget_oldest();
        }
        if let Some(row) = self.rows.get_mut(&director) {
            row.items.push_back(number);
        }
        self.ring.push(Item { arrival, at: now, director, run, notice, group });
    }

    fn forget_oldest(&mut self) {
        let Some(Gone { item, group }) = self.ring.pop() else { return };
        if let Some(row) = self.rows.get_mut(&item.director) {
            row.items.pop_front();
            row.floor = row.floor.max(item.mark());
        }
        if let Some(group) = group
            && let Sameness::Says { subject, .. } = item.notice.what.sameness(&item.director, item.mark())
            && self.latest.get(&subject).is_some_and(|latest| latest.group == group)
        {
            self.latest.remove(&subject);
        }
    }

    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }
}

/// At most [`REASON_BYTES_MAX`], whole characters.
fn cut(reason: &str) -> &str {
    let end = (0..=reason.len().min(REASON_BYTES_MAX)).rev().find(|end| reason.is_char_boundary(*end));
    reason.get(..end.unwrap_or_default()).unwrap_or_default()
}
