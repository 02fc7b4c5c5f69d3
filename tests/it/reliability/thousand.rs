//! A thousand servers: the director starts, finds them all well, and uses them.
//!
//! With `MAITRED_TEST_BINARY` (a release build) and `MAITRED_MEASURE=https` or `tcp`, the kind of probe, it prints the figures of
//! `docs/performance.md`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::process::cpu_seconds;
use crate::support::kept::Line;
use crate::support::plan::Plan;
use crate::support::{many, wait};

const SERVERS: usize = 1000;
const IDLE: Duration = Duration::from_secs(30);

#[test]
fn a_thousand_servers_are_found_and_used() {
    let port = many::serve();
    let measured = std::env::var_os("MAITRED_MEASURE").is_some();
    let tcp = std::env::var("MAITRED_MEASURE").is_ok_and(|kind| kind == "tcp");
    // A debug build on a busy machine has other things to do than a thousand probes a second.
    let interval = if measured { "1s" } else { "5s" };
    let servers = (1..=SERVERS).fold(Plan::new(), |plan, number| {
        let name = format!("server{number}");
        plan.server_at(&name, &format!("https://ua1.test:{}", 10_000 + number), port)
    });
    let probe = if tcp { "probe = \"tcp\"\n" } else { "" };
    let begin = Instant::now();
    let director = servers
        .with("pool.health", &format!("{probe}interval = \"{interval}\"\nfast = \"{interval}\"\ntimeout = \"20s\""))
        .prepared_by("ulimit -n $(ulimit -H -n)")
        .start();
    let started = begin.elapsed();
    let (cpu_at_start, up) = (cpu_seconds(&director), "maitred_servers{pool=\"ua\",datacenter=\"east\",state=\"up\"}");
    wait::until("all are up", || director.metric(up) == Some(1000.0));
    let all_up = begin.elapsed();
    let mut line = Line::open(&director);
    let start = |line: &mut Line| -> Vec<String> {
        let seat =
            |number: usize| line.start(&number.to_string()).json()["server"]["name"].as_str().unwrap().to_owned();
        (0..300).map(seat).collect()
    };
    let seats = start(&mut line);
    assert!(seats.iter().collect::<BTreeSet<_>>().len() > 200, "a crowd is spread: {seats:?}");
    assert_eq!(start(&mut line), seats);
    assert_eq!(director.lines_with(&["event=\"server_down\""]), Vec::<String>::new());
    if measured {
        let (cpu, since) = (cpu_seconds(&director), Instant::now());
        std::thread::sleep(IDLE);
        let share = (cpu_seconds(&director) - cpu) / since.elapsed().as_secs_f64();
        assert_eq!(director.metric(up), Some(1000.0));
        println!(
            "{SERVERS} servers: serves after {started:.2?} ({cpu_at_start:.2} s CPU), all up after {all_up:.2?}, then \
             {:.1} % of a core with a probe of each every second ({})",
            share * 100.0,
            if tcp { "tcp" } else { "https" }
        );
    }
}
