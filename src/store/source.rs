//! Where the journal takes its records from: the director, behind a trait that tests can stand in for.

use std::sync::Arc;

use maitred_core::clock::Time;
use maitred_core::director::{Director, SnapshotPlace};
use maitred_core::entry::Entry;
use maitred_core::unwritten::Tell;

use crate::clock::Clock;

/// What the journal writes from. Called on the journal's thread only; must not wait for it.
pub trait Source: Send + Sync + 'static {
    /// Hands out records that changed since they were last handed out, until `sink` has enough; says whether there are more. Called
    /// again and again it hands out all of them, each in its turn.
    fn drain(&self, sink: &mut dyn FnMut(Entry) -> bool) -> bool;
    /// Whom to tell when something changed: once after each call of [`Self::drain`], so that nobody need ask meanwhile. `tell` neither
    /// waits nor calls the source.
    fn tell(&self, tell: Tell);
    /// The director's own clock, now (R2).
    fn clock(&self) -> Time;
    /// Hands out a page of the live records, about `limit` seats or as many bytes of other things, and says where the next page
    /// begins; a page may be empty. Over all pages every live record must come, seats, states, orders, verdicts and roles.
    fn snapshot(&self, from: &SnapshotPlace, limit: usize, sink: &mut dyn FnMut(Entry)) -> Option<SnapshotPlace>;
    /// How many sessions are remembered now: none of them can be dropped from the log.
    fn sessions(&self) -> usize;
    /// Takes records that could not be read when the director started and can be read now.
    fn restore(&self, entries: Vec<Entry>);
}

/// The director as the journal sees it.
pub struct DirectorSource {
    director: Arc<Director>,
    clock: Arc<Clock>,
}

impl DirectorSource {
    /// Puts the two together.
    #[must_use]
    pub fn new(director: Arc<Director>, clock: Arc<Clock>) -> Self {
        Self { director, clock }
    }
}

impl Source for DirectorSource {
    fn drain(&self, sink: &mut dyn FnMut(Entry) -> bool) -> bool {
        self.director.drain_some(sink)
    }

    fn tell(&self, tell: Tell) {
        self.director.tell_unwritten(tell);
    }

    fn clock(&self) -> Time {
        self.clock.now().time
    }

    fn snapshot(&self, from: &SnapshotPlace, limit: usize, sink: &mut dyn FnMut(Entry)) -> Option<SnapshotPlace> {
        self.director.snapshot(from, limit, self.clock.now(), sink)
    }

    fn sessions(&self) -> usize {
        self.director.sessions()
    }

    fn restore(&self, entries: Vec<Entry>) {
        self.director.restore(entries, self.clock.now());
    }
}
