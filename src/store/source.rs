//! Where the journal takes its records from: the director, behind a trait that tests can stand in for.

use std::sync::Arc;

use maitred_core::clock::Time;
use maitred_core::director::Director;
use maitred_core::entry::Entry;

use crate::clock::Clock;

/// What the journal writes from. Called on the journal's thread only; must not wait for it.
pub trait Source: Send + Sync + 'static {
    /// Hands out every record that changed since the last call.
    fn drain(&self, sink: &mut dyn FnMut(Entry));
    /// The director's own clock, now (R2).
    fn clock(&self) -> Time;
    /// Hands out the live records of one page, counted from 0, and says whether another page follows. A page is what may be
    /// written in one commit: some thousands of records, a shard; a last page may be empty. Over all pages every live record must come, seats, states,
    /// orders, verdicts and roles.
    fn snapshot(&self, page: usize, sink: &mut dyn FnMut(Entry)) -> bool;
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
    fn drain(&self, sink: &mut dyn FnMut(Entry)) {
        self.director.drain_dirty(sink);
    }

    fn clock(&self) -> Time {
        self.clock.now().time
    }

    fn snapshot(&self, page: usize, sink: &mut dyn FnMut(Entry)) -> bool {
        self.director.snapshot(page, self.clock.now(), sink).is_some()
    }

    fn restore(&self, entries: Vec<Entry>) {
        self.director.restore(entries, self.clock.now());
    }
}
