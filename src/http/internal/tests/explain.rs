//! Why a key gets its server, as operators read it.

use serde_json::{Value, json};

use super::fixture::Fixture;

fn candidate<'v>(told: &'v Value, server: &str) -> &'v Value {
    told["candidates"].as_array().unwrap().iter().find(|it| it["server"] == server).unwrap()
}

#[test]
fn a_new_key_is_told_where_it_would_go_and_nothing_is_seated() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.look("ua2", false);
    let told = house.get("/v1/explain?pool=ua&key=1001").ok();
    assert_eq!((&told["answer"]["server"], &told["answer"]["rule"]), (&json!("ua1"), &json!("ladder")));
    assert_eq!((&told["seat"], &told["alias"], &told["cookie"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(candidate(&told, "ua1")["outcome"], "taken");
    assert_eq!(candidate(&told, "ua2")["outcome"], "down");
    assert_eq!(candidate(&told, "ua2")["inputs"]["verdict"]["failure"]["detail"], "connection refused");
    assert_eq!(candidate(&told, "ua9")["outcome"], "not_reached");
    assert!(candidate(&told, "ua1")["inputs"]["votes"][0]["age_seconds"].is_number());
    assert_eq!(told["role"]["because"], "preferred");
    assert_eq!(
        told["role"]["datacenters"][0]["servers"],
        json!({ "configured": 2, "up": 1, "unknown": 0, "needed": 1 })
    );
    assert_eq!(house.director().sessions(), 0);
    assert_eq!(house.seat("1001").server.name.as_str(), "ua1", "what was told is what is done");
}

#[test]
fn a_seat_is_shown_with_its_fence_and_a_cookie_with_what_it_is_worth() {
    let house = Fixture::start();
    for server in ["ua1", "ua2"] {
        house.look(server, true);
    }
    let seat = house.seat("1001");
    let told = house.get("/v1/explain?pool=ua&key=1001").ok();
    assert_eq!(told["answer"]["affinity"], "kept");
    assert_eq!(told["seat"]["fence"]["server"], seat.server.name.as_str());
    assert_eq!(told["seat"]["fence"]["generation"], 1);
    let now = house.edge().clock.now().time;
    let sealed = house.edge().seals.seal_cookie_after(&seat.entry, true, 0, now).unwrap();
    let cookie = format!("__Host-maitred-ua={}", String::from_utf8_lossy(sealed.as_ref()));
    let server = seat.server.name.as_str();
    let path = format!("/v1/explain?pool=ua&avoid={server}");
    let told = house.ask(super::fixture::OPERATOR, "GET", &path, &[("Cookie", &cookie)], "").ok();
    assert_eq!(told["cookie"], json!({ "counts": true, "owner": true, "faults": [] }));
    assert_eq!((&told["key"], &told["answer"]["reason"]), (&json!("1001"), &json!("avoid")));
    assert_eq!(candidate(&told, server)["outcome"], "avoided");
    let forged = [("Cookie", "__Host-maitred-ua=forged")];
    let told = house.ask(super::fixture::OPERATOR, "GET", "/v1/explain?pool=ua&key=7", &forged, "").ok();
    assert_eq!(told["cookie"]["counts"], false);
    let stranger = house.get(&format!("/v1/explain?pool=ua&key=1001&avoid={server}")).ok();
    assert_eq!(stranger["answer"]["refused"]["code"], 1006, "only the owner may avoid");
}

#[test]
fn what_makes_no_sense_is_named() {
    let house = Fixture::start();
    for (query, status, attribute) in [
        ("", 400, "pool"),
        ("?pool=ua", 400, "key"),
        ("?pool=no-such&key=1", 404, ""),
        ("?pool=ua&key=1&session=x", 400, "session"),
        ("?pool=ua&key=1&avoid=%20", 400, "avoid"),
        ("?pool=ua&key=1&labels%5Bmedia%5D=voice", 400, "labels.media"),
        ("?pool=ua&key=1&colour=blue", 400, "colour"),
        ("?pool=ua&key=", 400, "key"),
    ] {
        let answer = house.get(&format!("/v1/explain{query}"));
        assert_eq!(answer.problem().0, status, "{query}: {answer:?}");
        if status == 400 {
            assert_eq!(answer.json()["attribute"], attribute, "{query}");
        }
    }
}
