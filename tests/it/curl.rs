//! What scripts and old balancers send: real curl, as its users type it.

use std::process::Command;

use crate::support::certificates::{self, FRONT};
use crate::support::director::Director;
use crate::support::plan::Plan;
use crate::support::stub::StubServer;

/// What curl got: the status and version first, then headers and body as they came.
struct Answer {
    status: String,
    version: String,
    text: String,
}

/// Runs curl against the director's name.
#[track_caller]
fn curl(director: &Director, arguments: &[&str], path: &str) -> Answer {
    let port = director.ports().public;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "30", "--noproxy", "*"])
        .args(["--resolve", &format!("{FRONT}:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(certificates::shared().path("ca.pem"))
        .args(["--write-out", "\n%{http_code} %{http_version}"])
        .args(arguments)
        .arg(director.url(path))
        .output()
        .unwrap_or_else(|error| panic!("curl: {error}. `tests/run` installs what the tests need."));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (text, last) = text.rsplit_once('\n').unwrap_or_default();
    let (status, version) = last.split_once(' ').unwrap_or_default();
    assert!(output.status.success(), "curl {arguments:?} {path}: {}", String::from_utf8_lossy(&output.stderr));
    Answer { status: status.to_owned(), version: version.to_owned(), text: text.to_owned() }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer
        .text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn director() -> (StubServer, Director) {
    let stub = StubServer::start("ua1");
    let director = Plan::new().stubs([&stub]).start();
    director.wait_for_usable(&["ua1"]);
    (stub, director)
}

#[test]
fn health_answers_an_old_balancer_without_host() {
    let (_stub, director) = director();
    for path in ["/health/live", "/health/ready", "/health/active"] {
        for arguments in [&["--http1.0", "--header", "Host:"][..], &["--http1.1"], &["--http2"]] {
            let answer = curl(&director, arguments, path);
            assert_eq!(answer.status, "200", "{path} {arguments:?}");
            assert!(answer.text.contains("\nok "), "{path}: {}", answer.text);
            assert_eq!(header(&answer, "cache-control"), Some("no-store"));
        }
        let head = curl(&director, &["--head"], path);
        assert_eq!(head.status, "200");
        let options = curl(&director, &["--request", "OPTIONS"], path);
        assert!(header(&options, "allow").is_some_and(|methods| methods.contains("GET")), "{}", options.text);
    }
}

#[test]
fn checks_of_the_door_are_greeted_and_get_no_seat() {
    let (stub, director) = director();
    let without_host = curl(&director, &["--http1.0", "--header", "Host:"], "/");
    let options = curl(&director, &["--http1.1", "--request", "OPTIONS", "--request-target", "*"], "/");
    for answer in [without_host, options] {
        assert_eq!(answer.status, "200", "{}", answer.text);
        assert!(answer.text.contains("maitred"), "{}", answer.text);
        assert_eq!((header(&answer, "set-cookie"), header(&answer, "location")), (None, None));
    }
    let head = curl(&director, &["--head"], "/desk?agent=1");
    assert_eq!((head.status.as_str(), header(&head, "set-cookie")), ("404", None), "{}", head.text);
    assert_eq!(stub.visits(), [""; 0]);
}

#[test]
fn a_start_is_a_redirect_in_either_http_and_head_shows_it_to_its_owner() {
    let (stub, director) = director();
    let jar = tempfile::NamedTempFile::new().unwrap();
    let jar = jar.path().to_str().unwrap();
    for (version, arguments) in [("1.1", ["--http1.1", "--cookie-jar", jar]), ("2", ["--http2", "--cookie-jar", jar])] {
        let answer = curl(&director, &arguments, "/desk/a%2Fb?agent=7&x=%20");
        assert_eq!((answer.status.as_str(), answer.version.as_str()), ("302", version));
        assert_eq!(header(&answer, "location"), Some(format!("{}/desk/a%2Fb?agent=7&x=%20", stub.origin()).as_str()));
    }
    let head = curl(&director, &["--head", "--cookie", jar], "/desk?agent=7");
    assert_eq!(head.status, "302", "{}", head.text);
    assert_eq!(header(&head, "location"), Some(format!("{}/desk?agent=7", stub.origin()).as_str()));
    let post = curl(&director, &["--data", "x=1"], "/desk?agent=7");
    assert_eq!(post.status, "307", "{}", post.text);
}

#[test]
fn tls_before_1_2_is_refused() {
    let (_stub, director) = director();
    let port = director.ports().public;
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}. `tests/run` installs what the tests need."));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("alert"), "{words}");
    assert_eq!(curl(&director, &["--tls-max", "1.2"], "/health/live").status, "200");
}
