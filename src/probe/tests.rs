//! Looks at real sockets on loopback: each way in which a server can be well or unwell, and what is told of it.
//!
//! Limits are generous; a short timeout stands only where running out of time is what is expected.

mod connections;
mod http;
mod stub;
mod tls;

use std::future::pending;
use std::net::{SocketAddr, TcpListener, TcpStream};

use maitred_core::health::FailureKind;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use stub::{CPONG, GENEROUS, SHORT, Stub, check, failure, good, is_good, target};

use super::{Lookup, Prober, SystemLookup};
use crate::config::ProbeKind;

#[tokio::test]
async fn a_tcp_server_that_accepts_is_good_and_one_that_refuses_is_not() {
    let stub = Stub::silent().await;
    let mut prober = Prober::new(target(&stub, "tcp", GENEROUS));
    assert!(is_good(&prober.look().await));
    let port = stub.stop().await;
    let mut prober = Prober::new(stub::target_at(port, "tcp", GENEROUS));
    assert_eq!(failure(prober.look().await).kind, FailureKind::Refused);
}

#[tokio::test]
async fn a_tcp_look_is_over_before_the_application_hears_of_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut prober = Prober::new(stub::target_at(listener.local_addr().unwrap().port(), "tcp", GENEROUS));
    // A process that is held up for 40 ms in the middle of a look is heard after all; not each time.
    for _ in 0..1000 {
        assert!(is_good(&prober.look().await));
        if listener.accept().is_err() {
            return;
        }
    }
    panic!("each look was a connection that the server had to take");
}

#[tokio::test]
async fn a_tcp_server_whose_answer_takes_a_while_is_good_and_so_is_the_next_look() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    // Its queue is full: the system answers nobody before somebody is taken out of it.
    let connect = || TcpStream::connect_timeout(&address, SHORT).ok();
    let crowd: Vec<_> = std::iter::from_fn(connect).take(16).collect();
    let mut prober = Prober::new(stub::target_at(address.port(), "tcp", GENEROUS));
    let taken = async {
        tokio::task::yield_now().await;
        crowd.iter().for_each(|_| drop(listener.accept().unwrap()));
    };
    let (look, ()) = tokio::join!(prober.look(), taken);
    assert!(is_good(&look));
    assert!(is_good(&prober.look().await));
}

#[tokio::test]
async fn a_cpong_is_good_and_the_connection_serves_again() {
    let stub = Stub::start(async |_, mut wire| {
        let mut ping = [0; 5];
        while wire.read_exact(&mut ping).await.is_ok() && ping == [0x12, 0x34, 0, 1, 0x0a] {
            wire.write_all(&CPONG).await.unwrap();
        }
    })
    .await;
    let mut prober = Prober::new(target(&stub, "ajp", GENEROUS));
    for _ in 0..3 {
        assert!(is_good(&prober.look().await));
    }
    assert_eq!(stub.accepted(), 1);
}

#[tokio::test]
async fn an_ajp_connection_that_the_server_closed_meanwhile_is_no_failure() {
    let stub = Stub::start(async |_, mut wire| {
        wire.read_exact(&mut [0; 5]).await.unwrap();
        wire.write_all(&CPONG).await.unwrap();
    })
    .await;
    let mut prober = Prober::new(target(&stub, "ajp", GENEROUS));
    for _ in 0..3 {
        assert!(is_good(&prober.look().await));
    }
    assert_eq!(stub.accepted(), 3);
}

#[tokio::test]
async fn another_answer_than_cpong_is_told() {
    let stub = Stub::start(async |_, mut wire| {
        wire.read_exact(&mut [0; 5]).await.unwrap();
        wire.write_all(b"HTTP/1.1 400 \r\n\r\n").await.unwrap();
        pending().await
    })
    .await;
    let fault = failure(Prober::new(target(&stub, "ajp", GENEROUS)).look().await);
    assert_eq!((fault.kind, fault.detail.as_str()), (FailureKind::Protocol, "no CPong but 48 54 54 50 2f"));
}

#[tokio::test]
async fn an_ajp_server_that_says_nothing_runs_out_of_time() {
    let stub = Stub::silent().await;
    let fault = failure(Prober::new(target(&stub, "ajp", SHORT)).look().await);
    assert_eq!(fault.kind, FailureKind::Timeout);
    assert!(fault.detail.contains("waiting for the answer"), "{fault:?}");
}

#[tokio::test]
async fn all_checks_must_pass_and_the_first_that_fails_is_named() {
    let well = Stub::http("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let checks = [
        check(None, ProbeKind::Http, "/", "2xx"),
        check(Some("api"), ProbeKind::Http, "/api", "401"),
        check(Some("late"), ProbeKind::Http, "/late", "403"),
    ];
    let target = stub::target_of(&format!("http://127.0.0.1:{}", well.port), None, &checks, GENEROUS);
    let fault = failure(Prober::new(target).look().await);
    assert_eq!((fault.kind, fault.check.as_deref()), (FailureKind::Status, Some("api")));
}

#[tokio::test]
async fn checks_are_performed_together() {
    // Each answers only when both were asked: one after the other would never end.
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let stub = Stub::start(move |_, mut wire| {
        let both = both.clone();
        async move {
            stub::head(&mut wire).await;
            both.wait().await;
            wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let checks = [check(None, ProbeKind::Http, "/", "2xx"), check(Some("api"), ProbeKind::Http, "/api", "2xx")];
    let target = stub::target_of(&format!("http://127.0.0.1:{}", stub.port), None, &checks, GENEROUS);
    assert!(is_good(&Prober::new(target).look().await));
}

#[tokio::test]
async fn the_report_of_a_further_check_counts_when_the_main_one_says_nothing() {
    let stub = Stub::start(async |_, mut wire| {
        while let Some(head) = stub::head(&mut wire).await {
            let body = if head.starts_with("GET /api ") { r#"{"maitred":1,"server":"ua1","sessions":7}"# } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            wire.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let checks = [check(None, ProbeKind::Http, "/", "2xx"), check(Some("api"), ProbeKind::Http, "/api", "2xx")];
    let target = stub::target_of(&format!("http://127.0.0.1:{}", stub.port), None, &checks, GENEROUS);
    assert_eq!(good(Prober::new(target).look().await).sessions, Some(7));
}

#[tokio::test]
async fn the_systems_resolver_knows_this_machine() {
    assert!(!SystemLookup.lookup("localhost".to_owned(), 1).await.unwrap().is_empty());
}
