//! One link to one peer: greeting, words, comparison. Its tail and its window are their own.

mod tail;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::compare::{Buckets, Drawing, Walk};
use super::log::Log;
use super::window::Window;
use super::{DIGEST_EVERY, PING_EVERY, RELAY_AFTER, Store, Violation};
use crate::clock::{Mono, Now, Time};
use crate::events::NOTICES_MAX;
use crate::ids::DirectorName;
use crate::wire::{
    BUCKETS, ENTRIES_MAX, LIST_ITEMS_MAX, Message, POSITIONS_MAX, Position, SAID_DEPENDS_MAX, TOLD_ENTRIES_MAX,
    WORDS_MAX,
};

/// Messages of words that wait for one peer at most: all votes about 10,000 servers by 64 directors are fewer.
const WORDS_WAITING_MAX: usize = 4096;

/// How far this director is with what the peer lacks.
#[derive(Debug)]
enum Sending {
    /// The peer has not introduced itself.
    Silent,
    /// Digests are being drawn.
    Drawing(Drawing, Routine),
    /// They have been sent; the peer compares.
    Asked(Routine),
    /// What it wants is being sent.
    Walking(Walk, Routine),
    /// Only the tail.
    Live,
}

/// Whether a comparison is the usual one of a link that is in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Routine {
    Yes,
    No,
}

/// The peer's digests, and what this director draws to compare.
#[derive(Debug)]
struct Comparison {
    theirs: Vec<u64>,
    drawing: Drawing,
    routine: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) run: u64,
    pub(super) config: Option<u64>,
    /// The newest protocol that the peer speaks.
    pub(super) version: u16,
    pub(super) round_trip: Option<Duration>,
    pub(super) clock_ahead_ms: Option<i64>,
    pub(super) peer_is_warm: bool,
    /// The peer has sent everything that it had.
    pub(super) in_step: bool,
    /// It had once since the link came up.
    pub(super) was_in_step: bool,
    /// It stood while this director lost time.
    pub(super) is_past: bool,
    pub(super) divergent_buckets: u32,
    pub(super) window: Window,
    speaks_first: bool,
    greeted: bool,
    introduced: bool,
    peer_have: BTreeMap<DirectorName, Position>,
    words: VecDeque<Message>,
    pong: Option<u64>,
    ping_at: Mono,
    sending: Sending,
    sent: Position,
    announced: Position,
    announced_at: Mono,
    /// The peer must be told that it stands where it stands, once it has what it missed.
    resumed: bool,
    taken: u64,
    taken_told: u64,
    comparison: Option<Comparison>,
    /// What differed at the last usual comparison.
    suspected: Buckets,
    digest_at: Mono,
    /// The clock by which the latest digests were drawn.
    drawn_as_of: Time,
}

impl Link {
    pub(super) fn new(speaks_first: bool, now: Mono) -> Self {
        Self {
            run: 0,
            config: None,
            version: 0,
            round_trip: None,
            clock_ahead_ms: None,
            peer_is_warm: false,
            in_step: false,
            was_in_step: false,
            is_past: false,
            divergent_buckets: 0,
            window: Window::default(),
            speaks_first,
            greeted: false,
            introduced: false,
            peer_have: BTreeMap::new(),
            words: VecDeque::new(),
            pong: None,
            ping_at: now,
            sending: Sending::Silent,
            sent: Position::default(),
            announced: Position::default(),
            announced_at: now,
            resumed: false,
            taken: 0,
            taken_told: 0,
            comparison: None,
            suspected: Buckets::none(),
            digest_at: now + DIGEST_EVERY,
            drawn_as_of: Time::default(),
        }
    }

    pub(super) fn must_greet(&self) -> bool {
        !self.greeted && (self.speaks_first || self.introduced)
    }

    pub(super) fn greeted(&mut self) {
        self.greeted = true;
    }

    /// Who speaks first is answered, not greeted.
    pub(super) fn may_be_greeted(&self) -> bool {
        !self.introduced && (self.greeted || !self.speaks_first)
    }

    pub(super) fn introduced(&mut self, have: BTreeMap<DirectorName, Position>, version: u16, config: u64) {
        self.introduced = true;
        self.peer_have = have;
        self.config = Some(config);
        self.version = version;
    }

    pub(super) fn is_linked(&self) -> bool {
        self.introduced && (self.greeted || !self.speaks_first)
    }

    /// Begins to bring the peer up to date: from where it stands, or by a comparison.
    pub(super) fn begin(&mut self, resume: Option<Position>, end: Position, now: Now) {
        self.digest_at = now.mono + DIGEST_EVERY;
        self.resumed = resume.is_some();
        self.sent = resume.unwrap_or(end);
        self.announced = self.sent;
        self.window.begin(self.sent.own);
        self.sending = match resume {
            Some(_) => Sending::Live,
            None => Sending::Drawing(Drawing::new(now.time), Routine::No),
        };
    }

    /// Whether a message is in turn and within its limits.
    pub(super) fn check(&mut self, message: &Message) -> Result<(), Violation> {
        if self.is_past {
            return Err(Violation::Past);
        }
        if !self.introduced {
            return Err(Violation::Turn);
        }
        let within = match message {
            Message::Hello(_) | Message::Pong { .. } | Message::Ack { .. } | Message::Synced(_) => true,
            Message::Ask { .. } => true,
            Message::Ping { have, .. } => have.len() <= POSITIONS_MAX,
            Message::Orders(words) => words.len() <= WORDS_MAX,
            Message::Votes(words) => words.len() <= WORDS_MAX,
            Message::Roles(words) => words.len() <= WORDS_MAX,
            Message::Told { entries, .. } => entries.len() <= TOLD_ENTRIES_MAX,
            Message::EventsKnown(known) => known.len() <= POSITIONS_MAX,
            Message::Events { notices, .. } => notices.len() <= NOTICES_MAX,
            Message::Lists(words) => {
                let items: usize = words.iter().map(|word| word.says.len()).sum();
                words.len() <= WORDS_MAX && items <= LIST_ITEMS_MAX
            }
            Message::Said(words) => {
                let depends: usize = words.iter().map(|word| word.depends.len()).sum();
                words.len() <= WORDS_MAX && depends <= SAID_DEPENDS_MAX
            }
            Message::Digests { buckets, .. } => buckets.len() == BUCKETS,
            Message::Want { buckets } => buckets.len() == Buckets::BYTES,
            Message::Bulk { entries, .. } => entries.len() <= ENTRIES_MAX,
            Message::Changes { changes, .. } => changes.len() <= ENTRIES_MAX,
        };
        if !within {
            return Err(Violation::Limit);
        }
        Ok(())
    }

    /// A data message has been taken, and what it brought is in the table.
    pub(super) fn took(&mut self) {
        self.taken += 1;
    }

    pub(super) fn pinged(&mut self, sent: u64, warm: bool, have: Vec<(DirectorName, Position)>, clock_ahead_ms: i64) {
        self.pong = Some(sent);
        self.peer_is_warm = warm;
        self.peer_have = have.into_iter().collect();
        self.clock_ahead_ms = Some(clock_ahead_ms);
    }

    /// Relayed changes between these numbers came from this peer: whoever had everything before them stands behind them.
    pub(super) fn pass_over(&mut self, before: u64, end: u64) {
        if self.sent.relayed == before {
            self.sent.relayed = end;
        }
    }

    pub(super) fn ponged(&mut self, sent: u64, now: Mono) {
        let took = now.since(Mono(sent));
        self.round_trip = Some(took);
        self.window.ponged(took);
    }

    pub(super) fn begin_comparison(&mut self, routine: bool, as_of: Time, theirs: Vec<u64>) {
        if !routine {
            self.was_in_step |= self.in_step;
            self.in_step = false;
        }
        // Whoever has nothing lacks everything, which no digest need say.
        if !routine
            && is_empty(&theirs)
            && self.window.is_new()
            && let Sending::Drawing(drawing, Routine::No) = &self.sending
        {
            self.sending = Sending::Walking(Walk::all(drawing.as_of()), Routine::No);
        }
        self.comparison = Some(Comparison { theirs, drawing: Drawing::new(as_of), routine });
    }

    pub(super) fn begin_sending(&mut self, wanted: Vec<u8>) {
        let (Some(wanted), Sending::Asked(routine)) = (Buckets::parse(wanted), &self.sending) else { return };
        let routine = *routine;
        self.sending = Sending::Walking(Walk::of(wanted, routine == Routine::No, self.drawn_as_of), routine);
    }

    pub(super) fn next_pong(&mut self) -> Option<Message> {
        self.pong.take().map(|sent| Message::Pong { sent })
    }

    pub(super) fn ping_is_due(&mut self, now: Mono) -> bool {
        let due = now >= self.ping_at;
        if due {
            self.ping_at = now + PING_EVERY;
        }
        due
    }

    pub(super) fn say(&mut self, words: impl IntoIterator<Item = Message>) {
        // Refreshed words wait for room; only answers to a flood of questions could be more, and those are asked again.
        let room = WORDS_WAITING_MAX.saturating_sub(self.words.len());
        self.words.extend(words.into_iter().take(room));
    }

    pub(super) fn words_are_out(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn next_word(&mut self) -> Option<Message> {
        if self.taken > self.taken_told {
            self.taken_told = self.taken;
            return Some(Message::Ack { messages: self.taken });
        }
        self.words.pop_front()
    }

    pub(super) fn next_data(&mut self, peer: &DirectorName, log: &Log, store: &dyn Store, now: Now) -> Option<Message> {
        if !self.window.is_open() {
            return None;
        }
        let message = self.next_unweighed(peer, log, store, now)?;
        self.window.send(message.weight(), self.sent.own);
        Some(message)
    }

    fn next_unweighed(&mut self, peer: &DirectorName, log: &Log, store: &dyn Store, now: Now) -> Option<Message> {
        if !log.reaches(self.sent) {
            // Fallen behind: never waited for, compared instead.
            self.begin(None, log.end(), now);
        }
        if let Some(wanted) = self.step_comparison(store) {
            return Some(Message::Want { buckets: wanted.into_bytes() });
        }
        if !matches!(self.sending, Sending::Silent | Sending::Drawing(_, Routine::No))
            && let Some(tail) = self.next_tail(peer, log, now)
        {
            return Some(tail);
        }
        if std::mem::take(&mut self.resumed) {
            // Behind what the peer has missed: in step is who has it.
            return Some(Message::Synced(self.sent));
        }
        self.step_sending(log, store, now)
    }

    /// Draws on; the buckets to ask for when that is done.
    fn step_comparison(&mut self, store: &dyn Store) -> Option<Buckets> {
        let comparison = self.comparison.as_mut()?;
        if matches!(&self.sending, Sending::Walking(walk, _) if walk.lacked().is_some()) {
            // Nothing is lacking here that somebody has who has nothing.
            self.comparison = None;
            self.suspected = Buckets::none();
            return Some(Buckets::none());
        }
        if !comparison.drawing.step(store) {
            return None;
        }
        let comparison = self.comparison.take()?;
        let differing = comparison.drawing.differing(&comparison.theirs);
        self.divergent_buckets = differing.count();
        if !comparison.routine {
            self.suspected = Buckets::none();
            return Some(comparison.drawing.lacking(&comparison.theirs));
        }
        // What is on its way differs once; what differs twice is lacking.
        let lacking = comparison.drawing.lacking(&comparison.theirs).both(&self.suspected);
        self.suspected = differing;
        Some(lacking)
    }

    fn step_sending(&mut self, log: &Log, store: &dyn Store, now: Now) -> Option<Message> {
        match &mut self.sending {
            Sending::Silent | Sending::Asked(_) => None,
            Sending::Live => {
                if now.mono >= self.digest_at {
                    self.digest_at = now.mono + DIGEST_EVERY;
                    self.sending = Sending::Drawing(Drawing::new(now.time), Routine::Yes);
                }
                None
            }
            Sending::Drawing(drawing, routine) => {
                if !drawing.step(store) {
                    return None;
                }
                let routine = *routine;
                let Sending::Drawing(drawing, _) = std::mem::replace(&mut self.sending, Sending::Asked(routine)) else {
                    return None;
                };
                let as_of = drawing.as_of();
                self.drawn_as_of = as_of;
                Some(Message::Digests { routine: routine == Routine::Yes, as_of, buckets: drawing.into_sums() })
            }
            Sending::Walking(walk, routine) => {
                let entries = walk.step(store);
                if let Some(lacked) = walk.lacked() {
                    self.divergent_buckets = lacked.count();
                }
                if !entries.is_empty() {
                    return Some(Message::Bulk { at: log.end(), entries });
                }
                if !walk.is_done() {
                    return None;
                }
                let first = *routine == Routine::No;
                self.sending = Sending::Live;
                first.then_some(Message::Synced(self.sent))
            }
        }
    }

    /// Age of the oldest own change that the peer has not acknowledged, as far as they are kept: R6 must not take a peer that fell
    /// behind all of them for one that has them.
    pub(super) fn lag(&self, log: &Log, now: Mono) -> Duration {
        log.own.oldest_behind(self.window.acked_own()).map_or(Duration::ZERO, |item| now.since(item.at))
    }

    pub(super) fn deadline(&self, log: &Log, now: Mono) -> Option<Mono> {
        if !self.is_linked() {
            return self.must_greet().then_some(now);
        }
        let busy = self.window.is_open()
            && (self.comparison.is_some() || matches!(self.sending, Sending::Drawing(..) | Sending::Walking(..)));
        let held = log.relayed.item(self.sent.relayed + 1).map(|item| item.at + RELAY_AFTER);
        let digest = matches!(self.sending, Sending::Live).then_some(self.digest_at);
        let due = [busy.then_some(now), held, digest, Some(self.ping_at)];
        due.into_iter().flatten().min()
    }
}

/// Digests of a table without sessions that count.
fn is_empty(digests: &[u64]) -> bool {
    digests.iter().all(|sum| *sum == 0)
}
