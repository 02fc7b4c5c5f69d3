//! How connections are made, kept, lost and made again, and how names become addresses.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maitred_core::health::FailureKind;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stub::{GENEROUS, SHORT, Stub, check, failure, head, is_good, target, target_at, target_of};
use crate::config::ProbeKind;
use crate::probe::{Found, Lookup, Prober};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_refused_connection_is_told() {
    let port = Stub::http(OK).await.stop().await;
    assert_eq!(failure(Prober::new(target_at(port, "http", GENEROUS)).look().await).kind, FailureKind::Refused);
}

#[tokio::test]
async fn a_reset_is_told() {
    let stub = Stub::raw(async |_, mut stream| {
        stream.read_u8().await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    for kind in ["http", "ajp"] {
        let fault = failure(Prober::new(target(&stub, kind, GENEROUS)).look().await);
        assert_eq!(fault.kind, FailureKind::Reset, "{kind}: {fault:?}");
    }
}

#[tokio::test]
async fn a_close_without_an_answer_is_told() {
    let stub = Stub::start(async |_, mut wire| {
        // All of it is read: a close with unread bytes would be a reset.
        let _ = wire.read(&mut [0; 4096]).await;
    })
    .await;
    for kind in ["http", "ajp"] {
        let fault = failure(Prober::new(target(&stub, kind, GENEROUS)).look().await);
        assert_eq!(fault.kind, FailureKind::Closed, "{kind}: {fault:?}");
    }
}

#[tokio::test]
async fn one_connection_serves_many_looks() {
    let stub = Stub::http(OK).await;
    let mut prober = Prober::new(target(&stub, "http", GENEROUS));
    for _ in 0..5 {
        assert!(is_good(&prober.look().await));
    }
    assert_eq!(stub.accepted(), 1);
}

#[tokio::test]
async fn a_failing_status_keeps_its_connection_too() {
    let stub = Stub::http("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy").await;
    let mut prober = Prober::new(target(&stub, "http", GENEROUS));
    for _ in 0..3 {
        assert_eq!(failure(prober.look().await).kind, FailureKind::Status);
    }
    assert_eq!(stub.accepted(), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_does_not_keep_is_made_anew() {
    for answer in ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nfine"] {
        let stub = Stub::start(move |_, mut wire| async move {
            head(&mut wire).await;
            wire.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let mut prober = Prober::new(target(&stub, "http", GENEROUS));
        for _ in 0..3 {
            assert!(is_good(&prober.look().await), "{answer}");
        }
        assert_eq!(stub.accepted(), 3);
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_no_failure() {
    // Promises to keep the connection, and closes or resets it after one answer.
    for reset in [false, true] {
        let stub = Stub::raw(move |_, mut stream| async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await.unwrap();
            stream.write_all(OK).await.unwrap();
            if reset {
                // The answer must arrive before the reset wipes it out.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.set_zero_linger().unwrap();
            }
        })
        .await;
        let mut prober = Prober::new(target(&stub, "http", GENEROUS));
        for look in 1..=3 {
            assert!(is_good(&prober.look().await));
            assert_eq!(stub.accepted(), look);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_on_the_request_is_tried_once_more_and_only_once() {
    // The first connection answers once; every later request is taken and never answered.
    let stub = Stub::start(async |number, mut wire| {
        head(&mut wire).await;
        if number == 0 {
            wire.write_all(OK).await.unwrap();
            head(&mut wire).await;
        }
    })
    .await;
    let mut prober = Prober::new(target(&stub, "http", GENEROUS));
    assert!(is_good(&prober.look().await));
    assert_eq!(failure(prober.look().await).kind, FailureKind::Closed);
    assert_eq!(stub.accepted(), 2);
}

#[tokio::test]
async fn a_kept_connection_to_a_dead_server_tells_of_the_fresh_attempt() {
    let stub = Stub::http(OK).await;
    let mut prober = Prober::new(target(&stub, "http", GENEROUS));
    assert!(is_good(&prober.look().await));
    stub.stop().await;
    assert_eq!(failure(prober.look().await).kind, FailureKind::Refused);
}

#[tokio::test]
async fn after_a_timeout_a_fresh_connection_is_used() {
    let stub = Stub::start(async |number, mut wire| {
        head(&mut wire).await;
        if number == 0 {
            pending::<()>().await;
        }
        wire.write_all(OK).await.unwrap();
    })
    .await;
    let mut prober = Prober::new(target(&stub, "http", SHORT));
    assert_eq!(failure(prober.look().await).kind, FailureKind::Timeout);
    prober.retarget(target(&stub, "http", GENEROUS));
    assert!(is_good(&prober.look().await));
    assert_eq!(stub.accepted(), 2);
}

#[tokio::test]
async fn an_old_connection_is_renewed() {
    let stub = Stub::http(OK).await;
    let mut prober = Prober::new(target(&stub, "http", GENEROUS));
    prober.lines[0].keep_max = Duration::ZERO;
    assert!(is_good(&prober.look().await));
    assert!(is_good(&prober.look().await));
    assert_eq!(stub.accepted(), 2);
}

#[tokio::test]
async fn a_new_definition_keeps_the_connection_where_the_address_is_the_same() {
    let (one, two) = (Stub::http(OK).await, Stub::http(OK).await);
    let mut prober = Prober::new(target(&one, "http", GENEROUS));
    assert!(is_good(&prober.look().await));
    let url = format!("http://127.0.0.1:{}", one.port);
    let stricter = target_of(&url, None, &[check(None, ProbeKind::Http, "/other", "204")], GENEROUS);
    assert!(!prober.retarget(stricter));
    assert_eq!(failure(prober.look().await).kind, FailureKind::Status);
    assert_eq!(one.accepted(), 1);
    assert!(prober.retarget(target(&two, "http", GENEROUS)));
    assert!(is_good(&prober.look().await));
    assert_eq!((one.accepted(), two.accepted()), (1, 1));
}

/// Answers what the test says, and counts how often it was asked.
struct Script {
    answer: Mutex<Result<Vec<SocketAddr>, ()>>,
    hang: bool,
    asked: AtomicUsize,
}

impl Script {
    fn new(answer: Result<Vec<SocketAddr>, ()>, hang: bool) -> Arc<Self> {
        Arc::new(Self { answer: Mutex::new(answer), hang, asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Script {
    fn lookup(&self, _: String, _: u16) -> Found {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (answer, hang) = (self.answer.lock().clone(), self.hang);
        Box::pin(async move {
            if hang {
                pending::<()>().await;
            }
            answer.map_err(|()| io::Error::other("no such name"))
        })
    }
}

fn named(timeout: Duration) -> Arc<crate::probe::Target> {
    target_of("http://ua1.example.com", None, &[check(None, ProbeKind::Tcp, "/", "2xx")], timeout)
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    for (answer, reason) in [(Err(()), "no such name"), (Ok(Vec::new()), "the name has no address")] {
        let mut prober = Prober::with_lookup(named(GENEROUS), Script::new(answer, false));
        let fault = failure(prober.look().await);
        assert_eq!((fault.kind, fault.detail.as_str()), (FailureKind::NoName, reason));
    }
}

#[tokio::test]
async fn while_the_name_service_fails_the_last_good_address_is_used() {
    let stub = Stub::silent().await;
    let script = Script::new(Ok(vec![([127, 0, 0, 1], stub.port).into()]), false);
    let mut prober = Prober::with_lookup(named(GENEROUS), script.clone());
    assert!(is_good(&prober.look().await));
    *script.answer.lock() = Err(());
    // A server that is gone makes its address doubtful, so the name service is asked again, in vain.
    let port = stub.stop().await;
    assert_eq!(failure(prober.look().await).kind, FailureKind::Refused);
    assert_eq!(failure(prober.look().await).kind, FailureKind::Refused);
    assert_eq!(script.asked.load(Ordering::SeqCst), 2);
    let back = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    assert!(is_good(&prober.look().await));
    drop(back);
}

#[tokio::test]
async fn a_server_that_moved_is_found() {
    let (old, new) = (Stub::silent().await, Stub::silent().await);
    let script = Script::new(Ok(vec![([127, 0, 0, 1], old.port).into()]), false);
    let mut prober = Prober::with_lookup(named(GENEROUS), script.clone());
    assert!(is_good(&prober.look().await));
    *script.answer.lock() = Ok(vec![([127, 0, 0, 1], new.port).into()]);
    old.stop().await;
    assert_eq!(failure(prober.look().await).kind, FailureKind::Refused);
    assert!(is_good(&prober.look().await));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let stub = Stub::silent().await;
    let dead = Stub::silent().await.stop().await;
    let script = Script::new(Ok(vec![([127, 0, 0, 1], dead).into(), ([127, 0, 0, 1], stub.port).into()]), false);
    let mut prober = Prober::with_lookup(named(GENEROUS), script);
    assert!(is_good(&prober.look().await));
}

#[tokio::test]
async fn a_name_service_that_hangs_is_asked_once_however_often_we_look() {
    let script = Script::new(Err(()), true);
    let mut prober = Prober::with_lookup(named(SHORT), script.clone());
    for _ in 0..3 {
        let fault = failure(prober.look().await);
        assert_eq!((fault.kind, fault.detail.as_str()), (FailureKind::Timeout, "time is up while resolving the name"));
    }
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
}
