//! Says that something waits to be written, so that whoever writes it need not ask again and again.
//!
//! ```text
//! change ── note ──▶ (first since the last take) ── tell ──▶ the journal wakes ── take, then drain
//! ```
//! Knows neither what changed nor who writes it. Whoever changes something notes it under the lock under which it changed, or behind it;
//! whoever writes takes the note first and looks for changes afterwards: no change is missed, and one may be told for nothing.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Called by whoever changed something, under its lock: must neither wait nor call the director.
pub type Tell = Box<dyn Fn() + Send + Sync>;

/// Whether something waits, and who is told.
#[derive(Default)]
pub struct Unwritten {
    waits: AtomicBool,
    tell: OnceLock<Tell>,
}

impl Unwritten {
    /// Something changed. One look at a flag, unless it is the first since the last [`Self::take`].
    pub fn note(&self) {
        // The lock of what changed orders this behind the taker's, where the taker has seen it already.
        if self.waits.load(Ordering::Relaxed) || self.waits.swap(true, Ordering::AcqRel) {
            return;
        }
        // Here the change is noted before the listener is looked for, there the listener is set before the note is: one sees the other.
        fence(Ordering::SeqCst);
        if let Some(tell) = self.tell.get() {
            tell();
        }
    }

    /// What changes from now on is told again.
    pub fn take(&self) {
        self.waits.store(false, Ordering::Release);
    }

    /// Whom to tell; the first one given stays. Told at once when something waits already.
    pub fn tell(&self, tell: Tell) {
        if self.tell.set(tell).is_err() {
            return;
        }
        fence(Ordering::SeqCst);
        if self.waits.load(Ordering::Acquire)
            && let Some(tell) = self.tell.get()
        {
            tell();
        }
    }
}

impl fmt::Debug for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwritten").field("waits", &self.waits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn counted(unwritten: &Unwritten) -> Arc<AtomicU32> {
        let told = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&told);
        unwritten.tell(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        told
    }

    #[test]
    fn the_first_change_after_a_take_is_told_and_no_other() {
        let unwritten = Unwritten::default();
        let told = counted(&unwritten);
        for rounds in 1..4 {
            (0..5).for_each(|_| unwritten.note());
            assert_eq!(told.load(Ordering::Relaxed), rounds);
            unwritten.take();
        }
    }

    #[test]
    fn what_changed_before_anybody_listened_is_told() {
        let unwritten = Unwritten::default();
        unwritten.note();
        assert_eq!(counted(&unwritten).load(Ordering::Relaxed), 1);
    }
}
