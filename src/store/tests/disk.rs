//! A disk that is full, read-only or gone, and a director with a defect: an alarm, and nothing stops.

use std::fs;
use std::process::Command;

use super::faults::{Call, Faults};
use super::*;
use crate::store::{FILE_NAME, Trouble};

/// A small file system of its own, where the test may make one (as root).
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size_kib: u32) -> Option<Self> {
        let disk = Self(tempfile::tempdir().expect("a directory"));
        let options = format!("size={size_kib}k");
        disk.run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"]).then_some(disk)
    }

    fn remount(&self, options: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{options}")]), "remounting failed");
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        Command::new(program)
            .args(arguments)
            .arg(self.0.path())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a journal that still closes must not keep the mount for ever.
        self.run("umount", &["-l"]);
    }
}

fn trouble(status: &Status) -> Option<Trouble> {
    match status.condition {
        Condition::Failing { trouble, .. } => Some(trouble),
        Condition::Ok => None,
    }
}

#[test]
fn a_full_disk_is_an_alarm_and_everything_is_written_when_there_is_room_again() {
    let Some(disk) = SmallDisk::mount(2048) else { return eprintln!("skipped: no right to mount") };
    let (journal, registers, _) = start(disk.0.path());
    registers.put(seat(1));
    assert!(journal.flush(PATIENCE));
    for number in 0..1000 {
        registers.put(state(number, 4096));
    }
    wait_for(&journal, "the disk is full", |status| trouble(status) == Some(Trouble::Full));
    registers.put(seat(2));
    assert!(!journal.flush(PATIENCE), "nothing is acknowledged");
    let began = Instant::now();
    while registers.held.lock().changed.len() > 1 {
        assert!(began.elapsed() < PATIENCE, "changes pile up");
    }

    disk.remount("size=64m");
    wait_for(&journal, "there is room again", |status| !is_failing(status));
    registers.put(seat(3));
    assert!(journal.stop(PATIENCE));
    let (live, report) = recovered(disk.0.path());
    assert_eq!(live, registers.live());
    assert_eq!((report.set_aside, report.dropped_batches), (None, 0));
}

#[test]
fn a_disk_that_is_full_from_the_beginning_stops_nothing() {
    let Some(disk) = SmallDisk::mount(256) else { return eprintln!("skipped: no right to mount") };
    assert!(fs::write(disk.0.path().join("filler"), vec![1; 512 << 10]).is_err(), "filled to the last page");
    let (journal, registers, report) = start(disk.0.path());
    assert_eq!(report.trouble, Some(Trouble::Full));
    registers.put(seat(1));
    assert!(!journal.flush(PATIENCE));
    disk.remount("size=64m");
    wait_for(&journal, "there is room", |status| !is_failing(status));
    assert!(journal.stop(PATIENCE));
    assert_eq!(recovered(disk.0.path()).0, [seat(1)]);
}

#[test]
fn a_read_only_disk_is_read_and_an_alarm() {
    let Some(disk) = SmallDisk::mount(64 << 10) else { return eprintln!("skipped: no right to mount") };
    let (journal, registers, _) = start(disk.0.path());
    registers.set_clock(Time(55));
    registers.put(seat(1));
    assert!(journal.stop(PATIENCE));
    disk.remount("ro");

    let (journal, registers, report) = start(disk.0.path());
    assert_eq!((report.trouble, report.clock, report.set_aside), (Some(Trouble::ReadOnly), Some(Time(55)), None));
    assert_eq!(registers.live(), [seat(1)], "what is there is read");
    registers.put(seat(2));
    assert!(!journal.flush(PATIENCE));
    disk.remount("rw");
    wait_for(&journal, "it can be written", |status| !is_failing(status));
    assert!(journal.stop(PATIENCE));
    assert_eq!(recovered(disk.0.path()).0, [seat(1), seat(2)]);
}

#[test]
fn a_state_directory_that_cannot_be_made_is_an_alarm_and_comes_late() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("state");
    fs::write(&directory, "in the way").expect("written");
    let (journal, registers, report) = start(&directory);
    assert!(report.trouble.is_some());
    registers.put(seat(1));
    assert!(!journal.flush(PATIENCE));

    // The real directory appears, with what an earlier run left there.
    let earlier = tempfile::tempdir().expect("a directory");
    let (before, old, _) = start(earlier.path());
    old.put(seat(7));
    assert!(before.stop(PATIENCE));
    fs::remove_file(&directory).expect("removed");
    fs::rename(earlier.path(), &directory).expect("moved");

    wait_for(&journal, "the directory is there", |status| !is_failing(status));
    assert_eq!(registers.live(), [seat(1), seat(7)], "the late records reach the director");
    assert!(journal.stop(PATIENCE));
    assert_eq!(recovered(&directory).0, [seat(1), seat(7)]);
    assert!(directory.join(FILE_NAME).exists());
}

#[test]
fn a_defect_of_the_director_is_an_alarm_and_the_journal_recovers_from_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    registers.put(seat(1));
    registers.set_broken(true);
    wait_for(&journal, "the defect shows", |status| trouble(status) == Some(Trouble::Defect));
    registers.set_broken(false);
    wait_for(&journal, "it is over", |status| !is_failing(status));
    assert!(journal.stop(PATIENCE));
    assert_eq!(recovered(directory.path()).0, [seat(1)]);
    assert!(aside_files(directory.path()).is_empty(), "the file was never at fault");
}

#[test]
fn a_disk_that_hangs_at_the_start_holds_up_nobody_and_its_records_come_late() {
    let directory = tempfile::tempdir().expect("a directory");
    let (before, old, _) = start(directory.path());
    old.put(seat(7));
    assert!(before.stop(PATIENCE));

    let (answers, hangs) = std::sync::mpsc::sync_channel::<()>(0);
    let opened = crate::store::open_after(directory.path(), &owner(), Duration::from_millis(100), move || {
        let _ = hangs.recv();
    });
    let opened = opened.expect("a start");
    assert_eq!(opened.report.trouble, Some(Trouble::Stalled));
    let registers = Registers::with(opened.recovered);
    assert_eq!(registers.live(), []);
    let journal = opened.journal.start(Arc::clone(&registers) as Arc<dyn Source>);
    registers.put(seat(1));
    wait_for(&journal, "the silence is an alarm", |status| trouble(status) == Some(Trouble::Stalled));
    assert!(!journal.flush(Duration::from_millis(1)), "nothing is acknowledged");

    drop(answers);
    wait_for(&journal, "the disk answers", |status| !is_failing(status));
    assert_eq!(registers.live(), [seat(1), seat(7)], "the late records reach the director");
    assert!(journal.stop(PATIENCE));
    assert_eq!(recovered(directory.path()).0, [seat(1), seat(7)]);
}

#[test]
fn each_error_of_the_disk_is_an_alarm_and_nothing_is_lost_when_it_is_well_again() {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    let directory = tempfile::tempdir().expect("a directory");
    let faults = Arc::new(Faults::default());
    let planted = Arc::clone(&faults);
    let opened = crate::store::open_after(directory.path(), &owner(), PATIENCE, move || planted.plant());
    let opened = opened.expect("a start");
    let registers = Registers::with(opened.recovered);
    let journal = opened.journal.start(Arc::clone(&registers) as Arc<dyn Source>);
    let mut number = 0;
    let mut put = |registers: &Registers| {
        registers.put(seat(number));
        number += 1;
    };
    let kinds = [
        (Call::Write, ENOSPC, Trouble::Full),
        (Call::Sync, ENOSPC, Trouble::Full),
        (Call::Write, EIO, Trouble::Io),
        (Call::Sync, EIO, Trouble::Io),
    ];
    for (call, error, expected) in kinds {
        put(&registers);
        assert!(journal.flush(PATIENCE), "{call:?} {error}: written before");
        let before = faults.hit();
        faults.fail_at(call, error);
        put(&registers);
        assert!(!journal.flush(PATIENCE), "{call:?} {error}: nothing is acknowledged");
        wait_for(&journal, "the alarm says what it is", |status| trouble(status) == Some(expected));
        // Attempts go on, what changes meanwhile is taken, and a kill now would lose nothing that was acknowledged.
        wait_for(&journal, "it tries again", |_| faults.hit() > before + 1);
        put(&registers);
        wait_for(&journal, "nothing piles up", |_| registers.held.lock().changed.is_empty());
        faults.mend();
        wait_for(&journal, "the disk is well again", |status| !is_failing(status));
        put(&registers);
        assert!(journal.flush(PATIENCE), "{call:?} {error}: written after");
    }
    assert!(aside_files(directory.path()).is_empty(), "the file was never at fault");
    let copy = quick_directory();
    fs::copy(directory.path().join(FILE_NAME), copy.path().join(FILE_NAME)).expect("copied");
    assert!(journal.stop(PATIENCE));
    for (what, path) in [("after a stop", directory.path()), ("after a kill", copy.path())] {
        let (live, report) = recovered(path);
        assert_eq!(live, registers.live(), "{what}");
        assert_eq!((report.set_aside, report.dropped_batches, report.trouble), (None, 0, None), "{what}");
    }
}
