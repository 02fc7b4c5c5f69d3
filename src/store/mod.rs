//! The journal: what must outlive the process, on a thread of its own.
//!
//! ```text
//! open ── Opened { report, recovered ──► Director::restore,  journal: Waiting }
//!                                                              │ start(source)
//! Director ◄── drain, snapshot page ── thread `maitred-journal` ┴─ group commit ──► <state_dir>/journal.redb
//!        └──── tell: something changed ──►                     └─ JournalHealth, metrics, log
//! ```
//! The thread sleeps until it is told, and gathers what follows for a moment: a director that does nothing is not woken.
//! The director never waits for the disk. What changes is on disk at most [`BEHIND_MAX`] later while the disk is well; while it is
//! not, an alarm stands ([`JournalHealth`]) and the director goes on from memory, and when the disk works again a snapshot brings
//! the log up to date. A damaged file is set aside, what can be read of it is kept, and the director starts.
//!
//! Knows nothing of what the records mean, of sessions, actors and HTTP. Without a state directory there is no journal.

mod batch;
mod compaction;
mod health;
mod log;
mod meters;
mod opening;
mod pace;
mod place;
mod salvage;
mod source;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use maitred_core::clock::Time;
use maitred_core::entry::Entry;
use maitred_core::ids::DirectorName;
use thiserror::Error;

pub use self::health::{Condition, JournalHealth, STALLED_AFTER, Status, Trouble};
pub use self::pace::BEHIND_MAX;
pub use self::place::{FILE_NAME, SetAside};
pub use self::source::{DirectorSource, Source};

use self::opening::{Command, Lines, Opening};

/// Requests that may wait for the journal's thread; more are refused at once.
const COMMANDS_MAX: usize = 64;
/// How long a start waits for the disk. A large file that was not closed takes some seconds to be put right; the director does not
/// wait longer for its memory, because cookies and peers have it too.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// Recovered batches that may wait to be applied.
const RECOVERED_BATCHES_MAX: usize = 16;

/// Why there is no journal at all. Everything else becomes an alarm, and the director starts.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Two directors on one directory would overwrite each other.
    #[error("another director runs on the state directory {0}")]
    InUse(PathBuf),
    /// The system gives no thread.
    #[error("the journal's thread cannot start: {0}")]
    Thread(#[from] std::io::Error),
    /// A defect: the thread ended before it said anything.
    #[error("the journal's thread ended")]
    Ended,
}

/// What was found in the state directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The last value of this director's clock (R2): the own clock starts no earlier.
    pub clock: Option<Time>,
    /// Records that come back, repetitions included.
    pub records: u64,
    /// Batches that were damaged and are lost.
    pub dropped_batches: u64,
    /// The journal was of no use as a whole and is now here; what could be read of it comes back.
    pub set_aside: Option<SetAside>,
    /// The journal cannot be written; the director serves from memory.
    pub trouble: Option<Trouble>,
}

/// An opened journal.
#[derive(Debug)]
pub struct Opened {
    /// What was found.
    pub report: Report,
    /// The records that come back, oldest first, decoded while they are read.
    pub recovered: Recovered,
    /// Starts writing.
    pub journal: Waiting,
}

/// The records that come back. Take all of them before [`Waiting::start`]; dropping it gives the rest up.
#[derive(Debug)]
pub struct Recovered {
    batches: Receiver<Vec<Entry>>,
    current: std::vec::IntoIter<Entry>,
}

impl Iterator for Recovered {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.current.next() {
                return Some(entry);
            }
            self.current = self.batches.recv().ok()?.into_iter();
        }
    }
}

/// Opens the journal of `owner` in `directory`, which is made when it is not there. Waits until the file has been read once, or until
/// it is clear that the disk does not answer: then the director starts without its memory, under an alarm, and what the journal
/// holds is restored when it can be read.
///
/// # Errors
/// When another director runs on the directory, or there is no thread to be had. A disk that is full, read-only or damaged is no
/// error but [`Report::trouble`] or [`Report::set_aside`].
pub fn open(directory: &Path, owner: &DirectorName) -> Result<Opened, OpenError> {
    open_after(directory, owner, OPEN_MAX, || ())
}

/// The same with a bound of its own, and something that happens before the disk is touched: tests let it hang there.
fn open_after(
    directory: &Path,
    owner: &DirectorName,
    wait_max: Duration,
    before: impl FnOnce() + Send + 'static,
) -> Result<Opened, OpenError> {
    let (commands, command_line) = sync_channel(COMMANDS_MAX);
    // Without a place in between: what is sent has been received, or nobody waits any more.
    let (report_line, report) = sync_channel(0);
    let (recovered_line, batches) = sync_channel(RECOVERED_BATCHES_MAX);
    let health = JournalHealth::opening();
    let lines = Lines { commands: command_line, report: report_line, recovered: recovered_line };
    let writer = Opening::new(directory, owner, health.clone(), lines);
    // 15 bytes: the most that the system shows of a thread's name.
    thread::Builder::new().name("maitred-journal".to_owned()).spawn(move || {
        before();
        writer.run();
    })?;
    let report = match report.recv_timeout(wait_max) {
        Ok(report) => report,
        Err(RecvTimeoutError::Disconnected) => return Err(OpenError::Ended),
        Err(RecvTimeoutError::Timeout) => {
            let waited = wait_max.as_secs();
            tracing::error!(waited, "the journal's disk does not answer; the director starts without its memory");
            Report { trouble: Some(Trouble::Stalled), ..Report::default() }
        }
    };
    let batches = if report.trouble == Some(Trouble::Stalled) { sync_channel(0).1 } else { batches };
    if report.trouble == Some(Trouble::InUse) {
        return Err(OpenError::InUse(directory.to_owned()));
    }
    let recovered = Recovered { batches, current: Vec::new().into_iter() };
    Ok(Opened { report, recovered, journal: Waiting(Journal { commands: Arc::new(commands), health }) })
}

/// A journal that has been read and is not written yet.
#[derive(Debug)]
#[must_use]
pub struct Waiting(Journal);

impl Waiting {
    /// Starts writing what `source` hands out.
    pub fn start(self, source: Arc<dyn Source>) -> Journal {
        let line = Arc::downgrade(&self.0.commands);
        let telling = Arc::clone(&source);
        // The line is empty: nobody else has its end before this moment.
        if self.0.commands.try_send(Command::Start(source)).is_err() {
            tracing::error!("the journal's thread has ended; nothing is written");
        }
        // A full line wakes the thread as well: each of its commands makes it look for changes.
        telling.tell(Box::new(move || {
            let _ = line.upgrade().map(|line| line.try_send(Command::Changed(Instant::now())));
        }));
        self.0
    }

    /// Closes the file without writing, and waits for that, at most `timeout`: for whoever only reads.
    #[must_use]
    pub fn close(self, timeout: Duration) -> bool {
        self.0.stop(timeout)
    }
}

/// The running journal. Dropping it writes what is left and ends the thread, without waiting.
#[derive(Debug)]
pub struct Journal {
    /// Whoever tells of changes holds it weakly, so that dropping this one ends the thread.
    commands: Arc<SyncSender<Command>>,
    health: JournalHealth,
}

impl Journal {
    /// How it is doing; the handle may be cloned and kept.
    #[must_use]
    pub fn health(&self) -> &JournalHealth {
        &self.health
    }

    /// Commits what has changed so far and waits for it, at most `timeout`. `false`: not on disk (yet). Blocks the calling
    /// thread: not for an actor's handler.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let (reply, answer) = sync_channel(1);
        match self.commands.try_send(Command::Flush(reply)) {
            Ok(()) => answer.recv_timeout(timeout).unwrap_or(false),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Writes what is left, closes the file and waits for that, at most `timeout`. `false`: the thread is still at it, or what
    /// was left could not be written.
    #[must_use]
    pub fn stop(self, timeout: Duration) -> bool {
        let (reply, answer) = sync_channel(1);
        // A full line ends too: `self` holds its only end.
        self.commands.try_send(Command::Stop(reply)).is_ok() && answer.recv_timeout(timeout).unwrap_or(false)
    }
}
