//! What comes back, and what the log does with its size.

use maitred_core::clock::Stamp;
use maitred_core::entry::{EndReason, LastRole, LastVerdict, Life, OperatorWord, RoleOrder, ServerOrder};
use maitred_core::ids::DatacenterName;

use super::*;
use crate::store::FILE_NAME;

fn one_of_each() -> Vec<Entry> {
    let server = ServerName::parse("ua3").expect("a name");
    let pool = PoolName::parse("agents").expect("a name");
    let east = DatacenterName::parse("east").expect("a name");
    let stamp = Stamp::at(Time(77));
    let mut ended = seat(2);
    if let Entry::Seat(seat) = &mut ended {
        seat.life = Life::Ended(EndReason::Operator);
    }
    vec![
        seat(1),
        ended,
        state(3, 4096),
        Entry::ServerOrder(ServerOrder {
            server: server.clone(),
            word: OperatorWord::Drain,
            reason: "kernel \u{fc}pdate".to_owned(),
            deadline: Some(Time(99)),
            stamp,
            writer: owner(),
        }),
        Entry::RoleOrder(RoleOrder { pool: pool.clone(), datacenter: Some(east.clone()), stamp, writer: owner() }),
        Entry::LastVerdict(LastVerdict { server, up: true, incarnation: Some("boot-1".to_owned()), time: Time(5) }),
        Entry::LastRole(LastRole { pool, active: east, epoch: 4, time: Time(6) }),
    ]
}

/// The same records by register, as `Registers::live` lists them.
fn sorted(entries: Vec<Entry>) -> Vec<Entry> {
    Registers::with(entries).live()
}

#[test]
fn everything_comes_back_after_a_clean_stop() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, report) = start(directory.path());
    assert_eq!(report, Report::default());
    registers.set_clock(Time(4711));
    one_of_each().into_iter().for_each(|entry| registers.put(entry));
    assert!(journal.stop(PATIENCE));

    let (live, report) = recovered(directory.path());
    assert_eq!(live, sorted(one_of_each()));
    assert_eq!((report.clock, report.records, report.dropped_batches), (Some(Time(4711)), 7, 0));
    assert_eq!((report.set_aside, report.trouble), (None, None));
}

#[test]
fn everything_comes_back_from_the_file_of_a_journal_that_was_never_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    one_of_each().into_iter().for_each(|entry| registers.put(entry));
    wait_for(&journal, "written without being asked", |status| status.records == 7);
    let after = tempfile::tempdir().expect("a directory");
    std::fs::copy(directory.path().join(FILE_NAME), after.path().join(FILE_NAME)).expect("copied");

    let (live, report) = recovered(after.path());
    assert_eq!((live, report.set_aside), (sorted(one_of_each()), None));
    drop(journal);
}

#[test]
fn a_journal_that_is_dropped_writes_what_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    registers.put(seat(1));
    drop(journal);
    assert_eq!(recovered(directory.path()).0, [seat(1)]);
}

#[test]
fn an_idle_directors_clock_is_written_and_never_grows_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    registers.set_clock(Time(123));
    wait_for(&journal, "the clock is written", |status| status.commits > 0);
    assert_eq!(journal.health().status().bytes, 0);
    assert!(journal.stop(PATIENCE));
    assert!(recovered(directory.path()).1.clock.is_some());
}

#[test]
fn a_second_director_on_the_directory_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    let second = crate::store::open(directory.path(), &owner());
    assert!(matches!(second, Err(OpenError::InUse(path)) if path == directory.path()));
    registers.put(seat(1));
    assert!(journal.stop(PATIENCE), "the first one is not disturbed");
    assert_eq!(recovered(directory.path()).0, [seat(1)]);
}

#[test]
fn what_comes_back_need_not_be_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    for number in 0..20_000 {
        registers.put(state(number, 1024));
    }
    assert!(journal.stop(PATIENCE));
    let mut opened = open_when_free(directory.path());
    assert!(opened.recovered.next().is_some());
    drop(opened.recovered);
    assert!(opened.journal.start(Registers::with([])).stop(PATIENCE));
}

#[test]
fn a_log_of_mostly_dead_records_is_written_anew_and_loses_nothing() {
    let directory = quick_directory();
    let (journal, registers, _) = start(directory.path());
    for number in 0..3000 {
        registers.put(seat(number));
    }
    registers.put(state(0, 10));
    registers.remove(&state(0, 10));
    let mut largest = 0;
    for round in 1..=60 {
        for number in 0..200 {
            let mut entry = state(number, 4096);
            if let Entry::State(state) = &mut entry {
                state.version = 1000 + round;
            }
            registers.put(entry);
        }
        assert!(journal.flush(PATIENCE));
        largest = largest.max(journal.health().status().bytes);
    }
    let written = 60 * 200 * 4096;
    assert!(largest < written / 2, "{largest} of {written} bytes");
    wait_for(&journal, "the rest is deleted", |status| status.bytes < 17 << 20);
    registers.put(seat(4000));
    assert!(journal.stop(PATIENCE));
    let (live, report) = recovered(directory.path());
    assert_eq!(live, registers.live());
    assert_eq!((report.set_aside, report.dropped_batches), (None, 0));
    let file = std::fs::metadata(directory.path().join(FILE_NAME)).expect("there").len();
    assert!(file < written, "the file takes {file} bytes");
}
