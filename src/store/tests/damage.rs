//! Files that are damaged, foreign, or no journal at all: set aside, read as far as possible, never a panic.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::store::{FILE_NAME, SetAside};

const SEATS: u64 = 300;

/// A small journal of several batches; `closed` or as a kill leaves it.
fn small_store(closed: bool) -> Vec<u8> {
    let directory = quick_directory();
    let file = directory.path().join(FILE_NAME);
    let (journal, registers, _) = start(directory.path());
    for number in 0..SEATS {
        registers.put(seat(number));
        if number % 30 == 29 {
            assert!(journal.flush(PATIENCE));
        }
    }
    if closed {
        assert!(journal.stop(PATIENCE));
    } else {
        let bytes = fs::read(&file).expect("readable");
        drop(journal);
        return bytes;
    }
    fs::read(file).expect("readable")
}

fn directory_with(bytes: &[u8]) -> TempDir {
    let directory = quick_directory();
    fs::write(directory.path().join(FILE_NAME), bytes).expect("written");
    directory
}

/// Starts on the file, checks that nothing was invented and that the journal works again; how many seats came back.
fn start_on(directory: &Path, what: &str) -> (usize, Report) {
    let (journal, registers, report) = start(directory);
    let live = registers.live();
    assert!(live.iter().all(|entry| (0..SEATS).any(|number| *entry == seat(number))), "{what}: an invented record");
    assert_eq!(report.trouble, None, "{what}");
    registers.put(seat(SEATS));
    // Damage that only a write meets is believed after some failures in a row, and the file set aside then.
    let began = Instant::now();
    while !journal.flush(PATIENCE) {
        assert!(began.elapsed() < PATIENCE * 10, "{what}: {:?}", journal.health().status());
        std::thread::sleep(Duration::from_millis(50));
    }
    // What was damaged is gone when the log has been written anew.
    wait_for(&journal, what, |status| !status.compacting);
    assert!(journal.stop(PATIENCE), "{what}");
    (live.len(), report)
}

/// Flips a whole byte or one bit of it, starts, and starts again.
fn flip(store: &[u8], at: usize, mask: u8) {
    let mut bad = store.to_vec();
    bad[at] ^= mask;
    let directory = directory_with(&bad);
    let (back, _) = start_on(directory.path(), &format!("byte {at} ^ {mask:#x}"));
    // One byte is in one batch, or in the tree, which the salvage does not need.
    assert!(back >= SEATS as usize - 30, "byte {at} ^ {mask:#x}: {back} seats came back");
    let again = recovered(directory.path()).1;
    assert_eq!((again.set_aside, again.dropped_batches), (None, 0), "byte {at}: damaged again");
}

/// Positions that hold something: bytes that are not zero, and the database's first page.
fn positions(store: &[u8]) -> Vec<usize> {
    (0..store.len()).filter(|at| store[*at] != 0 || *at < 4096).collect()
}

#[test]
fn a_flipped_byte_anywhere_costs_at_most_its_batch() {
    // Every byte, or every so many bytes, when asked for.
    let asked: Option<usize> = std::env::var("MAITRED_TEST_EVERY_BYTE").ok().map(|text| text.parse().unwrap_or(1));
    for closed in [true, false] {
        let store = small_store(closed);
        let positions = positions(&store);
        let step = asked.unwrap_or(positions.len() / 40).max(1);
        for (number, at) in positions.iter().step_by(step).enumerate() {
            flip(&store, *at, if number % 2 == 0 { 0xff } else { 1 << (number / 2 % 8) });
            if asked.is_some() && number % 500 == 499 {
                eprintln!("closed: {closed}, {} of {}", number + 1, positions.len() / step);
            }
        }
    }
}

#[test]
fn a_cut_file_is_set_aside_and_read_as_far_as_it_goes() {
    let store = small_store(true);
    for part in [0, 1, 100, 4096, 5000, store.len() / 2, store.len() - 4096, store.len() - 1] {
        let directory = directory_with(&store[..part]);
        let (back, report) = start_on(directory.path(), &format!("cut at {part}"));
        let SetAside { path, .. } = report.set_aside.expect("set aside");
        assert_eq!(fs::read(path).expect("kept").len(), part);
        assert!(part < store.len() - 4096 || back as u64 == SEATS, "cut at {part}: {back} seats came back");
    }
}

#[test]
fn rubbish_and_a_directory_are_set_aside() {
    let rubbish: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [rubbish, vec![0; 50_000], b"not a journal".to_vec()] {
        let directory = directory_with(&bytes);
        let (back, report) = start_on(directory.path(), "rubbish");
        assert_eq!(back, 0);
        assert_eq!(fs::read(report.set_aside.expect("set aside").path).expect("kept"), bytes);
    }
    let directory = quick_directory();
    fs::create_dir(directory.path().join(FILE_NAME)).expect("made");
    assert!(start_on(directory.path(), "a directory").1.set_aside.is_some());
}

#[test]
fn a_later_versions_file_is_set_aside() {
    let directory = directory_with(&small_store(true));
    let file = directory.path().join(FILE_NAME);
    {
        let database = redb::Database::open(&file).expect("a database");
        let transaction = database.begin_write().expect("begun");
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        transaction.open_table(meta).expect("there").insert("version", 2_u32.to_le_bytes().as_slice()).expect("put");
        transaction.commit().expect("committed");
    }
    let (_, report) = start_on(directory.path(), "version 2");
    assert!(report.set_aside.expect("set aside").reason.contains("version 2"));
}

#[test]
fn another_directors_file_is_set_aside_and_none_of_it_is_believed() {
    let directory = directory_with(&small_store(true));
    let west = DirectorName::parse("west-1").expect("a name");
    let opened = crate::store::open(directory.path(), &west).expect("free");
    assert_eq!(opened.recovered.count(), 0);
    assert!(opened.report.set_aside.expect("set aside").reason.contains("east-1"));
}

#[test]
fn a_file_that_breaks_under_a_running_director_is_replaced_and_nothing_in_memory_is_lost() {
    let directory = quick_directory();
    let (journal, registers, _) = start(directory.path());
    // More than the database keeps in memory, so that it will have to read what is broken.
    for number in 0..400 {
        registers.put(state(number, 4096));
    }
    assert!(journal.flush(PATIENCE * 10));
    let file = fs::OpenOptions::new().write(true).open(directory.path().join(FILE_NAME)).expect("there");
    let length = file.metadata().expect("known").len();
    for at in (0..length).step_by(4096) {
        file.write_all_at(&[0xa5; 4096], at).expect("written");
    }
    // The log grows until it is written anew, which reads and deletes its old rows.
    let began = Instant::now();
    let mut number = 400;
    while aside_files(directory.path()).is_empty() {
        assert!(began.elapsed() < PATIENCE * 10, "never noticed: {:?}", journal.health().status());
        for _ in 0..100 {
            registers.put(state(number, 4096));
            number += 1;
        }
        let _ = journal.flush(PATIENCE * 10);
    }
    wait_for(&journal, "it is written again", |status| !is_failing(status));
    registers.put(seat(9));
    assert!(journal.stop(PATIENCE * 10));
    let (back, report) = recovered(directory.path());
    assert_eq!((report.set_aside, report.trouble, report.dropped_batches), (None, None, 0));
    assert!(back == registers.live(), "{} of {number} came back", back.len());
}

#[test]
fn only_a_few_damaged_files_are_kept() {
    let directory = quick_directory();
    for number in 0..8 {
        fs::write(directory.path().join(FILE_NAME), format!("rubbish {number}")).expect("written");
        assert!(recovered(directory.path()).1.set_aside.is_some());
    }
    let kept = aside_files(directory.path());
    assert_eq!(kept.len(), 5);
    assert!(kept.iter().any(|path| fs::read_to_string(path).expect("readable") == "rubbish 7"));
}
