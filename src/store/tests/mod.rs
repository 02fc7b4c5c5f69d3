//! The journal on real files: what comes back, what damage costs, what a sick disk changes, what a kill loses.

mod cost;
mod damage;
mod director;
mod disk;
pub(super) mod faults;
mod kill;
mod recovery;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use maitred_core::clock::{Stamp, Time};
use maitred_core::director::SnapshotPlace;
use maitred_core::entry::{Entry, Life, SeatEntry, StateEntry};
use maitred_core::ids::{DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};
use maitred_core::unwritten::{Tell, Unwritten};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{Condition, Journal, OpenError, Opened, Report, Source, Status};

/// Long enough for any machine; nothing is measured by it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A director as the journal sees it: registers by name, the later stamp wins.
#[derive(Debug, Default)]
pub(super) struct Registers {
    held: Mutex<Held>,
    unwritten: Unwritten,
}

#[derive(Debug, Default)]
struct Held {
    live: BTreeMap<String, Entry>,
    changed: VecDeque<Entry>,
    clock: Time,
    broken: bool,
}

impl Registers {
    pub(super) fn with(entries: impl IntoIterator<Item = Entry>) -> Arc<Self> {
        let registers = Self::default();
        entries.into_iter().for_each(|entry| registers.merge(entry));
        Arc::new(registers)
    }

    pub(super) fn put(&self, entry: Entry) {
        self.merge(entry.clone());
        self.held.lock().changed.push_back(entry);
        self.unwritten.note();
    }

    pub(super) fn remove(&self, entry: &Entry) {
        self.held.lock().live.remove(&register(entry).0);
    }

    pub(super) fn set_clock(&self, clock: Time) {
        self.held.lock().clock = clock;
    }

    pub(super) fn set_broken(&self, broken: bool) {
        self.held.lock().broken = broken;
        self.unwritten.note();
    }

    pub(super) fn live(&self) -> Vec<Entry> {
        self.held.lock().live.values().cloned().collect()
    }

    fn merge(&self, entry: Entry) {
        let (name, order) = register(&entry);
        let mut held = self.held.lock();
        if held.live.get(&name).is_none_or(|old| register(old).1 <= order) {
            held.live.insert(name, entry);
        }
    }
}

impl Source for Registers {
    fn drain(&self, sink: &mut dyn FnMut(Entry) -> bool) -> bool {
        self.unwritten.take();
        let mut held = self.held.lock();
        assert!(!held.broken, "a planted defect");
        while let Some(entry) = held.changed.pop_front() {
            if !sink(entry) {
                return true;
            }
        }
        false
    }

    fn tell(&self, tell: Tell) {
        self.unwritten.tell(tell);
    }

    fn clock(&self) -> Time {
        self.held.lock().clock
    }

    fn snapshot(&self, from: &SnapshotPlace, limit: usize, sink: &mut dyn FnMut(Entry)) -> Option<SnapshotPlace> {
        let held = self.held.lock();
        // The only place that carries a name.
        let after = match from {
            SnapshotPlace::Confirms(Some((_, name, _))) => Bound::Excluded(name.as_str()),
            _ => Bound::Unbounded,
        };
        let mut last = None;
        for (name, entry) in held.live.range::<str, _>((after, Bound::Unbounded)).take(limit) {
            sink(entry.clone());
            last = Some(name);
        }
        let place =
            |name: &String| (PoolName::parse("agents").expect("a name"), Key::parse(name).expect("a key"), None);
        last.map(|name| SnapshotPlace::Confirms(Some(place(name))))
    }

    fn sessions(&self) -> usize {
        self.held.lock().live.values().filter(|entry| matches!(entry, Entry::Seat(_))).count()
    }

    fn restore(&self, entries: Vec<Entry>) {
        entries.into_iter().for_each(|entry| self.merge(entry));
    }
}

/// The register that a record belongs to, and its place in that register's order.
fn register(entry: &Entry) -> (String, (u64, u64)) {
    match entry {
        Entry::Seat(seat) => {
            (format!("seat {}", seat.key.as_str()), (seat.stamp.to_bits(), seat.generation.get().into()))
        }
        Entry::State(state) => (format!("state {}", state.key.as_str()), (state.stamp.to_bits(), state.version)),
        Entry::ServerOrder(order) => (format!("order {}", order.server), (order.stamp.to_bits(), 0)),
        Entry::RoleOrder(order) => (format!("role order {}", order.pool), (order.stamp.to_bits(), 0)),
        Entry::LastVerdict(verdict) => (format!("verdict {}", verdict.server), (verdict.time.0, 0)),
        Entry::LastRole(role) => (format!("role {}", role.pool), (role.time.0, role.epoch)),
        Entry::Clock(time) => ("clock".to_owned(), (time.0, 0)),
        Entry::Confirmed(confirmed) => {
            (format!("confirmed {}", confirmed.key.as_str()), (confirmed.stamp.to_bits(), 0))
        }
        Entry::Outage(outage) => {
            (format!("outage {} {}", outage.server, outage.dependency), (outage.count, outage.finished.into()))
        }
    }
}

/// Opens the journal and lets a new director take what comes back.
pub(super) fn start(directory: &Path) -> (Journal, Arc<Registers>, Report) {
    let opened = open_when_free(directory);
    let registers = Registers::with(opened.recovered);
    (opened.journal.start(Arc::clone(&registers) as Arc<dyn Source>), registers, opened.report)
}

/// A journal that was dropped lets go of the directory a little later.
pub(super) fn open_when_free(directory: &Path) -> Opened {
    let began = Instant::now();
    loop {
        // A slow machine is no disk that hangs.
        match super::open_after(directory, &owner(), PATIENCE * 10, || ()) {
            Ok(opened) => return opened,
            Err(OpenError::InUse(_)) => assert!(began.elapsed() < PATIENCE, "the thread never ended"),
            Err(error) => panic!("{error}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a director that starts now would know.
pub(super) fn recovered(directory: &Path) -> (Vec<Entry>, Report) {
    let opened = open_when_free(directory);
    let live = Registers::with(opened.recovered).live();
    assert!(opened.journal.close(PATIENCE));
    (live, opened.report)
}

/// Waits for a condition of the journal.
pub(super) fn wait_for(journal: &Journal, what: &str, mut holds: impl FnMut(&Status) -> bool) {
    let began = Instant::now();
    while !holds(&journal.health().status()) {
        assert!(began.elapsed() < PATIENCE * 10, "{what}: {:?}", journal.health().status());
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn is_failing(status: &Status) -> bool {
    matches!(status.condition, Condition::Failing { .. })
}

/// A directory whose files live in memory where the machine has one: for tests that open a journal hundreds of times.
pub(super) fn quick_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

pub(super) fn aside_files(directory: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.to_string_lossy().contains(".corrupt-")).collect()
}

pub(super) fn owner() -> DirectorName {
    DirectorName::parse("east-1").expect("a name")
}

/// A seat whose key is the number, at a generation of 1.
pub(super) fn seat(number: u64) -> Entry {
    seat_at(number, 1)
}

/// A seat whose key is the number; a higher generation is a later seat.
pub(super) fn seat_at(number: u64, generation: u64) -> Entry {
    Entry::Seat(SeatEntry {
        pool: PoolName::parse("agents").expect("a name"),
        key: Key::parse(&format!("agent-{number:030}")).expect("a key"),
        session: SessionId(u128::from(number).to_be_bytes()),
        server: ServerName::parse(&format!("ua{}", number % 16)).expect("a name"),
        incarnation: IncarnationTag::from_bits(number + 1),
        generation: Generation::parse(generation).expect("in range"),
        stamp: Stamp::at(Time(1_700_000_000_000 + generation)),
        writer: owner(),
        life: Life::Live,
        seen: Time(1_700_000_000_000),
        minted: false,
    })
}

pub(super) fn state(number: u64, size: usize) -> Entry {
    Entry::State(StateEntry {
        pool: PoolName::parse("agents").expect("a name"),
        key: Key::parse(&format!("agent-{number}")).expect("a key"),
        session: SessionId([3; 16]),
        stamp: Stamp::at(Time(number)),
        version: number,
        writer: owner(),
        bytes: vec![7; size],
    })
}
