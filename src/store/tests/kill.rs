//! A director that is killed while it writes: nothing that it acknowledged is lost.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;

use super::*;

const DIRECTORY: &str = "MAITRED_TEST_JOURNAL";
const SEATS_PER_FLUSH: u64 = 20;

/// Not a test of its own: the process that `nothing_acknowledged_is_lost_by_a_kill` starts and kills.
#[test]
#[ignore = "runs for ever; started and killed by another test"]
fn the_one_who_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (journal, registers, report) = start(Path::new(&directory));
    assert_eq!((report.set_aside, report.dropped_batches), (None, 0));
    let seats = registers.live().iter().filter(|entry| matches!(entry, Entry::Seat(_))).count();
    let mut next = seats as u64;
    println!("\nhas {next}");
    loop {
        for _ in 0..SEATS_PER_FLUSH {
            registers.put(seat(next));
            next += 1;
        }
        // Large records that replace each other: the log is written anew several times.
        for number in 0..150 {
            let mut entry = state(number, 4096);
            if let Entry::State(state) = &mut entry {
                state.version = next;
            }
            registers.put(entry);
        }
        if journal.flush(PATIENCE) {
            println!("has {next}");
            std::io::stdout().flush().expect("heard");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = std::env::var("MAITRED_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_u64);
    let seed = std::env::var("MAITRED_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64)
    });
    eprintln!("MAITRED_TEST_SEED={seed}");
    let directory = tempfile::tempdir().expect("a directory");
    let mut before = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["store::tests::kill::the_one_who_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut heard = lines.by_ref().filter_map(|line| line.strip_prefix("has ").and_then(|n| n.parse::<u64>().ok()));
        let mut acknowledged = heard.next().expect("it came up");
        assert!(acknowledged >= before, "round {round}: {before} were acknowledged, {acknowledged} came back");
        // From "hardly begun" to "several times written anew".
        let moment = (seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 400;
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(moment));
            child.kill().expect("killed");
            child.wait().expect("gone");
        });
        acknowledged = heard.last().unwrap_or(acknowledged);
        killer.join().expect("killed");

        let (live, report) = recovered(directory.path());
        assert_eq!((report.set_aside, report.dropped_batches), (None, 0), "round {round}");
        // In the order of the keys, hence of the numbers, after the states.
        let seats = live.iter().filter(|entry| matches!(entry, Entry::Seat(_)));
        let whole = seats.zip(0..).take_while(|(entry, number)| **entry == seat(*number)).count() as u64;
        assert!(whole >= acknowledged, "round {round}: seat {whole} of {acknowledged} is lost");
        before = acknowledged;
    }
    assert!(before >= rounds, "it wrote something: {before}");
}
