//! Faults of servers: rows 1 to 9.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::certificates::{self, Certificates};
use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::plan::Plan;
use crate::support::silent::SilentServer;
use crate::support::stub::{Behaviour, StubServer};
use crate::support::wait;

fn stubs(count: usize) -> Vec<StubServer> {
    (1..=count).map(|number| StubServer::start(&format!("ua{number}"))).collect()
}

fn wait_for_up<'a>(director: &Director, stubs: impl IntoIterator<Item = &'a StubServer>) {
    for stub in stubs {
        wait::until(&format!("{} is up", stub.name()), || director.events("server_up", stub.name()) == 1);
    }
}

/// Where each of these keys is now: its server, its generation, and how it came there.
fn seats(director: &Director, keys: std::ops::Range<usize>) -> BTreeMap<usize, (String, u64, String)> {
    let mut client = Client::new();
    let url = director.url("/maitred/v1/sessions");
    keys.map(|key| {
        let answer = client.post_json(&url, &serde_json::json!({"pool": "ua", "key": format!("agent-{key}")}));
        assert!((200..300).contains(&answer.status), "{answer:?}");
        let seat = answer.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (key, (text(&seat["server"]["name"]), seat["generation"].as_u64().unwrap(), text(&seat["affinity"])))
    })
    .collect()
}

fn servers_of(seats: &BTreeMap<usize, (String, u64, String)>) -> BTreeSet<&str> {
    seats.values().map(|(server, ..)| server.as_str()).collect()
}

/// The lines that say why a server is down.
fn reasons(director: &Director, server: &str) -> Vec<String> {
    director.lines_with(&["event=\"server_down\"", &format!("server={server}")])
}

#[test]
fn row_1_a_crashed_server_gets_nobody_and_its_sessions_move_once() {
    let mut stubs = stubs(3);
    let director = Plan::new().stubs(&stubs).start();
    wait_for_up(&director, &stubs);
    let before = seats(&director, 0..30);
    assert_eq!(servers_of(&before).len(), 3, "{before:?}");
    stubs[0].stop();
    wait::until("ua1 is down", || director.events("server_down", "ua1") == 1);
    assert!(reasons(&director, "ua1")[0].contains("reason=\"refused\""), "{:?}", reasons(&director, "ua1"));
    let after = seats(&director, 0..60);
    assert!(!servers_of(&after).contains("ua1"), "{after:?}");
    for (key, (server, generation, _)) in &before {
        let (now, then, affinity) = &after[key];
        if server == "ua1" {
            assert_eq!((*then, affinity.as_str()), (generation + 1, "moved"), "{key}");
        } else {
            assert_eq!((now, *then, affinity.as_str()), (server, *generation, "kept"), "{key}");
        }
    }
    stubs[0].restart();
    wait::until("ua1 is up again", || director.events("server_up", "ua1") == 2);
    for (key, (server, _, affinity)) in seats(&director, 0..60) {
        assert_eq!((&server, affinity.as_str()), (&after[&key].0, "kept"), "nobody is moved back");
    }
    assert!(servers_of(&seats(&director, 60..120)).contains("ua1"), "new sessions go there");
}

#[test]
fn row_1_when_every_server_has_crashed_the_answer_is_503_with_a_time_to_come_back() {
    let mut stubs = stubs(2);
    let director = Plan::new().stubs(&stubs).start();
    wait_for_up(&director, &stubs);
    stubs.iter_mut().for_each(StubServer::stop);
    for stub in &stubs {
        wait::until("all are down", || director.events("server_down", stub.name()) == 1);
    }
    let mut client = Client::new();
    let answer = client.get(&director.url("/desk?agent=1"));
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1, "{answer:?}");
    assert_eq!(answer.json()["code"], 2001);
    let ready = client.get(&director.url("/health/ready"));
    assert!(ready.status == 200 && ready.text().starts_with("degraded"), "the door to the page stays open: {ready:?}");
    stubs[1].restart();
    wait::until("one is back", || client.get(&director.url("/desk?agent=1")).status == 302);
}

#[test]
fn row_2_a_hung_server_is_asked_one_question_at_a_time_and_is_down() {
    let stubs = stubs(2);
    let silent = SilentServer::start();
    let director = Plan::new()
        .stubs(&stubs)
        .server("ua3", silent.port())
        // An interval that is much shorter than the wait for an answer, so that questions could pile up.
        .with("pool.health", "interval = \"100ms\"\nfast = \"100ms\"\ntimeout = \"500ms\"")
        .start();
    wait::until("ua3 is down", || director.events("server_down", "ua3") == 1);
    assert!(reasons(&director, "ua3")[0].contains("reason=\"timeout\""));
    wait::until("it is asked further", || silent.taken() >= 8);
    assert_eq!(silent.open_max(), 1, "one probe in flight");
    assert!(!servers_of(&seats(&director, 0..20)).contains("ua3"));
}

#[test]
fn rows_2_and_5_a_kept_connection_that_falls_silent_is_given_up_and_a_new_one_heals_it() {
    let stubs = stubs(3);
    let director = Plan::new().stubs(&stubs).with("pool.health", "timeout = \"1s\"").start();
    wait_for_up(&director, &stubs);
    wait::until("the connection is kept", || stubs[0].looks() >= 5);
    stubs[0].behave(Behaviour::Hang);
    wait::until("ua1 is down", || director.events("server_down", "ua1") == 1);
    assert!(reasons(&director, "ua1")[0].contains("reason=\"timeout\""));
    // What hangs on the old connection hangs for ever: only a new one can bring the answer.
    stubs[0].behave(Behaviour::Good);
    wait::until("ua1 is up again", || director.events("server_up", "ua1") == 2);
}

#[test]
fn row_3_a_slow_server_keeps_its_sessions() {
    let stubs = stubs(3);
    let director = Plan::new().stubs(&stubs).with("pool.health", "timeout = \"4s\"").start();
    wait_for_up(&director, &stubs);
    let before = seats(&director, 0..20);
    stubs[0].behave(Behaviour::Slow(Duration::from_secs(2)));
    let looks = stubs[0].looks();
    wait::until("it was asked again and again", || stubs[0].looks() >= looks + 4);
    for (key, (server, _, affinity)) in seats(&director, 0..20) {
        assert_eq!((&server, affinity.as_str()), (&before[&key].0, "kept"));
    }
    assert!(stubs.iter().all(|stub| director.events("server_down", stub.name()) == 0));
}

#[test]
fn row_4_single_failures_change_nothing_and_each_change_is_logged_once() {
    let stubs = stubs(3);
    let director = Plan::new().stubs(&stubs).with("pool.health", "interval = \"100ms\"").start();
    wait_for_up(&director, &stubs);
    let before = seats(&director, 0..30);
    stubs[0].behave(Behaviour::Alternate);
    let looks = stubs[0].looks();
    wait::until("it fails every second look", || stubs[0].looks() >= looks + 30);
    assert_eq!(director.events("server_down", "ua1"), 0, "fall = 2 in a row, and never two in a row failed");
    for round in 1..=4 {
        stubs[0].behave(Behaviour::Status(500));
        wait::until("down", || director.events("server_down", "ua1") == round);
        let looks = stubs[0].looks();
        wait::until("it stays down", || stubs[0].looks() >= looks + 5);
        stubs[0].behave(Behaviour::Good);
        wait::until("up", || director.events("server_up", "ua1") == round + 1);
        let looks = stubs[0].looks();
        wait::until("it stays up", || stubs[0].looks() >= looks + 5);
        wait::for_equal("one line a change", &(round, round + 1), || {
            (director.events("server_down", "ua1"), director.events("server_up", "ua1"))
        });
    }
    // It fell four times: it is held down, which ranks. Who is there stays (nobody asked meanwhile), nobody new comes.
    let after = seats(&director, 0..30);
    assert_eq!(servers_of(&before), servers_of(&after));
    assert!(after.values().all(|(_, _, affinity)| affinity == "kept"));
    assert!(!servers_of(&seats(&director, 30..90)).contains("ua1"));
    assert_eq!(director.events("server_down", "ua2") + director.events("server_down", "ua3"), 0);
}

#[test]
fn row_6_each_wrong_answer_has_its_reason() {
    let stubs = stubs(10);
    let director = Plan::new().stubs(&stubs).with("pool.health", "timeout = \"2s\"").start();
    wait_for_up(&director, &stubs);
    let wrong = [
        (Behaviour::Status(500), "status"),
        (Behaviour::Status(404), "status"),
        (Behaviour::Redirect, "status"),
        (Behaviour::Close, "closed"),
        (Behaviour::Endless, "too_large"),
        (Behaviour::Drip, "timeout"),
        (Behaviour::Report("{\"maitred\": 1, \"server\": 7}".to_owned()), "body"),
    ];
    for (stub, (behaviour, _)) in stubs.iter().zip(&wrong) {
        stub.behave(behaviour.clone());
    }
    for (stub, (behaviour, reason)) in stubs.iter().zip(&wrong) {
        wait::until(&format!("{behaviour:?} is noticed"), || director.events("server_down", stub.name()) == 1);
        let line = reasons(&director, stub.name()).remove(0);
        assert!(line.contains(&format!("reason=\"{reason}\"")), "{behaviour:?}: {line}");
        let shown = director.server(stub.name());
        assert_eq!(shown["last_look"]["failure"]["kind"], *reason, "{behaviour:?}: {shown}");
        let up = director.metric(&format!("maitred_server_up{{pool=\"ua\",server=\"{}\"}}", stub.name()));
        assert_eq!(up, Some(0.0), "{behaviour:?}");
        let counted = director.metric(&format!("maitred_probes_total{{pool=\"ua\",outcome=\"{reason}\"}}"));
        assert!(counted >= Some(2.0), "{behaviour:?}: {counted:?}");
    }
    assert_eq!(servers_of(&seats(&director, 0..40)), BTreeSet::from(["ua8", "ua9", "ua10"]));
    stubs.iter().for_each(|stub| stub.behave(Behaviour::Good));
    for (stub, (behaviour, _)) in stubs.iter().zip(&wrong) {
        wait::until(&format!("{behaviour:?} is over"), || director.events("server_up", stub.name()) == 2);
    }
}

#[test]
fn row_7_each_wrong_certificate_has_its_reason() {
    let shared = certificates::shared();
    let stubs = stubs(5);
    stubs[0].show(shared.server_with(&["ua1.test"], -2..-1));
    stubs[1].show(shared.server_with(&["ua2.test"], 1..2));
    stubs[2].show(shared.server_with(&["elsewhere.test"], -1..1));
    stubs[3].show(Certificates::create().server_config());
    let director = Plan::new().stubs(&stubs).start();
    for (stub, word) in stubs.iter().zip(["expired", "not_yet_valid", "wrong_name", "unknown_issuer"]) {
        wait::until(&format!("{word} is noticed"), || director.events("server_down", stub.name()) == 1);
        let line = reasons(&director, stub.name()).remove(0);
        assert!(line.contains("reason=\"tls\"") && line.contains(word), "{line}");
    }
    assert_eq!(servers_of(&seats(&director, 0..20)), BTreeSet::from(["ua5"]));
    stubs[0].show(shared.server_config());
    wait::until("a new certificate heals it", || director.events("server_up", "ua1") == 1);
}

#[test]
fn row_8_a_server_that_answers_under_another_name_is_down() {
    let stubs = stubs(3);
    let says = |name: &str| Behaviour::Report(format!("{{\"maitred\": 1, \"server\": \"{name}\"}}"));
    let director = Plan::new().stubs(&stubs).start();
    wait_for_up(&director, &stubs);
    stubs[0].behave(says("ua2"));
    stubs[1].behave(says("ua1"));
    stubs[2].behave(says("ua3"));
    for name in ["ua1", "ua2"] {
        wait::until("swapped names are noticed", || director.events("server_down", name) == 1);
        assert!(reasons(&director, name)[0].contains("reason=\"wrong_name\""), "{:?}", reasons(&director, name));
    }
    assert_eq!(servers_of(&seats(&director, 0..10)), BTreeSet::from(["ua3"]));
    stubs[0].behave(says("ua1"));
    wait::until("it is itself again", || director.events("server_up", "ua1") == 2);
}

#[test]
fn row_9_when_all_fall_silent_at_once_the_last_good_set_stays() {
    let stubs = stubs(6);
    let director = Plan::new()
        .stubs(&stubs)
        // All must have fallen silent before the first one has failed this often, however slow the machine is.
        .with("pool.health", "interval = \"200ms\"\ntimeout = \"500ms\"\nfall = 8")
        .start();
    wait_for_up(&director, &stubs);
    let before = seats(&director, 0..30);
    stubs.iter().for_each(|stub| stub.behave(Behaviour::Hang));
    let suspects = || director.lines_with(&["event=\"director_suspect\""]).len();
    wait::until("the director suspects itself", || suspects() == 1);
    assert_eq!(director.metric("maitred_suspects_itself{pool=\"ua\"}"), Some(1.0));
    let looks: Vec<usize> = stubs.iter().map(StubServer::looks).collect();
    wait::until("every server was silent far more than `fall` times", || {
        stubs.iter().zip(&looks).all(|(stub, looks)| stub.looks() >= looks + 12)
    });
    for (key, (server, _, affinity)) in seats(&director, 0..30) {
        assert_eq!((&server, affinity.as_str()), (&before[&key].0, "kept"));
    }
    assert!(servers_of(&seats(&director, 30..90)).len() > 3, "new sessions are spread over the last good set");
    assert!(stubs.iter().all(|stub| director.events("server_down", stub.name()) == 0));
    stubs.iter().for_each(|stub| stub.behave(Behaviour::Good));
    wait::until("it trusts itself again", || suspects() == 2);
    assert!(stubs.iter().all(|stub| director.events("server_down", stub.name()) == 0));
}
