//! Writes the log, for as long as the director lives.
//!
//! One round: what changed, a page of a snapshot if one is due, and some superfluous rows to delete, in one durable commit that never
//! carries more than what is written within some milliseconds ([`Pace`]). A failed commit costs what it carried; therefore a snapshot
//! follows as soon as the disk works again, and the condition stays "failing" until that is complete. While the disk fails, what
//! changes is still taken and thrown away, so that nothing piles up in the director.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use maitred_core::clock::Time;
use maitred_core::director::SnapshotPlace;

use super::Source;
use super::batch::{Batches, OwnerSeed};
use super::compaction::Compaction;
use super::health::{Condition, JournalHealth, Status, Trouble};
use super::log::{Fault, Log, Superfluous};
use super::meters::Meters;
use super::opening::Command;
use super::pace::Pace;
use super::place::Place;

/// An idle director writes its clock this often. After a kill the clock resumes at most this much too early, which matters only
/// if the machine's own clock was set back at the same time (R2).
const CLOCK_EVERY: Duration = Duration::from_secs(10);
/// First and longest pause between two attempts to open a failing journal.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Pause between two pages of a snapshot that makes good for damage.
const REPAIR_PAUSE: Duration = Duration::from_millis(1);
/// A file whose database fails this often in a row, although it opens, is set aside.
const DISTRUST_AFTER: u32 = 3;

/// The thread while it writes.
pub(super) struct Writer {
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
    pace: Pace,
    /// More changes wait than the last commit could carry.
    waiting: bool,
    /// The last round had something to commit.
    committed: bool,
    /// Since when something waits that the last round did not take; nothing may, where nobody has told.
    changed: Option<Instant>,
    /// When all changes were last taken: nothing in the next commit is older.
    drained: Instant,
}

impl Writer {
    /// `unread`: the log may hold records that the director has not got.
    pub(super) fn new(
        place: Place,
        source: Arc<dyn Source>,
        health: JournalHealth,
        owner: OwnerSeed,
        unread: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            place,
            source,
            health,
            status: Status::new(Condition::Ok),
            meters: Meters::new(),
            batches: Batches::new(owner),
            log: None,
            compaction: Compaction::Idle,
            catching_up: false,
            unread,
            failures: 0,
            retry: RETRY_MIN,
            retry_at: now,
            clock_due: now,
            pace: Pace::default(),
            waiting: false,
            committed: false,
            changed: Some(now),
            drained: now,
        }
    }

    /// With the log that the thread has opened, or what kept it from that.
    pub(super) fn begin(mut self, opened: Result<Log, Fault>) -> Self {
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

    /// Until it is told to stop.
    pub(super) fn write(mut self, commands: &Receiver<Command>) {
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
                Ok(Command::Changed(at)) => self.changed = Some(at),
                Ok(Command::Start(_)) => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        // A log that is written anew although it is small has been damaged or failed: that must not stand for long.
        let repairs = self.log.as_ref().is_some_and(|log| self.catching_up || self.compaction.is_repair(log.bytes()));
        if self.waiting {
            Duration::ZERO
        } else if repairs {
            REPAIR_PAUSE
        } else if self.is_idle() {
            self.clock_due.saturating_duration_since(Instant::now())
        } else {
            self.pace.pause(self.committed)
        }
    }

    /// Nothing is to be done before something changes: a director that does nothing is not woken for its journal.
    fn is_idle(&self) -> bool {
        self.changed.is_none() && self.is_well() && self.compaction == Compaction::Idle
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
        (self.waiting, self.changed) = (false, None);
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
        self.committed = !rows.is_empty() || superfluous.is_some() || began >= self.clock_due;
        if self.committed {
            self.health.publish(Status { busy_since: Some(began), ..self.status });
            log.write(rows, clock, superfluous)?;
            let took = began.elapsed();
            self.clock_due = began + CLOCK_EVERY;
            self.pace.learn(took, bytes);
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
        let told = self.changed.take();
        // What the last commit could not carry is older than what was told since.
        let oldest = if self.waiting { self.drained } else { told.unwrap_or(now) };
        let Self { source, batches, pace, .. } = self;
        self.waiting = source.drain(&mut |entry| {
            batches.push(&entry, clock);
            batches.bytes() < pace.carries()
        });
        if !self.waiting {
            self.drained = now;
        }
        oldest
    }

    /// Takes a page of a snapshot that is under way, with at most half of what the commit may carry.
    fn take_page(&mut self, clock: Time) -> Option<SnapshotPlace> {
        let Self { source, batches, pace, .. } = self;
        let Compaction::Copying { at, .. } = &self.compaction else { return None };
        let page = pace.page(batches.bytes());
        source.snapshot(at, page, &mut |entry| batches.push(&entry, clock))
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
            Compaction::Idle if Compaction::worthwhile(log.bytes(), log.live_bytes(), || self.source.sessions()) => {
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
