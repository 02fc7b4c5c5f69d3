//! Faults of the machine around the director: rows 11, 24 and 28, and its end.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::kept::Crowd;
use crate::support::plan::Plan;
use crate::support::process;
use crate::support::stub::StubServer;
use crate::support::wait;

/// From the package `libfaketime`; the folder is named after the machine's kind.
fn libfaketime() -> String {
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    process::require(&path);
    path
}

fn stubs(count: usize) -> Vec<StubServer> {
    (1..=count).map(|number| StubServer::start(&format!("ua{number}"))).collect()
}

/// Sets the machine's clock, as the director sees it.
fn set_clock(file: &Path, offset: &str) {
    let new = file.with_extension("new");
    fs::write(&new, offset).unwrap();
    fs::rename(new, file).unwrap();
}

#[test]
fn row_24_a_clock_that_jumps_moves_nobody_and_fells_nobody() {
    let stubs = stubs(3);
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    set_clock(&clock, "+0");
    let director = Plan::new()
        .stubs(&stubs)
        .prepared_by(&format!(
            "export LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
            libfaketime(),
            clock.display()
        ))
        .start();
    let mut agents: Vec<Client> = (0..10).map(|_| Client::new()).collect();
    // No agent id: the cookie alone says who it is.
    let before: Vec<_> = agents.iter_mut().map(|agent| agent.get(&director.url("/desk")).location()).collect();
    let starts = agents.iter_mut().map(|agent| agent.get(&director.url("/desk")).location());
    assert_eq!(starts.collect::<Vec<_>>(), before);
    for offset in ["+1h", "-1h", "+1d", "-23h", "+0"] {
        set_clock(&clock, offset);
        let looks: Vec<usize> = stubs.iter().map(StubServer::looks).collect();
        wait::until("servers are looked at as before", || {
            stubs.iter().zip(&looks).all(|(stub, looks)| stub.looks() >= looks + 5)
        });
        for (agent, before) in agents.iter_mut().zip(&before) {
            assert_eq!(&agent.get(&director.url("/desk")).location(), before, "after {offset}");
        }
        assert_eq!(director.lines_with(&["event=\"server_down\""]), Vec::<String>::new(), "after {offset}");
        // The log shows the machine's clock: the director did see the jump.
        let hour = |line: &str| line.get(..13).map(str::to_owned);
        let (said, first) = (director.words().last().and_then(|line| hour(line)), hour(&director.words()[0]));
        assert_eq!(said == first, offset == "+0", "{offset}: {said:?} {first:?}");
        let jump = director.metric("maitred_clock_jump_seconds").unwrap();
        assert_eq!(jump.abs() > 3000.0, offset != "+0", "{offset}: {jump}");
        let told = if offset == "+0" { "is the director's own again" } else { "is not the director's own" };
        wait::until("the jump is told", || {
            director.lines_with(&["event=\"clock_jump\""]).last().is_some_and(|line| line.contains(told))
        });
    }
    // It has lived through all of it.
    assert_eq!(director.lines_with(&["event=\"time_lost\""]), Vec::<String>::new());
}

#[test]
fn row_11_a_director_that_was_frozen_blames_nobody() {
    let stubs = stubs(3);
    let director = Plan::new().stubs(&stubs).start();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    director.freeze();
    std::thread::sleep(Duration::from_secs(3));
    let (looks, thawed) = (stubs.iter().map(StubServer::looks).collect::<Vec<_>>(), Instant::now());
    director.thaw();
    let mut client = Client::new();
    let url = director.url("/maitred/v1/sessions");
    for number in 0..20 {
        let seat = client.post_json(&url, &json!({"pool": "ua", "key": number.to_string()})).json();
        assert_eq!((&seat["affinity"], director.usable().len()), (&json!("placed"), 3));
    }
    wait::until("servers are looked at again", || {
        stubs.iter().zip(&looks).all(|(stub, looks)| stub.looks() >= looks + 6)
    });
    // One was under way, one is due at once, and the others come one by one: nothing is made up for.
    assert!(thawed.elapsed() >= Duration::from_millis(300), "a burst of looks within {:?}", thawed.elapsed());
    assert_eq!(director.lines_with(&["event=\"server_down\""]), Vec::<String>::new());
}

/// Seconds of CPU that a process has used.
pub(super) fn cpu_seconds(director: &Director) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", director.id())).unwrap();
    // The name, in parentheses, may contain blanks; user and system time are the 14th and 15th field of the whole line.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

#[test]
fn row_28_without_file_descriptors_those_inside_are_served_and_nothing_spins() {
    let stubs = stubs(2);
    let director = Plan::new().stubs(&stubs).prepared_by("ulimit -n 64").start();
    wait::until("servers are up", || stubs.iter().all(|stub| director.events("server_up", stub.name()) == 1));
    let crowd = Crowd::start(&director, 2, 5);
    crowd.go_on_for(20);
    let port = director.ports().public;
    let flood: Vec<TcpStream> = (0..120).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let open = || fs::read_dir(format!("/proc/{}/fd", director.id())).unwrap().count();
    wait::until("its descriptors are used up", || open() >= 62);
    // Callers that are inside go on, servers are still asked.
    let looks = stubs[0].looks();
    crowd.go_on_for(50);
    wait::until("probes go on", || stubs[0].looks() > looks + 3);
    let known = crowd.stop();
    assert_eq!((known.failures, known.moves), (Vec::new(), Vec::new()));
    let (cpu, since) = (cpu_seconds(&director), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let share = (cpu_seconds(&director) - cpu) / since.elapsed().as_secs_f64();
    assert!(share < 0.6, "{share:.2} of a core while nobody can be let in");
    drop(flood);
    let mut client = Client::new();
    wait::until("newcomers are let in again", || {
        client
            .try_send(hyper::Method::GET, &director.url("/desk?agent=1"), &[], "")
            .is_ok_and(|answer| answer.status == 302)
    });
    assert_eq!(director.lines_with(&["event=\"server_down\""]), Vec::<String>::new());
}

#[test]
fn the_end_is_announced_first_and_loses_nothing() {
    let stubs = stubs(3);
    let mut director = Plan::new().stubs(&stubs).keeping_state().with("director", "stop_delay = \"4s\"").start();
    let mut client = Client::new();
    let ready = |client: &mut Client| client.try_send(hyper::Method::GET, &director.url("/health/ready"), &[], "");
    assert_eq!(ready(&mut client).unwrap().status, 200);
    let url = director.url("/maitred/v1/sessions");
    let place = |client: &mut Client, key: &str| client.post_json(&url, &json!({"pool": "ua", "key": key})).json();
    let before: Vec<_> = (0..20).map(|number| place(&mut client, &number.to_string())).collect();
    director.terminate();
    wait::until("ready says no", || {
        ready(&mut client).is_ok_and(|answer| answer.status == 503 && answer.text().starts_with("no stopping"))
    });
    // Balancers have seen it; who comes all the same is served, and remembered.
    let late = place(&mut client, "late");
    assert!(director.wait().success());
    wait::until("its end is told", || director.has_said("stopped"));
    director.start_again();
    for (number, seat) in
        before.iter().enumerate().map(|(number, seat)| (number.to_string(), seat)).chain([("late".to_owned(), &late)])
    {
        let now = place(&mut client, &number);
        assert_eq!((&now["session"], &now["affinity"]), (&seat["session"], &json!("kept")), "{number}");
    }
}

#[test]
fn row_28_as_many_files_may_be_open_as_the_system_allows_and_too_few_are_told() {
    let stubs = stubs(1);
    let director = Plan::new().stubs(&stubs).prepared_by("ulimit -Sn 200").start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", director.id())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "soft and hard: {files:?}");
    assert_ne!(files[3], "200");

    let few =
        Plan::new().stubs(&stubs).with("end", "[limits]\nconnections = 1000").prepared_by("ulimit -n 300").start();
    wait::until("too few files are told", || few.has_said("fewer files may be open"));
}
