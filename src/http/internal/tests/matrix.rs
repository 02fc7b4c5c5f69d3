//! Who may do what: every route, every role, by certificate and by token, and the status that each gets.
//!
//! The statuses are written down, not computed from the table of routes: a route without a row here fails, and so does a role
//! that gets further than its column says.

use std::collections::BTreeSet;

use super::fixture::{As, Fixture};
use crate::http::internal::ROUTES;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// One route as it is asked: `ua1` is the server of the path, session 1001 sits somewhere, `{own}` is the key of a session at
/// `ua1`; `{end}` and `{ticket}` are filled in.
struct Row {
    method: &'static str,
    route: &'static str,
    target: &'static str,
    body: &'static str,
    /// Nobody, the server itself, another server, viewer, operator, metrics.
    statuses: [u16; 6],
}

const fn row(
    method: &'static str,
    route: &'static str,
    target: &'static str,
    body: &'static str,
    statuses: [u16; 6],
) -> Row {
    Row { method, route, target, body, statuses }
}

const READ: [u16; 6] = [401, 403, 403, 200, 200, 403];
const ORDER: [u16; 6] = [401, 403, 403, 403, 200, 403];
/// A server's word about what is its own.
const WORD: [u16; 6] = [401, 200, 403, 403, 200, 403];
const FENCE: &str = r#"{"server": "ua1", "incarnation": "boot-1", "generation": 1}"#;
const EVERYBODY: [u16; 6] = [401, 200, 200, 200, 200, 200];

const MATRIX: &[Row] = &[
    row("GET", "/v1/status", "/v1/status", "", READ),
    row("GET", "/v1/servers", "/v1/servers?pool=ua", "", READ),
    row("GET", "/v1/servers/{name}", "/v1/servers/ua1", "", [401, 200, 403, 200, 200, 403]),
    row("PUT", "/v1/servers/{name}/state", "/v1/servers/ua1/state", r#"{"state": "ready"}"#, ORDER),
    row("PUT", "/v1/servers/{name}/heartbeat", "/v1/servers/ua1/heartbeat", r#"{"incarnation": "boot-1"}"#, WORD),
    row("GET", "/v1/pools", "/v1/pools", "", READ),
    row("GET", "/v1/pools/{pool}", "/v1/pools/ua", "", READ),
    row("GET", "/v1/pools/{pool}/active", "/v1/pools/ua/active", "", READ),
    row("PUT", "/v1/pools/{pool}/active", "/v1/pools/ua/active", r#"{"datacenter": "auto"}"#, ORDER),
    row("GET", "/v1/datacenters", "/v1/datacenters", "", READ),
    row("GET", "/v1/peers", "/v1/peers", "", READ),
    row("GET", "/v1/config", "/v1/config", "", READ),
    row("POST", "/v1/config/reload", "/v1/config/reload", "{}", ORDER),
    row("GET", "/v1/sessions", "/v1/sessions?pool=ua", "", READ),
    row("GET", "/v1/sessions/{pool}/{key}", "/v1/sessions/ua/1001", "", READ),
    // The feed has no end; a filter that it does not know has one.
    row("GET", "/v1/events", "/v1/events?event=nonsense", "", [401, 403, 403, 400, 400, 403]),
    row("GET", "/v1/explain", "/v1/explain?pool=ua&key=1001", "", READ),
    row("POST", "/v1/sessions/{pool}/{key}/end", "/v1/sessions/ua/to-end/end", "{end}", [401, 400, 400, 403, 200, 403]),
    row("POST", "/v1/sessions/{pool}/{key}/confirm", "/v1/sessions/ua/{own}/confirm", FENCE, WORD),
    row(
        "PUT",
        "/v1/sessions/{pool}/{key}/state",
        "/v1/sessions/ua/{own}/state",
        r#"{"server": "ua1", "incarnation": "boot-1", "generation": 1, "state": 1}"#,
        WORD,
    ),
    row("GET", "/v1/sessions/{pool}/{key}/state", "/v1/sessions/ua/{own}/state", "", [401, 200, 409, 403, 400, 403]),
    row("PUT", "/v1/sessions/{pool}/{key}/server", "/v1/sessions/ua/1001/server", r#"{"server": "ua2"}"#, ORDER),
    row("GET", "/v1/jwks.json", "/v1/jwks.json", "", [401, 200, 200, 403, 200, 403]),
    row("POST", "/v1/tickets/verify", "/v1/tickets/verify", "{ticket}", [401, 200, 400, 403, 200, 403]),
    row("GET", "/openapi.json", "/openapi.json", "", EVERYBODY),
    row("GET", "/metrics", "/metrics", "", [401, 403, 403, 200, 200, 200]),
    row("GET", "/health/live", "/health/live", "", EVERYBODY),
    row("GET", "/health/ready", "/health/ready", "", EVERYBODY),
    row("GET", "/health/active", "/health/active", "", EVERYBODY),
];

/// The columns, by certificate and by token. A wrong token is nobody too, and has a test of its own: guesses are braked.
const CALLERS: [(&str, [As; 2]); 6] = [
    ("nobody", [As::Nobody, As::Nobody]),
    ("the server itself", [As::Certificate("ua1"), As::Token("token-of-ua1")]),
    ("another server", [As::Certificate("ua2"), As::Token("token-of-ua2")]),
    ("viewer", [As::Certificate("viewer"), As::Token("token-of-view")]),
    ("operator", [As::Certificate("operator"), As::Token("token-of-ops")]),
    ("metrics", [As::Certificate("metrics"), As::Token("token-of-prom")]),
];

#[test]
fn each_role_gets_as_far_as_the_matrix_says() {
    let house = Fixture::start();
    house.seat("1001");
    let to_end = house.seat("to-end");
    let end = format!(r#"{{"session": "{}", "generation": 1}}"#, to_end.session());
    let own = (0..50).map(|key| house.seat(&format!("agent-{key}"))).find(|seat| seat.server.name.as_str() == "ua1");
    let own = own.unwrap().entry;
    let edge = house.edge();
    let ticket = edge.tickets.sign(&own, [7; 16], None, edge.clock.wall()).unwrap();
    let ticket = format!(r#"{{"ticket": "{ticket}"}}"#);
    for row in MATRIX {
        let body = row.body.replace("{end}", &end).replace("{ticket}", &ticket);
        let target = row.target.replace("{own}", own.key.as_str());
        for ((caller, ways), status) in CALLERS.iter().zip(row.statuses) {
            for who in ways {
                let answer = house.ask(*who, row.method, &target, &[JSON], &body);
                let seen = format!("{caller} ({who:?}): {} {target}: {answer:?}", row.method);
                assert_eq!(answer.status, status, "{seen}");
                match status {
                    401 => {
                        assert_eq!(answer.problem(), (401, 1005), "{seen}");
                        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{seen}");
                    }
                    403 => assert_eq!(answer.problem(), (403, 1006), "{seen}"),
                    _ => {}
                }
                assert!(answer.header("x-request-id").is_some(), "{seen}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{seen}");
                assert_eq!(answer.header("access-control-allow-origin"), None, "{seen}");
            }
        }
    }
}

/// What the path names is looked for only once the role is known: the order of 401, 403 and 404.
#[test]
fn nobody_learns_from_a_refusal_what_exists() {
    let house = Fixture::start();
    for row in MATRIX.iter().filter(|row| row.route.contains('{')) {
        let unknown = row.route.replace("{name}", "no-such").replace("{pool}", "no-such").replace("{key}", "no-such");
        for ((_, ways), known) in CALLERS.iter().zip(row.statuses) {
            let answer = house.ask(ways[0], row.method, &unknown, &[JSON], row.body);
            match known {
                401 => assert_eq!(answer.problem(), (401, 1005), "{unknown}"),
                403 => assert_eq!(answer.problem(), (403, 1006), "{unknown}"),
                // The server of the path is another one than the caller now.
                _ if ways[0] == As::Certificate("ua1") && row.route.contains("{name}") => {
                    assert_eq!(answer.problem(), (403, 1006), "{unknown}")
                }
                // An order says first what is wrong with its body.
                _ => assert!(matches!(answer.status, 404 | 400), "{unknown}: {answer:?}"),
            }
        }
    }
}

#[test]
fn every_route_has_a_row() {
    let of = |method: &str, path: &str| format!("{method} {path}");
    let routes: BTreeSet<String> = ROUTES.iter().map(|route| of(route.method, route.path)).collect();
    let rows: BTreeSet<String> = MATRIX.iter().map(|row| of(row.method, row.route)).collect();
    assert_eq!(rows, routes, "src/http/internal/tests/matrix.rs says for each route who may");
    assert_eq!(rows.len(), MATRIX.len(), "one row each");
}
