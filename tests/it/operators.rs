//! Operators ask first: what an order would do, who gave it, how it ends; and what others can ask without changing anything.

use std::process::{Command, Output, Stdio};

use hyper::Method;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::kept::Line;
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

/// Two servers, and two agents who sit at them.
fn house() -> (Director, [StubServer; 2]) {
    let stubs = [StubServer::start("ua1"), StubServer::start("ua2")];
    let director = Plan::new().stubs(&stubs).start();
    director.wait_for_usable(&["ua1", "ua2"]);
    // Usable before anybody has looked; from here on a choice changes only by what a test does.
    wait::until("both have been seen up", || {
        ["ua1", "ua2"].iter().all(|server| director.server(server)["state"] == "up")
    });
    let mut agents = Client::new();
    for agent in ["1001", "1002"] {
        assert_eq!(agents.get(&director.url(&format!("/ua/?agent={agent}"))).status, 302);
        agents.forget_cookies();
    }
    (director, stubs)
}

fn ended(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn told(director: &Director, words: &[&str]) -> Value {
    let (code, out, err) = ended(director.command(words).arg("--json"));
    assert_eq!(code, 0, "{words:?}: {out} {err}");
    serde_json::from_str(&out).unwrap()
}

/// The lines that orders have left, one for each order given.
fn audit(director: &Director) -> Vec<String> {
    director.words().into_iter().filter(|line| line.contains("maitred::audit")).collect()
}

/// What an order could change.
fn state_of(director: &Director) -> Vec<Value> {
    let mut operator = director.operator();
    let mut get = |path: &str| operator.get(&director.internal_url(path)).json();
    let words = ["ua1", "ua2"].map(|server| get(&format!("/v1/servers/{server}"))["operator"].clone());
    let sessions = ["1001", "1002"].map(|key| {
        let session = get(&format!("/v1/sessions/ua/{key}"));
        json!([session["server"], session["generation"], session["ended_by"]])
    });
    let order = get("/v1/pools/ua/active")["order"].clone();
    words.into_iter().chain(sessions).chain([order]).collect()
}

#[test]
fn each_order_is_shown_before_it_is_given_and_leaves_a_line_that_says_what_it_changed() {
    let (director, _stubs) = house();
    let server = told(&director, &["sessions", "find", "1001"])["sessions"][0]["server"].as_str().unwrap().to_owned();
    let other = if server == "ua1" { "ua2" } else { "ua1" };
    let orders: [(&[&str], &str, &str); 6] = [
        (&["server", "drain", "ua1", "--reason", "kernel"], "server_state", "drain"),
        (&["server", "maint", "ua1", "--reason", "kernel"], "server_state", "maint"),
        (&["server", "ready", "ua1"], "server_state", "ready"),
        (&["sessions", "move", "1001", "--to", other], "move_session", other),
        (&["sessions", "end", "1002"], "end_session", "ended"),
        (&["datacenter", "failover", "--to", "east"], "active", "east"),
    ];
    for (words, name, after) in orders {
        let (before, lines) = (state_of(&director), audit(&director).len());
        let preview = told(&director, &[words, &["--preview"]].concat());
        assert_eq!((&preview["preview"], &preview["changed"]), (&json!(true), &json!(true)), "{words:?}: {preview}");
        assert!(preview["effect"]["summary"].is_string(), "{words:?}: {preview}");
        assert_eq!(state_of(&director), before, "{words:?}: a preview changes nothing");
        assert_eq!(audit(&director).len(), lines, "{words:?}: and is no order");

        let given = told(&director, words);
        assert_eq!((&given["preview"], &given["changed"]), (&json!(false), &json!(true)), "{words:?}: {given}");
        assert_ne!(state_of(&director), before, "{words:?}");
        let again = told(&director, words);
        assert_eq!(again["changed"], false, "{words:?}: {again}");
        // The line may be written a moment after the answer.
        wait::until("both orders are in the audit log", || audit(&director).len() == lines + 2);
        let [line, repeated] = &audit(&director)[lines..] else { unreachable!() };
        for part in [
            &format!("order=\"{name}\""),
            "outcome=\"changed\"",
            after,
            "before={",
            "after={",
            "role=operator",
            "by=\"certificate\"",
            "from=127.0.0.1",
            "request_id=",
        ] {
            assert!(line.contains(part), "{words:?}: {part} in {line}");
        }
        assert!(repeated.contains("outcome=\"unchanged\""), "{repeated}");
    }
    assert_eq!(told(&director, &["config", "reload", "--preview"])["changed"], false);
    let (code, _, _) = ended(&mut director.command(&["server", "drain", "no-such"]));
    assert_eq!(code, 4);
    wait::until("a refused order leaves a line", || {
        audit(&director).iter().any(|line| line.contains("outcome=\"refused\"") && line.contains("no-such"))
    });
}

#[test]
fn a_word_ends_by_its_deadline() {
    let (director, _stubs) = house();
    let drained = told(&director, &["server", "drain", "ua1", "--reason", "kernel", "--deadline", "2s"]);
    assert_eq!(drained["after"]["state"], "drain");
    assert!(drained["after"]["deadline"].is_string(), "{drained}");
    wait::until("the word has ended", || director.server("ua1")["operator"]["state"] == "ready");
    wait::until("and new sessions go there", || director.server("ua1")["placeable"] == true);
    for bad in ["yesterday", "2001-01-01T00:00:00Z"] {
        let (code, _, err) = ended(&mut director.command(&["server", "drain", "ua1", "--deadline", bad]));
        assert_eq!(code, 1, "{bad}: {err}");
        assert!(err.contains("deadline"), "{err}");
    }
}

#[test]
fn a_wait_ends_when_the_word_is_taken_back() {
    let (director, _stubs) = house();
    let server = told(&director, &["sessions", "find", "1001"])["sessions"][0]["server"].as_str().unwrap().to_owned();
    let mut waiting = director.command(&["server", "drain", &server, "--wait", "5m"]);
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait::until("the order is in force", || director.server(&server)["operator"]["state"] == "drain");
    told(&director, &["server", "ready", &server]);
    let status = wait::for_some("the wait ends", || waiting.try_wait().unwrap());
    let ended = waiting.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains("taken back"), "{err}");
}

#[test]
fn an_explanation_names_where_the_next_start_goes() {
    let (director, _stubs) = house();
    for agent in ["1001", "2001", "2002", "2003"] {
        let explained = told(&director, &["explain", agent]);
        let (code, text, err) = ended(&mut director.command(&["explain", agent]));
        assert_eq!(code, 0, "{err}");
        let server = explained["answer"]["server"].as_str().unwrap();
        assert!(text.starts_with(&format!("{agent} in ua: {server} (")), "{text}");
        assert!(text.contains("role     east (preferred)") && text.contains("east-1 up"), "{text}");
        let seat = Line::open(&director).start(agent).json();
        assert_eq!(
            (&seat["server"]["name"], &seat["affinity"]),
            (&explained["answer"]["server"], &explained["answer"]["affinity"])
        );
    }
    let (code, _, err) = ended(&mut director.command(&["explain", "1001", "--pool", "no-such"]));
    assert_eq!(code, 4, "{err}");
}

/// A request carries at most eight cookies of one name that are looked at.
const COOKIES: usize = 8;

#[test]
fn ten_thousand_forged_cookies_change_nothing_but_a_counter() {
    let (director, _stubs) = house();
    let counted = || {
        let page = director.client().get(&director.metrics_url("/metrics")).text();
        let counts = page.lines().filter(|line| line.starts_with("maitred_cookie_rejected_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let records = || director.metric("maitred_table_records").unwrap();
    let loads = || ["ua1", "ua2"].map(|server| director.server(server)["load"].clone());
    let starts = || director.lines_with(&["maitred::start:"]).len();
    let (before, lines) = ((state_of(&director), records(), loads()), starts());
    let (first, mut line) = (counted(), Line::open(&director));
    for number in 0..10_000 / COOKIES {
        let forged: Vec<String> =
            (0..COOKIES).map(|at| format!("__Host-maitred-ua=v1.{:032x}{:0100x}", number * COOKIES + at, at)).collect();
        // Somebody who only looks, with the key of an agent who sits there, or none.
        let target = if number % 2 == 0 { "/ua/?agent=1001" } else { "/ua/" };
        let answer = line.ask(Method::HEAD, target, &[("cookie", &forged.join("; "))], "");
        assert_eq!(answer.status, if number % 2 == 0 { 302 } else { 404 });
        assert!(answer.headers.get("set-cookie").is_none());
    }
    assert_eq!(counted() - first, 10_000.0);
    assert_eq!((state_of(&director), records(), loads()), before);
    assert_eq!(starts(), lines, "not one line in the log");
}

/// Secrets that callers show, and words that could be taken for one, in every place where a caller can put them.
#[test]
fn what_callers_show_stands_in_no_log_no_metric_and_no_configuration() {
    let stub = StubServer::start("ua1");
    let director = Plan::new()
        .stubs([&stub])
        .with("pool", "handover = \"query\"")
        .prepared_by("export MAITRED__LOG__KEYS=hash")
        .start();
    director.wait_for_usable(&["ua1"]);
    let mut caller = director.client();
    let seat =
        caller.post_json(&director.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": "canary-key"})).json();
    let start = caller.get(&director.url("/canary-path?agent=canary-agent&canary=query"));
    let cookie = start.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    let ticket = start.location().query_pairs().find(|(name, _)| name == "maitred_ticket").unwrap().1.into_owned();
    let (token, session) = (seat["token"].as_str().unwrap().to_owned(), seat["session"].as_str().unwrap().to_owned());
    let canary = [("authorization", "Bearer canary-token"), ("user-agent", "canary\u{202e}${jndi:x}")];
    let forged = [("cookie", "__Host-maitred-ua=canary-cookie"), ("referer", "https://canary.example/")];
    let one = director.url(&format!("/maitred/v1/sessions/{session}"));
    caller.send(Method::GET, &one, &canary, "");
    caller.send(Method::GET, &director.url("/x?agent=1"), &forged, "");
    caller.send(Method::POST, &format!("{one}/end"), &[("content-type", "text/plain")], "canary-beacon");
    caller.send(Method::GET, &director.internal_url("/v1/status?token=canary-query"), &canary, "");
    caller.send(Method::GET, &director.url("/maitred/v1/start.js?callback=canary&pool=ua&key=canary-key"), &[], "");
    let mut operator = director.operator();
    let verify = json!({ "ticket": format!("{ticket}canary-ticket") });
    operator.post_json(&director.internal_url("/v1/tickets/verify"), &verify);
    operator.post_json(
        &director.internal_url("/v1/sessions/ua/canary-key/end"),
        &json!({"session": "canary", "generation": 1}),
    );
    caller.send(Method::GET, &director.url("/x?agent=2"), &[("x-request-id", "the-last-one")], "");
    wait::until("the last start is in the log", || director.has_said("the-last-one"));

    let told = ["/v1/config", "/v1/status"].map(|path| operator.get(&director.internal_url(path)).text()).join("\n");
    let metrics = caller.get(&director.metrics_url("/metrics")).text();
    let log = director.words().join("\n");
    for (place, text) in [("log", log), ("metrics", metrics), ("configuration and status", told)] {
        for secret in ["canary", "\u{202e}", token.as_str(), cookie.as_str(), ticket.as_str()] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret:?} stands in the {place}");
        }
    }
}

#[test]
fn a_request_id_goes_in_comes_out_and_stands_in_problem_and_log() {
    let (director, _stubs) = house();
    let mut line = Line::open(&director);
    let headers = |id: &'static str| [("x-request-id", id), ("content-type", "application/json")];
    let start = line.ask(Method::POST, "/maitred/v1/sessions", &headers("start-1"), r#"{"pool": "ua", "key": "3001"}"#);
    assert_eq!((start.status, start.header("x-request-id")), (201, "start-1"));
    wait::until("the start is in the log", || director.has_said("request_id=\"start-1\""));
    for (number, (method, target, body)) in [
        (Method::POST, "/maitred/v1/sessions", "{"),
        (Method::POST, "/maitred/v1/sessions", r#"{"pool": "none"}"#),
        (Method::GET, "/maitred/v1/nothing", ""),
        (Method::DELETE, "/maitred/v1/reports", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("public-{number}");
        let answer = line.ask(method, target, &[("x-request-id", &id), ("content-type", "application/json")], body);
        assert_eq!(
            (answer.header("x-request-id"), &answer.json()["request_id"]),
            (id.as_str(), &json!(id)),
            "{target}"
        );
        let own = line.ask(Method::GET, target, &[("x-request-id", "not harmless\t")], "");
        assert!(own.status >= 400 && own.header("x-request-id").len() == 32, "{target}: one of our own");
    }
    let mut operator = director.operator();
    for (number, (method, path, body)) in [
        (Method::GET, "/v1/nothing", ""),
        (Method::PUT, "/v1/servers/ua1", ""),
        (Method::PUT, "/v1/servers/ua1/state", r#"{"state": "none"}"#),
        (Method::GET, "/v1/explain", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("internal-{number}");
        let headers = [("x-request-id", id.as_str()), ("content-type", "application/json")];
        let answer = operator.send(method, &director.internal_url(path), &headers, body);
        assert_eq!((answer.header("x-request-id"), &answer.json()["request_id"]), (id.as_str(), &json!(id)), "{path}");
    }
    wait::until("the refused order is in the log with its id", || {
        audit(&director).iter().any(|line| line.contains("request_id=\"internal-2\""))
    });
    let stranger =
        director.client().send(Method::GET, &director.internal_url("/v1/status"), &[("x-request-id", "who")], "");
    assert_eq!((stranger.status, stranger.header("x-request-id")), (401, "who"));
}
