//! Malformed HTTP and attempts to make one request look like two, as bytes: 400 or another refusal, then a closed connection,
//! and never two answers for one request.

use super::fixture::{Fixture, HOST};
use crate::http::answer::Answer;
use crate::http::target::tests::LEAVING;

/// Sends it and says how many answers came before the server closed, and the status of the first.
fn answers(fixture: &Fixture, request: &str) -> (usize, Option<u16>) {
    let request = request.replace("HOST", HOST);
    let bytes = fixture.send(request.as_bytes());
    let count = bytes.windows(7).filter(|window| window == b"HTTP/1.").count();
    (count, (count > 0).then(|| Answer::parse(&bytes).status))
}

#[test]
fn malformed_requests_are_refused_once_and_the_connection_closes() {
    let fixture = Fixture::start();
    let path = "POST /maitred/v1/sessions HTTP/1.1\r\nHost: HOST\r\n";
    let mut cases = vec![
        ("no leading slash", "GET evil HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("authority form", "GET evil:443 HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("absolute of another host", "GET http://evil/ HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("backslash", "GET /\\evil HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("encoded control", "GET /%0d%0aSet-Cookie:x=1 HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n".to_owned()),
        ("version 1.32", "GET / HTTP/1.32\r\nHost: HOST\r\n\r\n".to_owned()),
        ("space before the colon", "GET / HTTP/1.1\r\nHost : HOST\r\n\r\n".to_owned()),
        ("empty header name", "GET / HTTP/1.1\r\nHost: HOST\r\n: x\r\n\r\n".to_owned()),
        ("obs-fold", "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\r\n b\r\n\r\n".to_owned()),
        ("NUL in a value", "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\0b\r\n\r\n".to_owned()),
        ("CR in a value", "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\rb\r\n\r\n".to_owned()),
        ("bare LF behind the first line", "GET / HTTP/1.1\nHost: HOST\r\n\r\n".to_owned()),
        ("bare LF behind a field", "GET / HTTP/1.1\r\nHost: HOST\nX: y\r\n\r\n".to_owned()),
        ("bare LF at the end", "GET / HTTP/1.1\r\nHost: HOST\r\n\n".to_owned()),
        ("bare LFs alone", "GET / HTTP/1.1\nHost: HOST\n\n".to_owned()),
        ("bare CRs alone", "GET / HTTP/1.1\rHost: HOST\r\r".to_owned() + "\r\n\r\n"),
        ("a blank before the first field", "GET / HTTP/1.1\r\n X: y\r\nHost: HOST\r\n\r\n".to_owned()),
        ("two blanks", "GET  / HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("tabs for blanks", "GET\t/\tHTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("no version", "GET /\r\n\r\n".to_owned()),
        ("version 2.0", "GET / HTTP/2.0\r\nHost: HOST\r\n\r\n".to_owned()),
        ("a name that no parser holds", format!("GET / HTTP/1.1\r\nHost: HOST\r\n{}: y\r\n\r\n", "x".repeat(70_000))),
        ("a slash of another script", "GET /\u{ff0f}\u{ff0f}evil HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("a stroke of another script", "GET /\u{2215}evil HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("markup in the target", "GET /<> HTTP/1.1\r\nHost: HOST\r\n\r\n".to_owned()),
        ("TE twice", format!("{path}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("TE in 1.0", format!("{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", path.replace("1.1", "1.0"))),
        ("CL twice the same", format!("{path}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}")),
        ("CL and TE", format!("{path}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("two CL", format!("{path}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
    ];
    for length in ["+5", "0x5", "5,5", "-1", "", "1e1", "18446744073709551616"] {
        cases.push(("content length", format!("{path}Content-Length: {length}\r\n\r\nabcde")));
    }
    for coding in ["xchunked", ",chunked", "chunked, identity", "identity", "gzip, chunked", "\u{b}chunked"] {
        cases.push(("transfer coding", format!("{path}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")));
    }
    cases.push(("TE with a space before the colon", format!("{path}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")));
    for host in ["a, b", "a:99999", "a@b", "[::1", "a#b", "a/b", "a\tb", "", "a b", "evil\\x"] {
        cases.push(("host", format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    }
    for (what, request) in cases {
        let (count, status) = answers(&fixture, &request);
        assert_eq!((count, status), (1, Some(400)), "{what}\n{request}");
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
    assert_eq!(
        answers(&fixture, "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\nConnection: close\r\n\r\n"),
        (1, Some(405))
    );
}

#[test]
fn broken_chunks_are_refused() {
    let fixture = Fixture::start();
    let head = "POST /maitred/v1/sessions HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "0x1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "1_0\r\na\r\n0\r\n\r\n",
        "-1\r\n",
        "1\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "1\na\r\n0\r\n\r\n",
        "1;x\na\r\n0\r\n\r\n",
    ] {
        let (count, status) = answers(&fixture, &format!("{head}{chunks}"));
        assert_eq!((count, status), (1, Some(400)), "{chunks:?}");
    }
}

#[test]
fn what_follows_a_body_is_not_taken_for_a_request() {
    let fixture = Fixture::start();
    let inner = "GET /?agent=smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n".replace("HOST", HOST);
    // A redirect does not read the body; what the body holds must not be answered as a request.
    let request = format!(
        "POST /x?agent=1 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let (count, status) = answers(&fixture, &request);
    assert_eq!((count, status), (1, Some(307)));
    let chunked = format!(
        "POST /x?agent=1 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
        inner.len()
    );
    assert_eq!(answers(&fixture, &chunked), (1, Some(307)));
    let get = format!(
        "GET /x?agent=1 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    assert_eq!(answers(&fixture, &get), (1, Some(302)));
    for framing in
        ["Content-Length: 1, 2", "Transfer-Encoding: xchunked", "Content-Length: 0\r\nTransfer-Encoding: chunked"]
    {
        let refused = format!("POST /x HTTP/1.1\r\nHost: HOST\r\n{framing}\r\n\r\n{inner}");
        assert_eq!(answers(&fixture, &refused), (1, Some(400)), "nothing is read after what may be two requests");
    }
    let smuggled = maitred_core::ids::Key::parse("smuggled").unwrap();
    let known = fixture.edge.director.find(&super::fixture::parse("ua"), &smuggled, None, fixture.edge.clock.now());
    assert_eq!(known, None);
}

#[test]
fn what_stands_behind_the_last_chunk_is_refused() {
    let fixture = Fixture::start();
    let body = r#"{"pool": "ua", "key": "1001"}"#;
    for trailer in ["Host: evil\r\nX-Agent-Id: 7\r\n", "GET /?agent=7 HTTP/1.1\r\nHost: evil\r\n", "Cookie: a=b\r\n"] {
        let request = format!(
            "POST /maitred/v1/sessions HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n{trailer}\r\n",
            body.len()
        );
        assert_eq!(answers(&fixture, &request), (1, Some(400)), "{trailer}");
        assert_eq!(fixture.edge.director.sessions(), 0);
    }
    let well = format!(
        "POST /maitred/v1/sessions HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x};ext=1\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_eq!(answers(&fixture, &well), (1, Some(201)));
}

#[test]
fn garbage_behind_a_request_is_not_a_second_one() {
    let fixture = Fixture::start();
    let (count, status) = answers(&fixture, "GET /x?agent=1 HTTP/1.1\r\nHost: HOST\r\n\r\n\x01\x02garbage\r\n\r\n");
    assert_eq!(status, Some(302));
    assert!(count <= 2, "the start, and at most one 400");
}

#[test]
fn every_target_that_tries_to_leave_stays_at_a_configured_server() {
    let fixture = Fixture::start();
    for &target in LEAVING {
        let (count, _) =
            answers(&fixture, &format!("GET {target} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"));
        assert_eq!(count, 1, "{target}");
        let answer = fixture.get(target);
        assert_eq!(answer.status, 302, "{target}");
        let seen = url::Url::parse(answer.location()).unwrap();
        let origin = seen.origin().ascii_serialization();
        assert!(
            ["https://ua1.example.com", "https://ua2.example.com", "https://ua3.example.com"]
                .contains(&origin.as_str()),
            "{target}"
        );
    }
}

#[test]
fn what_the_parser_refuses_is_said_in_our_words() {
    let fixture = Fixture::start();
    for (request, status, code) in [
        ("GET /a\0b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, 1000),
        ("GET /a#b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, 1000),
        ("\x16\x03\x01\r\n\r\n", 400, 1000),
        (&format!("GET / HTTP/1.1\r\nHost: HOST\r\nX: {}", "v".repeat(140_000)), 431, 1004),
    ] {
        let answer = Answer::parse(&fixture.send(request.replace("HOST", HOST)));
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
        assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

#[test]
fn nothing_is_answered_behind_a_last_answer() {
    let fixture = Fixture::start();
    let start = "GET /x?agent=behind HTTP/1.1\r\nHost: HOST\r\n\r\n";
    for (first, status) in [
        ("GET /a%00b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
        ("GET /x?agent=1 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", 302),
        ("POST /x?agent=1 HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400),
        ("POST /x?agent=1 HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100000\r\n\r\n", 307),
    ] {
        assert_eq!(answers(&fixture, &format!("{first}{start}{start}")), (1, Some(status)), "{first}");
    }
    let behind = maitred_core::ids::Key::parse("behind").unwrap();
    let known = fixture.edge.director.find(&super::fixture::parse("ua"), &behind, None, fixture.edge.clock.now());
    assert_eq!(known, None);
}
