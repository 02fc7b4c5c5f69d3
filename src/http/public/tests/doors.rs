//! Health, greetings, limits and what is not there.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;
use std::time::Duration;

use maitred_core::settings::Passive;

use super::fixture::{Fixture, HOST, config, parse, read_all, read_one};
use crate::http::answer::Answer;

#[test]
fn health_is_answered_to_anybody_in_any_way() {
    let fixture = Fixture::start();
    for request in [
        "GET /health/live HTTP/1.0\r\n\r\n",
        "GET /health/live HTTP/1.1\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: a#b\r\nConnection: close\r\n\r\n",
        "GET /health/ready HTTP/1.0\r\n\r\n",
        "GET /health/active?pool=ua HTTP/1.0\r\n\r\n",
    ] {
        let answer = Answer::parse(&fixture.send(request));
        assert_eq!(answer.status, 200, "{request}");
        assert!(answer.body.starts_with("ok "), "{}", answer.body);
    }
    let head = fixture.ask("HEAD", "/health/ready", &[]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let options = fixture.ask("OPTIONS", "/health/ready", &[]);
    assert_eq!((options.status, options.header("allow")), (200, Some("GET, HEAD, OPTIONS")));
    assert_eq!(fixture.ask("POST", "/health/ready", &[]).status, 405);
    assert_eq!(fixture.get("/health/other").status, 404);
    assert_eq!(fixture.get("/health/active?pool=nope").status, 404);
}

#[test]
fn a_total_outage_keeps_the_door_open_unless_asked_strictly() {
    let fixture = Fixture::start();
    fixture.all_down("ua");
    let ready = fixture.get("/health/ready");
    assert_eq!((ready.status, ready.body.as_str()), (200, "degraded no server accepts sessions: ua\n"));
    assert_eq!(fixture.get("/health/ready?strict=1").status, 503);
    let active = fixture.get("/health/active");
    assert_eq!((active.status, active.body.split(' ').next()), (503, Some("no")));
    assert_eq!(fixture.get("/health/active?pool=iwd").status, 200);
    assert_eq!(fixture.get("/health/live").status, 200);
}

#[test]
fn who_is_passive_for_one_pool_serves_the_others_and_is_ready() {
    let mut changes = config();
    let ua = Arc::make_mut(changes.settings.pools.get_mut(&parse("ua")).unwrap());
    ua.datacenters = vec![parse("west"), parse("east")];
    ua.failover.passive = Passive::Refuse;
    Arc::make_mut(ua.servers.get_mut(&parse("ua1")).unwrap()).datacenter = parse("west");
    let fixture = Fixture::with(&changes);
    assert_eq!(fixture.get("/x?agent=1").status, 503, "the west is active for ua");
    for query in ["", "?strict=1", "?pool=iwd"] {
        let ready = fixture.get(&format!("/health/ready{query}"));
        assert_eq!((ready.status, ready.body.as_str()), (200, "ok ready\n"), "{query}");
    }
    let ready = fixture.get("/health/ready?pool=ua");
    assert!(ready.status == 200 && ready.body.starts_with("degraded passive: west is active for ua"), "{}", ready.body);
}

#[test]
fn ready_says_no_while_stopping_and_serving_goes_on() {
    let fixture = Fixture::start();
    fixture.edge.stop();
    let ready = fixture.get("/health/ready");
    assert_eq!((ready.status, ready.body.as_str()), (503, "no stopping\n"));
    assert_eq!(fixture.get("/health/live").status, 200);
    assert_eq!(fixture.get("/x?agent=1").status, 302);
}

#[test]
fn old_balancers_are_greeted_and_leave_no_seat() {
    let fixture = Fixture::start();
    for request in [
        "OPTIONS * HTTP/1.0\r\n\r\n",
        "OPTIONS / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "HEAD / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: agents.example.com\r\nConnection: close\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nHost: agents.example.com\r\nConnection: close\r\n\r\n",
    ] {
        let answer = Answer::parse(&fixture.send(request));
        assert_eq!(answer.status, 200, "{request}");
        assert_eq!(answer.body, if request.starts_with("HEAD") { "" } else { "maitred\n" });
        assert!(answer.header("set-cookie").is_none());
    }
    assert_eq!(Answer::parse(&fixture.send("GET /x HTTP/1.0\r\n\r\n")).status, 400);
    assert_eq!(fixture.edge.director.sessions(), 0);
}

#[test]
fn nothing_internal_is_here() {
    let fixture = Fixture::start();
    for path in [
        "/maitred",
        "/maitred/",
        "/maitred/v1",
        "/maitred/v1/servers",
        "/maitred/v1/config",
        "/maitred/admin",
        "/maitred//v1/sessions",
    ] {
        let answer = fixture.get(path);
        assert_eq!((answer.status, answer.code()), (404, 1007), "{path}");
    }
    for path in ["/metrics", "/v1/servers", "//maitred/v1/sessions", "/%6daitred/v1/sessions"] {
        assert_eq!(fixture.get(path).status, 302, "{path}: a start, because / is routed");
    }
}

#[test]
fn people_get_pages_and_programs_get_problems() {
    let fixture = Fixture::start();
    let page = fixture.ask("GET", "/maitred/nothing", &[("Accept", "text/html")]);
    assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert!(!page.body.contains("http-equiv=\"refresh\""));
    assert_eq!(fixture.get("/maitred/nothing").code(), 1007);
}

#[test]
fn a_callers_request_id_comes_back_when_it_is_harmless() {
    let fixture = Fixture::start();
    let mine = fixture.ask("GET", "/maitred/nothing", &[("X-Request-Id", "abc-1")]);
    assert_eq!(mine.header("x-request-id"), Some("abc-1"));
    assert_eq!(mine.json()["request_id"], "abc-1");
    let bad = fixture.ask("GET", "/", &[("X-Request-Id", "${jndi:x}")]);
    assert_ne!(bad.header("x-request-id"), Some("${jndi:x}"));
}

#[test]
fn heads_are_limited() {
    let fixture = Fixture::start();
    let long_url = format!("/{}", "a".repeat(8192));
    assert_eq!(fixture.get(&long_url).status, 414);
    assert_eq!(fixture.get(&long_url[..8192]).status, 302);
    // Also where the parser gives up before anybody can count, and behind another request.
    for length in [60_000, 65_530, 66_000, 120_000, 200_000] {
        let target = format!("/?agent=1&x={}", "a".repeat(length));
        let head = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let mut connection = fixture.connect();
        write!(connection, "GET /?agent=1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
        assert_eq!(read_one(&mut connection).status, 302);
        // The server answers before it has read all of it.
        let _ = connection.write_all(head.as_bytes());
        let answer = Answer::parse(&read_all(&mut connection));
        assert_eq!((answer.status, answer.code()), (414, 1004), "{length}");
    }
    let long = "v".repeat(16 << 10);
    assert_eq!(fixture.ask("GET", "/", &[("X-Long", &long)]).status, 431);
    let names: Vec<String> = (0..101).map(|number| format!("X-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    assert_eq!(fixture.ask("GET", "/", &many).status, 431);
    let huge = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n", "v".repeat(200_000));
    let mut connection = fixture.connect();
    // The server may close before it has read all of it.
    let _ = connection.write_all(huge.as_bytes());
    let answer = read_all(&mut connection);
    assert!(answer.is_empty() || Answer::parse(&answer).status == 431);
}

#[test]
fn a_kept_connection_carries_many_starts() {
    let fixture = Fixture::start();
    let mut connection = fixture.connect();
    for number in 0..10 {
        write!(connection, "GET /?agent={number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
        assert_eq!(read_one(&mut connection).status, 302);
    }
}

#[test]
fn slow_clients_are_cut_and_others_do_not_notice() {
    let mut quick = config();
    quick.limits.header_timeout = Duration::from_secs(1);
    quick.limits.body_timeout = Duration::from_secs(1);
    quick.limits.idle = Duration::from_secs(1);
    let fixture = Fixture::with(&quick);

    let mut head = fixture.connect();
    write!(head, "GET / HTTP/1.1\r\nHost: ").unwrap();
    let mut body = fixture.connect();
    write!(body, "POST /maitred/v1/sessions HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n\r\n{{").unwrap();
    let mut second = fixture.connect();
    write!(second, "GET /?agent=1 HTTP/1.1\r\nHost: {HOST}\r\n\r\nGET /?agent=2 HTT").unwrap();
    assert_eq!(read_one(&mut second).status, 302);
    let mut idle = fixture.connect();
    write!(idle, "GET /?agent=1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
    assert_eq!(read_one(&mut idle).status, 302);

    assert_eq!(fixture.get("/?agent=2").status, 302);
    assert_eq!(Answer::parse(&read_all(&mut head)).status, 408);
    let slow = Answer::parse(&read_all(&mut body));
    assert_eq!((slow.status, slow.code()), (408, 1009));
    assert_eq!(read_all(&mut idle), b"", "closed");
    assert_eq!(read_all(&mut second), b"", "half a second request is no better than half a first one");
}

#[test]
fn who_asks_without_reading_is_cut() {
    let mut quick = config();
    quick.limits.idle = Duration::from_secs(1);
    let fixture = Fixture::with(&quick);
    // A small window, so that the director's side is soon full.
    let greedy = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    greedy.set_recv_buffer_size(4096).unwrap();
    greedy.connect(&fixture.address.into()).unwrap();
    let mut greedy = std::net::TcpStream::from(greedy);
    greedy.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET /{}?agent=1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "a".repeat(8000));
    let error = loop {
        if let Err(error) = greedy.write_all(request.as_bytes()) {
            break error.kind();
        }
    };
    assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error:?}");
    assert_eq!(fixture.get("/?agent=2").status, 302, "others do not notice");
}

#[test]
fn a_body_that_nobody_wants_costs_no_connection() {
    let fixture = Fixture::start();
    for (target, status) in [("/x?agent=1", 307), ("/maitred/nothing", 404), ("/maitred/v1/start.js", 405)] {
        for (header, body) in [("Content-Length: 3", "x=1"), ("Transfer-Encoding: chunked", "3\r\nx=1\r\n0\r\n\r\n")] {
            let mut connection = fixture.connect();
            for _ in 0..2 {
                write!(connection, "POST {target} HTTP/1.1\r\nHost: {HOST}\r\n{header}\r\n\r\n{}", &body[..1]).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                write!(connection, "{}", &body[1..]).unwrap();
                assert_eq!(read_one(&mut connection).status, status, "{target} {header}");
            }
        }
    }
}

#[test]
fn a_body_that_is_too_long_does_not_cost_the_answer() {
    let fixture = Fixture::start();
    for (target, status) in [("/x?agent=1", 307), ("/maitred/nothing", 404), ("/maitred/v1/sessions", 413)] {
        for header in ["Content-Length: 10000000", "Transfer-Encoding: chunked"] {
            let mut connection = fixture.connect();
            write!(connection, "POST {target} HTTP/1.1\r\nHost: {HOST}\r\n{header}\r\n\r\n").unwrap();
            // What is sent before the answer is read must not become a reset that overtakes it.
            for _ in 0..100 {
                write!(connection, "800\r\n{}\r\n", "x".repeat(0x800)).unwrap();
            }
            assert_eq!(read_one(&mut connection).status, status, "{target} {header}");
        }
    }
}
