//! A disk that fails when a test says so: below the database, above the real file.
//!
//! Faults belong to the thread that opens the file, which is the journal's own: a test gives them to it before the disk is touched.

use std::cell::RefCell;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Which calls of the system fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Call {
    Write,
    Sync,
}

/// What fails now; shared by a test and its journal. A number of the system's errors, 0 for none.
#[derive(Debug, Default)]
pub(in crate::store) struct Faults {
    write: AtomicI32,
    sync: AtomicI32,
    /// How often something failed.
    hit: AtomicU64,
}

impl Faults {
    /// Every such call fails from now on.
    pub(in crate::store) fn fail_at(&self, call: Call, error: i32) {
        self.of(call).store(error, Ordering::SeqCst);
    }

    /// The disk is well again.
    pub(in crate::store) fn mend(&self) {
        [Call::Write, Call::Sync].into_iter().for_each(|call| self.fail_at(call, 0));
    }

    pub(in crate::store) fn hit(&self) -> u64 {
        self.hit.load(Ordering::SeqCst)
    }

    /// For the files that the calling thread opens from now on.
    pub(in crate::store) fn plant(self: Arc<Self>) {
        PLANTED.set(Some(self));
    }

    fn of(&self, call: Call) -> &AtomicI32 {
        match call {
            Call::Write => &self.write,
            Call::Sync => &self.sync,
        }
    }

    fn check(&self, call: Call) -> io::Result<()> {
        match self.of(call).load(Ordering::SeqCst) {
            0 => Ok(()),
            error => {
                self.hit.fetch_add(1, Ordering::SeqCst);
                Err(io::Error::from_raw_os_error(error))
            }
        }
    }
}

thread_local! {
    static PLANTED: RefCell<Option<Arc<Faults>>> = const { RefCell::new(None) };
}

/// A file of the database.
#[derive(Debug)]
pub(in crate::store) struct FaultyDisk {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    /// With the faults of this thread; none were planted in most.
    pub(in crate::store) fn over(file: FileBackend) -> Self {
        Self { file, faults: PLANTED.with_borrow(Clone::clone).unwrap_or_default() }
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.check(Call::Write)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.check(Call::Sync)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.check(Call::Write)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
