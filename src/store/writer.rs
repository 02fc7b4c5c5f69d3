//! The journal's thread: reads the log, then writes it, for as long as the director lives.
//!
//! One round: what changed, a page of a snapshot if one is due, and some superfluous rows to delete, in one durable commit that never
//! carries more than what is written within some milliseconds. A failed commit costs what it carried; therefore a snapshot follows as soon as the disk works again, and the condition stays "failing" until that is
//! complete. While the disk fails, what changes is still taken and thrown away, so that nothing piles up in the director.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use maitred_core::clock::Time;
use maitred_core::director::SnapshotPlace;
use maitred_core::ids::DirectorName;

use super::batch::{Batch, Batches, OwnerSeed};
use super::compaction::Compaction;
use super::health::{Condition, JournalHealth, Status, Trouble};
use super::log::{Fault, Log, Superfluous, Survey};
use super::meters::Meters;
use super::place::Place;
use super::{Report, Source};

/// Most that the log may be behind while the disk is well.
pub const BEHIND_MAX: Duration = Duration::from_millis(50);
/// Longest pause between two commits: less than half of [`BEHIND_MAX`], the rest is for the commits themselves.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Shortest pause, so that a slow disk does not make the thread spin.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Time for what is not counted: the thread is woken late, the lock of a shard is held by others.
const SPARE: Duration = Duration::from_millis(5);
/// A commit that takes longer carries too much, where it carries much.
const COMMIT_LONG: Duration = Duration::from_millis(10);
/// Least and most bytes that one commit carries, apart from one step of the table more: what it may carry is learnt from how long
/// the last ones took. A million sessions written again travel in hundreds of commits.
const CARRIES_MIN: usize = 64 << 10;
const CARRIES_MAX: usize = 1 << 20;
/// A page of a snapshot holds one seat for each of these many bytes that it may have.
const SEAT_BYTES: usize = 128;
/// Fewest seats in a page, so that a snapshot comes to its end under any load.
const PAGE_MIN: usize = 64;
/// An idle director writes its clock this often. After a kill the clock resumes at most this much too early, which matters only
/// if the machine's own clock was set back at the same time (R2).
const CLOCK_EVERY: Duration = Duration::from_secs(10);
/// First and longest pause between two attempts to open a failing journal.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A file whose database fails this often in a row, although it opens, is set aside.
const DISTRUST_AFTER: u32 = 3;

/// What the thread is asked.
pub(super) enum Command {
    /// Begin to write.
    Start(Arc<dyn Source>),
    /// Commit now and say whether everything is on disk.
    Flush(SyncSender<bool>),
    /// Commit, close, and say whether everything is on disk.
    Stop(SyncSender<bool>),
}

/// The thread's lines to the outside.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) commands: Receiver<Command>,
    pub(super) report: SyncSender<Report>,
    pub(super) recovered: SyncSender<Vec<maitred_core::entry::Entry>>,
}

/// The thread before it writes.
#[derive(Debug)]
pub(super) struct Opening {
    place: Place,
    owner: OwnerSeed,
    health: JournalHealth,
    lines: Lines,
}

impl Opening {
    pub(super) fn new(directory: &Path, owner: &DirectorName, health: JournalHealth, lines: Lines) -> Self {
        Self { place: Place::new(directory, owner), owner: OwnerSeed::of(owner), health, lines }
    }

    /// The whole life of the thread.
    pub(super) fn run(mut self) {
        let opened = self.place.open(false);
        let report = self.report(&opened);
        let in_use = report.trouble == Some(Trouble::InUse);
        // Nobody waits when the disk was silent for too long; the records are restored when the source is there.
        let late = self.lines.report.send(report).is_err();
        if in_use && !late {
            return;
        }
        let Self { place, owner, health, lines: Lines { commands, recovered, .. } } = self;
        let replayed = if late {
            tracing::info!("the journal's disk answers");
            Ok(())
        } else {
            // The disk has answered; from now on the rounds say how it is.
            health.publish(Status::new(Condition::Ok));
            replay(&place, opened.as_ref().ok().map(|(log, _)| log), recovered)
        };
        if let Err(fault) = &replayed {
            tracing::error!(error = fault.detail(), "the journal could not be read to its end");
        }
        let source = match commands.recv() {
            Ok(Command::Start(source)) => source,
            Ok(Command::Flush(reply) | Command::Stop(reply)) => {
                drop((opened, place));
                let _ = reply.try_send(true);
                return;
            }
            Err(_) => return,
        };
        let writer = Writer {
            place,
            source,
            health,
            status: Status::new(Condition::Ok),
            meters: Meters::new(),
            batches: Batches::new(owner),
            log: None,
            compaction: Compaction::Idle,
            catching_up: false,
            unread: opened.is_err() || replayed.is_err() || late,
            failures: 0,
            retry: RETRY_MIN,
            retry_at: Instant::now(),
            clock_due: Instant::now(),
            slowest: Duration::ZERO,
            carries: CARRIES_MIN * 4,
            waiting: false,
            drained: Instant::now(),
        };
        writer.begin(opened.map(|(log, _)| log)).write(&commands);
    }

    fn report(&self, opened: &Result<(Log, Option<super::SetAside>), Fault>) -> Report {
        match opened {
            Ok((log, set_aside)) => {
                let Survey { clock, records, dropped_batches, .. } = log.survey();
                if let Some(aside) = set_aside {
                    tracing::error!(
                        path = %aside.path.display(), reason = aside.reason, records,
                        "the journal was damaged and is set aside; what could be read of it is kept"
                    );
                }
                if dropped_batches > 0 {
                    tracing::error!(dropped_batches, records, "some batches of the journal were damaged and are lost");
                }
                Report { clock, records, dropped_batches, set_aside: set_aside.clone(), trouble: None }
            }
            Err(fault) => {
                // Nothing can be written, but what is there may still be read.
                let mut survey = Survey::default();
                let read = self.place.read_only(&mut |batch| {
                    survey.count(batch);
                    true
                });
                tracing::error!(
                    trouble = fault.trouble().as_str(),
                    error = fault.detail(),
                    records = survey.records,
                    readable = read.is_ok(),
                    "the journal cannot be opened; the director serves from memory"
                );
                let Survey { clock, records, .. } = survey;
                Report { clock, records, trouble: Some(fault.trouble()), ..Report::default() }
            }
        }
    }
}

/// Sends what the log holds to whoever restores it; without a log, what can be read of the file.
fn replay(place: &Place, log: Option<&Log>, line: SyncSender<Vec<maitred_core::entry::Entry>>) -> Result<(), Fault> {
    let mut skipped = 0;
    let mut send = |batch: &Batch<'_>| {
        let mut entries = Vec::with_capacity(usize::try_from(batch.records).unwrap_or(0).min(4096));
        skipped += batch.decode(&mut |entry| entries.push(entry));
        line.send(entries).is_ok()
    };
    let done = match log {
        Some(log) => log.replay(&mut send),
        None => place.read_only(&mut send).map_err(|error| Fault::of_io(&error)),
    };
    if skipped > 0 {
        tracing::warn!(skipped, "records of the journal that this version does not understand were skipped");
    }
    done
}

/// The thread while it writes.
struct Writer {
    place: Place,
    source: Arc<dyn Source>,
    health: JournalHealth,
    status: Status,
    meters: Meters,
    batches: Batches,
    /// `None` while the disk fails.
    log: Option<Log>,
    compaction: Compaction,
    /// A snapshot is under way that makes good for a failure.
    catching_up: bool,
    /// The log holds records that were not read at the start.
    unread: bool,
    /// Failures in a row that speak against the file, not against the disk.
    failures: u32,
    retry: Duration,
    retry_at: Instant,
    clock_due: Instant,
    /// About the slowest of the last commits: one that is slower counts at once, and is forgotten slowly.
    slowest: Duration,
    /// How many bytes the next commit may carry.
    carries: usize,
    /// More changes wait than the last commit could carry.
    waiting: bool,
    /// When all changes were last taken: nothing in the next commit is older.
    drained: Instant,
}

impl Writer {
    fn begin(mut self, opened: Result<Log, Fault>) -> Self {
        match opened {
            Ok(log) => {
                if log.survey().dropped_batches > 0 {
                    // The damaged rows go with the next snapshot.
                    self.compaction = Compaction::Due;
                }
                if self.unread {
                    self.restore_late(&log);
                }
                self.log = Some(log);
                self.publish();
            }
            Err(fault) => self.fail(&fault),
        }
        self
    }

    fn write(mut self, commands: &Receiver<Command>) {
        loop {
            match commands.recv_timeout(self.pause()) {
                Err(RecvTimeoutError::Timeout) => self.round(),
                Ok(Command::Flush(reply)) => {
                    self.rounds();
                    // Whoever asked may have stopped waiting.
                    let _ = reply.try_send(self.is_well());
                }
                Ok(Command::Stop(reply)) => {
                    self.rounds();
                    let well = self.is_well();
                    drop(self);
                    let _ = reply.try_send(well);
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return self.rounds(),
                Ok(Command::Start(_)) => {}
            }
        }
    }

    /// A change that just misses a round waits for the rest of that commit, this pause and the next commit.
    fn pause(&self) -> Duration {
        if self.waiting {
            return Duration::ZERO;
        }
        // A log that is written anew although it is small has been damaged or failed: that must not stand for long.
        if let Some(log) = &self.log
            && (self.catching_up || self.compaction.is_repair(log.bytes()))
        {
            return PAUSE_MIN;
        }
        let commits = self.slowest.saturating_mul(2);
        BEHIND_MAX.saturating_sub(commits).saturating_sub(SPARE).clamp(PAUSE_MIN, PAUSE_MAX)
    }

    fn is_well(&self) -> bool {
        self.log.is_some() && !self.catching_up
    }

    /// Until everything that has changed by now is written, unless the disk fails.
    fn rounds(&mut self) {
        let began = Instant::now();
        self.round();
        while self.log.is_some() && self.drained < began {
            self.round();
        }
    }

    fn round(&mut self) {
        if self.log.is_none() && Instant::now() >= self.retry_at {
            self.reopen();
        }
        let written = match self.log.take() {
            Some(mut log) => own_defect(|| self.commit(&mut log)).map(|()| log),
            None => return self.discard(),
        };
        match written {
            Ok(log) => self.log = Some(log),
            Err(fault) => self.fail(&fault),
        }
        self.publish();
    }

    /// Takes and forgets what changed: the snapshot that follows holds it.
    fn discard(&mut self) {
        self.waiting = false;
        // A defect shows again, with an alarm, in the next commit.
        let _ = own_defect(|| {
            self.source.drain(&mut |_| true);
            Ok(())
        });
    }

    fn commit(&mut self, log: &mut Log) -> Result<(), Fault> {
        let began = Instant::now();
        let clock = self.source.clock();
        self.batches.clear();
        let oldest = self.take_changes(clock, began);
        // A snapshot begins after what was just taken was taken, and before anything later.
        self.compaction = std::mem::take(&mut self.compaction).begin(log.next());
        let next_page = self.take_page(clock);
        let records = self.batches.records();
        let refused = self.batches.take_refused();
        if refused > 0 {
            self.meters.error("refused", refused);
            tracing::error!(refused, "a defect: records too large for the journal were not written");
        }
        let superfluous = match self.compaction {
            Compaction::Deleting { before, live_bytes } => Some(Superfluous { before, live_bytes }),
            Compaction::Idle | Compaction::Due | Compaction::Copying { .. } => None,
        };
        let bytes = self.batches.bytes();
        let rows = self.batches.finish(clock);
        if !rows.is_empty() || superfluous.is_some() || began >= self.clock_due {
            self.health.publish(Status { busy_since: Some(began), ..self.status });
            log.write(rows, clock, superfluous)?;
            let took = began.elapsed();
            self.clock_due = began + CLOCK_EVERY;
            self.learn(took, bytes);
            self.status.commits += 1;
            self.status.records += records;
            self.status.last_commit = Some(Instant::now());
            self.meters.committed(records, took, oldest.elapsed());
        }
        self.compaction = std::mem::take(&mut self.compaction).page_committed(next_page, bytes as u64);
        self.failures = 0;
        self.tidy(log);
        Ok(())
    }

    /// Takes as many changes as the commit may carry; answers since when the oldest of them may have waited.
    fn take_changes(&mut self, clock: Time, now: Instant) -> Instant {
        let Self { source, batches, carries, .. } = self;
        self.waiting = source.drain(&mut |entry| {
            batches.push(&entry, clock);
            batches.bytes() < *carries
        });
        if self.waiting { self.drained } else { std::mem::replace(&mut self.drained, now) }
    }

    /// Takes a page of a snapshot that is under way, with at most half of what the commit may carry.
    fn take_page(&mut self, clock: Time) -> Option<SnapshotPlace> {
        let Self { source, batches, carries, .. } = self;
        let Compaction::Copying { at, .. } = &self.compaction else { return None };
        let room = carries.saturating_sub(batches.bytes()).min(*carries / 2);
        source.snapshot(at, (room / SEAT_BYTES).max(PAGE_MIN), &mut |entry| batches.push(&entry, clock))
    }

    /// How long to pause and how much to carry, from what the last commit took.
    fn learn(&mut self, took: Duration, bytes: usize) {
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

    /// Sees that a snapshot is complete, that what it made superfluous is gone, or that one is worthwhile.
    fn tidy(&mut self, log: &Log) {
        match self.compaction {
            Compaction::Deleting { before, live_bytes } => {
                if self.catching_up {
                    self.catching_up = false;
                    tracing::info!(bytes = live_bytes, "the journal is written again and up to date");
                }
                if log.first() >= before {
                    self.compaction = Compaction::Idle;
                }
            }
            Compaction::Idle if Compaction::worthwhile(log.bytes(), log.live_bytes()) => {
                self.compaction = Compaction::Due;
            }
            Compaction::Idle | Compaction::Due | Compaction::Copying { .. } => {}
        }
        self.status.bytes = log.bytes();
    }

    fn reopen(&mut self) {
        match self.place.open(self.failures >= DISTRUST_AFTER) {
            Ok((log, set_aside)) => {
                if let Some(aside) = set_aside {
                    tracing::error!(path = %aside.path.display(), reason = aside.reason, "the journal was damaged and is set aside");
                    self.failures = 0;
                }
                if self.unread {
                    self.restore_late(&log);
                }
                self.log = Some(log);
                self.compaction = Compaction::Due;
                self.catching_up = true;
                self.clock_due = Instant::now();
            }
            Err(fault) => self.fail(&fault),
        }
    }

    /// Before the snapshot, whose end deletes what the log holds now.
    fn restore_late(&mut self, log: &Log) {
        let source = &self.source;
        let restored = own_defect(|| {
            log.replay(&mut |batch| {
                let mut entries = Vec::new();
                batch.decode(&mut |entry| entries.push(entry));
                source.restore(entries);
                true
            })
        });
        match restored {
            Ok(()) => self.unread = false,
            Err(fault) => tracing::error!(error = fault.detail(), "the journal could not be read to its end"),
        }
    }

    fn fail(&mut self, fault: &Fault) {
        let trouble = fault.trouble();
        self.log = None;
        self.batches.clear();
        self.compaction = Compaction::Due;
        self.catching_up = true;
        if trouble == Trouble::Corrupt {
            self.failures += 1;
        }
        self.meters.error(trouble.as_str(), 1);
        let now = Instant::now();
        let since = match self.status.condition {
            Condition::Failing { since, trouble: before } => {
                if before != trouble {
                    tracing::error!(
                        trouble = trouble.as_str(),
                        error = fault.detail(),
                        "the journal still cannot be written: {trouble}"
                    );
                }
                since
            }
            Condition::Ok => {
                tracing::error!(
                    trouble = trouble.as_str(),
                    error = fault.detail(),
                    "the journal cannot be written: {trouble}; the director goes on from memory"
                );
                now
            }
        };
        self.status.condition = Condition::Failing { since, trouble };
        self.retry_at = now + self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
        self.publish();
    }

    fn publish(&mut self) {
        if self.is_well() {
            self.status.condition = Condition::Ok;
            self.retry = RETRY_MIN;
        }
        self.status.compacting = self.compaction != Compaction::Idle;
        self.meters.state(self.is_well(), self.status.bytes);
        self.health.publish(self.status);
    }
}

/// Runs what calls the director, and turns a panic of the director into an alarm: the thread must outlive it.
fn own_defect<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Fault::Trouble(Trouble::Defect, "the director's records could not be taken".to_owned()))
    })
}
