//! How the journal is doing, readable at any moment without waiting for it.
//!
//! Knows nothing of files: the writer says what happened, readers get one consistent picture.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

/// A commit that takes longer than this is reported as [`Trouble::Stalled`] while it lasts: the disk hangs.
pub const STALLED_AFTER: Duration = Duration::from_secs(2);

/// What keeps the journal from being written. The director goes on from memory in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No space or no quota left.
    Full,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The process may not write there.
    Denied,
    /// Another process has the journal open.
    InUse,
    /// The file is damaged, and could not be set aside yet.
    Corrupt,
    /// The director could not hand out its records: a defect of ours.
    Defect,
    /// A commit has been going on for more than [`STALLED_AFTER`].
    Stalled,
    /// Any other error of the disk.
    Io,
}

impl Trouble {
    /// The word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Denied => "denied",
            Self::InUse => "in_use",
            Self::Corrupt => "corrupt",
            Self::Defect => "defect",
            Self::Stalled => "stalled",
            Self::Io => "io",
        }
    }

    /// What an error of the operating system means for the journal.
    #[must_use]
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the disk is full",
            Self::ReadOnly => "the file system is read-only",
            Self::Denied => "permission denied",
            Self::InUse => "another process has it open",
            Self::Corrupt => "the file is damaged",
            Self::Defect => "the records could not be handed out",
            Self::Stalled => "the disk does not answer",
            Self::Io => "the disk reports an error",
        })
    }
}

/// Written or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// What changes is on disk within 50 ms.
    Ok,
    /// Changes live in memory only; a full snapshot follows when the disk works again.
    Failing {
        /// When it began.
        since: Instant,
        /// Why.
        trouble: Trouble,
    },
}

/// One picture of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Written or not.
    pub condition: Condition,
    /// When the last commit was on disk.
    pub last_commit: Option<Instant>,
    /// Bytes of records in the log (the file is larger).
    pub bytes: u64,
    /// Commits of this run.
    pub commits: u64,
    /// Records written in this run.
    pub records: u64,
    /// The log is being written anew, so that it gets smaller or rid of what was damaged.
    pub compacting: bool,
    /// Since when a commit is under way.
    pub(super) busy_since: Option<Instant>,
}

impl Status {
    pub(super) fn new(condition: Condition) -> Self {
        Self { condition, last_commit: None, bytes: 0, commits: 0, records: 0, compacting: false, busy_since: None }
    }

    /// The condition at `now`, which also sees a commit that hangs.
    #[must_use]
    pub fn condition_at(&self, now: Instant) -> Condition {
        match (self.condition, self.busy_since) {
            (Condition::Ok, Some(since)) if now.saturating_duration_since(since) > STALLED_AFTER => {
                Condition::Failing { since, trouble: Trouble::Stalled }
            }
            (condition, _) => condition,
        }
    }
}

/// The place where the writer leaves its status. Reading takes no lock; clones share it.
#[derive(Debug, Clone)]
pub struct JournalHealth(Arc<ArcSwap<Status>>);

impl JournalHealth {
    /// Of a journal that is being opened now, which is failing when that takes too long.
    pub(super) fn opening() -> Self {
        let status = Status { busy_since: Some(Instant::now()), ..Status::new(Condition::Ok) };
        Self(Arc::new(ArcSwap::from_pointee(status)))
    }

    /// The newest picture, with a hanging commit already counted as failing.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = **self.0.load();
        status.condition = status.condition_at(Instant::now());
        status
    }

    pub(super) fn publish(&self, status: Status) {
        self.0.store(Arc::new(status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_hangs_is_failing_and_a_short_one_is_not() {
        let began = Instant::now();
        let status = Status { busy_since: Some(began), ..Status::new(Condition::Ok) };
        assert_eq!(status.condition_at(began + Duration::from_millis(100)), Condition::Ok);
        assert_eq!(
            status.condition_at(began + STALLED_AFTER * 2),
            Condition::Failing { since: began, trouble: Trouble::Stalled }
        );
    }

    #[test]
    fn errors_of_the_system_are_told_apart() {
        for (code, trouble) in [(28, Trouble::Full), (30, Trouble::ReadOnly), (13, Trouble::Denied), (5, Trouble::Io)] {
            assert_eq!(Trouble::of_io(&io::Error::from_raw_os_error(code)), trouble);
        }
    }
}
