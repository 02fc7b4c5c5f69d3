//! Faults of what is remembered: rows 10, 26 and 27.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{Answer, Client};
use crate::support::director::{ALL_WRITTEN, Director};
use crate::support::kept::Line;
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

const KILLS: u64 = 20;

/// What happens to a file.
type Damage = fn(&mut Vec<u8>);

fn stubs(count: usize) -> Vec<StubServer> {
    (1..=count).map(|number| StubServer::start(&format!("ua{number}"))).collect()
}

fn start(director: &Director, key: &str) -> Answer {
    Client::new().post_json(&director.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": key}))
}

/// The session and the server of an answer.
fn seat(answer: &Answer) -> (String, String) {
    let seat = answer.json();
    (seat["session"].as_str().unwrap().to_owned(), seat["server"]["name"].as_str().unwrap().to_owned())
}

fn journal(director: &Director) -> PathBuf {
    director.folder().join("state").join("journal.redb")
}

fn set_aside(director: &Director) -> usize {
    let files = fs::read_dir(director.folder().join("state")).unwrap();
    files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains(".corrupt-")).count()
}

#[test]
fn row_10_nothing_that_was_written_is_lost_by_a_kill_at_any_moment() {
    let stubs = stubs(3);
    let mut director = Plan::new().stubs(&stubs).with("pool", "capacity = 1000000").keeping_state().start();
    let mut random = u64::from(std::process::id()) | 1;
    println!("random from {random}");
    let mut known: BTreeMap<String, (String, String)> = BTreeMap::new();
    let (mut unwritten, mut oldest, mut checked) = (0, Duration::ZERO, 0);
    for round in 0..KILLS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (mut fresh, mut line) = (Vec::new(), Line::open(&director));
        let mut starts = |count: u64| {
            for _ in 0..count {
                let key = format!("{round}-{}", fresh.len());
                let answer = line.start(&key);
                assert_eq!(answer.status, 201, "{answer:?}");
                fresh.push((key, seat(&answer), Instant::now()));
            }
            fresh.len()
        };
        // How many had been answered when so many commits were counted. By its own count the journal has the first `written`.
        let (mut counts, mut written): (Vec<(usize, u64)>, usize) = (Vec::new(), 0);
        let enough = usize::try_from(random % 60).unwrap() + 1;
        wait::until("enough is on disk", || {
            let answered = starts(random % 7 + 1);
            let commits = director.commits();
            counts.push((answered, commits));
            let surely = counts.iter().filter(|(_, then)| then + ALL_WRITTEN <= commits);
            written = surely.map(|(answered, _)| *answered).max().unwrap_or(0);
            written >= enough
        });
        starts(random % 11);
        let killed = Instant::now();
        director.kill();
        director.start_again();
        let mut line = Line::open(&director);
        for (number, (key, seat_then, at)) in fresh.into_iter().enumerate() {
            let answer = line.start(&key);
            let lost = answer.json()["affinity"] != "kept";
            assert!(!lost || number >= written, "{key} is lost, one of {written} that were on disk: {answer:?}");
            if lost {
                unwritten += 1;
                oldest = oldest.max(killed - at);
            }
            known.insert(key, if lost { seat(&answer) } else { seat_then });
        }
        // What earlier rounds left is spot-checked.
        let step = known.len() / 50 + 1;
        for (key, before) in known.iter().step_by(step) {
            let answer = line.start(key);
            assert_eq!((answer.json()["affinity"].as_str(), &seat(&answer)), (Some("kept"), before), "{key}");
            checked += 1;
        }
    }
    assert_eq!(set_aside(&director), 0, "a kill damages no journal");
    println!(
        "{} sessions, {unwritten} lost that were not on disk, at most {oldest:?} old; {checked} old ones checked",
        known.len()
    );
}

#[test]
fn row_10_who_has_moved_is_remembered_there_where_placement_alone_would_give_the_first_server() {
    let mut stubs = stubs(3);
    let mut director = Plan::new().stubs(&stubs).keeping_state().start();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    let (_, first) = seat(&start(&director, "1001"));
    let own = stubs.iter_mut().find(|stub| stub.name() == first).unwrap();
    own.stop();
    wait::until("the server is out", || !director.usable().contains(&first));
    let moved = start(&director, "1001").json();
    assert_eq!(moved["affinity"], "moved");
    own.restart();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    director.wait_until_written();
    director.kill();
    director.start_again();
    let after = start(&director, "1001").json();
    assert_eq!((&after["affinity"], &after["server"]), (&json!("kept"), &moved["server"]));
    assert!(after["generation"].as_u64() >= Some(2), "{after}");
}

#[test]
fn row_26_a_full_disk_is_an_alarm_and_stops_nothing() {
    let stubs = stubs(2);
    // A file may not grow beyond 4 MiB: for the journal that is a disk that is full.
    let mut director = Plan::new()
        .stubs(&stubs)
        .with("pool", "capacity = 1000000")
        .keeping_state()
        .prepared_by("trap '' XFSZ; ulimit -S -f 8192")
        .start();
    let filler = "x".repeat(100);
    let (mut count, mut line) = (0, Line::open(&director));
    wait::until("the journal reports that the disk is full", || {
        for _ in 0..200 {
            count += 1;
            let answer = line.start(&format!("{filler}-{count}"));
            assert!((200..300).contains(&answer.status), "a full disk refuses nobody: {answer:?}");
        }
        director.has_said("the journal cannot be written")
    });
    let said = director.words().into_iter().find(|line| line.contains("the journal cannot be written")).unwrap();
    assert!(said.contains("trouble=\"full\""), "{said}");
    assert_eq!(director.metric("maitred_journal_failing"), Some(1.0));
    let mut client = Client::new();
    wait::until("ready says so and stays open", || {
        let ready = client.get(&director.url("/health/ready"));
        assert_eq!(ready.status, 200, "{ready:?}");
        ready.text().starts_with("degraded")
    });
    let last = seat(&start(&director, "during"));
    // The disk gets room again.
    let id = director.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:"]).status().unwrap().success());
    wait::until("the journal is written again", || director.has_said("the journal is written again"));
    wait::until("ready says yes", || client.get(&director.url("/health/ready")).text().starts_with("ok"));
    director.kill();
    director.start_again();
    let answer = start(&director, "during");
    assert_eq!(
        (answer.json()["affinity"].as_str(), seat(&answer)),
        (Some("kept"), last),
        "what memory held is written"
    );
}

#[test]
fn row_26_a_log_that_cannot_be_written_stops_nothing() {
    let stubs = stubs(2);
    let mut director = Plan::new().stubs(&stubs).prepared_by("exec >/dev/full 2>/dev/full").start();
    for number in 0..50 {
        assert_eq!(start(&director, &number.to_string()).status, 201);
    }
    director.terminate();
    assert!(director.wait().success());
}

#[test]
fn row_27_a_damaged_journal_is_set_aside_and_reported_and_the_director_starts() {
    let stubs = stubs(3);
    let mut director = Plan::new().stubs(&stubs).keeping_state().start();
    let mut seats: Vec<(String, String)> = Vec::new();
    for number in 0..20 {
        seats.push(seat(&start(&director, &number.to_string())));
    }
    let mut cookie = Client::new();
    let carried = cookie.get(&director.url("/desk?agent=0")).location();
    let damages: [(&str, Damage); 4] = [
        ("garbage", |file| file.fill(0x5a)),
        ("cut short", |file| file.truncate(1000)),
        ("empty head", |file| file[..512].fill(0)),
        ("another program's file", |file| *file = b"not a journal at all".repeat(1000)),
    ];
    for (round, (name, damage)) in damages.into_iter().enumerate() {
        director.terminate();
        assert!(director.wait().success());
        let mut file = fs::read(journal(&director)).unwrap();
        damage(&mut file);
        fs::File::create(journal(&director)).unwrap().write_all(&file).unwrap();
        director.start_again();
        wait::until(&format!("{name} is reported"), || director.has_said("set aside"));
        assert_eq!(set_aside(&director), round + 1, "{name}");
        // A cookie is enough to find the way back, whatever became of the journal.
        assert_eq!(cookie.get(&director.url("/desk?agent=0")).location(), carried, "{name}");
        for number in 0..20 {
            assert!((200..300).contains(&start(&director, &number.to_string()).status), "{name}");
        }
    }
    director.terminate();
    assert!(director.wait().success());
    director.start_again();
    assert!(!director.has_said("set aside"), "the new journal is a good one");
    assert_eq!(start(&director, "7").json()["affinity"], "kept");
}
