//! The line of a start.

use ::bytes::Bytes;
use actix_http::header::HOST as HOST_HEADER;
use actix_http::test::TestRequest;
use serde_json::Value;

use super::fixture::{Fixture, HOST, config};
use crate::config::{Config, KeyLog, StartLog};
use crate::http::ask::Ask;
use crate::http::caught::lines_of;
use crate::http::public::answer;

/// Answers these targets one after the other and returns what was logged.
fn logged(config: &Config, targets: &[&str]) -> Vec<Value> {
    logged_by(&Fixture::with(config), targets)
}

fn logged_by(fixture: &Fixture, targets: &[&str]) -> Vec<Value> {
    let text = lines_of(|| {
        for target in targets {
            let request = TestRequest::with_uri(target).insert_header((HOST_HEADER, HOST)).finish();
            let site = fixture.edge.site();
            let ask = Ask::check(&fixture.edge, &site, request.head()).unwrap_or_else(|_| panic!("refused: {target}"));
            drop(answer(&ask, Ok(Bytes::new())));
        }
    });
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_start_leaves_one_line_that_names_no_agent() {
    let lines = logged(&config(), &["/x?agent=1001", "/x?agent=1001", "/x?agent=a%22%1b%5B2J"]);
    assert_eq!(lines.len(), 2, "a refused key is no start");
    for line in &lines {
        assert_eq!(line["target"], "maitred::start");
        for field in [
            "pool",
            "key",
            "session",
            "generation",
            "server",
            "datacenter",
            "affinity",
            "reason",
            "director",
            "request_id",
            "duration_us",
        ] {
            assert!(!line[field].is_null(), "{field}: {line}");
        }
        assert!(!line.to_string().contains("1001"));
    }
    assert_eq!(lines[0]["key"], lines[1]["key"], "but it can be searched for");
    assert_eq!((&lines[0]["affinity"], &lines[1]["affinity"]), (&"placed".into(), &"kept".into()));
}

#[test]
fn a_start_that_nobody_can_serve_leaves_the_line_that_its_page_is_searched_by() {
    let mut changes = config();
    changes.log.starts = StartLog::Changes;
    let fixture = Fixture::with(&changes);
    fixture.all_down("ua");
    let lines = logged_by(&fixture, &["/x?agent=1001"]);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["target"], &line["code"]), (&"maitred::start".into(), &2001.into()), "{line}");
    assert!(line["why"].as_str().unwrap().contains("are down"), "{line}");
    for field in ["pool", "key", "director", "request_id"] {
        assert!(!line[field].is_null(), "{field}: {line}");
    }
    assert!(!line.to_string().contains("1001\""), "{line}");
}

#[test]
fn kept_starts_and_hashes_can_be_turned_off() {
    let mut other = config();
    other.log.starts = StartLog::Changes;
    other.log.keys = KeyLog::Clear;
    let lines = logged(&other, &["/x?agent=1001", "/x?agent=1001"]);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["key"], "1001");
}
