//! The log in the embedded database: ascending numbers, each with one batch.
//!
//! Owns the tables, the transactions and what an error of the database means. Rows are only ever appended and, after a snapshot,
//! deleted from the front: that costs one page write per commit, where rows keyed by session cost 12 to 16 µs each.
//! Decides nothing about when to commit or what to do after a failure. Every call into the database is guarded, because the
//! database may panic on a damaged page.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use maitred_core::clock::Time;
use maitred_core::ids::DirectorName;
use redb::backends::FileBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::batch::{Batch, OwnerSeed, clock_mark};
use super::health::Trouble;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const META_VERSION: &str = "version";
const META_OWNER: &str = "owner";
/// The writer's clock as an empty batch: overwritten while idle, so that the log does not grow.
const META_CLOCK: &str = "clock";
/// Bytes of the last snapshot, so that a restart does not have to take one to know.
const META_LIVE: &str = "live";

/// Version of the tables. A higher one in a file is from a later maitred.
const VERSION: u32 = 1;
/// The log is read once and then only appended to; a large page cache would only cost memory (the default is 1 GiB). A tenth of
/// it holds what a commit writes: one that carries more begins to write before its end.
/// Tests want to see it read from the file without writing much.
const CACHE_BYTES: usize = if cfg!(test) { 512 << 10 } else { 2 << 20 };
/// Rows and bytes deleted in one transaction, which carries new records too and must not be held up for long.
const DELETE_ROWS_MAX: u64 = 256;
const DELETE_BYTES_MAX: u64 = 1 << 20;

/// Why the log could not be read or written.
#[derive(Debug)]
pub(super) enum Fault {
    /// The disk or the system refuses; the file may be fine.
    Trouble(Trouble, String),
    /// The file itself is of no use: damaged, from a later version, or another director's. To be set aside.
    Unfit(String),
}

impl Fault {
    pub(super) fn of_io(error: &io::Error) -> Self {
        Self::Trouble(Trouble::of_io(error), error.to_string())
    }

    /// The word for the alarm.
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Trouble(trouble, _) => *trouble,
            Self::Unfit(_) => Trouble::Corrupt,
        }
    }

    /// What the log line says.
    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Trouble(_, detail) | Self::Unfit(detail) => detail,
        }
    }
}

fn fault(error: impl Into<redb::Error>) -> Fault {
    let error = error.into();
    let detail = error.to_string();
    match error {
        redb::Error::DatabaseAlreadyOpen => Fault::Trouble(Trouble::InUse, detail),
        // The database says so for a wrong first page and for a file that ends too early.
        redb::Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            Fault::Unfit(detail)
        }
        redb::Error::Io(error) => Fault::Trouble(Trouble::of_io(&error), detail),
        redb::Error::PreviousIo | redb::Error::LockPoisoned(_) | redb::Error::DatabaseClosed => {
            Fault::Trouble(Trouble::Io, detail)
        }
        _ => Fault::Unfit(detail),
    }
}

/// Runs a call into the database, and turns a panic of it into a fault: it panics on pages that make no sense.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Fault::Unfit("the database gave up".to_owned())))
}

/// What the log holds, found by reading all of it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// Highest clock of any batch.
    pub(super) clock: Option<Time>,
    /// Whole batches.
    pub(super) batches: u64,
    /// Records in them.
    pub(super) records: u64,
    /// Rows whose checksum is wrong.
    pub(super) dropped_batches: u64,
}

impl Survey {
    pub(super) fn count(&mut self, batch: &Batch<'_>) {
        self.clock = self.clock.max(Some(batch.clock));
        self.batches += 1;
        self.records += u64::from(batch.records);
    }
}

/// Rows that a complete snapshot has made superfluous.
#[derive(Debug, Clone, Copy)]
pub(super) struct Superfluous {
    /// The first row that stays.
    pub(super) before: u64,
    /// Bytes of the snapshot, remembered when the last of them is gone.
    pub(super) live_bytes: u64,
}

impl Superfluous {
    /// Deletes some of them, of which the oldest is `first`; says which is the oldest afterwards and how many bytes went.
    fn delete(self, transaction: &WriteTransaction, first: u64) -> Result<(u64, u64), Fault> {
        let end = self.before.min(first.saturating_add(DELETE_ROWS_MAX));
        let (mut oldest, mut freed) = (end, 0);
        let mut table = transaction.open_table(LOG).map_err(fault)?;
        for row in table.extract_from_if(first..end, |_, _| true).map_err(fault)? {
            let (key, value) = row.map_err(fault)?;
            freed += value.value().len() as u64;
            if freed >= DELETE_BYTES_MAX {
                oldest = key.value().saturating_add(1);
                break;
            }
        }
        if oldest == self.before {
            let mut meta = transaction.open_table(META).map_err(fault)?;
            meta.insert(META_LIVE, self.live_bytes.to_le_bytes().as_slice()).map_err(fault)?;
        }
        Ok((oldest, freed))
    }
}

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    database: Option<Database>,
    owner: OwnerSeed,
    first: u64,
    next: u64,
    bytes: u64,
    live_bytes: u64,
    survey: Survey,
}

impl Log {
    /// Makes an empty log in a file that does not exist yet.
    pub(super) fn create(path: &Path, owner: &DirectorName) -> Result<Self, Fault> {
        let file = open_file(path, true).map_err(|error| Fault::of_io(&error))?;
        guarded(|| {
            let database = database_in(file)?;
            let transaction = database.begin_write().map_err(fault)?;
            {
                transaction.open_table(LOG).map_err(fault)?;
                let mut meta = transaction.open_table(META).map_err(fault)?;
                meta.insert(META_VERSION, VERSION.to_le_bytes().as_slice()).map_err(fault)?;
                meta.insert(META_OWNER, owner.as_str().as_bytes()).map_err(fault)?;
            }
            transaction.commit().map_err(fault)?;
            Ok(Self::over(database, owner))
        })
    }

    /// Opens the log and reads all of it once. A file that is not there is `Ok(None)`.
    pub(super) fn open(path: &Path, owner: &DirectorName) -> Result<Option<Self>, Fault> {
        let file = match open_file(path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(Fault::Unfit(error.to_string())),
            Err(error) => return Err(Fault::of_io(&error)),
        };
        // The database would take an empty file for a new one.
        match file.metadata() {
            Ok(data) if data.len() == 0 => return Err(Fault::Unfit("the file is empty".to_owned())),
            Ok(data) if !data.is_file() => return Err(Fault::Unfit("not a regular file".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(Fault::of_io(&error)),
        }
        guarded(|| {
            let database = database_in(file)?;
            let mut log = Self::over(database, owner);
            log.read_meta(owner)?;
            log.read_rows()?;
            Ok(Some(log))
        })
    }

    fn over(database: Database, owner: &DirectorName) -> Self {
        Self {
            database: Some(database),
            owner: OwnerSeed::of(owner),
            first: 0,
            next: 0,
            bytes: 0,
            live_bytes: 0,
            survey: Survey::default(),
        }
    }

    fn database(&self) -> Result<&Database, Fault> {
        self.database.as_ref().ok_or_else(|| Fault::Trouble(Trouble::Io, "the database is closed".to_owned()))
    }

    fn read_meta(&mut self, owner: &DirectorName) -> Result<(), Fault> {
        let transaction = self.database()?.begin_read().map_err(fault)?;
        let meta = transaction.open_table(META).map_err(fault)?;
        let version = meta.get(META_VERSION).map_err(fault)?;
        let version = version.and_then(|value| value.value().try_into().ok().map(u32::from_le_bytes));
        match version {
            Some(version) if version > VERSION => {
                return Err(Fault::Unfit(format!("format version {version} is from a later maitred")));
            }
            Some(VERSION) => {}
            _ => return Err(Fault::Unfit("the format version is missing or unknown".to_owned())),
        }
        let stored = meta.get(META_OWNER).map_err(fault)?;
        let stored = stored.map(|value| String::from_utf8_lossy(value.value()).into_owned()).unwrap_or_default();
        if stored != owner.as_str() {
            return Err(Fault::Unfit(format!(
                "it belongs to the director {stored:?}, this one is {:?}",
                owner.as_str()
            )));
        }
        if let Some(value) = meta.get(META_CLOCK).map_err(fault)? {
            self.survey.clock = Batch::read(value.value(), self.owner).map(|batch| batch.clock);
        }
        if let Some(value) = meta.get(META_LIVE).map_err(fault)? {
            self.live_bytes = value.value().try_into().map(u64::from_le_bytes).unwrap_or(0);
        }
        Ok(())
    }

    fn read_rows(&mut self) -> Result<(), Fault> {
        let transaction = self.database()?.begin_read().map_err(fault)?;
        let table = transaction.open_table(LOG).map_err(fault)?;
        let mut first = None;
        for row in table.iter().map_err(fault)? {
            let (key, value) = row.map_err(fault)?;
            first.get_or_insert(key.value());
            self.next = key.value().saturating_add(1);
            self.bytes += value.value().len() as u64;
            match Batch::read(value.value(), self.owner) {
                Some(batch) => self.survey.count(&batch),
                None => self.survey.dropped_batches += 1,
            }
        }
        self.first = first.unwrap_or(self.next);
        Ok(())
    }

    /// Hands out every whole batch, oldest first; stops when `sink` says `false`.
    pub(super) fn replay(&self, sink: &mut dyn FnMut(&Batch<'_>) -> bool) -> Result<(), Fault> {
        guarded(|| {
            let transaction = self.database()?.begin_read().map_err(fault)?;
            let table = transaction.open_table(LOG).map_err(fault)?;
            for row in table.iter().map_err(fault)? {
                let (_, value) = row.map_err(fault)?;
                if Batch::read(value.value(), self.owner).is_some_and(|batch| !sink(&batch)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Appends the batches, or the clock where there are none, and deletes some rows that are superfluous, in one durable transaction.
    /// After an error the log must be opened again.
    pub(super) fn write(
        &mut self,
        batches: &[Vec<u8>],
        clock: Time,
        superfluous: Option<Superfluous>,
    ) -> Result<(), Fault> {
        guarded(|| {
            let mut transaction = self.database()?.begin_write().map_err(fault)?;
            transaction.set_durability(Durability::Immediate).map_err(fault)?;
            let mut next = self.next;
            if batches.is_empty() {
                let mut meta = transaction.open_table(META).map_err(fault)?;
                meta.insert(META_CLOCK, clock_mark(clock, self.owner).as_slice()).map_err(fault)?;
            } else {
                let mut table = transaction.open_table(LOG).map_err(fault)?;
                for batch in batches {
                    table.insert(next, batch.as_slice()).map_err(fault)?;
                    next = next.saturating_add(1);
                }
            }
            let gone = superfluous.map(|rows| rows.delete(&transaction, self.first)).transpose()?;
            transaction.commit().map_err(fault)?;
            self.bytes += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
            self.next = next;
            if let Some((Superfluous { before, live_bytes }, (first, freed))) = superfluous.zip(gone) {
                self.bytes = self.bytes.saturating_sub(freed);
                self.first = first;
                if first == before {
                    self.live_bytes = live_bytes;
                }
            }
            Ok(())
        })
    }

    /// The number of the oldest row.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next row.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of all rows.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that the last snapshot took.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// What was found when it was opened.
    pub(super) fn survey(&self) -> Survey {
        self.survey
    }
}

impl Drop for Log {
    /// Closing writes, and may panic on a damaged file: that must not pass this point.
    fn drop(&mut self) {
        let database = self.database.take();
        let closed = guarded(|| {
            drop(database);
            Ok(())
        });
        if closed.is_err() {
            tracing::warn!(
                "the journal's database could not be closed in order; it is repaired when it is opened again"
            );
        }
    }
}

fn database_in(file: File) -> Result<Database, Fault> {
    let backend = FileBackend::new(file).map_err(fault)?;
    #[cfg(test)]
    let backend = super::tests::faults::FaultyDisk::over(backend);
    Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(fault)
}

/// Records name agents and hold their state: for the owner's eyes only.
fn open_file(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(new).mode(0o600).open(path)
}
