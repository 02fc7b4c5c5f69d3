//! When the log is written anew, and how far that is.
//!
//! Every record is a register, so a snapshot is nothing but every live record logged once more; when it is complete, all rows
//! from before its beginning are superfluous. Pages of it travel in ordinary commits: nothing stops, and a crash anywhere leaves
//! a log that holds at least everything.

use maitred_core::director::SnapshotPlace;

use super::batch::SEAT_BYTES_MIN;

/// A log below this size is left alone; in tests a smaller one, so that they see many compactions without writing much.
const BYTES_MIN: u64 = if cfg!(test) { 1 << 20 } else { 16 << 20 };
/// The log may grow to this many times what lives in it: each live record is rewritten once per growth, so that at most a third
/// of what is written is copies.
const GROWTH: u64 = 4;

/// How far the writing anew is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Compaction {
    /// Nothing to do.
    #[default]
    Idle,
    /// To begin with the next commit.
    Due,
    /// Live records are being logged again.
    Copying {
        /// The first row that belongs to it.
        from: u64,
        /// Where the next page begins.
        at: SnapshotPlace,
        /// Bytes so far.
        bytes: u64,
    },
    /// Complete: the rows before it are being deleted.
    Deleting {
        /// The first row that stays.
        before: u64,
        /// Bytes of the snapshot.
        live_bytes: u64,
    },
}

impl Compaction {
    /// Whether a log of this size, with this much alive at the last snapshot, is to be written anew: not while most of what it has
    /// gained since is alive too, as when a director gets its peers' sessions.
    pub(super) fn worthwhile(bytes: u64, live_bytes: u64, sessions: impl FnOnce() -> usize) -> bool {
        let is_long = |live: u64| bytes > BYTES_MIN.max(live.saturating_mul(GROWTH));
        is_long(live_bytes) && is_long(SEAT_BYTES_MIN.saturating_mul(sessions() as u64))
    }

    /// Whether the log is being written anew for another reason than its size.
    pub(super) fn is_repair(&self, bytes: u64) -> bool {
        *self != Self::Idle && bytes <= BYTES_MIN
    }

    /// Begins when due; `next` is the row that the next commit writes first.
    pub(super) fn begin(self, next: u64) -> Self {
        match self {
            Self::Due => Self::Copying { from: next, at: SnapshotPlace::default(), bytes: 0 },
            other => other,
        }
    }

    /// After the commit that carried a page of `written` bytes; `next` is where the one behind it begins, if there is one.
    pub(super) fn page_committed(self, next: Option<SnapshotPlace>, written: u64) -> Self {
        match (self, next) {
            (Self::Copying { from, bytes, .. }, Some(at)) => Self::Copying { from, at, bytes: bytes + written },
            (Self::Copying { from, bytes, .. }, None) => Self::Deleting { before: from, live_bytes: bytes + written },
            (other, _) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_log_is_left_alone_and_a_large_one_is_rewritten_when_most_of_it_is_dead() {
        let worthwhile = |bytes, live_bytes| Compaction::worthwhile(bytes, live_bytes, || 0);
        assert!(!worthwhile(BYTES_MIN, 0));
        assert!(worthwhile(BYTES_MIN + 1, 0));
        assert!(!worthwhile(100 << 20, 25 << 20));
        assert!(worthwhile((100 << 20) + 1, 25 << 20));
    }

    #[test]
    fn one_that_is_long_because_many_sessions_live_is_left_alone() {
        let worthwhile = |bytes, sessions| Compaction::worthwhile(bytes, 0, || sessions);
        assert!(!worthwhile(80 << 20, 1_000_000));
        assert!(worthwhile(80 << 20, 100_000) && worthwhile(300 << 20, 1_000_000));
    }

    #[test]
    fn rows_are_deleted_only_after_the_last_page_and_only_those_before_the_first() {
        let copying = Compaction::Due.begin(70).page_committed(Some(SnapshotPlace::Confirms(None)), 10);
        let copying = copying.page_committed(Some(SnapshotPlace::Registers), 10);
        assert_eq!(copying, Compaction::Copying { from: 70, at: SnapshotPlace::Registers, bytes: 20 });
        assert_eq!(copying.page_committed(None, 5), Compaction::Deleting { before: 70, live_bytes: 25 });
        assert_eq!(Compaction::Idle.begin(1), Compaction::Idle);
    }
}
