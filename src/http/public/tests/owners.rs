//! What an owner can do from a browser: log out, leave a server that sends everybody back, say that a server is silent.

use maitred_core::entry::Life;
use maitred_core::event::Effect;
use maitred_core::ids::Key;

use super::fixture::{Fixture, HOST, config, parse};
use crate::config::{Handover, Landing};
use crate::http::answer::Answer;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const HTML: (&str, &str) = ("Accept", "text/html,*/*;q=0.8");
const LOGOUT: &str = "/maitred/logout?pool=ua";

fn is_live(fixture: &Fixture, key: &str) -> bool {
    let found = fixture.edge.director.find(&parse("ua"), &Key::parse(key).unwrap(), None, fixture.edge.clock.now());
    found.is_some_and(|entry| entry.life == Life::Live)
}

fn logout(fixture: &Fixture, cookie: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = [("Cookie", cookie), FORM].into_iter().chain(headers.iter().copied()).collect();
    fixture.ask("POST", LOGOUT, &headers)
}

#[test]
fn a_logout_ends_the_session_takes_the_cookie_away_and_leads_on() {
    let mut config = config();
    let pool = config.pools.get_mut(&parse("ua")).unwrap();
    pool.after_logout = Landing::parse("https://portal.example.com/bye?x=1").unwrap();
    pool.handover = Handover::Cookie { domain: crate::config::Host::parse("example.com").unwrap() };
    let fixture = Fixture::with(&config);
    let seat = fixture.get("/?agent=1001");
    let affinity = seat.cookie_named("__Host-maitred-ua");
    let page = fixture.ask("GET", LOGOUT, &[("Cookie", &affinity), HTML]);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<form method=\"post\">") && is_live(&fixture, "1001"), "a link changes nothing");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors https://crm.example") && !policy.contains("form-action"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("same-origin"), "or its own form came from null");

    let out = logout(&fixture, &affinity, &[("Sec-Fetch-Site", "same-origin")]);
    assert_eq!((out.status, out.location()), (303, "https://portal.example.com/bye?x=1"));
    assert!(!is_live(&fixture, "1001"));
    let cleared: Vec<&str> =
        out.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, v)| v.as_str()).collect();
    assert_eq!(cleared.len(), 2, "{cleared:?}");
    assert!(cleared.iter().all(|line| line.contains("Max-Age=0")), "{cleared:?}");
    assert_eq!(logout(&fixture, &affinity, &[]).status, 303, "twice is once");
    assert_eq!(logout(&fixture, "", &[]).status, 303, "and without a session there is nothing to end");
}

#[test]
fn a_foreign_page_logs_nobody_out() {
    let fixture = Fixture::start();
    let seat = fixture.get("/?agent=1001");
    let own = format!("https://{HOST}");
    for refused in [
        vec![("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")],
        vec![("Sec-Fetch-Site", "same-site"), ("Origin", "https://evil.example.com")],
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "cross-site"), ("Origin", "null")],
        vec![("Origin", "null")],
        vec![("Origin", "https://evil.example")],
        vec![("Origin", "https://iwd1.example.com"), ("Sec-Fetch-Site", "same-site")],
    ] {
        let answer = logout(&fixture, seat.cookie(), &refused);
        assert_eq!((answer.status, answer.code()), (403, 1006), "{refused:?}");
        assert!(is_live(&fixture, "1001"), "{refused:?}");
    }
    for allowed in [
        vec![("Sec-Fetch-Site", "same-origin"), ("Origin", own.as_str())],
        vec![("Sec-Fetch-Site", "none")],
        vec![("Origin", own.as_str())],
        vec![("Origin", "https://ua2.example.com"), ("Sec-Fetch-Site", "same-site")],
        vec![("Origin", "https://crm.example"), ("Sec-Fetch-Site", "cross-site")],
        vec![],
    ] {
        let seat = fixture.get("/?agent=1002");
        assert_eq!(logout(&fixture, seat.cookie(), &allowed).status, 303, "{allowed:?}");
        assert!(!is_live(&fixture, "1002"), "{allowed:?}");
    }
    for (target, status) in [
        ("/maitred/logout", 400),
        ("/maitred/logout?pool=ua&pool=iwd", 400),
        ("/maitred/logout?pool=none", 404),
        ("/maitred/logout?pool=%00", 404),
    ] {
        assert_eq!(fixture.ask("POST", target, &[]).status, status, "{target}");
        assert_eq!(fixture.get(target).status, status, "{target}");
    }
    for method in ["DELETE", "PUT"] {
        assert_eq!(fixture.ask(method, LOGOUT, &[("Cookie", seat.cookie())]).status, 405);
    }
    assert_eq!(fixture.ask("GET", &format!("{LOGOUT}&_method=POST"), &[("Cookie", seat.cookie())]).status, 200);
    assert!(is_live(&fixture, "1001"));
}

#[test]
fn who_is_not_the_owner_loses_the_cookie_and_ends_nothing() {
    let fixture = Fixture::start();
    fixture.get("/?agent=1001");
    let stranger = fixture.get("/?agent=1001");
    let out = logout(&fixture, stranger.cookie(), &[]);
    assert_eq!((out.status, out.location()), (303, "/"));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(is_live(&fixture, "1001"));
}

#[test]
fn a_logout_means_the_session_wherever_it_sits_by_now() {
    let fixture = Fixture::start();
    let first = fixture.get("/?agent=1001");
    fixture.look(first.server(), false);
    let moved = fixture.get("/?agent=1001");
    assert_ne!(moved.server(), first.server());
    assert_eq!(logout(&fixture, first.cookie(), &[]).status, 303);
    assert!(!is_live(&fixture, "1001"), "the cookie is of the seat before");

    let minted = fixture.get("/");
    assert_eq!(logout(&fixture, minted.cookie(), &[]).status, 303);
    let again = fixture.ask("GET", "/", &[("Cookie", minted.cookie())]);
    let again = fixture.ask("GET", "/", &[("Cookie", again.cookie())]);
    assert_eq!(again.status, 302);
    let sessions = fixture.edge.director.sessions();
    assert_eq!(sessions, 3, "two tombstones and a new session: a copy of the cookie brings nothing back");
}

/// Visits with the cookie of the visit before.
fn visit(fixture: &Fixture, cookie: &mut String, headers: &[(&str, &str)]) -> Answer {
    let sent = cookie.clone();
    let headers: Vec<_> = [("Cookie", sent.as_str())].into_iter().chain(headers.iter().copied()).collect();
    let answer = fixture.ask("GET", "/ua/x?agent=1001&b=%22%3E", &headers);
    *cookie = answer.cookie().to_owned();
    answer
}

#[test]
fn a_browser_that_is_sent_back_for_the_fourth_time_gets_a_page_with_two_ways_on() {
    let fixture = Fixture::start();
    let mut cookie = String::new();
    let first = visit(&fixture, &mut cookie, &[HTML]);
    for time in 1..=3 {
        assert_eq!(visit(&fixture, &mut cookie, &[HTML]).status, 302, "return {time}");
    }
    let page = visit(&fixture, &mut cookie, &[HTML]);
    assert_eq!((page.status, page.header("location")), (200, None));
    assert!(page.body.contains("<a href=\"\">Continue</a>") && page.body.contains("another server"), "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let continued = visit(&fixture, &mut cookie, &[HTML]);
    assert_eq!((continued.status, continued.server()), (302, first.server()), "continue continues");

    let hidden = |name: &str| {
        let rest = page.body.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
    };
    assert_eq!((hidden("server").as_str(), hidden("to").as_str()), (first.server(), "/ua/x?agent=1001&b=%22%3E"));
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let form = |to: &str| format!("pool=ua&server={}&to={}", first.server(), encode(to));
    let foreign = [("Cookie", cookie.as_str()), FORM, ("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil")];
    assert_eq!(fixture.ask_with("POST", "/maitred/another", &foreign, &form("/")).status, 403);
    let own = [("Cookie", cookie.as_str()), FORM, ("Sec-Fetch-Site", "same-origin")];
    for bad in ["https://evil/", "evil", "", "/\\evil", "/%00", "/a b", "javascript:alert(1)"] {
        let answer = fixture.ask_with("POST", "/maitred/another", &own, &form(bad));
        assert_eq!(answer.status, 400, "{bad}");
    }
    let other = fixture.ask_with("POST", "/maitred/another", &own, &form(&hidden("to")));
    assert_eq!(other.status, 303);
    assert_ne!(other.server(), first.server());
    assert!(other.location().ends_with(".example.com/ua/x?agent=1001&b=%22%3E"), "{}", other.location());
    let away = fixture.ask_with("POST", "/maitred/another", &own, &form("//evil.example/x?agent=1001"));
    assert!(
        away.location().contains(".example.com//evil.example/x"),
        "it stays a path of a server: {}",
        away.location()
    );
    assert_eq!(fixture.get("/?agent=1001").server(), other.server(), "the session has moved for good");
    for (headers, body, status) in [
        (vec![FORM], "pool=ua&server=ua1", 400),
        (vec![FORM], "pool=none&server=ua1&to=/", 404),
        (vec![("Content-Type", "application/json")], "{}", 415),
        (vec![], "pool=ua&server=ua1&to=/", 415),
    ] {
        assert_eq!(fixture.ask_with("POST", "/maitred/another", &headers, body).status, status, "{body}");
    }
}

#[test]
fn only_browsers_are_counted_and_only_the_owner_may_leave() {
    let fixture = Fixture::start();
    let mut program = String::new();
    for _ in 0..8 {
        assert_eq!(visit(&fixture, &mut program, &[]).status, 302);
    }
    let mut stranger = String::new();
    let statuses: Vec<u16> = (0..5).map(|_| visit(&fixture, &mut stranger, &[HTML]).status).collect();
    assert_eq!(statuses, [302, 302, 302, 302, 200]);
    for _ in 0..3 {
        assert_eq!(visit(&fixture, &mut stranger, &[HTML]).status, 302, "the count has begun anew");
    }
    let page = visit(&fixture, &mut stranger, &[HTML]);
    assert!(page.body.contains("Continue") && !page.body.contains("<form"), "{}", page.body);
    for _ in 0..8 {
        assert_eq!(fixture.ask("GET", "/?agent=1001", &[HTML]).status, 302, "no cookie, no count");
    }
}

#[test]
fn a_report_brings_one_look_forward_and_changes_nothing_else() {
    let fixture = Fixture::start();
    let effects = || std::iter::from_fn(|| fixture.edge.director.next_effect()).collect::<Vec<_>>();
    effects();
    let seat = fixture.ask_with("POST", "/maitred/v1/sessions", &[], r#"{"pool": "ua", "key": "1001"}"#);
    let (token, server) = (seat.json()["token"].clone(), seat.json()["server"]["name"].clone());
    let (bearer, server) = (format!("Bearer {}", token.as_str().unwrap()), server.as_str().unwrap());
    let body = format!(r#"{{"server": "{server}", "reason": "timeout"}}"#);
    let report = |headers: &[(&str, &str)], body: &str| fixture.ask_with("POST", "/maitred/v1/reports", headers, body);
    let picture = fixture.edge.director.view().number();
    for _ in 0..20 {
        assert_eq!(report(&[("Authorization", &bearer)], &body).status, 202);
    }
    assert_eq!(report(&[("Cookie", seat.cookie())], &body).status, 202, "the cookie is proof as well");
    let seen = effects();
    assert!((1..20).contains(&seen.len()), "{seen:?}");
    assert!(seen.iter().all(|effect| *effect == Effect::ProbeNow(parse(server))), "{seen:?}");
    assert_eq!(fixture.edge.director.view().number(), picture);

    let other = if server == "ua1" { "ua2" } else { "ua1" };
    let naming = |server: &str| format!(r#"{{"server": "{server}"}}"#);
    for (headers, body, status) in [
        (vec![], body.clone(), 401),
        (vec![("Authorization", "Bearer forged")], body.clone(), 401),
        (vec![("Authorization", bearer.as_str())], naming(other), 404),
        (vec![("Authorization", bearer.as_str())], naming("ua99"), 404),
        (vec![("Authorization", bearer.as_str())], naming("../x"), 404),
        (vec![("Authorization", bearer.as_str())], "{}".to_owned(), 400),
        (vec![("Authorization", bearer.as_str())], format!(r#"{{"server": "{server}", "x": 1}}"#), 400),
        (vec![("Authorization", bearer.as_str())], format!(r#"{{"server": "{server}", "reason": 1}}"#), 400),
        (vec![("Cookie", seat.cookie()), FORM], body.clone(), 415),
        (vec![("Cookie", seat.cookie()), ("Origin", "https://evil")], body.clone(), 403),
    ] {
        assert_eq!(report(&headers, &body).status, status, "{headers:?} {body}");
    }
    assert_eq!(effects(), []);
}
