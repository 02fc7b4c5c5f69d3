//! The journal's thread before it writes: opens the file, says what was found, and hands out the records that come back.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use maitred_core::entry::Entry;
use maitred_core::ids::DirectorName;

use super::batch::{Batch, OwnerSeed};
use super::health::{Condition, JournalHealth, Status, Trouble};
use super::log::{Fault, Log, Survey};
use super::place::Place;
use super::writer::Writer;
use super::{Report, Source};

/// What the thread is asked.
pub(super) enum Command {
    /// Begin to write.
    Start(Arc<dyn Source>),
    /// Something changed, the first of it at this moment.
    Changed(Instant),
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
    pub(super) recovered: SyncSender<Vec<Entry>>,
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
            // Nobody is told of changes before the start.
            Ok(Command::Changed(_)) | Err(_) => return,
            Ok(Command::Flush(reply) | Command::Stop(reply)) => {
                drop((opened, place));
                let _ = reply.try_send(true);
                return;
            }
        };
        let unread = opened.is_err() || replayed.is_err() || late;
        let writer = Writer::new(place, source, health, owner, unread);
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
fn replay(place: &Place, log: Option<&Log>, line: SyncSender<Vec<Entry>>) -> Result<(), Fault> {
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
