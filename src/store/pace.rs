//! How often the journal commits and how much a commit carries, so that no change waits longer than [`BEHIND_MAX`] for the disk.
//!
//! Learnt from how long the last commits took: a disk that is slow gets more time, one that is slow because it is given much gets
//! less at a time. Knows nothing of files and records.

use std::time::Duration;

/// Most that the log may be behind while the disk is well.
pub const BEHIND_MAX: Duration = Duration::from_millis(50);
/// Longest pause between two commits: less than half of [`BEHIND_MAX`], the rest is for the commits themselves.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// A pause is at least this part of a commit, so that a slow disk does not make the thread spin: what it costs is lost in what the
/// disk takes.
const PAUSE_SHARE: u32 = 8;
/// Time for what is not counted: the thread is woken late, the lock of a shard is held by others.
const SPARE: Duration = Duration::from_millis(5);
/// A commit that takes longer carries too much, where it carries much.
const COMMIT_LONG: Duration = Duration::from_millis(10);
/// Least and most bytes that one commit carries, apart from one step of the table more. A million sessions written again travel
/// in hundreds of commits.
const CARRIES_MIN: usize = 64 << 10;
const CARRIES_MAX: usize = 1 << 20;
/// A page of a snapshot holds one seat for each of these many bytes that it may have.
const SEAT_BYTES: usize = 128;
/// Fewest seats in a page, so that a snapshot comes to its end under any load.
const PAGE_MIN: usize = 64;

/// What was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// About the slowest of the last commits: one that is slower counts at once, and is forgotten slowly.
    slowest: Duration,
    carries: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { slowest: Duration::ZERO, carries: CARRIES_MIN * 4 }
    }
}

impl Pace {
    /// The pause before the next look for changes. One that just misses a commit waits for the rest of it, this pause and the next
    /// commit; where there was nothing to commit it waits for the pause and one commit.
    pub(super) fn pause(&self, committed: bool) -> Duration {
        let commits = self.slowest.saturating_mul(if committed { 2 } else { 1 });
        let left = BEHIND_MAX.saturating_sub(commits).saturating_sub(SPARE);
        left.max(self.slowest / PAUSE_SHARE).min(PAUSE_MAX)
    }

    /// Bytes that the next commit may carry.
    pub(super) fn carries(&self) -> usize {
        self.carries
    }

    /// Seats that a page of a snapshot may hold beside so many bytes of changes: at most half of what the commit carries.
    pub(super) fn page(&self, bytes: usize) -> usize {
        let room = self.carries.saturating_sub(bytes).min(self.carries / 2);
        (room / SEAT_BYTES).max(PAGE_MIN)
    }

    /// After a commit of so many bytes.
    pub(super) fn learn(&mut self, took: Duration, bytes: usize) {
        self.slowest = took.max(self.slowest - self.slowest / 32);
        if bytes < self.carries / 2 {
            return;
        }
        if took > COMMIT_LONG {
            self.carries = (self.carries / 2).max(CARRIES_MIN);
        } else if took < COMMIT_LONG / 2 {
            self.carries = (self.carries * 2).min(CARRIES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is learnt from one commit.
    fn after(millis: u64) -> Pace {
        let mut pace = Pace::default();
        pace.learn(Duration::from_millis(millis), 0);
        pace
    }

    #[test]
    fn a_change_that_just_misses_a_commit_is_written_in_time_as_long_as_two_commits_and_a_breath_fit() {
        for millis in 0..22 {
            let pace = after(millis);
            assert!(pace.pause(true) + pace.slowest * 2 + SPARE <= BEHIND_MAX, "{millis} ms");
        }
        for millis in 0..40 {
            let pace = after(millis);
            assert!(pace.pause(false) + pace.slowest + SPARE <= BEHIND_MAX, "{millis} ms, nothing to commit before");
        }
        let mut pace = after(3000);
        (0..1000).for_each(|_| pace.learn(Duration::from_millis(1), 0));
        assert_eq!(pace.pause(true), PAUSE_MAX, "a disk that hung is well again");
    }

    #[test]
    fn a_slow_disk_makes_nobody_spin() {
        for millis in 20..5000 {
            let pace = after(millis);
            for committed in [true, false] {
                assert!(pace.pause(committed) >= Duration::from_micros(2500), "{millis} ms");
                assert!(pace.pause(committed) <= PAUSE_MAX, "{millis} ms");
            }
        }
    }

    #[test]
    fn full_commits_that_take_long_carry_less_and_quick_ones_more() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.learn(Duration::from_secs(1), CARRIES_MAX));
        assert_eq!(pace.carries(), CARRIES_MIN);
        assert_eq!((pace.page(0), pace.page(CARRIES_MIN)), (CARRIES_MIN / 2 / SEAT_BYTES, PAGE_MIN));
        (0..100).for_each(|_| pace.learn(Duration::from_millis(1), 10));
        assert_eq!(pace.carries(), CARRIES_MIN, "small ones say nothing about large ones");
        (0..100).for_each(|_| pace.learn(Duration::from_millis(1), CARRIES_MAX));
        assert_eq!(pace.carries(), CARRIES_MAX);
    }
}
