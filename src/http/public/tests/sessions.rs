//! Sessions as JSON.

use super::fixture::{Fixture, HOST};
use crate::http::answer::Answer;
use serde_json::Value;

const PATH: &str = "/maitred/v1/sessions";

fn post(fixture: &Fixture, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    fixture.ask_with("POST", PATH, &all, body)
}

fn bearer(seat: &Value) -> String {
    format!("Bearer {}", seat["token"].as_str().unwrap())
}

fn path_of(seat: &Value) -> String {
    format!("{PATH}/{}", seat["session"].as_str().unwrap())
}

#[test]
fn a_seat_has_the_members_of_the_interface_in_their_order() {
    let fixture = Fixture::start();
    let placed = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#);
    assert_eq!(placed.status, 201);
    let members = [
        "session",
        "pool",
        "key",
        "generation",
        "affinity",
        "owner",
        "server",
        "alternates",
        "token",
        "expires_in",
        "alternates_expires_in",
    ];
    let mut at = 0;
    for member in members {
        at += placed.body[at..].find(&format!("\"{member}\":")).unwrap_or_else(|| panic!("{member}: {}", placed.body));
    }
    let seat = placed.json();
    assert_eq!(seat["affinity"], "placed");
    assert_eq!((&seat["generation"], &seat["expires_in"]), (&1.into(), &86_400.into()));
    assert!(seat["server"]["url"].as_str().unwrap().ends_with(".example.com/ua/"), "origin + home");
    let alternates: Vec<_> = seat["alternates"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(alternates.len(), 2);
    assert!(!alternates.contains(&&seat["server"]["name"]));
    assert_eq!(placed.header("cache-control"), Some("no-store"));
    assert!(placed.cookie().starts_with("__Host-maitred-ua="));
}

#[test]
fn a_stranger_gets_the_server_and_no_right() {
    let fixture = Fixture::start();
    let owner = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#).json();
    let stranger = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#);
    assert_eq!(stranger.status, 200);
    let stranger = stranger.json();
    assert_eq!((&stranger["affinity"], &stranger["owner"]), (&"kept".into(), &false.into()));
    assert_eq!(stranger["server"], owner["server"]);
    assert!(stranger.get("token").is_none());
    let avoiding = format!(r#"{{"pool": "ua", "key": "1001", "avoid": {}}}"#, owner["server"]["name"]);
    let refused = post(&fixture, &[], &avoiding);
    assert_eq!((refused.status, refused.code()), (403, 1006));
}

#[test]
fn the_owner_may_avoid_a_server_that_is_no_good() {
    let fixture = Fixture::start();
    let seat = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#).json();
    let avoiding = format!(r#"{{"pool": "ua", "key": "1001", "avoid": {}}}"#, seat["server"]["name"]);
    let moved = post(&fixture, &[("Authorization", &bearer(&seat))], &avoiding).json();
    assert_eq!((&moved["affinity"], &moved["generation"]), (&"moved".into(), &2.into()));
    assert_ne!(moved["server"]["name"], seat["server"]["name"]);
    assert_eq!(moved["session"], seat["session"]);
}

#[test]
fn without_a_key_the_credentials_key_counts_else_one_is_minted() {
    let fixture = Fixture::start();
    let minted = post(&fixture, &[], r#"{"pool": "ua"}"#);
    assert_eq!(minted.status, 201);
    let seat = minted.json();
    assert!(seat["key"].as_str().unwrap().len() >= 22);
    for header in [("Authorization", bearer(&seat)), ("Cookie", minted.cookie().to_owned())] {
        let again = post(&fixture, &[(header.0, &header.1)], r#"{"pool": "ua", "key": null}"#).json();
        assert_eq!((&again["key"], &again["owner"]), (&seat["key"], &true.into()), "{}", header.0);
        assert_eq!(again["affinity"], "kept");
    }
}

#[test]
fn a_session_is_read_and_ended_by_the_bearer_of_its_token_only() {
    let fixture = Fixture::start();
    let seat = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#).json();
    let other = post(&fixture, &[], r#"{"pool": "ua", "key": "2002"}"#).json();
    let (path, token) = (path_of(&seat), bearer(&seat));

    let unknown = format!("{PATH}/{}", "0".repeat(32));
    let strangers = [
        fixture.get(&path),
        fixture.ask("GET", &path, &[("Authorization", &bearer(&other))]),
        fixture.ask("GET", &path, &[("Authorization", "Bearer x")]),
        fixture.ask("GET", &unknown, &[("Authorization", &token)]),
        fixture.ask("GET", &format!("{PATH}/1"), &[("Authorization", &token)]),
        fixture.ask("DELETE", &path, &[("Authorization", &bearer(&other))]),
        fixture.ask("DELETE", &path, &[]),
    ];
    for answer in &strangers {
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        let mut first = strangers[0].json();
        first["request_id"] = Value::Null;
        assert_eq!((answer.status, &body), (404, &first), "all look the same");
    }

    let read = fixture.ask("GET", &path, &[("Authorization", &token)]);
    assert_eq!(read.status, 200);
    assert_eq!(read.json()["server"], seat["server"]);

    let ended = fixture.ask("DELETE", &path, &[("Authorization", &token)]);
    assert_eq!(ended.status, 204);
    assert!(ended.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(fixture.ask("DELETE", &path, &[("Authorization", &token)]).status, 204, "ended once is ended");
    assert_eq!(fixture.ask("GET", &path, &[("Authorization", &token)]).status, 404);
    let anew = post(&fixture, &[("Authorization", &token)], r#"{"pool": "ua", "key": "1001"}"#).json();
    assert_ne!(anew["session"], seat["session"], "a new session");
}

#[test]
fn a_session_that_was_never_seen_again_is_ended_as_well() {
    let fixture = Fixture::start();
    let minted = post(&fixture, &[], r#"{"pool": "ua"}"#);
    let seat = minted.json();
    assert_eq!(fixture.ask("DELETE", &path_of(&seat), &[("Authorization", &bearer(&seat))]).status, 204);
    let anew = post(&fixture, &[("Cookie", minted.cookie())], r#"{"pool": "ua"}"#).json();
    assert_ne!((&anew["session"], &anew["key"]), (&seat["session"], &seat["key"]), "its cookie does not bring it back");
}

#[test]
fn a_closing_page_ends_by_beacon() {
    let fixture = Fixture::start();
    let seat = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#).json();
    let path = format!("{}/end", path_of(&seat));
    let text = [("Content-Type", "text/plain"), ("Origin", "https://crm.example")];
    assert_eq!(fixture.ask_with("POST", &path, &text, "nonsense").status, 404);
    assert_eq!(fixture.ask_with("POST", &path, &text, seat["token"].as_str().unwrap()).status, 204);
    assert_eq!(fixture.ask("GET", &path, &[]).status, 405);
}

#[test]
fn a_token_of_an_older_seat_is_stale() {
    let fixture = Fixture::start();
    let seat = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#).json();
    fixture.look(seat["server"]["name"].as_str().unwrap(), false);
    let moved = post(&fixture, &[("Authorization", &bearer(&seat))], r#"{"pool": "ua", "key": "1001"}"#).json();
    assert_eq!(moved["affinity"], "moved");
    let stale = fixture.ask("DELETE", &path_of(&seat), &[("Authorization", &bearer(&seat))]);
    assert_eq!((stale.status, stale.code()), (409, 1003));
    assert_eq!(stale.json()["current"]["server"], moved["server"]["name"]);
    assert_eq!(fixture.ask("DELETE", &path_of(&seat), &[("Authorization", &bearer(&moved))]).status, 204);
}

#[test]
fn reading_a_session_of_a_dead_server_says_so() {
    let fixture = Fixture::start();
    let seat = post(&fixture, &[], r#"{"pool": "ua", "key": "1001"}"#).json();
    fixture.look(seat["server"]["name"].as_str().unwrap(), false);
    let read = fixture.ask("GET", &path_of(&seat), &[("Authorization", &bearer(&seat))]);
    assert_eq!((read.status, read.code()), (503, 2002));
}

#[test]
fn bad_bodies_are_refused_by_name() {
    let fixture = Fixture::start();
    for (body, attribute) in [
        ("", "body"),
        ("[]", "body"),
        ("{", "body"),
        (r#"{"key": "1"}"#, "pool"),
        (r#"{"pool": 1}"#, "pool"),
        (r#"{"pool": "ua", "key": ""}"#, "key"),
        (r#"{"pool": "ua", "key": 1001}"#, "key"),
        (r#"{"pool": "ua", "key": "a\u0000"}"#, "key"),
        (r#"{"pool": "ua", "avoid": "a b"}"#, "avoid"),
        (r#"{"pool": "ua", "labels": []}"#, "labels"),
        (r#"{"pool": "ua", "labels": {"media": 1}}"#, "labels.media"),
        (r#"{"pool": "ua", "labels": {"colour": "red"}}"#, "labels.colour"),
        (r#"{"pool": "ua", "colour": 1}"#, "colour"),
        (r#"{"pool": "ua", "<script>": 1}"#, "an attribute"),
    ] {
        let answer = post(&fixture, &[], body);
        assert_eq!((answer.status, answer.code()), (400, 1000), "{body}");
        assert_eq!(answer.json()["attribute"], attribute, "{body}");
        assert!(!answer.body.contains("script"), "nothing is echoed");
    }
    let deep = format!(r#"{{"pool": {}"ua"{}}}"#, "[".repeat(50_000 / 8), "]".repeat(50_000 / 8));
    assert_eq!(post(&fixture, &[], &deep).status, 400);
    for unknown in [r#"{"pool": "nope"}"#, r#"{"pool": "a/b"}"#] {
        assert_eq!(post(&fixture, &[], unknown).status, 404, "{unknown}");
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
}

#[test]
fn forms_of_other_pages_cannot_start_or_end() {
    let fixture = Fixture::start();
    let body = r#"{"pool": "ua", "key": "1001"}"#;
    for form in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"] {
        let answer = fixture.ask_with("POST", PATH, &[("Content-Type", form)], body);
        assert_eq!((answer.status, answer.code()), (415, 1004), "{form}");
    }
    for headers in [[("Origin", "https://evil")], [("Origin", "null")], [("Sec-Fetch-Site", "cross-site")]] {
        let answer = post(&fixture, &headers, body);
        assert_eq!((answer.status, answer.code()), (403, 1006), "{headers:?}");
        assert_eq!(answer.json()["reason"], "origin_unknown");
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
    let own = format!("https://{HOST}");
    assert_eq!(post(&fixture, &[("Origin", &own), ("Sec-Fetch-Site", "same-origin")], body).status, 201);
    let seat = post(&fixture, &[("Origin", "https://crm.example"), ("Sec-Fetch-Site", "cross-site")], body);
    assert_eq!((seat.status, seat.header("access-control-allow-origin")), (200, Some("https://crm.example")));
    assert!(seat.header("access-control-allow-credentials").is_none());
    assert_eq!(seat.header("vary"), Some("Origin"));

    let target = format!("{PATH}/{}?_method=DELETE", seat.json()["session"].as_str().unwrap());
    let disguised = fixture.ask_with("POST", &target, &[("X-HTTP-Method-Override", "DELETE")], body);
    assert_eq!(disguised.status, 405);
    assert!(disguised.header("allow").unwrap().contains("DELETE"));
    assert_eq!(fixture.get(PATH).status, 405);
}

#[test]
fn a_preflight_is_answered_exactly() {
    let fixture = Fixture::start();
    let ask = |origin, method, headers| {
        fixture.ask(
            "OPTIONS",
            PATH,
            &[
                ("Origin", origin),
                ("Access-Control-Request-Method", method),
                ("Access-Control-Request-Headers", headers),
            ],
        )
    };
    let good = ask("https://crm.example", "POST", "content-type");
    assert_eq!(good.status, 204);
    assert_eq!(good.header("access-control-allow-origin"), Some("https://crm.example"));
    assert_eq!(good.header("access-control-max-age"), Some("7200"));
    assert_eq!(good.header("vary"), Some("Origin"));
    for (origin, method, headers) in [
        ("https://evil", "POST", "content-type"),
        ("null", "POST", "content-type"),
        ("https://crm.example", "PUT", "content-type"),
        ("https://crm.example", "POST", "x-evil"),
    ] {
        assert!(
            ask(origin, method, headers).header("access-control-allow-methods").is_none(),
            "{origin} {method} {headers}"
        );
    }
}

#[test]
fn bodies_are_limited_and_never_decompressed() {
    let fixture = Fixture::start();
    let large = format!(r#"{{"pool": "ua", "key": "{}"}}"#, "k".repeat(70_000));
    assert_eq!(post(&fixture, &[], &large).status, 413);
    let chunked = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    assert_eq!(Answer::parse(&fixture.send(chunked)).status, 413);
    for encoding in ["gzip", "br", "deflate", "gzip, identity"] {
        let answer = post(&fixture, &[("Content-Encoding", encoding)], r#"{"pool": "ua"}"#);
        assert_eq!((answer.status, answer.code()), (415, 1004), "{encoding}");
    }
}
