//! How events reach the other directors: each is sent to whoever lacks it, the own ones at once and before the records that say
//! the same, those of third directors when their own link had its chance.

use std::time::Duration;

use super::{DIRECTORS_MAX, Feed, Mark, Notice, Number, Place, REASON_BYTES_MAX, Ring, Row};
use crate::clock::{Mono, Now};
use crate::ids::DirectorName;
use crate::wire::Message;

/// Events that one message carries.
pub(crate) const NOTICES_MAX: usize = 128;
/// Bytes of one message, about; a link's words come before its records and must not hold each other up.
const BYTES_MAX: usize = 48 * 1024;
/// About how many bytes an event takes besides its texts.
const NOTICE_BYTES: usize = 96;
/// A third director's events are handed on when the peer has not got them itself by then: less than records wait
/// ([`crate::replication::RELAY_AFTER`]), so that an event comes before its record here too.
const RELAY_AFTER: Duration = Duration::from_secs(1);

/// How far one linked peer is.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// What it says that it has; `None` before its first word.
    have: Option<Place>,
    /// What has been sent on this link.
    sent: Place,
    /// [`Feed::heard`] when it was told last what this director has.
    told: Option<u64>,
}

impl Reach {
    pub(super) fn lacks(&self, director: &DirectorName, mark: Mark) -> bool {
        self.have.as_ref().is_none_or(|have| !have.covers(director, mark))
    }
}

impl Feed {
    /// A link is gone: whatever was on its way may be lost.
    pub fn link_down(&mut self, peer: &DirectorName) {
        self.reach.remove(peer);
    }

    /// What a linked peer is to be told: what this director has, and some of what the peer lacks.
    pub fn words_for(&mut self, peer: &DirectorName, now: Mono) -> Vec<Message> {
        let mut words = Vec::new();
        let reach = self.reach.entry(peer.clone()).or_default();
        if reach.told != Some(self.heard) {
            reach.told = Some(self.heard);
            let have = self.rows.iter().take(DIRECTORS_MAX).map(|(name, row)| (name.clone(), row.have));
            words.push(Message::EventsKnown(have.collect()));
        }
        let Some(have) = &reach.have else { return words };
        for (director, row) in &self.rows {
            if director == peer {
                continue;
            }
            let at = |place: &Place| place.of(director).unwrap_or_default();
            let from = at(&reach.sent).max(at(have)).max(row.floor);
            let ripe = (*director != self.me).then_some(now);
            if let Some((run, after, upto, notices)) = row.behind(&self.ring, from, ripe) {
                reach.sent.reach(director, Mark { run, number: upto });
                words.push(Message::Events { director: director.clone(), run, after, upto, notices });
            }
        }
        words
    }

    /// A peer says what it has.
    pub fn hear_known(&mut self, peer: &DirectorName, known: Vec<(DirectorName, Mark)>) {
        let known: Place = known.into_iter().take(DIRECTORS_MAX).collect();
        if let Some(mine) = known.of(&self.me.clone()) {
            self.recognise(mine);
        }
        self.reach.entry(peer.clone()).or_default().have = Some(known);
    }

    /// Takes a director's events, from itself or handed on.
    ///
    /// # Errors
    /// The word to count, when a limit is broken; nothing is taken then.
    pub fn hear(
        &mut self,
        director: &DirectorName,
        run: u64,
        (after, upto): (u64, u64),
        notices: Vec<Notice>,
        now: Now,
    ) -> Result<(), &'static str> {
        if *director == self.me {
            return Ok(());
        }
        let mut before = after;
        let in_order = notices.iter().all(|notice| std::mem::replace(&mut before, notice.number) < notice.number);
        if run == 0 || !in_order || before > upto || notices.len() > NOTICES_MAX {
            return Err("event_order");
        }
        if notices.iter().any(|notice| notice.reason.len() > REASON_BYTES_MAX) {
            return Err("event_limit");
        }
        if !self.rows.contains_key(director) && self.rows.len() >= DIRECTORS_MAX {
            return Err("event_directors");
        }
        let row = self.rows.entry(director.clone()).or_default();
        let (known, begin, end) = (row.have, Mark { run, number: after }, Mark { run, number: upto });
        if end <= known {
            return Ok(());
        }
        // A new run goes on behind the one before; a hole is a hole.
        let seamless = if known.run == run { begin <= known } else { known.run > 0 && after == 0 };
        if !seamless {
            row.floor = begin;
        }
        row.have = end;
        self.heard += 1;
        for notice in notices {
            let mark = Mark { run, number: notice.number };
            if mark > known {
                let group = self.group_of(notice.what.sameness(director, mark), now.mono);
                self.add(director.clone(), run, notice, group, now.mono);
            }
        }
        Ok(())
    }

    /// What a peer has of this director's own events: of an earlier run, that is where whoever read them stands; of a later one,
    /// the clock went back over a restart, and a new run begins above it.
    fn recognise(&mut self, mark: Mark) {
        let begin = |run| Mark { run, number: 0 };
        let Some(row) = self.rows.get_mut(&self.me) else { return };
        if mark.run > self.run {
            (self.run, self.number) = (mark.run.saturating_add(1), 0);
            (row.have, row.floor) = (begin(self.run), begin(self.run));
            self.heard += 1;
        } else if mark.run < self.run {
            if row.floor == begin(self.run) {
                row.floor = mark;
            } else if row.floor.run < self.run {
                row.floor = row.floor.max(mark);
            }
        }
    }
}

impl Row {
    /// Some of what is kept behind a mark, of one run: the run, the number before, the number up to which that is everything.
    /// With `ripe`, only what has been here for a while.
    fn behind(&self, ring: &Ring, from: Mark, ripe: Option<Mono>) -> Option<(u64, u64, u64, Vec<Notice>)> {
        let is_told = |number: &Number| ring.get(*number).is_some_and(|item| item.mark() <= from);
        let first = self.items.partition_point(is_told);
        let run = ring.get(*self.items.get(first)?)?.run;
        let (mut notices, mut bytes) = (Vec::new(), 0);
        let mut items = self.items.range(first..).filter_map(|number| ring.get(*number)).peekable();
        while let Some(item) = items.peek() {
            let fresh = ripe.is_some_and(|now| now.since(item.at) < RELAY_AFTER);
            bytes += NOTICE_BYTES + item.notice.reason.len() + item.notice.what.text_bytes();
            let full = notices.len() >= NOTICES_MAX || (bytes > BYTES_MAX && !notices.is_empty());
            if item.run != run || fresh || full {
                break;
            }
            notices.push(item.notice.clone());
            items.next();
        }
        let last = notices.last()?.number;
        // Numbers that were told as they happened and not kept are covered as well.
        let all = items.peek().is_none() && self.have.run == run;
        let upto = if all { self.have.number.max(last) } else { last };
        let after = if from.run == run { from.number } else { 0 };
        Some((run, after, upto, notices))
    }
}
