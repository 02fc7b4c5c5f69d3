//! Who is slow, and who is one of very many.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::support::certificates::{self, FRONT};
use crate::support::director::Director;
use crate::support::kept::{Crowd, Line};
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn stubs(count: usize) -> Vec<StubServer> {
    (1..=count).map(|number| StubServer::start(&format!("ua{number}"))).collect()
}

fn tcp(director: &Director) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", director.ports().public)).unwrap();
    // Far beyond every limit: only a connection that is never cut reaches it.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// With the handshake done and these bytes said.
fn said(director: &Director, words: &str) -> Tls {
    let trust = certificates::shared().client_config(None);
    let connection = ClientConnection::new(trust, ServerName::try_from(FRONT).unwrap()).unwrap();
    let mut tls = StreamOwned::new(connection, tcp(director));
    tls.write_all(words.as_bytes()).unwrap();
    tls.flush().unwrap();
    tls
}

/// Everything until the other side cuts.
fn rest(mut wire: impl Read) -> String {
    let mut bytes = Vec::new();
    match wire.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => {
            assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "never cut: {error}")
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn slow_clients_are_cut_while_others_are_served() {
    let stubs = stubs(2);
    let director = Plan::new()
        .stubs(&stubs)
        .with("end", "[limits]\nidle = \"1s\"\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"")
        .start();
    wait::until("servers are up", || stubs.iter().all(|stub| director.events("server_up", stub.name()) == 1));
    let crowd = Crowd::start(&director, 4, 10);
    crowd.go_on_for(20);
    let half_head = format!("GET /desk HTTP/1.1\r\nHost: {FRONT}\r\nX-Slow: ");
    let half_body = format!(
        "POST /maitred/v1/sessions HTTP/1.1\r\nHost: {FRONT}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
    );
    let heads: Vec<Tls> = (0..30).map(|_| said(&director, &half_head)).collect();
    let bodies: Vec<Tls> = (0..30).map(|_| said(&director, &half_body)).collect();
    let idle: Vec<Tls> = (0..30).map(|_| said(&director, "")).collect();
    let silent: Vec<TcpStream> = (0..30).map(|_| tcp(&director)).collect();
    let half_hello: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = tcp(&director);
            // A record of 512 bytes that never comes to its end.
            stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).unwrap();
            stream
        })
        .collect();
    // One who sends a header a byte at a time is no better.
    let mut drip = said(&director, &half_head);
    let cut = wait::for_some("who drips is cut", || {
        let sent = drip.write_all(b"x").and_then(|()| drip.flush());
        sent.err().map(|error| error.kind())
    });
    assert!(
        matches!(cut, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted),
        "{cut:?}"
    );
    for wire in heads {
        let answer = rest(wire);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    for wire in bodies {
        let answer = rest(wire);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    for wire in idle {
        let answer = rest(wire);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    for wire in silent.into_iter().chain(half_hello) {
        let bytes = rest(wire);
        assert!(bytes.len() < 64, "at most an alert: {bytes:?}");
    }
    crowd.go_on_for(20);
    let known = crowd.stop();
    assert_eq!((known.failures, known.moves), (Vec::new(), Vec::new()));
}

#[test]
fn connections_are_limited_and_those_inside_do_not_notice() {
    let stubs = stubs(2);
    let director = Plan::new().stubs(&stubs).with("end", "[limits]\nconnections = 16\nidle = \"1m\"").start();
    wait::until("servers are up", || stubs.iter().all(|stub| director.events("server_up", stub.name()) == 1));
    let crowd = Crowd::start(&director, 2, 10);
    crowd.go_on_for(20);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", director.id())).unwrap().count();
    let before = descriptors();
    let flood: Vec<TcpStream> = (0..200).map(|_| tcp(&director)).collect();
    wait::until("some are let in", || descriptors() > before);
    crowd.go_on_for(100);
    // One more connection may wait in each worker's hands, and one in the acceptor's.
    assert!(descriptors() <= before + 16 + 8, "{} and {before}", descriptors());
    drop(flood);
    let mut line = Line::open(&director);
    assert_eq!(line.start("after the flood").status, 201);
    let known = crowd.stop();
    assert_eq!((known.failures, known.moves), (Vec::new(), Vec::new()));
}
