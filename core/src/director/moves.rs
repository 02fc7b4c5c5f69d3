//! How often sessions have moved: told by what is kept of their turns, because a generation counts more than moves.

use std::collections::{BTreeMap, BTreeSet};

use super::Director;
use crate::clock::{Now, Stamp};
use crate::entry::SeatEntry;
use crate::events::{OfSession, SessionTurn};
use crate::ids::{Generation, SessionId};

impl Director {
    /// How often each of these sessions has come to another server since it began. Where the kept events do not reach back to its
    /// beginning the generation tells, which counts what became of its key before, too; that of a walk-in tells nothing.
    #[must_use]
    pub fn moves(&self, seats: &[SeatEntry], now: Now) -> Vec<u32> {
        self.collect_events(now);
        let mut told: BTreeMap<SessionId, Moves> = seats.iter().map(|seat| (seat.session, Moves::of(seat))).collect();
        let mut open = told.len();
        let news = self.news.lock();
        // The latest first: a session that has just begun is found at once.
        for of in news.turns().rev() {
            if open == 0 {
                break;
            }
            let Some(moves) = told.get_mut(&of.session).filter(|moves| !moves.is_complete()) else { continue };
            moves.hear(of);
            open -= usize::from(moves.is_complete());
        }
        drop(news);
        let count = |seat: &SeatEntry| told.get(&seat.session).map_or(0, Moves::count);
        seats.iter().map(count).collect()
    }
}

/// How often one session has moved, as far as its turns tell.
#[derive(Debug)]
struct Moves {
    generation: Generation,
    /// Only its server has told of it.
    walk_in: bool,
    began: Option<Generation>,
    /// By generation, because two directors may tell of one turn.
    moved: BTreeSet<Generation>,
}

impl Moves {
    fn of(seat: &SeatEntry) -> Self {
        Self { generation: seat.generation, walk_in: seat.stamp == Stamp::ZERO, began: None, moved: BTreeSet::new() }
    }

    fn hear(&mut self, of: &OfSession) {
        match of.turn {
            SessionTurn::Placed => {
                self.began = Some(self.began.map_or(of.generation, |began| began.min(of.generation)))
            }
            SessionTurn::Moved if of.from.as_ref().is_some_and(|from| *from != of.server) => {
                self.moved.insert(of.generation);
            }
            _ => {}
        }
    }

    /// Its beginning is known, and so is every generation since.
    fn is_complete(&self) -> bool {
        let told = u32::try_from(self.moved.len()).unwrap_or(u32::MAX);
        self.began.is_some_and(|began| began.get().saturating_add(told) >= self.generation.get())
    }

    fn count(&self) -> u32 {
        match self.began {
            None if !self.walk_in => self.generation.get() - 1,
            _ => u32::try_from(self.moved.len()).unwrap_or(u32::MAX),
        }
    }
}
