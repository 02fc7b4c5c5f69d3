//! Servers ask what a ticket states.

use std::time::Duration;

use maitred_core::clock::Time;

use super::fixture::{As, Fixture, OPERATOR};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PATH: &str = "/v1/tickets/verify";

#[test]
fn a_server_asks_about_its_own_tickets_and_learns_where_to_send_a_late_client() {
    let house = Fixture::start();
    let seat = (0..50).map(|key| house.seat(&format!("agent-{key}"))).find(|seat| seat.server.name.as_str() == "ua1");
    let seat = seat.unwrap();
    let edge = house.edge();
    let wall = edge.clock.wall();
    let sign = |age: Duration| {
        let then = Time(wall.0 - u64::try_from(age.as_millis()).unwrap());
        edge.tickets.sign(&seat.entry, [7; 16], Some("https://agents.example.com/"), then).unwrap()
    };
    let ask = |who, ticket: &str| house.ask(who, "POST", PATH, &[JSON], &format!(r#"{{"ticket": "{ticket}"}}"#));
    let ua1 = As::Token("token-of-ua1");
    let ticket = sign(Duration::ZERO);
    let claims = ask(ua1, &ticket).ok();
    assert_eq!((&claims["aud"], &claims["sub"]), (&"ua1".into(), &seat.entry.key.as_str().into()));
    assert_eq!(claims["session"], seat.session().to_string());
    assert_eq!(ask(OPERATOR, &ticket).ok(), claims);
    assert_eq!(ask(As::Token("token-of-view"), &ticket).problem(), (403, 1006));

    let late = ask(ua1, &sign(Duration::from_hours(1)));
    assert_eq!(late.problem(), (400, 1000));
    assert_eq!(late.json()["reason"], "expired");
    assert_eq!(late.json()["return"], "https://agents.example.com/");
    let forged = ask(ua1, &format!("{ticket}A"));
    assert_eq!((forged.problem(), forged.json().get("return")), ((400, 1000), None));
    assert!(!forged.body.contains(&ticket[..40]), "nothing is echoed");

    let elsewhere =
        (0..50).map(|key| house.seat(&format!("agent-{key}"))).find(|seat| seat.server.name.as_str() != "ua1");
    let other = edge.tickets.sign(&elsewhere.unwrap().entry, [8; 16], None, wall).unwrap();
    assert_eq!(ask(ua1, &other).json()["reason"], "audience");
    for body in ["{}", r#"{"ticket": 1}"#, r#"{"ticket": "a", "ticket": "b"}"#, r#"{"ticket": "a", "x": 1}"#] {
        assert_eq!(house.ask(ua1, "POST", PATH, &[JSON], body).problem(), (400, 1000), "{body}");
    }
}

#[test]
fn a_server_learns_the_keys_where_it_sends_its_beats() {
    let house = Fixture::start();
    let keys = |who| house.ask(who, "GET", "/v1/jwks.json", &[], "");
    let shown = keys(As::Token("token-of-ua1"));
    assert_eq!(shown.json()["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown.body.as_bytes(), house.edge().tickets.jwks());
    assert_eq!(keys(As::Token("token-of-view")).problem(), (403, 1006));
}
