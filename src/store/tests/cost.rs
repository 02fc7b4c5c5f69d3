//! What a record costs. Run by hand: `cargo test --release -p maitred --lib store::tests::cost -- --ignored --nocapture`.

use super::*;

/// CPU time of the thread named `maitred-journal`, in clock ticks of 10 ms.
fn journal_ticks() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let journal = stats.filter(|stat| stat.contains("(maitred-journal)"));
    let numbers = journal.filter_map(|stat| {
        let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    });
    numbers.sum()
}

#[test]
#[ignore = "a measurement"]
fn ten_thousand_starts_a_second() {
    const SECONDS: u64 = 20;
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    let (began, before) = (Instant::now(), journal_ticks());
    let mut worst = Duration::ZERO;
    for step in 0..SECONDS * 100 {
        for number in 0..100 {
            registers.put(seat(step * 100 + number));
        }
        let status = journal.health().status();
        worst = worst.max(status.last_commit.map_or(Duration::ZERO, |commit| commit.elapsed()));
        std::thread::sleep((began + Duration::from_millis((step + 1) * 10)).saturating_duration_since(Instant::now()));
    }
    assert!(journal.flush(PATIENCE));
    let ticks = journal_ticks() - before;
    let status = journal.health().status();
    println!(
        "{} changes, with copies {} records in {} commits, {:.2} µs CPU a change, {} bytes a record, worst age of the last commit {worst:?}",
        SECONDS * 10_000,
        status.records,
        status.commits,
        ticks as f64 * 10_000.0 / (SECONDS * 10_000) as f64,
        status.bytes / status.records.max(1),
    );
    assert!(journal.stop(PATIENCE));
}

#[test]
#[ignore = "a measurement"]
fn a_million_seats_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let (journal, registers, _) = start(directory.path());
    let began = Instant::now();
    for number in 0..1_000_000 {
        registers.put(seat(number));
    }
    println!("made in {:?}", began.elapsed());
    let began = Instant::now();
    assert!(journal.flush(PATIENCE));
    println!("the rest written in {:?}", began.elapsed());
    // A copy of a file that is being written is no picture of any moment: wait until the snapshot is through.
    let mut before = None;
    while before != Some(journal.health().status().bytes) {
        before = Some(journal.health().status().bytes);
        std::thread::sleep(Duration::from_secs(1));
    }
    let crashed = tempfile::tempdir().expect("a directory");
    std::fs::copy(directory.path().join("journal.redb"), crashed.path().join("journal.redb")).expect("copied");
    assert!(journal.stop(PATIENCE));
    for (what, path) in [("after a clean stop", directory.path()), ("after a kill", crashed.path())] {
        let began = Instant::now();
        let opened = open_when_free(path);
        let read = began.elapsed();
        assert_eq!(opened.report.set_aside, None);
        let count = opened.recovered.count();
        println!("{what}: read in {read:?}, {count} records decoded in {:?}", began.elapsed());
    }
}
