//! A person's way through Tomcats with the filter: landing with a ticket, logging in here and elsewhere, leaving.

use hyper::Method;
use serde_json::{Value, json};

use super::house::{House, arrive, browser, edit, log_in, walk, write_note};
use crate::support::certificates;
use crate::support::client::Client;
use crate::support::wait;

#[test]
fn an_agent_lands_with_a_ticket_logs_in_elsewhere_and_leaves() {
    let house = House::start(&["ua1", "ua2"], |plan| plan.with("pool", "session_ttl = \"1m\""));
    let director = &house.directors[0];
    let mut agent = browser();

    // The ticket is in one address and gone from the next; the rest of it stays byte for byte.
    let (seen, page) = walk(&mut agent, &director.url("/desk?agent=1001&x=%20a"));
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[1].query().unwrap().contains("&maitred_ticket="), "{seen:?}");
    assert_eq!(seen[2].query(), Some("agent=1001&x=%20a"));
    let (page, first) = (page.json(), seen[2].origin().ascii_serialization());
    let (at, other) = if first.contains("ua1") { ("ua1", "ua2") } else { ("ua2", "ua1") };
    assert_eq!((&page["maitred.key"], &page["maitred.generation"]), (&json!("1001"), &json!(1)));
    assert_eq!(page["maitred.session"], house.session(0, "1001")["session"]);
    assert_eq!(page["query"], "agent=1001&x=%20a");

    // A reload of the old address, with the same ticket, and the back button end on the page.
    let again = agent.get(seen[1].as_str());
    assert_eq!((again.status, again.header("location")), (303, "/desk?agent=1001&x=%20a"));
    assert_eq!((again.header("referrer-policy"), again.header("cache-control")), ("no-referrer", "no-store"));
    assert_eq!(agent.get(seen[2].as_str()).json()["visits"], 2);

    // Whoever else has the address gets a ticket of their own, or no session; never this one.
    let mut thief = browser();
    let refused = thief.get(seen[1].as_str());
    assert_eq!((refused.status, refused.location().as_str()), (303, director.url("/desk?agent=1001&x=%20a").as_str()));
    assert_eq!(thief.cookie(&format!("{at}.test"), "JSESSIONID"), None);

    // The login is known to the director, and nothing was left for this agent yet.
    assert_eq!(log_in(&mut agent, &first, "1001"), "");
    let found =
        || director.operator().get(&director.internal_url("/v1/sessions?agent=1001")).json()["sessions"].clone();
    wait::for_equal("the agent is confirmed", &json!("1001"), || found()[0]["agent"].clone());
    assert_eq!(found()[0]["server"], at);
    write_note(&mut agent, &first, "three+calls+waiting");

    // Beats tell the load and hold the session.
    wait::for_equal("the load is known", &json!(1), || director.server(at)["report"]["sessions"].clone());
    assert_eq!(house.health(at)["sessions"], 1);
    let expires = house.session(0, "1001")["expires"].clone();
    wait::until("the list holds the session beyond its time", || house.session(0, "1001")["expires"] != expires);

    // The same agent logs in at the other server, from another browser: the first session is reset there, once.
    let key = house.key_at(other, "desk");
    let mut second = browser();
    let (elsewhere, _) = arrive(&mut second, &house, &key);
    assert!(elsewhere.contains(other));
    assert_eq!(log_in(&mut second, &elsewhere, "1001"), "three calls waiting");
    let resets = |origin: &str| Client::new().get(&format!("{origin}/read")).json()["resets"].clone();
    wait::for_equal("the first HttpSession is reset", &json!(1), || resets(&first));
    let beats = house.beats(0);
    wait::until("many more beats", || house.beats(0) > beats + 8.0);
    assert_eq!((resets(&first), resets(&elsewhere)), (json!(1), json!(0)));
    wait::for_equal("one line about the reset", &1, || director.lines_with(&["event=\"session_reset\""]).len());
    let gone = agent.get(&format!("{first}/desk?x=1"));
    assert_eq!((gone.status, gone.location().as_str()), (303, director.url("/desk?x=1").as_str()));

    // What the first server says of the former stay is too late.
    let late = json!({"server": at, "incarnation": house.health(at)["incarnation"], "generation": 1, "state": "late"});
    let url = director.internal_url("/v1/sessions/ua/1001/state");
    let refused =
        director.operator().send(Method::PUT, &url, &[("content-type", "application/json")], &late.to_string());
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(log_in(&mut second, &elsewhere, "1001"), "three calls waiting");

    // Logout ends the session at the director.
    second.get(&format!("{elsewhere}/logout"));
    wait::for_equal("the session is ended", &json!("server"), || house.session(0, &key)["ended_by"].clone());
    for tomcat in &house.tomcats {
        let words = tomcat.words().join("\n");
        assert!(!words.contains("eyJ") && !words.contains("1001"), "no ticket and no agent in the log: {words}");
    }
}

#[test]
fn logins_are_heard_by_attribute_and_survive_a_new_http_session() {
    let house = House::start(&["ua1"], |plan| plan);
    let mut by_attribute = browser();
    let (origin, _) = arrive(&mut by_attribute, &house, "seat-1");
    by_attribute.get(&format!("{origin}/attribute?agent=ann"));
    wait::for_equal("ann is confirmed", &json!("ann"), || house.session(0, "seat-1")["agent"].clone());

    // Tomcat's session is another one, the director's is the same.
    let mut renewed = browser();
    let (_, before) = arrive(&mut renewed, &house, "seat-2");
    let after = renewed.get(&format!("{origin}/renewed?agent=bob")).json();
    assert_ne!(before["http_session"], after["http_session"]);
    assert_eq!(before["maitred.session"], after["maitred.session"]);
    wait::for_equal("bob is confirmed", &json!("bob"), || house.session(0, "seat-2")["agent"].clone());
    let beats = house.beats(0);
    wait::until("beats go on", || house.beats(0) > beats + 3.0);
    assert_eq!(house.session(0, "seat-2")["ended_by"], Value::Null);

    // Of no use here: forged ones, and those of other servers. A browser without a session goes to the door with its address ...
    let forged = format!("{origin}/desk?a=1&maitred_ticket=eyJhbGciOiJub25lIn0.e30.&b=2");
    let answer = browser().get(&forged);
    assert_eq!((answer.status, answer.location().as_str()), (303, house.directors[0].url("/desk?a=1&b=2").as_str()));
    // ... one with a session stays, and a form keeps its method.
    assert_eq!(renewed.get(&forged).header("location"), "/desk?a=1&b=2");
    assert_eq!(renewed.send(Method::POST, &forged, &[], "x=1").status, 307);
    // Who leads nobody astray: the address is a path of this server.
    let astray = renewed.get(&format!("{origin}//evil.example/x?maitred_ticket=x"));
    assert_eq!(astray.header("location"), "/evil.example/x");
    // Without a browser's words nobody is sent anywhere.
    assert_eq!(Client::new().get(&format!("{origin}/desk")).status, 200);

    // By cookie there is nothing to take out of the address.
    let ticket = Client::new()
        .post_json(&house.directors[0].url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": "seat-3"}));
    let ticket = ticket.json()["ticket"].as_str().unwrap().to_owned();
    let mut by_cookie = browser();
    by_cookie.set_cookie("ua1.test", "maitred_ticket", &ticket);
    let page = by_cookie.get(&format!("{origin}/desk"));
    assert_eq!((page.status, &page.json()["maitred.key"]), (200, &json!("seat-3")));
    assert_eq!(by_cookie.get(&format!("{origin}/desk")).json()["visits"], 2);

    // The server gets another certificate under another name: files are read again when they change.
    edit(&house.directors[0], |text| text.replace("san = \"ua1.test\"", "san = \"renewed.test\""));
    let beats = house.beats(0);
    certificates::shared().issue_peer(house.folder.path(), "ua1", &["renewed.test"]);
    wait::until("beats under the new name", || house.beats(0) > beats + 3.0);
}
