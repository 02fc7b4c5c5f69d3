//! What servers say: beats, who has logged in, states and ends; each about itself only, and nothing that is malformed.

use maitred_core::held::HELD_MAX;
use maitred_core::ids::{ServerName, SessionId};
use serde_json::{Value, json};

use super::fixture::{As, Fixture, OPERATOR};
use crate::http::answer::Answer;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const UA1: As = As::Token("token-of-ua1");
const UA2: As = As::Token("token-of-ua2");
const BEAT: &str = "/v1/servers/ua1/heartbeat";

fn beat(house: &Fixture, who: As, server: &str, body: &Value) -> Answer {
    house.ask(who, "PUT", &format!("/v1/servers/{server}/heartbeat"), &[JSON], &body.to_string())
}

fn session(house: &Fixture, who: As, method: &str, key: &str, what: &str, body: &Value) -> Answer {
    house.ask(who, method, &format!("/v1/sessions/ua/{key}/{what}"), &[JSON], &body.to_string())
}

/// What a server says of a session that it was given.
fn word(server: &str, generation: u32) -> Value {
    json!({ "server": server, "incarnation": "boot-1", "generation": generation })
}

/// A word with one member more.
fn and(mut word: Value, member: &str, value: impl Into<Value>) -> Value {
    word[member] = value.into();
    word
}

/// A house whose servers have said who they are, and a session at each of the two in the east.
fn two_servers(house: &Fixture) -> (String, String) {
    for (server, who) in [("ua1", UA1), ("ua2", UA2)] {
        house.look(server, true);
        beat(house, who, server, &json!({ "incarnation": "boot-1" })).ok();
    }
    let at = |server: &str| {
        let mut keys = (0..100).map(|number| format!("key-{number}"));
        keys.find(|key| house.seat(key).server.name.as_str() == server).unwrap()
    };
    (at("ua1"), at("ua2"))
}

#[test]
fn a_beat_is_evidence_and_is_answered() {
    let house = Fixture::start();
    let told = json!({
        "incarnation": "boot-1", "sessions": 412, "capacity": 1000, "draining": true, "later": {"member": 1},
    });
    let answer = beat(&house, UA1, "ua1", &told).ok();
    assert_eq!(answer["orders"], json!([]));
    assert_eq!((&answer["interval"], &answer["need_held"]), (&json!(2), &json!(true)));
    assert_eq!(answer["directors"], json!([{ "name": "east-1", "up": true }]), "those of the datacenter");
    let server = house.get("/v1/servers/ua1").ok();
    assert_eq!((&server["load"], &server["capacity"]), (&json!(412), &json!(1000)));
    assert_eq!((&server["incarnation"], &server["draining"]), (&json!("boot-1"), &json!(true)));
    let listed = json!({ "incarnation": "boot-1", "held": [], "held_seq": 1 });
    assert_eq!(beat(&house, UA1, "ua1", &listed).ok()["need_held"], false);
    let repeated = json!({ "incarnation": "boot-1", "held_seq": 1 });
    assert_eq!(beat(&house, UA1, "ua1", &repeated).ok()["need_held"], false);
    let moved_on = json!({ "incarnation": "boot-1", "held_seq": 2 });
    assert_eq!(beat(&house, UA1, "ua1", &moved_on).ok()["need_held"], true);
    assert_eq!(beat(&house, OPERATOR, "ua9", &listed).status, 200, "of another datacenter, by an operator");
}

#[test]
fn a_server_speaks_for_itself_only() {
    let house = Fixture::start();
    let (key, _) = two_servers(&house);
    let hello = json!({ "incarnation": "boot-1" });
    for who in [UA2, As::Token("token-of-view"), As::Token("token-of-prom")] {
        assert_eq!(beat(&house, who, "ua1", &hello).problem(), (403, 1006), "{who:?}");
        for (method, what) in [("POST", "confirm"), ("PUT", "state"), ("POST", "end")] {
            let body = and(word("ua1", 1), "state", 1);
            assert_eq!(session(&house, who, method, &key, what, &body).problem(), (403, 1006), "{who:?} {what}");
        }
        let path = format!("/v1/sessions/ua/{key}/state?server=ua1");
        assert_eq!(house.ask(who, "GET", &path, &[], "").problem(), (403, 1006), "{who:?}");
    }
    assert_eq!(beat(&house, As::Certificate("ua1"), "ua2", &hello).problem(), (403, 1006));
    assert_eq!(beat(&house, UA1, "no-such", &hello).problem(), (403, 1006), "learns nothing");
    assert_eq!(beat(&house, OPERATOR, "no-such", &hello).problem(), (404, 1007));
    // An operator's words about a session are no server's.
    let seat = house.get(&format!("/v1/sessions/ua/{key}")).ok();
    let order = json!({ "session": seat["session"], "generation": 1 });
    assert_eq!(session(&house, UA1, "POST", &key, "end", &order).problem(), (400, 1000));
    assert_eq!(house.get(&format!("/v1/sessions/ua/{key}")).ok()["state"], "seated");
}

#[test]
fn bad_beats_are_refused_and_nothing_of_them_is_taken() {
    let house = Fixture::start();
    let put = |headers: &[(&str, &str)], body: &str| house.ask(UA1, "PUT", BEAT, headers, body);
    for (body, attribute) in [
        ("", "body"),
        ("[]", "body"),
        ("{", "body"),
        ("{}", "incarnation"),
        (r#"{"incarnation": null}"#, "incarnation"),
        (r#"{"incarnation": ""}"#, "incarnation"),
        (r#"{"incarnation": "a\u0000"}"#, "incarnation"),
        (r#"{"incarnation": "boot-1", "incarnation": "boot-1"}"#, "incarnation"),
        (r#"{"incarnation": "boot-1", "server": "ua2"}"#, "server"),
        (r#"{"incarnation": "boot-1", "sessions": "7"}"#, "sessions"),
        (r#"{"incarnation": "boot-1", "sessions": 7, "capacity": -1}"#, "capacity"),
        (r#"{"incarnation": "boot-1", "depends": {"aes": 1}}"#, "depends"),
        (r#"{"incarnation": "boot-1", "held": {}}"#, "held"),
        (r#"{"incarnation": "boot-1", "held": [{"key": ""}]}"#, "held"),
        (r#"{"incarnation": "boot-1", "held_seq": 1.5}"#, "held_seq"),
        (r#"{"incarnation": "boot-1", "done": ["x"]}"#, "done"),
    ] {
        let answer = put(&[JSON], body);
        assert_eq!(answer.problem(), (400, 1000), "{body}");
        assert_eq!(answer.json()["attribute"], attribute, "{body}");
    }
    let long = format!(r#"{{"incarnation": "{}"}}"#, "i".repeat(65));
    let deep = format!(r#"{{"incarnation": "b", "x": {}{}}}"#, "[".repeat(40), "]".repeat(40));
    for body in [long, deep] {
        assert_eq!(put(&[JSON], &body).problem(), (400, 1000));
    }
    let hello = r#"{"incarnation": "boot-1"}"#;
    for headers in [
        &[][..],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[JSON, ("Content-Encoding", "gzip")],
    ] {
        assert_eq!(put(headers, hello).problem(), (415, 1004), "{headers:?}");
    }
    assert_eq!(house.ask(UA1, "PUT", &format!("{BEAT}?x=1"), &[JSON], hello).problem(), (400, 1000));
    assert_eq!(house.get("/v1/servers/ua1").ok()["incarnation"], Value::Null, "nothing was taken");
}

#[test]
fn long_lists_are_taken_to_their_bound_and_no_further() {
    let house = Fixture::start();
    let list = |count: usize| {
        let held: Vec<Value> = (0..count).map(|number| json!({ "key": format!("agent-{number}") })).collect();
        json!({ "incarnation": "boot-1", "held": held, "held_seq": 1 })
    };
    assert_eq!(beat(&house, UA1, "ua1", &list(HELD_MAX)).ok()["need_held"], false);
    assert_eq!(house.director().sessions(), HELD_MAX, "each of them is a walk-in that nobody knew");
    let more = beat(&house, UA1, "ua1", &list(HELD_MAX + 1));
    assert_eq!((more.problem(), more.json()["attribute"].as_str()), ((413, 1004), Some("held")));
    let done = json!({ "incarnation": "boot-1", "done": vec!["0".repeat(32); 4097] });
    assert_eq!(beat(&house, UA1, "ua1", &done).problem(), (413, 1004));
    let bytes = json!({ "incarnation": "boot-1", "later": "x".repeat(1 << 20) });
    assert_eq!(beat(&house, UA1, "ua1", &bytes).problem(), (413, 1004), "limits.beat");
}

#[test]
fn a_former_life_is_told_who_lives_now() {
    let house = Fixture::start();
    for life in ["boot-1", "boot-2"] {
        beat(&house, UA1, "ua1", &json!({ "incarnation": life })).ok();
    }
    let late = beat(&house, UA1, "ua1", &json!({ "incarnation": "boot-1", "sessions": 9 }));
    assert_eq!(late.problem(), (409, 1003));
    assert_eq!(late.json()["current"], json!({ "server": "ua1", "incarnation": "boot-2" }));
}

#[test]
fn two_keys_and_one_login_become_one_session_and_one_order() {
    let house = Fixture::alone();
    let (first, second) = two_servers(&house);
    let confirm = |who, server: &str, key: &str| {
        session(&house, who, "POST", key, "confirm", &and(word(server, 1), "agent", "agent-7")).ok()
    };
    let at_first = confirm(UA1, "ua1", &first);
    assert_eq!((&at_first["changed"], &at_first["superseded"]), (&json!(true), &json!([])));
    assert_eq!((&at_first["state"], &at_first["agent"]), (&json!("confirmed"), &json!("agent-7")));
    assert_eq!(confirm(UA1, "ua1", &first)["changed"], false, "a server may repeat itself");
    let listed = |done: &[&Value]| {
        let held = [json!({ "key": first, "generation": 1, "session": at_first["session"] })];
        json!({ "incarnation": "boot-1", "held": held, "held_seq": 1, "done": done })
    };
    assert_eq!(beat(&house, UA1, "ua1", &listed(&[])).ok()["orders"], json!([]));

    let at_second = confirm(UA2, "ua2", &second);
    let left = json!([{ "session": at_first["session"], "server": "ua1", "generation": 2 }]);
    assert_eq!(at_second["superseded"], left);
    let answer = beat(&house, UA1, "ua1", &listed(&[])).ok();
    let order = &answer["orders"][0];
    assert_eq!((&order["reset"], &order["reason"]), (&json!(first), &json!("superseded")));
    assert_eq!((&order["generation"], &order["session"]), (&json!(1), &at_first["session"]));
    let again = beat(&house, UA1, "ua1", &listed(&[])).ok();
    assert_eq!(again["orders"], answer["orders"], "until it is done");
    assert_eq!(beat(&house, UA1, "ua1", &listed(&[&order["id"]])).ok()["orders"], json!([]));
    assert_eq!(house.seat("agent-7").entry.key.as_str(), second, "the agent's id leads to the agent's session");
    assert_eq!(house.get(&format!("/v1/sessions/ua/{first}")).ok()["ended_by"], "superseded");
}

#[test]
fn a_word_names_the_seat_that_it_means() {
    let house = Fixture::start();
    let (key, _) = two_servers(&house);
    for (who, body) in [
        (UA2, word("ua2", 1)),
        (UA1, word("ua1", 2)),
        (UA1, json!({ "server": "ua1", "incarnation": "boot-0", "generation": 1 })),
    ] {
        for (method, what) in [("POST", "confirm"), ("PUT", "state"), ("POST", "end")] {
            let body = if what == "state" { and(body.clone(), "state", 1) } else { body.clone() };
            let answer = session(&house, who, method, &key, what, &body);
            assert_eq!(answer.problem(), (409, 1003), "{what} {body}");
            let current = &answer.json()["current"];
            assert_eq!((&current["server"], &current["generation"]), (&json!("ua1"), &json!(1)), "{what} {body}");
        }
    }
    let path = format!("/v1/sessions/ua/{key}/state");
    assert_eq!(house.ask(UA2, "GET", &path, &[], "").problem(), (409, 1003));
    assert_eq!(house.get(&format!("/v1/sessions/ua/{key}")).ok()["state"], "seated");
}

#[test]
fn bad_words_are_refused_by_name() {
    let house = Fixture::start();
    let (key, _) = two_servers(&house);
    let good = || and(and(word("ua1", 1), "agent", "a"), "state", 1);
    for (member, value, attribute) in [
        ("server", Value::Null, "server"),
        ("server", json!(1), "server"),
        ("server", json!("a b"), "server"),
        ("incarnation", Value::Null, "incarnation"),
        ("incarnation", json!(""), "incarnation"),
        ("incarnation", json!("i".repeat(65)), "incarnation"),
        ("generation", json!("1"), "generation"),
        ("generation", json!(0), "generation"),
        ("generation", json!(1_u64 << 32), "generation"),
        ("agent", json!(7), "agent"),
        ("agent", json!(""), "agent"),
        ("agent", json!("k".repeat(129)), "agent"),
        ("agent", json!("a\nb"), "agent"),
        ("extra", json!(1), "extra"),
    ] {
        let body = and(good(), member, value);
        for (method, what, without) in [("POST", "confirm", "state"), ("PUT", "state", "agent"), ("POST", "end", "")] {
            if member == without || (what == "end" && member == "agent") {
                continue;
            }
            let mut body = body.clone();
            for other in ["state", "agent"].into_iter().filter(|other| what == "end" || *other == without) {
                body.as_object_mut().unwrap().remove(other);
            }
            let answer = session(&house, UA1, method, &key, what, &body);
            assert_eq!(answer.problem(), (400, 1000), "{what} {body}");
            assert_eq!(answer.json()["attribute"], attribute, "{what} {body}");
        }
    }
    let twice = r#"{"server": "ua1", "server": "ua1", "incarnation": "boot-1"}"#;
    let confirm = |path: &str, body: &str| house.ask(UA1, "POST", path, &[JSON], body);
    let path = format!("/v1/sessions/ua/{key}/confirm");
    assert_eq!(confirm(&path, twice).json()["attribute"], "server");
    assert_eq!(confirm(&format!("{path}?session=x"), &word("ua1", 1).to_string()).problem(), (400, 1000));
    assert_eq!(confirm(&format!("{path}?x=1"), &word("ua1", 1).to_string()).problem(), (400, 1000));
    assert_eq!(confirm("/v1/sessions/nix/k/confirm", &word("ua1", 1).to_string()).problem(), (404, 1007));
    assert_eq!(confirm("/v1/sessions/%20/k/confirm", &word("ua1", 1).to_string()).problem(), (404, 1007));
    let without_state = session(&house, UA1, "PUT", &key, "state", &word("ua1", 1));
    assert_eq!((without_state.problem(), without_state.json()["attribute"].as_str()), ((400, 1000), Some("state")));
    let endless = json!({ "server": "ua1", "incarnation": "boot-1" });
    assert_eq!(session(&house, UA1, "POST", &key, "end", &endless).json()["attribute"], "generation");
}

#[test]
fn a_walk_in_is_adopted_where_it_is() {
    let house = Fixture::start();
    two_servers(&house);
    let hello = json!({ "server": "ua2", "incarnation": "boot-1", "agent": "agent-9" });
    let adopted = session(&house, UA2, "POST", "stranger", "confirm", &hello).ok();
    assert_eq!((&adopted["server"], &adopted["generation"]), (&json!("ua2"), &json!(1)));
    assert_eq!((&adopted["state"], &adopted["decided"]), (&json!("confirmed"), &Value::Null));
    // A generation is a fence, for a walk-in too (R4).
    for (generation, status) in [(1, 200), (7, 409)] {
        let named = and(word("ua2", generation), "agent", "agent-9");
        let answer = session(&house, UA2, "POST", "stranger", "confirm", &named);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let told = json!([{ "key": "listed", "generation": 7 }]);
    let listed = json!({ "incarnation": "boot-1", "held": told, "held_seq": 1 });
    beat(&house, UA2, "ua2", &listed).ok();
    let shown = house.get("/v1/sessions/ua/listed").ok();
    assert_eq!((&shown["generation"], &shown["moves"]), (&json!(7), &json!(0)), "nobody has moved it");
    let shown = house.get("/v1/sessions/ua/stranger").ok();
    assert_eq!((&shown["generation"], &shown["moves"], &shown["reason"]), (&json!(1), &json!(0), &json!("walk_in")));
    assert_eq!(house.seat("stranger").server.name.as_str(), "ua2");
    assert_eq!(house.seat("agent-9").server.name.as_str(), "ua2");
    let other = SessionId([9; 16]);
    let path = format!("/v1/sessions/ua/other/confirm?session={other}");
    let told = house.ask(UA2, "POST", &path, &[JSON], &hello.to_string()).ok();
    assert_eq!(told["session"], other.to_string(), "the id that it was told by whoever sent it");
}

#[test]
fn a_state_waits_for_the_agents_next_server() {
    let house = Fixture::start();
    let (first, second) = two_servers(&house);
    let put = |who, server: &str, key: &str, headers: &[(&str, &str)], state: &str| {
        let body = format!(r#"{{"server": "{server}", "incarnation": "boot-1", "generation": 1, "state": {state}}}"#);
        house.ask(who, "PUT", &format!("/v1/sessions/ua/{key}/state"), &[&[JSON], headers].concat(), &body)
    };
    let read = |who, key: &str, headers: &[(&str, &str)]| {
        house.ask(who, "GET", &format!("/v1/sessions/ua/{key}/state"), headers, "")
    };
    let login = |who, server: &str, key: &str| {
        session(&house, who, "POST", key, "confirm", &and(word(server, 1), "agent", "agent-7")).ok()
    };
    assert_eq!(read(UA1, "nobody", &[]).problem(), (404, 1007));
    assert_eq!(read(UA1, &first, &[]).problem(), (403, 1006), "nobody is confirmed");
    login(UA1, "ua1", &first);
    assert_eq!(read(UA1, &first, &[]).problem(), (404, 1007), "nothing was written");

    let state = "{ \"queue\": \"blue\",\"n\": 1.50, \"n2\":12345678901234567890123 }";
    assert_eq!(put(UA1, "ua1", &first, &[("If-Match", "*")], state).problem(), (412, 1003));
    let written = put(UA1, "ua1", &first, &[("If-None-Match", "*")], state);
    let tag = written.header("etag").unwrap().to_owned();
    assert_eq!(written.ok()["etag"], tag.as_str());
    let found = read(UA1, &first, &[]);
    assert_eq!((found.status, found.header("etag")), (200, Some(tag.as_str())));
    assert!(found.body.ends_with(&format!("\"state\":{state}}}")), "byte for byte: {}", found.body);
    let same = read(UA1, &first, &[("If-None-Match", &tag)]);
    assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some(tag.as_str())));
    assert_eq!(read(UA1, &first, &[("If-None-Match", "\"x\"")]).status, 200);

    for headers in [[("If-None-Match", "*")], [("If-Match", "\"0.7\"")], [("If-Match", "\"other\"")]] {
        let refused = put(UA1, "ua1", &first, &headers, "2");
        assert_eq!(refused.problem(), (412, 1003), "{headers:?}");
        assert_eq!(refused.json()["current"]["etag"], tag.as_str());
    }
    assert_eq!(put(UA1, "ua1", &first, &[("If-Match", "nonsense")], "2").problem(), (400, 1000));
    let second_tag = put(UA1, "ua1", &first, &[("If-Match", &tag)], "\"two\"");
    assert_eq!(second_tag.ok()["version"], 2);
    assert_eq!(put(UA1, "ua1", &first, &[], &format!("\"{}\"", "x".repeat(4095))).problem(), (413, 1004));

    // The agent goes on to another server, with another key.
    assert_eq!(read(UA2, &second, &[]).problem(), (403, 1006), "before the login");
    login(UA2, "ua2", &second);
    assert_eq!(read(UA2, &second, &[]).json()["state"], "two");
    assert_eq!(read(UA1, &first, &[]).problem(), (409, 1003), "the session there is over");
    assert_eq!(put(UA1, "ua1", &first, &[], "3").problem(), (409, 1003));
    assert_eq!(put(UA2, "ua2", &second, &[], "null").status, 200);
    assert_eq!(read(UA2, &second, &[]).ok()["state"], Value::Null);
    let operator = format!("/v1/sessions/ua/{second}/state");
    assert_eq!(house.get(&operator).problem(), (400, 1000), "whose?");
    assert_eq!(house.get(&format!("{operator}?server=ua2")).status, 200);
    assert!(put(UA2, "ua2", &second, &[], &"[".repeat(5000)).status >= 400);
}

#[test]
fn a_server_ends_its_own_session_once() {
    let house = Fixture::start();
    let (key, _) = two_servers(&house);
    let path = format!("/v1/sessions/ua/{key}/end?preview=true");
    let told = house.ask(UA1, "POST", &path, &[JSON], &word("ua1", 1).to_string()).ok();
    assert_eq!((&told["after"]["ended_by"], &told["preview"]), (&json!("server"), &json!(true)));
    assert_eq!(house.get(&format!("/v1/sessions/ua/{key}")).ok()["state"], "seated");
    // The key may have another session by now, of the same generation: a director that forgot has begun anew.
    let other = house.ask(
        UA1,
        "POST",
        &format!("/v1/sessions/ua/{key}/end?session={:032x}", 7),
        &[JSON],
        &word("ua1", 1).to_string(),
    );
    assert_eq!(other.problem(), (409, 1003));
    let ended = session(&house, UA1, "POST", &key, "end", &word("ua1", 1)).ok();
    assert_eq!((&ended["after"]["state"], &ended["after"]["ended_by"]), (&json!("ended"), &json!("server")));
    assert_eq!(session(&house, UA1, "POST", &key, "end", &word("ua1", 1)).ok()["changed"], false);
    assert_eq!(session(&house, UA1, "POST", "nobody", "end", &word("ua1", 1)).problem(), (404, 1007));
    let by_operator = session(&house, OPERATOR, "POST", &key, "end", &word("ua1", 1)).ok();
    assert_eq!(by_operator["changed"], false, "an operator may speak for a server");
}

#[test]
fn sessions_are_found_by_their_agent() {
    let house = Fixture::start();
    let (first, second) = two_servers(&house);
    let confirm = |who, server: &str, key: &str, agent: &str| {
        session(&house, who, "POST", key, "confirm", &and(word(server, 1), "agent", agent)).ok()
    };
    confirm(UA1, "ua1", &first, "J\u{fc}rgen");
    confirm(UA2, "ua2", &second, "agent-8");
    let keys = |query: &str| -> Vec<String> {
        let page = house.get(&format!("/v1/sessions?{query}")).ok();
        assert_eq!(page["cursor"], Value::Null, "{query}");
        page["sessions"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys("agent=J%C3%BCrgen"), std::slice::from_ref(&first));
    assert_eq!(keys("agent=agent-8&pool=ua&server=ua2"), std::slice::from_ref(&second));
    assert_eq!(keys(&format!("agent=agent-8&key={second}&limit=1")), std::slice::from_ref(&second));
    for nothing in ["agent=nobody", "agent=agent-8&server=ua1", "agent=agent-8&pool=nix", "agent=agent-8&key=x"] {
        assert_eq!(keys(nothing), [""; 0], "{nothing}");
    }
    let shown = house.get("/v1/sessions?agent=agent-8").ok();
    assert_eq!(shown["sessions"][0]["agent"], "agent-8");
    confirm(UA2, "ua2", &second, "J\u{fc}rgen");
    assert_eq!(keys("agent=J%C3%BCrgen"), [second], "the newest confirm wins");
    assert_eq!(keys("agent=agent-8"), [""; 0]);
}

#[test]
fn what_a_server_says_shows_in_the_session() {
    let house = Fixture::start();
    let (key, _) = two_servers(&house);
    let path = format!("/v1/sessions/ua/{key}");
    let before = house.get(&path).ok();
    assert_eq!((&before["state"], &before["agent"]), (&json!("seated"), &Value::Null));
    let held = json!({ "incarnation": "boot-1", "held": [{ "key": key, "generation": 1 }], "held_seq": 1 });
    beat(&house, UA1, "ua1", &held).ok();
    assert_eq!(house.get(&path).ok()["state"], "confirmed", "its server lists it");
    let reborn = json!({ "incarnation": "boot-2", "held": [{ "key": key, "generation": 1 }], "held_seq": 1 });
    beat(&house, UA1, "ua1", &reborn).ok();
    assert_eq!(house.get(&path).ok()["state"], "restored");
    beat(&house, UA1, "ua1", &json!({ "incarnation": "boot-3", "held": [], "held_seq": 1 })).ok();
    assert_eq!(house.get(&path).ok()["state"], "orphaned");
    let view = house.director().view();
    assert!(view.server(&ServerName::parse("ua1").unwrap()).is_some());
}
