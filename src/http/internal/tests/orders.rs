//! What operators order: before and after, previews that change nothing, fences, and the line that is left.

use std::sync::atomic::Ordering;

use actix_http::test::TestRequest;
use maitred_core::entry::Life;
use maitred_core::ids::{ServerName, SessionId};
use serde_json::{Value, json};

use super::fixture::{As, Fixture, OPERATOR};
use crate::config::Change;
use crate::http::answer::Answer;
use crate::http::caught::lines_of;
use crate::http::internal::answer;

fn state(house: &Fixture, server: &str) -> String {
    let view = house.director().view();
    let (_, server) = view.server(&ServerName::parse(server).unwrap()).unwrap();
    server.standing.input.as_str().to_owned()
}

#[test]
fn a_drain_is_seen_by_the_director_and_a_repeated_one_changes_nothing() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.look("ua2", true);
    let drain = r#"{"state": "drain", "reason": "kernel"}"#;
    let first = house.order("PUT", "/v1/servers/ua1/state", drain).ok();
    assert_eq!((&first["before"]["state"], &first["after"]["state"]), (&"ready".into(), &"drain".into()));
    assert_eq!((&first["changed"], &first["preview"]), (&true.into(), &false.into()));
    assert_eq!(state(&house, "ua1"), "drain");
    assert_eq!(house.process.performed.load(Ordering::Relaxed), 1, "the process is told to act on it");
    for number in 0..20 {
        assert_eq!(house.seat(&number.to_string()).server.name.as_str(), "ua2");
    }
    let again = house.order("PUT", "/v1/servers/ua1/state", drain).ok();
    assert_eq!(again["changed"], false);
    for member in ["state", "reason", "deadline"] {
        assert_eq!(again["before"][member], again["after"][member], "only when it was ordered is newer");
    }
    let back = house.order("PUT", "/v1/servers/ua1/state", r#"{"state": "ready"}"#).ok();
    assert_eq!((&back["before"]["reason"], &back["after"]["state"]), (&"kernel".into(), &"ready".into()));
    assert_eq!(state(&house, "ua1"), "up");
}

#[test]
fn a_repeated_word_keeps_what_it_does_not_say() {
    let house = Fixture::start();
    let order = |body: &str| house.order("PUT", "/v1/servers/ua1/state", body).ok();
    order(r#"{"state": "drain", "reason": "kernel", "deadline": "30m"}"#);
    let told = house.order("PUT", "/v1/servers/ua1/state?preview=true", r#"{"state": "drain"}"#).ok();
    let again = order(r#"{"state": "drain"}"#);
    assert_eq!((&told["changed"], &again["changed"]), (&false.into(), &false.into()));
    assert_eq!(told["after"]["deadline"], again["after"]["deadline"]);
    assert_eq!((&again["after"]["reason"], again["after"]["deadline"].is_string()), (&"kernel".into(), true));
    let open = order(r#"{"state": "drain", "deadline": "none", "reason": ""}"#);
    assert_eq!((&open["changed"], &open["after"]["reason"]), (&true.into(), &Value::Null));
    assert_eq!(open["after"]["deadline"], Value::Null);
    assert_eq!(order(r#"{"state": "drain", "deadline": "none"}"#)["changed"], false);
}

#[test]
fn who_misspells_a_name_is_told_the_nearest() {
    let house = Fixture::start();
    let says = |answer: Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    for path in ["/v1/servers/ua11", "/v1/servers/UA1"] {
        assert!(says(house.get(path)).contains("nearest: ua1, ua2"), "{path}");
    }
    for path in ["/v1/pools/us", "/v1/pools/us/active", "/v1/servers?pool=us", "/v1/sessions/us/1001"] {
        assert_eq!(says(house.get(path)), "No pool has this name (nearest: ua).", "{path}");
    }
    let drain = r#"{"state": "drain"}"#;
    assert!(says(house.order("PUT", "/v1/servers/ua11/state", drain)).contains("nearest: ua1"));
    house.seat("1001");
    let to = house.order("PUT", "/v1/sessions/ua/1001/server", r#"{"server": "ua11"}"#);
    assert!(says(to).contains("is none of this pool (nearest: ua1"));
    let west = house.order("PUT", "/v1/pools/ua/active", r#"{"datacenter": "wset"}"#);
    assert!(says(west).ends_with("(nearest: west)"));
    assert_eq!(says(house.get("/v1/servers/nothing-like-it")), "No server has this name.");
    // A server learns no names of others.
    let own = house.ask(
        As::Token("token-of-ua1"),
        "POST",
        "/v1/sessions/us/1001/end",
        &[("Content-Type", "application/json")],
        "{}",
    );
    assert!(!own.body.contains("nearest"), "{}", own.body);
}

#[test]
fn moves_are_those_of_this_session() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.look("ua2", true);
    let shown = || {
        let session = house.get("/v1/sessions/ua/1001").ok();
        let listed = house.get("/v1/sessions?key=1001").ok()["sessions"][0]["moves"].clone();
        assert!(listed.is_null() || listed == session["moves"]);
        (session["moves"].clone(), session["reason"].clone(), session["generation"].clone())
    };
    let end = |session: String, generation: u32| {
        let body = json!({ "session": session, "generation": generation }).to_string();
        house.order("POST", "/v1/sessions/ua/1001/end", &body).ok();
    };
    let first = house.seat("1001");
    assert_eq!(shown(), (json!(0), json!("new"), json!(1)));
    let other = if first.server.name.as_str() == "ua1" { "ua2" } else { "ua1" };
    house.order("PUT", "/v1/sessions/ua/1001/server", &json!({ "server": other }).to_string()).ok();
    assert_eq!(shown(), (json!(1), json!("moved"), json!(2)));
    end(first.session().to_string(), 2);
    let second = house.seat_as("1001", SessionId([2; 16]));
    assert_ne!(second.session(), first.session());
    assert_eq!(shown(), (json!(0), json!("new"), json!(3)), "another session of the key has not moved yet");
}

#[test]
fn a_preview_tells_and_changes_nothing() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.look("ua9", true);
    let seat = house.seat("1001");
    let server = seat.server.name.clone();
    let told = house.order("PUT", &format!("/v1/servers/{server}/state?preview=true"), r#"{"state": "maint"}"#).ok();
    assert_eq!((&told["preview"], &told["changed"]), (&true.into(), &true.into()));
    assert_eq!(told["effect"]["sessions"], 1);
    assert!(told["effect"]["summary"].as_str().unwrap().starts_with("would strand 1 session;"));
    let session = json!({ "session": seat.session().to_string(), "generation": 1 }).to_string();
    house.order("POST", "/v1/sessions/ua/1001/end?preview=true", &session).ok();
    house.order("PUT", "/v1/sessions/ua/1001/server?preview=true", r#"{"server": "ua9"}"#).ok();
    house.order("PUT", "/v1/pools/ua/active?preview=true", r#"{"datacenter": "west"}"#).ok();
    house.order("POST", "/v1/config/reload?preview=true", "").ok();
    assert_eq!(state(&house, server.as_str()), "up");
    let now = house.internal.edge.clock.now();
    let found = house.director().find(&seat.entry.pool, &seat.entry.key, None, now).unwrap();
    assert_eq!((found.life, found.server), (Life::Live, server));
    assert_eq!(house.get("/v1/pools/ua/active").ok()["order"], "auto");
    assert_eq!(house.process.performed.load(Ordering::Relaxed), 0);
    assert_eq!(house.order("PUT", "/v1/servers/ua1/state?preview=1", r#"{"state": "maint"}"#).problem(), (400, 1000));
}

#[test]
fn an_end_names_the_seat_that_it_means() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.look("ua2", true);
    let seat = house.seat("1001");
    let to = if seat.server.name.as_str() == "ua1" { "ua2" } else { "ua1" };
    let moved =
        house.order("PUT", "/v1/sessions/ua/1001/server", &json!({ "server": to, "reason": "slow" }).to_string());
    let moved = moved.ok();
    assert_eq!(moved["before"]["server"], seat.server.name.as_str());
    let was = |side: &str| (moved[side]["moves"].clone(), moved[side]["reason"].clone());
    assert_eq!((was("before"), was("after")), ((0.into(), "new".into()), (1.into(), "moved".into())));
    assert_eq!((&moved["after"]["server"], &moved["after"]["generation"]), (&to.into(), &2.into()));
    let end = |generation: u32| json!({ "session": seat.session().to_string(), "generation": generation }).to_string();
    let stale = house.order("POST", "/v1/sessions/ua/1001/end", &end(1));
    assert_eq!(stale.problem(), (409, 1003));
    assert_eq!(stale.json()["current"]["generation"], 2);
    assert_eq!(stale.json()["current"]["server"], to);
    let ended = house.order("POST", "/v1/sessions/ua/1001/end", &end(2)).ok();
    assert_eq!((&ended["before"]["state"], &ended["after"]["state"]), (&"seated".into(), &"ended".into()));
    assert_eq!(ended["after"]["ended_by"], "operator");
    let again = house.order("POST", "/v1/sessions/ua/1001/end", &end(2)).ok();
    assert_eq!(again["changed"], false, "a repeated end is a success");
    assert_eq!(house.order("POST", "/v1/sessions/ua/nobody/end", &end(1)).problem(), (404, 1007));
    assert_eq!(house.order("PUT", "/v1/sessions/ua/1001/server", r#"{"server": "ua1"}"#).problem(), (404, 1007));
}

#[test]
fn a_session_moves_only_to_a_usable_server_of_its_pool() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.seat("1001");
    house.look("ua2", false);
    let to = |server: &str| house.order("PUT", "/v1/sessions/ua/1001/server", &json!({ "server": server }).to_string());
    let down = to("ua2");
    assert_eq!(down.problem(), (503, 2001));
    assert_eq!(down.json()["blocked"]["down"], 1);
    assert_eq!(to("ua7").problem(), (400, 1000));
    assert_eq!(to("ua1").ok()["changed"], false);
}

#[test]
fn the_role_follows_an_order_until_it_is_taken_back() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.look("ua9", true);
    let west = house.order("PUT", "/v1/pools/ua/active", r#"{"datacenter": "west"}"#).ok();
    assert_eq!((&west["before"]["active"], &west["after"]["active"]), (&"east".into(), &"west".into()));
    assert_eq!(house.seat("1001").server.name.as_str(), "ua9");
    assert_eq!(house.order("PUT", "/v1/pools/ua/active", r#"{"datacenter": "west"}"#).ok()["changed"], false);
    let auto = house.order("PUT", "/v1/pools/ua/active", r#"{"datacenter": "auto"}"#).ok();
    assert_eq!((&auto["before"]["order"], &auto["after"]["order"]), (&"west".into(), &"auto".into()));
    assert_eq!(house.order("PUT", "/v1/pools/ua/active", r#"{"datacenter": "north"}"#).problem(), (400, 1000));
    assert_eq!(house.order("PUT", "/v1/pools/nix/active", r#"{"datacenter": "west"}"#).problem(), (404, 1007));
}

#[test]
fn a_reload_tells_what_changed_or_every_mistake() {
    let house = Fixture::start();
    let change = Change {
        key: "pool.ua.server.ua1.weight".to_owned(),
        before: Some("100".to_owned()),
        after: Some("7".to_owned()),
        needs_restart: false,
    };
    *house.process.answer.lock() = Ok(vec![change]);
    let taken = house.ask(OPERATOR, "POST", "/v1/config/reload", &[], "").ok();
    assert_eq!(taken["changed"], true);
    assert_eq!(taken["effect"]["changes"][0]["key"], "pool.ua.server.ua1.weight");
    *house.process.answer.lock() = Err(vec!["a.toml:3: pool.name: is missing".to_owned(), "a.toml:9: x: y".to_owned()]);
    let refused = house.order("POST", "/v1/config/reload", "{}");
    assert_eq!(refused.problem(), (400, 1000));
    assert_eq!(refused.json()["faults"].as_array().unwrap().len(), 2);
}

#[test]
fn bad_bodies_are_refused_by_name() {
    let house = Fixture::start();
    let put = |body: &str| house.order("PUT", "/v1/servers/ua1/state", body);
    for (body, attribute) in [
        ("{}", "state"),
        (r#"{"state": "off"}"#, "state"),
        (r#"{"state": 1}"#, "state"),
        (r#"{"state": "drain", "until": "x"}"#, "until"),
        (r#"{"state": "drain", "state": "maint"}"#, "state"),
        (r#"{"state": "drain", "deadline": "soon"}"#, "deadline"),
        (r#"{"state": "ready", "deadline": "5m"}"#, "deadline"),
        (r#"{"state": "drain", "reason": "a\nb"}"#, "reason"),
        ("{\"state\"", "body"),
        ("[]", "body"),
        ("", "body"),
    ] {
        let answer = put(body);
        assert_eq!(answer.problem(), (400, 1000), "{body}");
        assert_eq!(answer.json()["attribute"], attribute, "{body}");
    }
    assert_eq!(put(&format!("{{\"state\": {}{}}}", "[".repeat(50), "]".repeat(50))).problem(), (400, 1000));
    assert_eq!(put(&format!("{{\"state\": \"{}\"}}", "x".repeat(5000))).problem(), (413, 1004));
    let body = r#"{"state": "drain"}"#;
    for headers in [
        vec![],
        vec![("Content-Type", "text/plain")],
        vec![("Content-Type", "application/x-www-form-urlencoded")],
        vec![("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
    ] {
        let answer = house.ask(OPERATOR, "PUT", "/v1/servers/ua1/state", &headers, body);
        assert_eq!(answer.problem(), (415, 1004), "{headers:?}");
    }
    assert_eq!(put(r#"{"state": "drain", "reason": null}"#).status, 200);
    assert_eq!(house.order("PUT", "/v1/servers/nix/state", body).problem(), (404, 1007));
    assert_eq!(state(&house, "ua2"), "unconfirmed");
}

#[test]
fn each_order_leaves_one_line_that_says_who_and_names_no_agent() {
    let house = Fixture::start();
    house.look("ua1", true);
    let seat = house.seat("agent-1001");
    let orders = [
        ("/v1/servers/ua1/state", "PUT", r#"{"state": "drain", "reason": "kernel"}"#.to_owned()),
        ("/v1/servers/ua1/state?preview=true", "PUT", r#"{"state": "maint"}"#.to_owned()),
        ("/v1/servers/ua1/state", "PUT", r#"{"state": "off"}"#.to_owned()),
        (
            "/v1/sessions/ua/agent-1001/end",
            "POST",
            json!({ "session": seat.session().to_string(), "generation": 1 }).to_string(),
        ),
    ];
    // On this thread, so that its lines can be caught.
    let text = lines_of(|| {
        actix_rt::System::new().block_on(async {
            for (path, method, body) in &orders {
                let request = TestRequest::with_uri(path)
                    .method(method.parse().unwrap())
                    .insert_header(("Host", "localhost"))
                    .insert_header(("Authorization", "Bearer token-of-ops"))
                    .insert_header(("Content-Type", "application/json"))
                    .insert_header(("X-Request-Id", "req-7"))
                    .set_payload(body.clone())
                    .finish();
                answer(&house.internal, request).await;
            }
        });
    });
    assert!(!text.contains("agent-1001") && !text.contains("token-of-ops"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| -> Vec<String> {
        lines.iter().map(|line| line[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(of("target"), ["maitred::audit"; 3], "a preview is no order: {text}");
    assert_eq!(of("order"), ["server_state", "server_state", "end_session"]);
    assert_eq!(of("outcome"), ["changed", "refused", "changed"]);
    assert_eq!(of("who"), ["operator"; 3]);
    assert_eq!(of("by"), ["token"; 3]);
    assert_eq!(of("request_id"), ["req-7"; 3]);
    assert!(of("before")[0].contains("ready") && of("after")[0].contains("kernel"), "{text}");
    assert_eq!(of("key")[2].len(), 16, "{text}");
}

#[test]
fn an_order_of_a_viewer_is_none() {
    let house = Fixture::start();
    let json = [("Content-Type", "application/json")];
    for who in [As::Token("token-of-view"), As::Token("token-of-ua1"), As::Certificate("viewer")] {
        let answer = house.ask(who, "PUT", "/v1/servers/ua1/state", &json, r#"{"state": "maint"}"#);
        assert_eq!(answer.problem(), (403, 1006), "{who:?}");
    }
    assert_eq!(state(&house, "ua1"), "unconfirmed");
}
