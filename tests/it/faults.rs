//! What goes wrong around one director, with real processes and sockets (the failure matrix of the reliability contract): servers that
//! die, hang or lie, a director that is killed or frozen, files that are broken or replaced.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::certificates::{self, Certificates};
use crate::support::client::Client;
use crate::support::director::{Director, Plan};
use crate::support::stub::{Behaviour, StubServer};
use crate::support::wait;

/// Three good servers and a director that has seen them: one of three may fall silent without the director suspecting itself.
fn three() -> ([StubServer; 3], Director) {
    let stubs = ["ua1", "ua2", "ua3"].map(StubServer::start);
    let director = Plan::new().stubs(&stubs).keeping_state().with("pool.health", "timeout = \"500ms\"").start();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    (stubs, director)
}

#[track_caller]
fn seat(director: &Director, key: &str) -> Value {
    Client::new().post_json(&director.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": key})).json()
}

/// The reasons for which a server went down so far, oldest first.
fn reasons(director: &Director, server: &str) -> Vec<String> {
    let server = format!("server={server} ");
    let lines = director.words().into_iter().filter(|line| line.contains("server is down") && line.contains(&server));
    lines.filter_map(|line| Some(line.split("reason=\"").nth(1)?.split('"').next()?.to_owned())).collect()
}

#[test]
fn each_way_to_be_sick_takes_a_server_out_for_its_own_reason_and_health_brings_it_back() {
    let (stubs, director) = three();
    let sick = &stubs[1];
    let liar = |name: &str| Behaviour::Report(json!({"maitred": 1, "server": name}).to_string());
    let mut expected = Vec::new();
    for (behaviour, reason) in [
        (Behaviour::Status(500), "status"),
        (Behaviour::Redirect, "status"),
        (Behaviour::Hang, "timeout"),
        (Behaviour::Drip, "timeout"),
        (Behaviour::Endless, "too_large"),
        (Behaviour::Close, "closed"),
        (liar("ua3"), "wrong_name"),
    ] {
        sick.behave(behaviour);
        expected.push(reason.to_owned());
        wait::for_equal("the reasons in the log", &expected, || reasons(&director, "ua2"));
        director.wait_for_usable(&["ua1", "ua3"]);
        sick.behave(liar("ua2"));
        director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    }
}

#[test]
fn a_certificate_that_proves_nothing_takes_a_server_out() {
    let (mut stubs, director) = three();
    let ours = certificates::shared();
    let mut expected = Vec::new();
    for shown in [
        ours.server_with(&["ua3.test"], -1..1),
        ours.server_with(&["ua2.test"], -9..-2),
        ours.server_with(&["ua2.test"], 2..9),
        Certificates::create().server_with(&["ua2.test"], -1..1),
    ] {
        // A kept connection is still the old one: end it as a restart would.
        stubs[1].stop();
        stubs[1].show(shown);
        stubs[1].restart();
        expected.push("tls".to_owned());
        wait::for_equal("the reasons in the log", &expected, || reasons(&director, "ua2"));
        director.wait_for_usable(&["ua1", "ua3"]);
        stubs[1].stop();
        stubs[1].show(ours.server_config());
        stubs[1].restart();
        director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    }
}

#[test]
fn a_dead_server_gets_no_start_and_its_sessions_move_once_for_all() {
    let (mut stubs, director) = three();
    let before: Vec<(String, Value)> = (0..30).map(|n| (n.to_string(), seat(&director, &n.to_string()))).collect();
    let of = |seat: &Value| seat["server"]["name"].as_str().unwrap().to_owned();
    assert!(before.iter().any(|(_, seat)| of(seat) == "ua1"));
    stubs[0].stop();
    director.wait_for_usable(&["ua2", "ua3"]);
    let after: Vec<Value> = before.iter().map(|(key, _)| seat(&director, key)).collect();
    for ((key, before), after) in before.iter().zip(&after) {
        let expected = if of(before) == "ua1" { "moved" } else { "kept" };
        assert_eq!(after["affinity"], expected, "key {key}: {before} {after}");
        assert_ne!(of(after), "ua1");
    }
    stubs[0].restart();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    for ((key, _), after) in before.iter().zip(&after) {
        assert_eq!(seat(&director, key)["server"], after["server"], "who has moved is not moved back");
    }
}

#[test]
fn silence_of_all_servers_at_once_is_the_directors_own_trouble() {
    let (stubs, director) = three();
    stubs.iter().for_each(|stub| stub.behave(Behaviour::Hang));
    wait::until("the director suspects itself", || director.has_said("suspects itself"));
    assert_eq!(seat(&director, "1")["affinity"], "placed");
    assert_eq!(director.usable().len(), 3, "the last good picture stands");
}

#[test]
fn a_killed_director_remembers_who_sits_where() {
    let (mut stubs, mut director) = three();
    let first = seat(&director, "1001")["server"]["name"].as_str().unwrap().to_owned();
    let own = stubs.iter_mut().find(|stub| stub.name() == first).unwrap();
    own.stop();
    wait::until("the server is out", || !director.usable().contains(&first));
    let moved = seat(&director, "1001");
    assert_eq!(moved["affinity"], "moved");
    own.restart();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);

    // Placement alone would give the first server again. The journal is at most 50 ms behind; a later start is behind this one.
    std::thread::sleep(std::time::Duration::from_millis(500));
    director.kill();
    director.start_again();
    let after = seat(&director, "1001");
    assert_eq!((&after["affinity"], &after["server"]), (&json!("kept"), &moved["server"]));
    assert!(after["generation"].as_u64() >= Some(2), "{after}");
}

#[test]
fn a_broken_journal_is_set_aside_and_the_director_starts() {
    let (_stubs, mut director) = three();
    seat(&director, "1001");
    director.kill();
    let state = director.folder().join("state");
    let files: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in files.iter().filter(|file| fs::metadata(file).unwrap().len() > 0) {
        let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
        file.write_all(&[0xa5; 4096]).unwrap();
    }
    director.start_again();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    let names: Vec<String> =
        fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.contains("corrupt")), "{names:?}");
}

#[test]
fn a_director_that_was_frozen_blames_nobody() {
    let (_stubs, director) = three();
    director.freeze();
    std::thread::sleep(std::time::Duration::from_secs(3));
    director.thaw();
    let down = || director.words().iter().filter(|line| line.contains("server is down")).count();
    for number in 0..20 {
        assert_eq!(seat(&director, &number.to_string())["affinity"], "placed");
        assert_eq!(director.usable().len(), 3);
    }
    assert_eq!(down(), 0, "{:#?}", director.words());
}

#[test]
fn a_bad_reload_changes_nothing_and_a_good_one_loses_nobody() {
    let (stubs, director) = three();
    let before = seat(&director, "1001");
    let good = fs::read_to_string(director.config()).unwrap();

    fs::write(director.config(), good.replace("fall = 2", "fal = 2")).unwrap();
    director.reload();
    wait::until("the log names the mistake", || {
        director.words().iter().any(|line| line.contains("maitred.toml:") && line.contains("fal"))
    });
    assert_eq!(seat(&director, "1001")["server"], before["server"]);
    assert_eq!(director.usable().len(), 3);

    let fourth = StubServer::start("ua4");
    let more = format!(
        "{good}\n[[pool.server]]\nname = \"ua4\"\ndatacenter = \"east\"\nurl = \"{}\"\nprobe_url = \"https://127.0.0.1:{}\"\n",
        fourth.origin(),
        fourth.port()
    );
    fs::write(director.config(), more).unwrap();
    director.reload();
    director.wait_for_usable(&["ua1", "ua2", "ua3", "ua4"]);
    let after = seat(&director, "1001");
    assert_eq!((&after["affinity"], &after["server"]), (&json!("kept"), &before["server"]));
    drop(stubs);
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let own = Arc::new(Certificates::create());
    let stub = StubServer::start("ua1");
    // The probes trust the shared authority, under which the stub's certificate is.
    let ca = format!("ca = {:?}", certificates::shared().path("ca.pem"));
    let director = Plan::new().stubs([&stub]).with("pool.health", &ca).start_with(Arc::clone(&own));
    let shown = || {
        let connection = std::process::Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{}", director.ports().public)])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("openssl: {error}. `tests/run` installs what the tests need."));
        let text = String::from_utf8_lossy(&connection.stdout).into_owned();
        text.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap_or_default().to_owned()
    };
    let before = shown();
    assert!(!before.is_empty());
    own.renew_public();
    director.reload();
    wait::until("the new certificate is shown", || shown() != before);
}

#[test]
fn a_stop_drains_and_ends_well() {
    let (_stubs, mut director) = three();
    director.terminate();
    wait::for_equal("ready", &"no".to_owned(), || {
        let answer = Client::new().get(&director.url("/health/ready"));
        answer.text().split_whitespace().next().unwrap_or_default().to_owned()
    });
    assert_eq!(seat(&director, "1001")["affinity"], "placed", "serving goes on for stop_delay");
    assert!(director.wait().success());
}
