//! What a status line, headers and a body can look like.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use maitred_core::health::{FailureKind, Report};
use maitred_core::ids::Incarnation;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use super::stub::{GENEROUS, SHORT, Stub, check, failure, good, head, is_good, target, target_of};
use crate::config::ProbeKind;
use crate::probe::Prober;

async fn told(answer: impl Into<Vec<u8>>) -> maitred_core::health::Failure {
    let stub = Stub::http(answer).await;
    failure(Prober::new(target(&stub, "http", GENEROUS)).look().await)
}

async fn report(answer: impl Into<Vec<u8>>) -> Report {
    let stub = Stub::http(answer).await;
    good(Prober::new(target(&stub, "http", GENEROUS)).look().await)
}

fn ok_with(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn any_2xx_is_good_and_a_plain_body_reports_nothing() {
    assert_eq!(report(ok_with("fine")).await, Report::default());
    assert_eq!(report("HTTP/1.1 204 No Content\r\n\r\n").await, Report::default());
    assert_eq!(
        report("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await,
        Report::default()
    );
}

#[tokio::test]
async fn the_request_names_the_servers_own_host_and_wants_no_packed_body() {
    let heard = Arc::new(Mutex::new(String::new()));
    let note = heard.clone();
    let stub = Stub::start(move |_, mut wire| {
        let note = note.clone();
        async move {
            *note.lock() = head(&mut wire).await.unwrap();
            wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let dial = format!("http://127.0.0.1:{}", stub.port);
    let checks = [check(None, ProbeKind::Http, "/health?deep=1", "2xx")];
    let target = target_of("http://ua1.example.com:8080", Some(&dial), &checks, GENEROUS);
    assert!(is_good(&Prober::new(target).look().await));
    let heard = heard.lock().to_lowercase();
    assert!(heard.starts_with("get /health?deep=1 http/1.1\r\n"), "{heard}");
    assert!(heard.contains("\r\nhost: ua1.example.com:8080\r\n"), "{heard}");
    assert!(heard.contains("\r\naccept-encoding: identity\r\n"), "{heard}");
}

#[tokio::test]
async fn a_status_that_is_not_expected_is_told_and_a_redirect_is_never_followed() {
    let fault = told("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!((fault.kind, fault.detail.as_str()), (FailureKind::Status, "status 500 instead of 2xx"));

    let well = Stub::http("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let location = format!("http://127.0.0.1:{}/", well.port);
    let fault = told(format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(fault.kind, FailureKind::Status);
    assert!(fault.detail.contains("redirects are not followed"), "{fault:?}");
    assert_eq!(well.accepted(), 0);
}

#[tokio::test]
async fn a_status_that_is_expected_is_good_also_outside_2xx() {
    let stub = Stub::http("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let checks = [check(None, ProbeKind::Http, "/", "2xx,401")];
    let target = target_of(&format!("http://127.0.0.1:{}", stub.port), None, &checks, GENEROUS);
    assert!(is_good(&Prober::new(target).look().await));
}

#[tokio::test]
async fn a_report_is_read() {
    let body = r#"{"maitred":1,"server":"ua1","incarnation":"boot-1","sessions":412,"capacity":1000,"draining":false}"#;
    let report = report(ok_with(body)).await;
    assert_eq!(report.incarnation.as_ref().map(Incarnation::as_str), Some("boot-1"));
    assert_eq!((report.sessions, report.capacity, report.draining), (Some(412), Some(1000), Some(false)));
}

#[tokio::test]
async fn a_report_of_another_server_is_a_wrong_name() {
    let fault = told(ok_with(r#"{"maitred":1,"server":"ua2"}"#)).await;
    assert_eq!(fault.kind, FailureKind::WrongName);
    assert!(fault.detail.contains("ua2"));
}

#[tokio::test]
async fn a_malformed_report_is_told() {
    let long = format!(r#"{{"maitred":1,"server":"ua1","incarnation":"{}"}}"#, "i".repeat(65));
    for (body, reason) in [(r#"{"maitred":1}"#, "server is missing"), (long.as_str(), "longer than 64 bytes")] {
        let fault = told(ok_with(body)).await;
        assert_eq!(fault.kind, FailureKind::Body);
        assert!(fault.detail.contains(reason), "{fault:?}");
    }
}

#[tokio::test]
async fn a_packed_body_stays_packed() {
    // What `gzip` makes of many zeros; unpacked it would be 10 MiB.
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 12\r\n\r\n".to_vec();
    answer.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1]);
    assert_eq!(report(answer).await, Report::default());
}

#[tokio::test]
async fn a_body_above_the_limit_is_told_announced_or_not() {
    let announced = told("HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n").await;
    assert_eq!(announced.kind, FailureKind::TooLarge);
    let full = ok_with(&"x".repeat(65536));
    assert_eq!(report(full).await, Report::default());
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    for opening in ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        let stub = Stub::start(move |_, mut wire| async move {
            head(&mut wire).await;
            wire.write_all(opening.as_bytes()).await.unwrap();
            let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
            while wire.write_all(chunk.as_bytes()).await.is_ok() {}
        })
        .await;
        let fault = failure(Prober::new(target(&stub, "http", GENEROUS)).look().await);
        assert_eq!(fault.kind, FailureKind::TooLarge, "{opening}");
    }
}

#[tokio::test]
async fn a_body_that_drips_runs_out_of_time() {
    let stub = Stub::start(async |_, mut wire| {
        head(&mut wire).await;
        wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        while wire.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let fault = failure(Prober::new(target(&stub, "http", SHORT)).look().await);
    assert_eq!((fault.kind, fault.detail.as_str()), (FailureKind::Timeout, "time is up while reading the body"));
}

#[tokio::test]
async fn a_wrong_status_is_an_answer_even_when_its_body_never_ends() {
    for body in ["content-length: 1000\r\n\r\nx", "content-length: 65537\r\n\r\n", "\r\n"] {
        let stub = Stub::http(format!("HTTP/1.1 500 Oops\r\n{body}")).await;
        let fault = failure(Prober::new(target(&stub, "http", SHORT)).look().await);
        assert_eq!(fault.kind, FailureKind::Status, "{body}");
    }
}

#[tokio::test]
async fn headers_that_drip_run_out_of_time() {
    let stub = Stub::start(async |_, mut wire| {
        head(&mut wire).await;
        wire.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        while wire.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let fault = failure(Prober::new(target(&stub, "http", SHORT)).look().await);
    assert_eq!((fault.kind, fault.detail.as_str()), (FailureKind::Timeout, "time is up while waiting for the answer"));
}

#[tokio::test]
async fn a_server_that_takes_the_request_and_says_nothing_runs_out_of_time() {
    let stub = Stub::start(async |_, mut wire| {
        head(&mut wire).await;
        pending().await
    })
    .await;
    assert_eq!(failure(Prober::new(target(&stub, "http", SHORT)).look().await).kind, FailureKind::Timeout);
}

#[tokio::test]
async fn a_half_open_server_runs_out_of_time() {
    // The kernel completes the connection, but nobody ever takes it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut prober = Prober::new(super::stub::target_at(port, "http", SHORT));
    assert_eq!(failure(prober.look().await).kind, FailureKind::Timeout);
}

#[tokio::test]
async fn a_head_above_the_limits_is_told() {
    let long = told(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024))).await;
    assert_eq!(long.kind, FailureKind::TooLarge, "{long:?}");
    let many = told(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101))).await;
    assert_eq!(many.kind, FailureKind::TooLarge, "{many:?}");
}

#[tokio::test]
async fn what_is_not_http_is_told() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let fault = told(nonsense).await;
        assert_eq!(fault.kind, FailureKind::Protocol, "{nonsense}: {fault:?}");
    }
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_a_close() {
    let stub = Stub::start(async |_, mut wire| {
        head(&mut wire).await;
        wire.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort").await.unwrap();
    })
    .await;
    assert_eq!(failure(Prober::new(target(&stub, "http", GENEROUS)).look().await).kind, FailureKind::Closed);
}
