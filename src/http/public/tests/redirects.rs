//! Starts by navigation.

use super::fixture::{Fixture, HOST, config, parse};
use maitred_core::ids::{Key, PoolName};

const ORIGINS: [&str; 3] = ["https://ua1.example.com", "https://ua2.example.com", "https://ua3.example.com"];

#[test]
fn a_path_becomes_the_same_path_at_a_server() {
    let fixture = Fixture::start();
    let answer = fixture.get("/some/path;x=1?agent=1001&b=%20%2F&c=a+b");
    assert_eq!(answer.status, 302);
    let (origin, path) = answer.location().split_at(ORIGINS[0].len());
    assert!(ORIGINS.contains(&origin), "{origin}");
    assert_eq!(path, "/some/path;x=1?agent=1001&b=%20%2F&c=a+b", "byte for byte");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-length"), Some("0"));
    assert!(answer.header("x-request-id").is_some());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-maitred-ua="), "{cookie}");
    for attribute in ["Path=/", "Max-Age=86400", "Secure", "HttpOnly", "SameSite=None; Partitioned"] {
        assert!(cookie.contains(attribute), "{attribute} of {cookie}");
    }
    assert!(!cookie.contains("1001") && !cookie.contains("ua1."), "nothing in clear");
}

#[test]
fn the_root_becomes_home_with_its_query() {
    let fixture = Fixture::start();
    assert!(fixture.get("/").location().ends_with(".example.com/ua/"));
    assert!(fixture.get("/?agent=1").location().ends_with(".example.com/ua/?agent=1"));
    assert!(fixture.get("/iwd?agent=1").location().starts_with("https://iwd"), "the longer route wins");
}

#[test]
fn a_key_keeps_its_server_with_and_without_the_cookie() {
    let fixture = Fixture::start();
    let first = fixture.get("/?agent=1001");
    for _ in 0..5 {
        assert_eq!(fixture.get("/?agent=1001").server(), first.server());
    }
    let by_cookie = fixture.ask("GET", "/x", &[("Cookie", first.cookie())]);
    assert_eq!(by_cookie.server(), first.server());
    assert_eq!(fixture.ask("GET", "/x", &[("X-Agent-Id", "1001")]).server(), first.server());
}

#[test]
fn a_minted_key_lives_in_its_cookie() {
    let fixture = Fixture::start();
    let first = fixture.get("/");
    assert_eq!(fixture.edge.director.sessions(), 0, "not stored until it is seen again");
    let again = fixture.ask("GET", "/", &[("Cookie", first.cookie())]);
    assert_eq!(again.server(), first.server());
    assert_eq!(fixture.edge.director.sessions(), 1);
}

#[test]
fn a_dead_server_is_left_and_not_returned_to() {
    let fixture = Fixture::start();
    let first = fixture.get("/?agent=1001");
    fixture.look(first.server(), false);
    let second = fixture.get("/?agent=1001");
    assert_ne!(second.server(), first.server());
    fixture.look(first.server(), true);
    assert_eq!(fixture.get("/?agent=1001").server(), second.server());
}

#[test]
fn what_is_no_get_keeps_its_method() {
    let fixture = Fixture::start();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(fixture.ask_with(method, "/x?agent=1", &[], "a=b").status, 307, "{method}");
    }
    assert_eq!(fixture.ask("TRACE", "/x", &[]).status, 405);
}

#[test]
fn checks_and_prefetches_leave_no_seat() {
    let fixture = Fixture::start();
    let prefetch = ("Sec-Purpose", "prefetch");
    assert_eq!(fixture.ask("HEAD", "/x?agent=1", &[]).status, 404);
    assert_eq!(fixture.ask("OPTIONS", "/x?agent=1", &[]).status, 204);
    let ahead = fixture.ask("GET", "/x?agent=1", &[prefetch]);
    assert_eq!((ahead.status, ahead.header("cache-control")), (503, Some("no-store")));
    assert_eq!(fixture.edge.director.sessions(), 0);

    let seat = fixture.get("/x?agent=1");
    let head = fixture.ask("HEAD", "/y?agent=1", &[]);
    assert_eq!((head.status, head.server()), (302, seat.server()));
    let ahead = fixture.ask("GET", "/y?agent=1", &[prefetch]);
    assert_eq!((ahead.status, ahead.server()), (302, seat.server()));
    assert!(head.header("set-cookie").is_none() && ahead.header("set-cookie").is_none());
    assert_eq!(fixture.edge.director.sessions(), 1);
}

#[test]
fn a_minted_seat_is_found_by_its_cookie_before_it_is_stored() {
    let fixture = Fixture::start();
    let first = fixture.get("/");
    let head = fixture.ask("HEAD", "/", &[("Cookie", first.cookie())]);
    assert_eq!((head.status, head.server()), (302, first.server()));
}

#[test]
fn what_every_host_is_asked_for_is_nobodys_visit() {
    let fixture = Fixture::start();
    for path in ["/favicon.ico", "/robots.txt", "/.well-known/change-password"] {
        let answer = fixture.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.header("cache-control").unwrap().contains("max-age="), "{path}");
    }
}

#[test]
fn what_cannot_be_redirected_is_told_so_readably() {
    let fixture = Fixture::start();
    let origin = ("Origin", "https://crm.example");
    for header in [("Upgrade", "websocket"), ("Accept", "text/event-stream"), ("Sec-Fetch-Mode", "cors")] {
        let answer = fixture.ask("GET", "/x?agent=1", &[header, origin]);
        assert_eq!((answer.status, answer.code()), (400, 2000), "{header:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://crm.example"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("POST /maitred/v1/sessions"));
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
    assert_eq!(fixture.ask("GET", "/x?agent=1", &[("Sec-Fetch-Mode", "no-cors")]).status, 302);
    let foreign = fixture.ask("GET", "/x", &[("Sec-Fetch-Mode", "cors"), ("Origin", "https://evil")]);
    assert_eq!(foreign.header("access-control-allow-origin"), None);
}

#[test]
fn a_page_may_send_the_headers_that_the_pool_reads_and_is_told_what_it_did_wrong() {
    let fixture = Fixture::start();
    let ahead = |origin, wanted| {
        let asked =
            [("Origin", origin), ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", wanted)];
        fixture.ask("OPTIONS", "/x", &asked)
    };
    let good = ahead("https://crm.example", "x-agent-id");
    assert_eq!(good.status, 204);
    assert_eq!(
        good.header("access-control-allow-headers"),
        Some("authorization, content-type, x-request-id, x-agent-id")
    );
    assert_eq!(good.header("access-control-allow-origin"), Some("https://crm.example"));
    for (origin, wanted) in [("https://crm.example", "x-other"), ("https://evil", "x-agent-id"), ("null", "x-agent-id")]
    {
        assert_eq!(ahead(origin, wanted).header("access-control-allow-headers"), None, "{origin} {wanted}");
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
}

#[test]
fn a_bad_key_or_label_is_named_and_seats_nobody() {
    let fixture = Fixture::start();
    for (target, attribute) in [
        ("/?agent=", "query:agent"),
        ("/?agent=a%00b", "query:agent"),
        ("/?agent=1&agent=2", "query:agent"),
        ("/?agent=1&media=", "labels.media"),
    ] {
        let answer = fixture.get(target);
        assert_eq!((answer.status, answer.code()), (400, 1000), "{target}");
        assert_eq!(answer.json()["attribute"], attribute);
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
}

#[test]
fn a_bad_cookie_is_no_cookie() {
    let fixture = Fixture::start();
    let first = fixture.get("/");
    let good = first.cookie().to_owned();
    let (name, value) = good.split_once('=').unwrap();
    let flipped: String = value.chars().rev().collect();
    for bad in [
        format!("{name}="),
        format!("{name}=x"),
        format!("{name}={flipped}"),
        format!("{name}={}", &value[..value.len() - 4]),
        format!("{name}={}", "A".repeat(4097)),
        format!("{name}=\"{value}\""),
        format!("__Host-maitred-iwd={value}"),
        ";=".to_owned(),
        "=x".to_owned(),
        ",a=b".to_owned(),
        "$Version=1".to_owned(),
    ] {
        let answer = fixture.ask("GET", "/", &[("Cookie", &bad)]);
        assert_eq!(answer.status, 302, "{bad}");
        assert_ne!(answer.cookie(), good, "a new session");
    }
    let two = format!("{name}=x; {good}; {name}=y");
    assert_eq!(fixture.ask("GET", "/", &[("Cookie", &two)]).server(), first.server(), "the valid one of several");
}

#[test]
fn an_ended_sessions_cookie_begins_a_new_session() {
    let fixture = Fixture::start();
    let first = fixture.get("/");
    let (pool, find) = (parse::<PoolName>("ua"), |cookie: &str| fixture.ask("GET", "/", &[("Cookie", cookie)]));
    let seen = find(first.cookie());
    let opened = crate::credentials::CookieName::of(&pool).find(
        &fixture.edge.seals,
        [seen.cookie().as_bytes()],
        std::time::Duration::from_secs(86_400),
        fixture.edge.clock.now().time,
    );
    let seat = opened.newest.unwrap().shown.seat;
    let end = maitred_core::director::End::Session {
        session: seat.session,
        generation: seat.generation,
        reason: maitred_core::entry::EndReason::Client,
    };
    fixture.edge.director.end(&pool, &seat.key, None, &end, fixture.edge.clock.now()).unwrap();
    let anew = find(first.cookie());
    assert_eq!(anew.status, 302);
    let found = fixture.edge.director.find(&pool, &seat.key, None, fixture.edge.clock.now()).unwrap();
    assert!(matches!(found.life, maitred_core::entry::Life::Ended(_)), "the ended one stays ended");
}

#[test]
fn a_strangers_cookie_gives_no_right_to_the_session() {
    let fixture = Fixture::start();
    let owner = fixture.ask_with("POST", "/maitred/v1/sessions", &[], r#"{"pool": "ua", "key": "1001"}"#);
    assert_eq!(owner.json()["owner"], true);
    let stranger = fixture.get("/?agent=1001");
    let cookie = [("Cookie", stranger.cookie())];
    let body = fixture.ask_with("POST", "/maitred/v1/sessions", &cookie, r#"{"pool": "ua", "key": "1001"}"#).json();
    assert_eq!(body["owner"], false);
    assert!(body.get("token").is_none());
    assert_eq!(body["session"], owner.json()["session"]);
}

#[test]
fn when_nothing_is_available_people_get_a_page_and_programs_a_problem() {
    let fixture = Fixture::start();
    fixture.all_down("ua");
    let page = fixture.ask("GET", "/x?agent=1", &[("Accept", "text/html,*/*")]);
    assert_eq!(page.status, 503);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!((3..=9).contains(&page.header("retry-after").unwrap().parse::<u32>().unwrap()));
    assert!(page.body.contains("http-equiv=\"refresh\"") && page.body.contains("3 are down"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.ends_with("frame-ancestors https://crm.example"), "{policy}");
    assert!(!page.body.contains("agent=1"), "nothing is echoed");

    let problem = fixture.get("/x?agent=1");
    assert_eq!((problem.status, problem.code()), (503, 2001));
    assert_eq!(problem.json()["blocked"]["down"], 3);
    assert_eq!(problem.header("x-content-type-options"), Some("nosniff"));

    fixture.look("ua2", true);
    assert_eq!(fixture.get("/x?agent=1").server(), "ua2", "and it ends by itself");
}

#[test]
fn unknown_hosts_and_paths_are_told_apart() {
    let mut narrow = config();
    narrow.pools.remove(&parse::<PoolName>("ua"));
    let fixture = Fixture::with(&narrow);
    let unknown = fixture.ask("GET", "/iwd", &[("Host", "evil")]);
    assert_eq!((unknown.status, unknown.code()), (421, 1010));
    let unrouted = fixture.get("/iwdx");
    assert_eq!((unrouted.status, unrouted.code()), (404, 1007));
    assert_eq!(fixture.get("/robots.txt").status, 404);
}

#[test]
fn a_reload_moves_routes_and_pools_together() {
    let fixture = Fixture::start();
    let first = fixture.get("/?agent=1");
    let mut narrow = config();
    let iwd = parse::<PoolName>("iwd");
    narrow.pools.remove(&iwd);
    narrow.settings.pools.remove(&iwd);
    fixture.edge.director.handle_settings(narrow.settings.clone(), fixture.edge.clock.now()).unwrap();
    assert_eq!(fixture.get("/iwd?agent=1").status, 404, "between the two steps: gone");
    fixture.edge.reload(&narrow);
    assert!(fixture.get("/iwd?agent=2").location().starts_with("https://ua"), "the root's pool takes it");
    assert_eq!(fixture.get("/?agent=1").server(), first.server());
}

#[test]
fn what_a_key_is_does_not_depend_on_who_forwards() {
    let fixture = Fixture::start();
    let plain = fixture.get("/x?agent=7");
    for header in [("X-Forwarded-Host", "evil"), ("Forwarded", "host=evil"), ("X_Forwarded_Host", "evil")] {
        assert_eq!(fixture.ask("GET", "/x?agent=7", &[header]).location(), plain.location());
    }
    assert_eq!(
        fixture.ask("GET", &format!("http://{HOST}/x?agent=7"), &[]).location(),
        plain.location(),
        "absolute form of the same host"
    );
    let key = parse_key("7");
    assert!(fixture.edge.director.find(&parse("ua"), &key, None, fixture.edge.clock.now()).is_some());
}

fn parse_key(text: &str) -> Key {
    Key::parse(text).unwrap()
}
