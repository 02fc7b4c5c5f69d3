//! Who gets in, and how far.

use std::sync::Arc;

use super::fixture::{As, Fixture, OPERATOR, write_tokens};
use crate::http::internal::{Access, May, ROUTES};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn what_does_not_exist_is_told_only_to_those_who_were_let_in() {
    let house = Fixture::start();
    for path in [
        "/",
        "/v1",
        "/v1/servers/",
        "/v1/events/1",
        "/maitred/v1/sessions",
        "/admin",
        "//v1/servers",
        "/%761/servers",
        "/v1/servers;x",
        "/./v1/servers",
    ] {
        assert_eq!(house.ask(As::Nobody, "GET", path, &[], "").problem(), (401, 1005), "{path}");
        assert_eq!(house.get(path).problem(), (404, 1007), "{path}");
    }
    let answer = house.ask(OPERATOR, "DELETE", "/v1/servers", &[], "");
    assert_eq!((answer.problem(), answer.header("allow")), ((405, 1008), Some("GET, HEAD")));
    assert_eq!(house.ask(OPERATOR, "OPTIONS", "/v1/servers", &[], "").problem(), (405, 1008));
    assert_eq!(house.ask(OPERATOR, "POST", "/v1/servers/ua1", &[("X-HTTP-Method-Override", "GET")], "").status, 405);
}

#[test]
fn a_server_sees_itself_and_no_other() {
    let house = Fixture::start();
    for who in [As::Token("token-of-ua1"), As::Certificate("ua1")] {
        assert_eq!(house.ask(who, "GET", "/v1/servers/ua1", &[], "").ok()["name"], "ua1");
        assert_eq!(house.ask(who, "GET", "/v1/servers/ua2", &[], "").problem(), (403, 1006));
        assert_eq!(house.ask(who, "GET", "/v1/servers/no-such", &[], "").problem(), (403, 1006), "learns nothing");
    }
}

#[test]
fn a_certificate_without_a_role_and_one_with_two_are_refused() {
    let house = Fixture::start();
    assert_eq!(house.ask(As::Certificate("stranger"), "GET", "/v1/status", &[], "").problem(), (403, 1006));
    assert_eq!(house.ask(As::Certificate("both"), "GET", "/v1/status", &[], "").problem(), (403, 1006));
    let with_token = [("Authorization", "Bearer token-of-view")];
    assert_eq!(house.ask(As::Certificate("stranger"), "GET", "/v1/status", &with_token, "").status, 200);
    let wrong = [("Authorization", "Bearer wrong")];
    assert_eq!(house.ask(As::Certificate("operator"), "GET", "/v1/status", &wrong, "").problem(), (401, 1005));
    let twice = [("Authorization", "Bearer wrong"), ("Authorization", "Bearer token-of-ops")];
    assert_eq!(house.ask(As::Nobody, "GET", "/v1/status", &twice, "").problem(), (401, 1005));
    let basic = [("Authorization", "Basic b3BzOnRva2VuLW9mLW9wcw==")];
    assert_eq!(house.ask(As::Nobody, "GET", "/v1/status", &basic, "").problem(), (401, 1005));
    assert_eq!(
        house.ask(As::Nobody, "GET", "/v1/status?access_token=token-of-ops", &[], "").status,
        401,
        "not in a URL"
    );
}

#[test]
fn without_identities_each_certificate_of_the_authority_is_an_operator() {
    let house = Fixture::with("");
    let answer =
        house.ask(As::Certificate("stranger"), "PUT", "/v1/servers/ua1/state", &[JSON], "{\"state\": \"drain\"}");
    assert_eq!(answer.ok()["changed"], true);
    assert_eq!(house.ask(As::Nobody, "GET", "/v1/servers", &[], "").problem(), (401, 1005));
}

#[test]
fn guesses_are_braked_and_nobody_who_may_come_in_is() {
    let house = Fixture::start();
    for _ in 0..10 {
        assert_eq!(house.ask(As::Token("a-guess"), "GET", "/v1/status", &[], "").problem(), (401, 1005));
    }
    let braked = house.ask(As::Token("a-guess"), "GET", "/v1/status", &[], "");
    assert_eq!(braked.problem(), (429, 1001));
    assert!(braked.header("retry-after").is_some());
    assert_eq!(house.ask(OPERATOR, "GET", "/v1/status", &[], "").status, 200, "a right token from the same address");
    assert_eq!(house.ask(As::Certificate("operator"), "GET", "/v1/status", &[], "").status, 200);
    assert_eq!(house.ask(As::Nobody, "GET", "/v1/status", &[], "").problem(), (401, 1005));
}

#[test]
fn tokens_change_without_a_restart() {
    let house = Fixture::start();
    let listen = house.config.listen.internal.clone().unwrap();
    write_tokens(&house.path("internal.tokens"), &[("operator", "another")]);
    assert_eq!(house.get("/v1/status").status, 200, "nothing changes before it is told to");
    house.internal.reload(Arc::new(house.config.clone()), Access::load(&listen).unwrap());
    assert_eq!(house.get("/v1/status").status, 401);
    assert_eq!(house.ask(As::Token("another"), "GET", "/v1/status", &[], "").status, 200);
    std::fs::write(house.path("internal.tokens"), "half a li").unwrap();
    assert!(Access::load(&listen).is_err(), "a half-written file changes nothing");
}

#[test]
fn pages_of_other_origins_and_malformed_hosts_get_nothing() {
    let house = Fixture::start();
    for headers in [
        [("Origin", "https://evil.example"), ("Host", "localhost:9443")],
        [("Origin", "null"), ("Host", "localhost:9443")],
        [("Origin", "https://evil.example:9443"), ("Host", "localhost:9443")],
        [("Sec-Fetch-Site", "cross-site"), ("Host", "localhost:9443")],
        [("Sec-Fetch-Site", "same-site"), ("Host", "localhost:9443")],
    ] {
        for (method, path) in [("GET", "/v1/servers"), ("POST", "/v1/config/reload")] {
            let answer = house.ask(As::Certificate("operator"), method, path, &headers, "");
            assert_eq!(answer.problem(), (403, 1006), "{headers:?}");
            assert_eq!(answer.json()["reason"], "origin_unknown");
        }
    }
    let own = [("Origin", "https://localhost:9443"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(house.ask(As::Certificate("operator"), "GET", "/v1/servers", &own, "").status, 200);
    // A name that was made to lead here is of the same origin, and not ours.
    for host in ["evil.example:9443", "localhost.evil.example", "127.0.0.1.evil.example:9443"] {
        let rebound = [("Host", host), ("Sec-Fetch-Site", "same-origin")];
        for who in [OPERATOR, As::Certificate("operator"), As::Nobody] {
            assert_eq!(house.ask(who, "GET", "/v1/servers", &rebound, "").problem(), (421, 1010), "{host}");
        }
        assert_eq!(house.ask(OPERATOR, "GET", "/health/live", &rebound, "").status, 200, "health has any Host");
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9443", "[::1]:9443"] {
        assert_eq!(house.ask(OPERATOR, "GET", "/v1/servers", &[("Host", host)], "").status, 200, "{host}");
    }
    for host in ["a b", "a@b", "a/b", "a:99999", ""] {
        assert_eq!(house.ask(OPERATOR, "GET", "/v1/servers", &[("Host", host)], "").problem(), (400, 1000), "{host}");
    }
}

#[test]
fn the_table_of_roles_is_the_one_that_is_documented() {
    let words = |may| match may {
        May::Order => "operator",
        May::Read => "operator, viewer",
        May::ReadOwn => "operator, viewer, the server itself",
        May::Serve => "operator, servers",
        May::ServeOwn => "operator, the server itself",
        May::Collect => "operator, viewer, metrics",
        May::Everybody => "every role",
    };
    let page = include_str!("../../../../docs/api.md");
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `GET /") || line.starts_with("| `P")).collect();
    for route in ROUTES {
        let begin = format!("| `{} {}` | {} |", route.method, route.path, words(route.may));
        assert!(rows.iter().any(|row| row.starts_with(&begin)), "docs/api.md lacks {begin}");
    }
    assert_eq!(rows.len(), ROUTES.len(), "docs/api.md has a row for each route and no other");
}
