//! JSONP.

use super::fixture::Fixture;
use crate::http::answer::Answer;
use serde_json::Value;

const PAGE: (&str, &str) = ("Referer", "https://crm.example/desk");

fn ask(fixture: &Fixture, target: &str, headers: &[(&str, &str)]) -> Answer {
    fixture.ask("GET", &format!("/maitred/v1/{target}"), headers)
}

/// The value that the callback is given.
fn value(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let inside = answer.body.strip_prefix("/**/cb(").and_then(|rest| rest.strip_suffix(");")).unwrap();
    serde_json::from_str(inside).unwrap()
}

#[test]
fn a_start_comes_through_the_callback_without_a_token() {
    let fixture = Fixture::start();
    let answer = ask(&fixture, "start.js?callback=cb&pool=ua&key=1001", &[PAGE]);
    let seat = value(&answer);
    assert_eq!((&seat["key"], &seat["affinity"], &seat["owner"]), (&"1001".into(), &"placed".into(), &true.into()));
    assert!(seat.get("token").is_none());
    assert_eq!(seat["alternates"].as_array().unwrap().len(), 2);

    let avoid = format!("start.js?callback=cb&pool=ua&key=1001&avoid={}", seat["server"]["name"].as_str().unwrap());
    let cookie = ("Cookie", answer.cookie());
    let moved = value(&ask(&fixture, &avoid, &[PAGE, cookie]));
    assert_eq!(moved["affinity"], "moved");
    let stranger = value(&ask(
        &fixture,
        &avoid.replace(seat["server"]["name"].as_str().unwrap(), moved["server"]["name"].as_str().unwrap()),
        &[PAGE],
    ));
    assert_eq!(stranger["error"]["code"], 1006);
}

#[test]
fn refusals_come_through_the_callback_too() {
    let fixture = Fixture::start();
    for (target, headers, code) in [
        ("start.js?callback=cb&pool=ua", &[][..], 1006),
        ("start.js?callback=cb&pool=ua", &[("Referer", "https://evil/")][..], 1006),
        ("start.js?callback=cb&pool=iwd&key=1", &[PAGE][..], 1007),
        ("start.js?callback=cb&pool=nope&key=1", &[PAGE][..], 1007),
        ("start.js?callback=cb", &[PAGE][..], 1000),
        ("start.js?callback=cb&pool=ua&key=", &[PAGE][..], 1000),
        ("servers.js?callback=cb&pool=ua", &[][..], 1006),
    ] {
        let error = &value(&ask(&fixture, target, headers))["error"];
        assert_eq!(error["code"], code, "{target}");
        assert!(error["request_id"].is_string());
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
    fixture.all_down("ua");
    let error = &value(&ask(&fixture, "start.js?callback=cb&pool=ua&key=1", &[PAGE]))["error"];
    assert_eq!((&error["code"], &error["status"]), (&2001.into(), &503.into()));
    assert!(error["retry_after"].is_u64(), "a script cannot read the header");
}

#[test]
fn a_bad_callback_is_a_plain_400() {
    let fixture = Fixture::start();
    for callback in
        ["", "callback=", "callback=alert(1)//", "callback=a;b", "callback=a&callback=b", "callback=%3Cscript%3E"]
    {
        let answer = ask(&fixture, &format!("start.js?pool=ua&key=1&{callback}"), &[PAGE]);
        assert_eq!((answer.status, answer.code()), (400, 1000), "{callback}");
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
}

#[test]
fn only_get_loads_a_script() {
    let fixture = Fixture::start();
    for method in ["POST", "HEAD", "PUT"] {
        let answer = fixture.ask(method, "/maitred/v1/start.js?callback=cb&pool=ua&key=1", &[PAGE]);
        assert_eq!(answer.status, 405, "{method}");
    }
    assert_eq!(fixture.edge.director.sessions(), 0);
}

#[test]
fn a_list_to_store_is_never_empty() {
    let fixture = Fixture::start();
    let list = |target: &str| value(&ask(&fixture, target, &[PAGE]));
    assert_eq!(list("servers.js?callback=cb")["pool"], "ua", "the only one with JSONP");
    fixture.all_down("ua");
    let body = list("servers.js?callback=cb&pool=ua");
    assert_eq!((&body["error"]["code"], &body["error"]["status"]), (&2001.into(), &503.into()), "{body}");
    assert!(body.get("servers").is_none(), "what the client has stored stays");
}

#[test]
fn a_list_of_servers_to_store_is_rotated_by_the_key() {
    let fixture = Fixture::start();
    let list = |key: &str| value(&ask(&fixture, &format!("servers.js?callback=cb&pool=ua&key={key}"), &[PAGE]));
    let body = list("1");
    assert_eq!(body["pool"], "ua");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["servers"].as_array().unwrap().len(), 3);
    assert!(body["servers"][0]["url"].as_str().unwrap().ends_with("/ua/"));
    assert_eq!(list("1"), body, "the same for one key");
    let firsts: std::collections::BTreeSet<_> =
        (0..50).map(|key| list(&key.to_string())["servers"][0]["name"].to_string()).collect();
    assert_eq!(firsts.len(), 3, "and not the same first one for all");
    assert_eq!(fixture.edge.director.sessions(), 0);
}
