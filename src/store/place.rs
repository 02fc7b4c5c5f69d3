//! The state directory: who may use it, which file is the journal, and what happens to a file that is of no use.
//!
//! A damaged file is never deleted and never in the way: it is set aside under a name with the time, what can still be read from
//! it is written into a new one, and the new one takes its place in one step. A crash in between leaves either the old or the
//! new journal.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use maitred_core::clock::Time;
use maitred_core::ids::DirectorName;

use super::batch::{Batch, OwnerSeed};
use super::health::Trouble;
use super::log::{Fault, Log};
use super::salvage;

/// The journal's file in the state directory.
pub const FILE_NAME: &str = "journal.redb";
const NEW_NAME: &str = "journal.redb.new";
const LOCK_NAME: &str = "journal.lock";
const ASIDE_PREFIX: &str = "journal.redb.corrupt-";
/// Files that are kept aside; the oldest goes first, so that a sick disk does not fill itself.
const ASIDE_MAX: usize = 5;
/// Bytes of salvaged batches per transaction.
const SALVAGE_BYTES: usize = 4 << 20;

/// A journal that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// One director's state directory.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    owner: DirectorName,
    lock: Option<File>,
}

impl Place {
    pub(super) fn new(directory: &Path, owner: &DirectorName) -> Self {
        Self { directory: directory.to_owned(), owner: owner.clone(), lock: None }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    /// Opens the journal, or makes one. `distrust` sets the present file aside although it opens: it failed too often.
    pub(super) fn open(&mut self, distrust: bool) -> Result<(Log, Option<SetAside>), Fault> {
        self.claim()?;
        let path = self.path();
        let reason = match Log::open(&path, &self.owner) {
            Ok(Some(log)) if !distrust => return Ok((log, None)),
            Ok(Some(_)) => "the database failed again and again".to_owned(),
            Ok(None) => return self.renew(None).map(|log| (log, None)),
            Err(Fault::Unfit(reason)) => reason,
            Err(trouble) => return Err(trouble),
        };
        let aside = self.aside_path();
        let log = self.renew(Some(&aside))?;
        self.forget_old(&aside);
        Ok((log, Some(SetAside { path: aside, reason })))
    }

    /// Hands out what can be read without writing anything, for a disk that cannot be written.
    pub(super) fn read_only(&self, sink: &mut dyn FnMut(&Batch<'_>) -> bool) -> io::Result<()> {
        salvage::scan(&self.path(), OwnerSeed::of(&self.owner), &mut |batch, _| sink(batch))
    }

    /// One process per directory. The lock ends with the process, however it ends.
    fn claim(&mut self) -> Result<(), Fault> {
        if self.lock.is_some() {
            return Ok(());
        }
        let error = |error: io::Error| Fault::of_io(&error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(error)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(self.directory.join(LOCK_NAME)).map_err(error)?;
        match lock.try_lock() {
            Ok(()) => self.lock = Some(lock),
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::Trouble(Trouble::InUse, "another director runs on this directory".to_owned()));
            }
            // A file system without locks: the database has one of its own.
            Err(TryLockError::Error(_)) => {}
        }
        Ok(())
    }

    /// Builds a new journal beside the old one and puts it in its place; the old one, if any, goes to `aside`.
    fn renew(&self, aside: Option<&Path>) -> Result<Log, Fault> {
        let error = |error: io::Error| Fault::of_io(&error);
        let (path, new) = (self.path(), self.directory.join(NEW_NAME));
        match fs::remove_file(&new) {
            Err(failure) if failure.kind() != io::ErrorKind::NotFound => return Err(error(failure)),
            _ => {}
        }
        let mut log = Log::create(&new, &self.owner)?;
        if let Some(aside) = aside {
            self.salvage_into(&mut log)?;
            // A second name first, so that the name `journal.redb` is never missing; not every file system can.
            if fs::hard_link(&path, aside).is_err() {
                fs::rename(&path, aside).map_err(error)?;
            }
        }
        drop(log);
        fs::rename(&new, &path).map_err(error)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(error)?;
        Log::open(&path, &self.owner)?
            .ok_or_else(|| Fault::Trouble(Trouble::Io, "the new journal is not where it was put".to_owned()))
    }

    fn salvage_into(&self, log: &mut Log) -> Result<(), Fault> {
        let mut held: Vec<Vec<u8>> = Vec::new();
        let mut bytes_held = 0;
        let mut outcome = Ok(());
        let scanned = salvage::scan(&self.path(), OwnerSeed::of(&self.owner), &mut |_, bytes| {
            held.push(bytes.to_vec());
            bytes_held += bytes.len();
            if bytes_held >= SALVAGE_BYTES {
                outcome = log.write(&held, Time::default(), None);
                held.clear();
                bytes_held = 0;
            }
            outcome.is_ok()
        });
        if let Err(failure) = scanned {
            tracing::warn!(error = %failure, "the damaged journal could not be read to its end");
        }
        outcome?;
        if held.is_empty() { Ok(()) } else { log.write(&held, Time::default(), None) }
    }

    fn aside_path(&self) -> PathBuf {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let first = self.directory.join(format!("{ASIDE_PREFIX}{seconds}"));
        let later = (1..1000).map(|number| self.directory.join(format!("{ASIDE_PREFIX}{seconds}-{number:03}")));
        std::iter::once(first.clone()).chain(later).find(|path| !path.exists()).unwrap_or(first)
    }

    /// Clears away the oldest of the other files that are set aside.
    fn forget_old(&self, newest: &Path) {
        let Ok(names) = fs::read_dir(&self.directory) else { return };
        let mut aside: Vec<PathBuf> = names
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path != newest)
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE_PREFIX)))
            .collect();
        aside.sort();
        let excess = (aside.len() + 1).saturating_sub(ASIDE_MAX);
        for path in &aside[..excess] {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "an old damaged journal could not be removed");
            }
        }
    }
}
