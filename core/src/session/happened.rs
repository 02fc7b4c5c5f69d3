//! What happened to sessions, one by one: for the event feed and for whoever counts logouts.
//!
//! Owns which change of a record is news, and what makes two tellings of it one. Every director derives the same news from the same
//! records, however they came: a renewed stamp, a later `seen` and another life of the server are none. Refuses to know who
//! listens; nobody does until [`super::Table::tell`] is asked, and then a bounded number waits.
//!
//! A stay is a session at a server in a generation. It begins once (placed or moved) and is over once. What a record skipped,
//! because two changes came as one, was told by nobody here: neither its beginning nor its end.

use std::collections::VecDeque;

use super::key_text::KeyText;
use super::names::{Names, PoolIx};
use super::record::{Record, Sitting};
use crate::digest::Digest;
use crate::entry::{EndReason, Life};
use crate::event::{Over, SessionEvent, SessionNews};
use crate::ids::Key;

/// A queue that has grown for more than so many is not used again: a storm must not stay in memory.
const AGAIN_MAX: usize = 64;

/// One change of one record.
#[derive(Debug)]
pub(super) struct Happened {
    text: KeyText,
    pool: PoolIx,
    before: Option<Sitting>,
    /// Nothing: it was forgotten.
    after: Option<Sitting>,
}

/// What waits to be told, of one shard.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    most: usize,
    waiting: VecDeque<Happened>,
    lost: u64,
}

impl Happenings {
    /// From now on at most so many wait; zero tells nothing.
    pub(super) fn tell(&mut self, most: usize) {
        self.most = most;
        self.waiting.truncate(most);
    }

    /// Notes a change, if it is news; the oldest goes when too many wait.
    pub(super) fn note(&mut self, text: &str, pool: PoolIx, before: Option<Sitting>, after: Option<Sitting>) {
        if self.most == 0 || !is_news(before.as_ref(), after.as_ref()) {
            return;
        }
        if self.waiting.len() >= self.most {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back(Happened { text: KeyText::new(text), pool, before, after });
    }

    /// Notes that a start found a seat and left it where it is: no news, told only to those who ask for it.
    pub(super) fn note_kept(&mut self, record: &Record<'_>) {
        if self.waiting.len() < self.most {
            let (text, sitting) = (KeyText::new(record.key_text()), Some(*record.sitting()));
            self.waiting.push_back(Happened { text, pool: record.pool(), before: sitting, after: sitting });
        }
    }

    /// Takes what waits in exchange for an empty queue, and how many were lost since the last call.
    pub(super) fn take(&mut self, told: &mut VecDeque<Happened>) -> u64 {
        std::mem::swap(&mut self.waiting, told);
        std::mem::take(&mut self.lost)
    }
}

/// A record that is forgotten.
pub(super) fn forgotten(happenings: &mut Happenings, record: &Record<'_>) {
    happenings.note(record.key_text(), record.pool(), Some(*record.sitting()), None);
}

/// Tells what was taken, in order; the queue is empty then, and the next shard's.
pub(super) fn tell_all(told: &mut VecDeque<Happened>, names: &Names, sink: &mut dyn FnMut(SessionEvent)) {
    told.iter().for_each(|it| it.tell(names, sink));
    told.clear();
    if told.capacity() > AGAIN_MAX {
        *told = VecDeque::new();
    }
}

fn is_news(before: Option<&Sitting>, after: Option<&Sitting>) -> bool {
    match (before, after) {
        (None, None) => false,
        (None, Some(_)) => true,
        (Some(before), None) => before.life == Life::Live,
        (Some(before), Some(after)) => !same_stay(before, after) || before.life != after.life,
    }
}

fn same_stay(one: &Sitting, other: &Sitting) -> bool {
    (one.session, one.generation, one.server) == (other.session, other.generation, other.server)
}

impl Happened {
    /// The news of this change, in order.
    fn tell(&self, names: &Names, sink: &mut dyn FnMut(SessionEvent)) {
        let mut say = |of: &Sitting, by: &Sitting, news: SessionNews| sink(self.event(of, by, news, names));
        let live = |sitting: &Option<Sitting>| sitting.filter(|it| it.life == Life::Live);
        let book = names.book();
        match (live(&self.before), self.after) {
            (Some(before), None) => say(&before, &before, SessionNews::Over(Over::Expired)),
            (None, None) => {}
            (Some(before), Some(after)) => match after.life {
                Life::Live if same_stay(&before, &after) => say(&after, &after, SessionNews::Kept),
                Life::Live => {
                    let moved = before.session == after.session && before.generation < after.generation;
                    say(&before, &after, SessionNews::Over(if moved { Over::Moved } else { Over::Outranked }));
                    if before.session == after.session && after.generation < before.generation {
                        // Left once, and a later start was at a director that did not know: the stay goes on.
                        return say(&after, &after, SessionNews::Revived);
                    }
                    let from = (before.session == after.session).then(|| book.server(before.server).clone());
                    say(
                        &after,
                        &after,
                        from.map_or(SessionNews::Placed, |from| SessionNews::Moved { from: Some(from) }),
                    );
                }
                Life::Ended(reason) if before.session == after.session => {
                    say(&before, &after, SessionNews::Over(Over::Ended(reason)));
                }
                Life::Ended(reason) => {
                    say(&before, &after, SessionNews::Over(Over::Outranked));
                    self.pair(&after, reason, &mut say);
                }
            },
            (None, Some(after)) => match (after.life, self.before) {
                (Life::Live, Some(before)) if before.session == after.session => {
                    say(&after, &after, SessionNews::Revived)
                }
                (Life::Live, before) => {
                    let skipped = before.is_none() && after.generation.get() > 1;
                    say(&after, &after, if skipped { SessionNews::Moved { from: None } } else { SessionNews::Placed });
                }
                // Another end of the same session is none.
                (Life::Ended(_), Some(before)) if before.session == after.session => {}
                (Life::Ended(reason), _) => self.pair(&after, reason, &mut say),
            },
        }
    }

    /// Its beginning was not seen here, and still each end has one. The tombstone of a session that its agent left is one
    /// generation above the seat that ended, so it says nothing about that.
    fn pair(&self, after: &Sitting, reason: EndReason, say: &mut dyn FnMut(&Sitting, &Sitting, SessionNews)) {
        if reason == EndReason::Superseded {
            return;
        }
        say(after, after, SessionNews::Placed);
        say(after, after, SessionNews::Over(Over::Ended(reason)));
    }

    fn event(&self, of: &Sitting, by: &Sitting, news: SessionNews, names: &Names) -> SessionEvent {
        let book = names.book();
        let (pool, server) = (book.pool(self.pool).clone(), book.server(of.server).clone());
        // Placed and moved are one beginning: who did not see the stay before cannot tell them apart.
        let kind = match &news {
            SessionNews::Placed | SessionNews::Moved { .. } => "began",
            SessionNews::Revived => "revived",
            SessionNews::Kept => "kept",
            SessionNews::Over(_) => "over",
        };
        let identity = Digest::new(kind)
            .text(pool.as_str())
            .text(self.text.as_str())
            .bytes(Some(&of.session.0))
            .number(Some(u64::from(of.generation.get())))
            .text(server.as_str())
            .finish();
        SessionEvent {
            identity,
            pool,
            key: Key::trusted(self.text.as_str()),
            session: of.session,
            generation: of.generation,
            server,
            director: book.writer(by.writer).clone(),
            time: by.stamp.time(),
            news,
        }
    }
}
