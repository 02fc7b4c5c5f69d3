//! The list of bad inputs for callbacks, origins, foreign forms, cookies, tickets and guesses, and the answer to each: one table for each
//! kind, one row for each input. What an input is made of is tested beside its parser; here it comes over the wire, and nothing may
//! follow from it but the answer.
//!
//! Which bad input is tried where (the numbers are those of the list that the product is held to): 1 targets: `http/target.rs`, `bytes`;
//! 2 hosts: `http/host.rs`, `target.rs`, `bytes`, `redirects`; 3 callbacks: here, `http/callback.rs`, `jsonp.rs`, `scripts`; 4 origins: here,
//! `http/cors.rs`, and what a page can read `tests/it/browser/origins.rs`; 5 foreign forms: here, `owners`; 6 cookies: here,
//! `credentials/envelope_tests.rs`, in numbers `tests/it/operators.rs`; 7 tickets: here, `credentials/ticket/tests.rs`; 8 guesses: here;
//! 9 the internal door: `http/internal/tests/doors.rs`, `matrix.rs`, and from outside `doors`; 10 certificates of peers:
//! `tls/handshake_tests.rs`, `peer/identity.rs`, `tests/it/peers.rs`; 11 frames of peers: `core/src/wire.rs`, `peer/`, `tests/it/peers.rs`; 12 the
//! slow: `doors`, `tls`, `http/connection.rs`, `tests/it/reliability/crowd.rs`; 13 limits: `doors`, `sessions`, `http/ask.rs`, `body.rs`; 14 malformed
//! HTTP/1: `bytes`, `http/heads.rs`, `chunks.rs`; 15 HTTP/2: `floods`; 16 crowds: `tests/it/reliability/crowd.rs`, `http/internal/guesses.rs`;
//! 17 metrics: `http/metrics/tests.rs`, `metrics/tests.rs`; 18 log: `app/text.rs`, `harmless.rs`; 19 secrets: `config/tests/`, `tests/it/operators.rs`;
//! 21 TLS: `tls/handshake_tests.rs`, `tests/it/curl.rs`; 23 supply: `.ci/run`, `tests/it/house.rs`.
//!
//! Where else: what a ticket may hold and how it is verified is in `credentials/ticket/tests.rs` (every row about `alg`, `kid`, claims and
//! sizes) and at the internal listener, for nothing here takes one; bytes of a cookie's envelope are in `credentials/envelope_tests.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use maitred_core::clock::Time;
use maitred_core::entry::{Life, SeatEntry};
use maitred_core::ids::{Key, SessionId};

use super::fixture::{Fixture, HOST, config, parse};
use crate::config::Handover;
use crate::credentials::{Keyring, Seals};
use crate::http::answer::Answer;

const PAGE: (&str, &str) = ("Referer", "https://crm.example/");
const SESSIONS: &str = "/maitred/v1/sessions";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const BODY: &str = r#"{"pool": "ua", "key": "1001"}"#;

/// Method, target, headers and body.
type Sent<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str);

fn found(fixture: &Fixture, key: &str) -> Option<SeatEntry> {
    fixture.edge.director.find(&parse("ua"), &Key::parse(key).unwrap(), None, fixture.edge.clock.now())
}

fn is_live(fixture: &Fixture, key: &str) -> bool {
    found(fixture, key).is_some_and(|entry| entry.life == Life::Live)
}

/// Callbacks that are none, as they stand in a URL.
const CALLBACKS: [(&str, &str); 24] = [
    ("absent", ""),
    ("empty", "callback="),
    ("twice", "callback=a&callback=b"),
    ("twice the same", "callback=a&callback=a"),
    ("twice, disguised", "callback=a&%63allback=b"),
    ("a call", "callback=alert(1)//"),
    ("two statements", "callback=a;b"),
    ("an index", "callback=a[0]"),
    ("an encoded index", "callback=a%5B0%5D"),
    ("markup", "callback=%3Cscript%3E"),
    ("NUL", "callback=a%00"),
    ("end of line", "callback=a%0a"),
    ("an escape", "callback=%5Cu0061"),
    ("an empty name", "callback=a..b"),
    ("a leading dot", "callback=.a"),
    ("a trailing dot", "callback=a."),
    ("five names", "callback=a.b.c.d.e"),
    ("a digit first", "callback=1a"),
    ("a reserved word", "callback=a.delete"),
    ("UTF-7", "callback=%2BADw-"),
    ("UTF-7 with its plus", "callback=+ADw-"),
    ("not ASCII", "callback=%C3%A9"),
    ("overlong UTF-8", "callback=%C0%AF"),
    (
        "Rosetta Flash",
        "callback=CWSMIKI0hCD0Up0IZUnnnnnnnnnnnnnnnnnnnUU5nnnnnn3Snn7iiudIbEAt333swW0ssG03sDDtDDDt0333333Gt333swwv3ww",
    ),
];

#[test]
fn a_callback_that_is_none_is_a_plain_400_and_seats_nobody() {
    let fixture = Fixture::start();
    for path in ["start.js", "servers.js"] {
        for (what, callback) in CALLBACKS {
            let answer = fixture.ask("GET", &format!("/maitred/v1/{path}?pool=ua&key=1&{callback}"), &[PAGE]);
            assert_eq!((answer.status, answer.code()), (400, 1000), "{what}");
            assert_eq!(answer.json()["attribute"], "callback", "{what}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
            let value = callback.rsplit('=').next().unwrap();
            assert!(value.len() < 5 || !answer.body.contains(value), "{what}: nothing is echoed");
        }
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
    let good = fixture.ask("GET", "/maitred/v1/start.js?pool=ua&key=1&callback=a.$b._c.d1", &[PAGE]);
    assert!(good.status == 200 && good.body.starts_with("/**/a.$b._c.d1({"), "{}", good.body);
}

/// Origins that are not on the list, however near they come.
const ORIGINS: [&str; 14] = [
    "null",
    "",
    "*",
    "https://good.evil",
    "https://goodevil",
    "https://crm.example.evil",
    "https://evilcrm.example",
    "https://sub.crm.example",
    "http://crm.example",
    "https://crm.example:8443",
    "https://crm.example/",
    "https://crm.example@evil",
    "https://crm.example, https://evil",
    "https://crm.example\thttps://evil",
];

#[test]
fn no_answer_is_shared_with_an_origin_that_is_not_listed_and_none_with_credentials() {
    let fixture = Fixture::start();
    let token = fixture.ask_with("POST", SESSIONS, &[JSON], BODY).json()["token"].as_str().unwrap().to_owned();
    let session = found(&fixture, "1001").unwrap().session;
    let (one, bearer) = (format!("{SESSIONS}/{session}"), format!("Bearer {token}"));
    let requests: Vec<Sent<'_>> = vec![
        ("GET", "/x?agent=7", vec![("Sec-Fetch-Mode", "cors")], ""),
        ("GET", "/x?agent=1001", vec![], ""),
        ("OPTIONS", "/x", vec![("Access-Control-Request-Method", "GET")], ""),
        ("POST", SESSIONS, vec![JSON], r#"{"pool": "ua", "key": "7"}"#),
        ("OPTIONS", SESSIONS, vec![("Access-Control-Request-Method", "POST")], ""),
        ("GET", &one, vec![("Authorization", &bearer)], ""),
        ("OPTIONS", &one, vec![("Access-Control-Request-Method", "DELETE")], ""),
        ("GET", "/maitred/v1/jwks.json", vec![], ""),
        ("GET", "/maitred/v1/nothing", vec![], ""),
    ];
    for (method, target, headers, body) in &requests {
        for origin in ORIGINS {
            let mut headers = headers.clone();
            headers.push(("Origin", origin));
            let answer = fixture.ask_with(method, target, &headers, body);
            for name in ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"]
            {
                assert_eq!(answer.header(name), None, "{method} {target} {origin:?}");
            }
            assert!(answer.header("vary").is_none_or(|vary| vary.contains("Origin")), "{method} {target}");
        }
        let mut twice = headers.clone();
        twice.extend([("Origin", "https://crm.example"), ("Origin", "https://evil")]);
        let answer = fixture.ask_with(method, target, &twice, body);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {target} with two origins");
    }
    assert_eq!(found(&fixture, "7"), None, "none of them has begun a session");
    for (method, target, headers, body) in &requests {
        let mut headers = headers.clone();
        headers.push(("Origin", "https://crm.example"));
        let answer = fixture.ask_with(method, target, &headers, body);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://crm.example"), "{method} {target}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{method} {target}");
        assert!(answer.body.is_empty() || answer.body.starts_with('{'), "an object, if anything");
    }
}

#[test]
fn what_a_foreign_page_can_send_changes_nothing() {
    let fixture = Fixture::start();
    let owner = fixture.ask_with("POST", SESSIONS, &[JSON], BODY);
    let session = owner.json()["session"].as_str().unwrap().to_owned();
    let server = owner.json()["server"]["name"].as_str().unwrap().to_owned();
    let (one, end) = (format!("{SESSIONS}/{session}"), format!("{SESSIONS}/{session}/end"));
    let (by_query, another) = (format!("{one}?_method=DELETE"), format!("pool=ua&server={server}&to=%2F"));
    let report = format!(r#"{{"server": "{server}"}}"#);
    let cross = ("Sec-Fetch-Site", "cross-site");
    let evil = ("Origin", "https://evil.example");
    let multipart = ("Content-Type", "multipart/form-data; boundary=x");
    let text = ("Content-Type", "text/plain");
    let get = ("X-HTTP-Method-Override", "DELETE");
    let start = r#"{"pool": "ua", "key": "7"}"#;
    // Each with the visitor's cookie, as the browser would send it.
    let rows: Vec<(Sent<'_>, u16)> = vec![
        (("POST", SESSIONS, vec![JSON, cross], start), 403),
        (("POST", SESSIONS, vec![JSON, evil], start), 403),
        (("POST", SESSIONS, vec![JSON, ("Origin", "null")], start), 403),
        (("POST", SESSIONS, vec![JSON, cross, evil], start), 403),
        (("POST", SESSIONS, vec![FORM], start), 415),
        (("POST", SESSIONS, vec![text], start), 415),
        (("POST", SESSIONS, vec![multipart], start), 415),
        (("POST", SESSIONS, vec![("Content-Type", "text/json")], start), 415),
        (("POST", SESSIONS, vec![("Content-Type", "text/plain; application/json")], start), 415),
        // A page can send a Blob without any type, and without a preflight; its origin goes along.
        (("POST", SESSIONS, vec![evil], start), 403),
        (("POST", SESSIONS, vec![cross], start), 403),
        (("GET", SESSIONS, vec![], ""), 405),
        (("GET", SESSIONS, vec![("X-HTTP-Method-Override", "POST")], ""), 405),
        (("GET", &end, vec![], ""), 405),
        (("HEAD", &end, vec![], ""), 405),
        (("POST", &one, vec![get], ""), 405),
        (("POST", &by_query, vec![FORM], "_method=DELETE"), 405),
        (("POST", &end, vec![FORM, cross, evil], ""), 404),
        (("POST", &end, vec![text, cross, evil], "nonsense"), 404),
        (("DELETE", &one, vec![cross, evil], ""), 404),
        (("GET", &by_query, vec![get], ""), 404),
        (("POST", "/maitred/logout?pool=ua", vec![FORM, cross, evil], ""), 403),
        (("POST", "/maitred/logout?pool=ua", vec![FORM, cross], ""), 403),
        (("POST", "/maitred/logout?pool=ua", vec![FORM, ("Origin", "null")], ""), 403),
        (("GET", "/maitred/logout?pool=ua", vec![get], ""), 200),
        (("POST", "/maitred/another", vec![FORM, cross, evil], &another), 403),
        (("POST", "/maitred/another", vec![text, cross, evil], &another), 415),
        (("GET", "/maitred/another", vec![], ""), 405),
        (("POST", "/maitred/v1/reports", vec![JSON, cross, evil], &report), 403),
        (("POST", "/maitred/v1/reports", vec![text], &report), 415),
    ];
    for ((method, target, headers, body), status) in rows {
        let mut all = vec![("Cookie", owner.cookie())];
        all.extend(headers);
        let answer = fixture.ask_with(method, target, &all, body);
        assert_eq!(answer.status, status, "{method} {target} {all:?}");
        let now = found(&fixture, "1001").unwrap();
        assert_eq!((now.life, now.generation.get()), (Life::Live, 1), "{method} {target} {all:?}");
        assert_eq!((now.session.to_string(), now.server.to_string()), (session.clone(), server.clone()));
    }
    assert_eq!(found(&fixture, "7"), None);
    assert_eq!(fixture.edge.director.sessions(), 1);
}

/// The cookie that a browser got for a session of its own, the key in it, and a fixture that has seen it.
fn seated() -> (Fixture, String, SeatEntry) {
    let fixture = Fixture::start();
    let first = fixture.get("/");
    let cookie = fixture.ask("GET", "/", &[("Cookie", first.cookie())]).cookie().to_owned();
    let lines = [cookie.as_bytes()];
    let name = crate::credentials::CookieName::of(&parse("ua"));
    let opened = name.find(&fixture.edge.seals, lines, Duration::from_secs(86_400), fixture.edge.clock.now().time);
    let seat = opened.newest.unwrap().shown.seat;
    (fixture, cookie, seat)
}

/// The key that a start with this `Cookie` header gets, by the cookie that it is answered with.
fn key_after(fixture: &Fixture, cookie: &str) -> String {
    let answer = fixture.ask("GET", "/", &[("Cookie", cookie)]);
    assert_eq!(answer.status, 302, "{cookie:?}");
    key_in(fixture, &answer)
}

fn key_in(fixture: &Fixture, answer: &Answer) -> String {
    let name = crate::credentials::CookieName::of(&parse("ua"));
    let ttl = Duration::from_secs(86_400);
    let opened = name.find(&fixture.edge.seals, [answer.cookie().as_bytes()], ttl, fixture.edge.clock.now().time);
    opened.newest.unwrap().shown.seat.key.as_str().to_owned()
}

#[test]
fn a_cookie_that_is_not_ours_to_the_last_byte_begins_a_new_session() {
    let (fixture, cookie, seat) = seated();
    assert_eq!(key_after(&fixture, &cookie), seat.key.as_str().to_owned(), "as it came");
    let (name, value) = cookie.split_once('=').unwrap();
    let now = fixture.edge.clock.now().time;
    let seal = |seals: &Seals, seat: &SeatEntry, issued: Time| {
        format!("{name}={}", seals.seal_cookie(seat, true, issued).unwrap())
    };
    let strangers = Seals::new(Keyring::ephemeral().unwrap());
    let day = Duration::from_hours(24);
    let mut old = seat.clone();
    (old.stamp, old.seen) = (maitred_core::clock::Stamp::at(now - day), now - day);
    let mut early = seat.clone();
    early.stamp = maitred_core::clock::Stamp::at(now + 8 * day);
    let mut foreign = seat.clone();
    foreign.pool = parse("iwd");
    let token = fixture.edge.seals.seal_token(&seat, true, now).unwrap();
    let mut rows: Vec<(String, String)> = [
        ("empty", format!("{name}=")),
        ("a letter", format!("{name}=x")),
        ("without a value", name.to_owned()),
        ("in quotes", format!("{name}=\"{value}\"")),
        ("padded", format!("{name}={value}==")),
        ("doubled", format!("{name}={value}{value}")),
        ("with a blank inside", format!("{name}={} {}", &value[..20], &value[20..])),
        ("cut by a semicolon", format!("{name}={};{}", &value[..20], &value[20..])),
        ("with a comma", format!("{name}={value},{name}={value}")),
        ("percent-encoded", format!("{name}=%41{}", &value[1..])),
        ("longer than is read", format!("{name}={}", "A".repeat(4097))),
        ("under a lower-case name", format!("{}={value}", name.to_lowercase())),
        ("under another pool's name", format!("__Host-maitred-iwd={value}")),
        ("without its prefix", format!("maitred-ua={value}")),
        ("another pool's under this name", seal(&fixture.edge.seals, &foreign, now)),
        ("a token", format!("{name}={token}")),
        ("sealed by others", seal(&strangers, &seat, now)),
        ("expired", seal(&fixture.edge.seals, &old, now)),
        ("issued too long ago", seal(&fixture.edge.seals, &seat, now - day)),
        ("of the future", seal(&fixture.edge.seals, &early, now)),
        ("only a delimiter", ";=".to_owned()),
        ("without a name", "=x".to_owned()),
        ("a comma first", ",a=b".to_owned()),
        ("the old standard's words", format!("$Version=1; $Path=/; ${name}={value}")),
    ]
    .map(|(what, cookie)| (what.to_owned(), cookie))
    .into();
    for at in 0..value.len() {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        rows.push((format!("byte {at} altered"), format!("{name}={}", String::from_utf8(bytes).unwrap())));
    }
    for keep in (1..value.len()).step_by(7) {
        rows.push((format!("cut after {keep}"), format!("{name}={}", &value[..keep])));
    }
    let mut keys = BTreeSet::from([seat.key.as_str().to_owned()]);
    for (what, cookie) in &rows {
        assert!(keys.insert(key_after(&fixture, cookie)), "{what}: a session of its own, and of nobody else's");
    }
    assert_eq!(
        Answer::parse(&fixture.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\0\r\n\r\n"))).status,
        400
    );
    assert_eq!(fixture.edge.director.sessions(), 1, "nothing is left behind but the one that was there");
}

#[test]
fn of_several_cookies_of_one_name_the_newest_good_one_counts_and_only_so_many_are_looked_at() {
    let (fixture, good, seat) = seated();
    let (name, _) = good.split_once('=').unwrap();
    let now = fixture.edge.clock.now().time;
    let mut older = seat.clone();
    (older.key, older.session) = (Key::parse("an older one").unwrap(), SessionId([9; 16]));
    let older = fixture.edge.seals.seal_cookie(&older, true, now - Duration::from_secs(60)).unwrap();
    let (older, bad) = (format!("{name}={older}"), format!("{name}=x"));
    let many = format!("{}; {good}", [bad.as_str(); 8].join("; "));
    for (what, cookie, counts) in [
        ("a bad one first", format!("{bad}; {good}"), true),
        ("a bad one last", format!("{good}; {bad}"), true),
        ("an older one first", format!("{older}; {good}"), true),
        ("an older one last", format!("{good}; {older}"), true),
        ("the same twice", format!("{good}; {good}"), true),
        ("seven bad ones first", format!("{}; {good}", [bad.as_str(); 7].join("; ")), true),
        ("eight bad ones first", many, false),
    ] {
        assert_eq!(key_after(&fixture, &cookie) == seat.key.as_str(), counts, "{what}");
    }
    let lines = [("Cookie", bad.as_str()), ("Cookie", good.as_str()), ("Cookie", older.as_str())];
    let answer = fixture.ask("GET", "/", &lines);
    assert_eq!(key_in(&fixture, &answer), seat.key.as_str().to_owned(), "over several lines too");
}

#[test]
fn a_cookie_shows_a_session_and_never_chooses_one() {
    let fixture = Fixture::start();
    // Replayed after the end.
    let owner = fixture.ask_with("POST", SESSIONS, &[JSON], BODY);
    let path = format!("{SESSIONS}/{}", owner.json()["session"].as_str().unwrap());
    let bearer = format!("Bearer {}", owner.json()["token"].as_str().unwrap());
    assert_eq!(fixture.ask("DELETE", &path, &[("Authorization", &bearer)]).status, 204);
    let replayed = fixture.ask("GET", "/", &[("Cookie", owner.cookie())]);
    assert_ne!(key_in(&fixture, &replayed), "1001");
    assert!(!is_live(&fixture, "1001"), "the end stands");
    // Fixation: an id that somebody else chose and planted.
    for planted in ["__Host-maitred-ua=1001", "__Host-maitred-ua=00000000000000000000000000000000"] {
        let key = key_after(&fixture, planted);
        assert!(key.len() >= 22 && !planted.contains(&key), "minted here: {key}");
    }
    // Somebody's own genuine cookie counts for the key it was issued for, not for the one that is asked for.
    let thief = fixture.ask_with("POST", SESSIONS, &[JSON], r#"{"pool": "ua", "key": "thief"}"#);
    fixture.get("/?agent=2002");
    let asked =
        fixture.ask_with("POST", SESSIONS, &[JSON, ("Cookie", thief.cookie())], r#"{"pool": "ua", "key": "2002"}"#);
    assert_eq!((&asked.json()["owner"], &asked.json()["key"]), (&false.into(), &"2002".into()));
    assert!(asked.json().get("token").is_none());
}

#[test]
fn a_ticket_that_comes_in_is_never_handed_on_whatever_it_is() {
    let mut config = config();
    config.pools.get_mut(&parse("ua")).unwrap().handover = Handover::Query;
    let fixture = Fixture::with(&config);
    let genuine = fixture.get("/?agent=1001").location().split_once("maitred_ticket=").unwrap().1.to_owned();
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMDAxIn0.";
    let cut = &genuine[..genuine.len() - 5];
    let long = "A".repeat(4000);
    for ticket in [genuine.as_str(), unsigned, cut, &long, "", "..", "%00", "%2E%2E%2Fdev%2Fnull", "a%26agent%3D2002"] {
        for name in ["maitred_ticket", "maitred%5Fticket", "%6Daitred_ticket"] {
            let target = format!("/x?{name}={ticket}&agent=1001&{name}={ticket}");
            let answer = fixture.get(&target);
            assert_eq!(answer.status, 302, "{target}");
            let location = answer.location();
            assert_eq!(location.matches("maitred_ticket=").count(), 1, "{location}");
            let own = location.split_once("/x?agent=1001&maitred_ticket=").map(|(_, own)| own);
            assert!(own.is_some_and(|own| own != genuine && own.split('.').count() == 3), "{location}");
        }
    }
    assert_eq!(fixture.edge.director.sessions(), 1);
    for path in ["/maitred/v1/tickets/verify", "/maitred/v1/tickets"] {
        assert_eq!(fixture.ask_with("POST", path, &[JSON], "{}").status, 404, "who verifies is inside");
    }
}

#[test]
fn guesses_at_sessions_all_get_the_answer_for_one_that_never_was() {
    let fixture = Fixture::start();
    let owner = fixture.ask_with("POST", SESSIONS, &[JSON], BODY).json();
    let other = fixture.ask_with("POST", SESSIONS, &[JSON], r#"{"pool": "iwd", "key": "1001"}"#).json();
    let (session, token) = (owner["session"].as_str().unwrap(), owner["token"].as_str().unwrap());
    let (others, cookie) = (other["session"].as_str().unwrap(), format!("__Host-maitred-ua={token}"));
    let (mine, theirs) = (format!("Bearer {token}"), format!("Bearer {}", other["token"].as_str().unwrap()));
    let upper = session.to_uppercase();
    let ids: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
    let mut rows: Vec<(&str, Vec<(&str, &str)>)> = ids.iter().map(|id| (id.as_str(), vec![])).collect();
    rows.extend([
        (session, vec![]),
        (session, vec![("Authorization", theirs.as_str())]),
        (session, vec![("Authorization", "Bearer x")]),
        (session, vec![("Authorization", "Basic MTAwMTox")]),
        (session, vec![("Cookie", cookie.as_str())]),
        (others, vec![("Authorization", mine.as_str())]),
        (upper.as_str(), vec![]),
        ("%00", vec![]),
        ("..", vec![("Authorization", mine.as_str())]),
        ("00000000000000000000000000000000", vec![("Authorization", mine.as_str())]),
    ]);
    let expected = to_the_byte(&fixture.get(&format!("{SESSIONS}/{}", "f".repeat(32))));
    for (id, headers) in rows {
        for method in ["GET", "DELETE"] {
            let answer = fixture.ask(method, &format!("{SESSIONS}/{id}"), &headers);
            if id == "%00" {
                assert_eq!(answer.status, 400);
                continue;
            }
            assert_eq!(to_the_byte(&answer), expected, "{method} {id} {headers:?}");
        }
    }
    assert_eq!(expected.0, 404);
    assert!(is_live(&fixture, "1001"));
}

/// Status, fields and body, but for what differs between any two answers.
fn to_the_byte(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").unwrap();
    let differs = |name: &str| matches!(name, "date" | "x-request-id");
    let fields = answer.headers.iter().filter(|(name, _)| !differs(name)).cloned().collect();
    (answer.status, fields, answer.body.replace(id, ""))
}

/// What the answer's time could tell, it could only tell of the table; so nobody looks there for a stranger.
#[test]
fn a_guess_at_a_session_is_answered_without_a_look_at_the_table() {
    let fixture = Fixture::start();
    let owner = fixture.ask_with("POST", SESSIONS, &[JSON], BODY).json();
    let other = fixture.ask_with("POST", SESSIONS, &[JSON], r#"{"pool": "ua", "key": "1002"}"#).json();
    let theirs = format!("Bearer {}", other["token"].as_str().unwrap());
    let path = |session: &str| format!("{SESSIONS}/{session}");
    let (known, unknown) = (path(owner["session"].as_str().unwrap()), path(&"f".repeat(32)));
    let stranger = vec![("Authorization", theirs.as_str())];
    let (ua, key) = (parse::<maitred_core::ids::PoolName>("ua"), Key::parse("1001").unwrap());
    let (fixture, now) = (&fixture, fixture.edge.clock.now());
    let (mut held, patience) = (false, Duration::from_secs(60));
    // Whoever walks through the table holds the part of it that he stands in.
    let mut sink = |entry: maitred_core::entry::Entry| {
        if !matches!(&entry, maitred_core::entry::Entry::Seat(seat) if seat.key == key) || held {
            return;
        }
        held = true;
        std::thread::scope(|scope| {
            let (says, hears) = std::sync::mpsc::channel();
            for target in [&known, &unknown] {
                for headers in [vec![], stranger.clone()] {
                    for method in ["GET", "DELETE"] {
                        let (says, headers) = (says.clone(), headers.clone());
                        scope.spawn(move || says.send(to_the_byte(&fixture.ask(method, target, &headers))));
                    }
                }
            }
            let answers: Vec<_> = (0..8).map(|_| hears.recv_timeout(patience).expect("the table was asked")).collect();
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1] && pair[0].0 == 404), "{answers:?}");
        });
        // Were it not held, this would prove nothing.
        let (says, hears) = std::sync::mpsc::channel();
        let (director, ua, key) = (std::sync::Arc::clone(&fixture.edge.director), ua.clone(), key.clone());
        std::thread::spawn(move || says.send(director.find(&ua, &key, None, now).is_some()));
        assert!(hears.recv_timeout(Duration::from_millis(200)).is_err(), "nobody was kept from the table");
    };
    let mut place = Some(maitred_core::director::SnapshotPlace::default());
    while let Some(from) = place {
        place = fixture.edge.director.snapshot(&from, usize::MAX, now, &mut sink);
    }
    assert!(held && is_live(fixture, "1001"));
}
