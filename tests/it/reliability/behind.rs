//! How far the journal is behind what it writes: the promise is 50 ms while the disk is well.
//!
//! A measurement, not a test: it is a promise about an idle machine. By hand, with a release build:
//! `MAITRED_TEST_BINARY=… cargo test --test it reliability::behind -- --ignored --nocapture`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::line::{SERVERS, fill};
use crate::support::director::Director;
use crate::support::kept::Line as Caller;
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

const STARTS_PER_SECOND: u32 = 600;
const SECONDS: u32 = 30;
/// Upper bounds of the histogram, seconds.
const BOUNDS: [&str; 5] = ["0.01", "0.025", "0.05", "0.1", "0.5"];

#[test]
#[ignore = "a measurement"]
fn figures_with_and_without_a_million_sessions_that_are_written_anew() {
    for sessions in [0, 1_000_000] {
        let stubs = SERVERS.map(StubServer::start);
        let plan = Plan::new().stubs(&stubs).with("pool", "capacity = 10000000").with("log", "starts = \"changes\"");
        let mut director = plan.keeping_state().start();
        if sessions > 0 {
            director.terminate();
            assert!(director.wait().success());
            fs::remove_dir_all(director.folder().join("state")).unwrap();
            // It never was written anew, so the director begins with that.
            fill(&director.folder().join("state"), sessions);
            director.start_again();
        }
        director.wait_for_usable(&SERVERS);
        measure(&director, sessions);
    }
}

fn measure(director: &Director, sessions: u64) {
    let value = |series: &str| director.metric(series).unwrap_or(0.0);
    let behind = || {
        let bound = |le: &str| value(&format!("maitred_journal_behind_seconds_bucket{{le=\"{le}\"}}"));
        (BOUNDS.map(bound), value("maitred_journal_behind_seconds_count"))
    };
    let ((before, commits_before), bytes) = (behind(), value("maitred_journal_bytes"));
    let mut smallest = bytes;
    let (mut caller, begun) = (Caller::open(director), Instant::now());
    for step in 0..SECONDS * 10 {
        for number in 0..STARTS_PER_SECOND / 10 {
            assert_eq!(caller.start(&format!("agent-{step}-{number}")).status, 201);
        }
        if step % 10 == 0 {
            smallest = smallest.min(value("maitred_journal_bytes"));
        }
        let next = begun + Duration::from_millis(100) * (step + 1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    wait::until("written", || director.metric("maitred_journal_failing") == Some(0.0));
    let (after, commits) = behind();
    let commits = commits - commits_before;
    println!(
        "{sessions} sessions, {STARTS_PER_SECOND} starts/s for {:.0?}: {commits} commits, bytes {bytes} -> at least {smallest} -> {}",
        begun.elapsed(),
        value("maitred_journal_bytes"),
    );
    for ((le, before), after) in BOUNDS.iter().zip(before).zip(after) {
        println!("  at most {le} s behind: {:.2} %", (after - before) * 100.0 / commits);
    }
}
