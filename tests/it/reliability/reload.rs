//! A director that is changed while it works: reloads by signal, file and order, rows 29 to 31.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hyper::Method;
use serde_json::json;

use crate::support::certificates::{self, Certificates, FRONT};
use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::kept::{Crowd, shown_certificate};
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

fn stubs(count: usize) -> Vec<StubServer> {
    (1..=count).map(|number| StubServer::start(&format!("ua{number}"))).collect()
}

fn wait_for_up(director: &Director, stubs: &[StubServer]) {
    wait::until("servers are up", || stubs.iter().all(|stub| director.events("server_up", stub.name()) == 1));
}

/// As an editor or a secrets' agent does it: a new file in place of the old one.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    // A secret stays one.
    fs::set_permissions(&new, fs::metadata(file).unwrap().permissions()).unwrap();
    fs::rename(new, file).unwrap();
}

fn reloads(director: &Director, cause: &str) -> usize {
    director.lines_with(&[&format!("cause=\"{cause}\""), "reloaded"]).len()
}

#[test]
fn reloads_under_load_refuse_nobody_and_move_nobody() {
    let stubs = stubs(4);
    let director = Plan::new().stubs(&stubs[..3]).start();
    wait_for_up(&director, &stubs[..3]);
    let crowd = Crowd::start(&director, 8, 20);
    crowd.go_on_for(400);
    for round in 1..=5 {
        director.reload();
        wait::until("a signal reloads", || reloads(&director, "signal") >= round);
        crowd.go_on_for(50);
    }
    let text = fs::read_to_string(director.config()).unwrap();
    let fourth = format!(
        "{text}\n[[pool.server]]\nname = \"ua4\"\ndatacenter = \"east\"\nurl = \"{}\"\nprobe_url = \"https://127.0.0.1:{}\"\n",
        stubs[3].origin(),
        stubs[3].port()
    );
    replace(&director.config(), &fourth);
    wait::until("a changed file reloads", || reloads(&director, "file") >= 1);
    wait::until("the new server is looked at", || director.events("server_up", "ua4") == 1);
    crowd.go_on_for(100);
    let mut operator = director.operator();
    for _ in 0..3 {
        let answer = operator.send(Method::POST, &director.internal_url("/v1/config/reload"), &[], "");
        assert_eq!(answer.status, 200, "{answer:?}");
        crowd.go_on_for(50);
    }
    assert_eq!(reloads(&director, "order"), 3);
    let known = crowd.stop();
    assert_eq!((known.failures, known.moves), (Vec::new(), Vec::new()));
    assert_eq!(known.servers.len(), 160);
}

#[test]
fn row_29_a_bad_configuration_changes_nothing_and_names_its_mistake() {
    let stubs = stubs(2);
    let director = Plan::new().stubs(&stubs).start();
    wait_for_up(&director, &stubs);
    let crowd = Crowd::start(&director, 2, 10);
    crowd.go_on_for(40);
    let good = fs::read_to_string(director.config()).unwrap();
    let line_of = |text: &str, part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let mistakes = [
        (good.replace("[affinity]", "[affinity"), "[affinity", ""),
        (good.replace("fall = 2", "fal = 2"), "fal = 2", "fall"),
        (good.replace("name = \"ua2\"", "name = \"ua1\""), "", "ua1"),
        (good.replace("public.pem", "nowhere.pem"), "nowhere.pem", "nowhere.pem"),
        (good.replace("fall = 2", "fall = 99999999999999999999"), "fall = 9", ""),
        (good.replace("interval = \"200ms\"", "interval = \"soon\""), "interval = \"soon\"", "interval"),
    ];
    for (round, (text, at, word)) in mistakes.iter().enumerate() {
        assert_ne!(*text, good);
        let refused = || {
            let lines = director.words();
            lines.into_iter().filter(|line| line.contains("configuration refused")).collect::<Vec<_>>()
        };
        let before = refused().len();
        fs::write(director.config(), text).unwrap();
        director.reload();
        wait::until(&format!("mistake {round} is refused"), || refused().len() > before);
        let place =
            if at.is_empty() { "maitred.toml:".to_owned() } else { format!("maitred.toml:{}", line_of(text, at)) };
        wait::until("it is named by file, line and key", || {
            refused()[before..].iter().any(|line| line.contains(&place) && line.contains(word))
        });
        let checked = director.command(&["check"]).output().unwrap();
        assert_eq!(checked.status.code(), Some(1), "{checked:?}");
        crowd.go_on_for(20);
    }
    let refused = director.internal_url("/v1/config/reload");
    let answer = director.operator().send(Method::POST, &refused, &[], "");
    assert!((400..500).contains(&answer.status), "an order that is refused says so: {answer:?}");
    fs::write(director.config(), &good).unwrap();
    let before = reloads(&director, "signal");
    director.reload();
    wait::until("a good one is taken", || reloads(&director, "signal") > before);
    let known = crowd.stop();
    assert_eq!((known.failures, known.moves), (Vec::new(), Vec::new()));
}

#[test]
fn row_30_certificates_change_under_load_without_a_dropped_connection() {
    let own = Arc::new(Certificates::create());
    let stubs = stubs(2);
    // Servers show a certificate of the authority that all tests share.
    let ca = format!("ca = {:?}", certificates::shared().path("ca.pem"));
    let director = Plan::new().stubs(&stubs).with("pool.health", &ca).start_with(Arc::clone(&own));
    wait_for_up(&director, &stubs);
    let crowd = Crowd::start(&director, 4, 10);
    crowd.go_on_for(50);
    let trust = own.client_config(None);
    let shown = || shown_certificate(director.ports().public, &trust).unwrap();
    let first = shown();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = own.issue(folder.path(), "next", &["localhost", "127.0.0.1", FRONT]);
    let refusals = || director.words().iter().filter(|line| line.contains("configuration refused")).count();

    // Half of the pair, and half of a file: the old pair stays.
    let before = refusals();
    replace(&own.path("public.pem"), &fs::read_to_string(&cert).unwrap());
    wait::until("a pair that does not match is refused", || refusals() > before);
    assert_eq!(shown(), first);
    let before = refusals();
    let text = fs::read_to_string(&cert).unwrap();
    replace(&own.path("public.pem"), &text[..text.len() / 2]);
    wait::until("half a file is refused", || refusals() > before);
    assert_eq!(shown(), first);
    crowd.go_on_for(50);

    replace(&own.path("public.key"), &fs::read_to_string(&key).unwrap());
    replace(&own.path("public.pem"), &text);
    wait::until("the new pair is shown", || shown() != first);
    crowd.go_on_for(50);
    let known = crowd.stop();
    assert_eq!((known.failures, known.moves), (Vec::new(), Vec::new()), "the connections of before go on");
}

#[test]
fn row_31_signing_keys_change_during_traffic_and_a_removed_key_means_a_new_start() {
    let own = Arc::new(Certificates::create());
    let stubs = stubs(6);
    let ca = format!("ca = {:?}", certificates::shared().path("ca.pem"));
    let director = Plan::new().stubs(&stubs).with("pool.health", &ca).start_with(Arc::clone(&own));
    wait_for_up(&director, &stubs);
    let crowd = Crowd::start(&director, 2, 10);
    let url = director.url("/desk");
    // Agents whose cookie alone says who they are: no key in the URL, and nothing stored after the first visit.
    let agent = || Client::trusting(&own, None);
    let mut old: Vec<Client> = (0..12).map(|_| agent()).collect();
    let seats: Vec<_> = old.iter_mut().map(|agent| agent.get(&url).location()).collect();
    let keys = |words: &[&str]| {
        let output = director.command(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    };
    let listed: serde_json::Value = serde_json::from_slice(&keys(&["keys", "list", "--json"]).stdout).unwrap();
    let first = id_of(&listed);
    keys(&["keys", "add", "second", "--after", "0s"]);
    director.reload();
    wait::until("the second key is read", || reloads(&director, "file") + reloads(&director, "signal") >= 1);
    // Both keys are valid: old cookies open, and each answer brings one under the new key.
    let again: Vec<_> = old.iter_mut().map(|agent| agent.get(&url).location()).collect();
    assert_eq!(again, seats);
    let mut left_behind = agent();
    let mut renewed = agent();
    let (cookie, name) = ("__Host-maitred-ua", FRONT);
    let before_rotation = old[0].cookie(name, cookie).unwrap().to_owned();
    renewed.set_cookie(name, cookie, &before_rotation);
    assert_eq!(renewed.get(&url).location(), seats[0]);
    crowd.go_on_for(20);

    // A cookie under the first key is kept aside until that key is gone.
    let text = fs::read_to_string(own.path("affinity.keys")).unwrap();
    let without_second: String =
        text.lines().filter(|line| !line.starts_with("second ")).map(|line| format!("{line}\n")).collect();
    replace(&own.path("affinity.keys"), &without_second);
    let before = reloads(&director, "signal");
    director.reload();
    wait::until("only the first key again", || reloads(&director, "signal") > before);
    let mine = left_behind.get(&url).location();
    replace(&own.path("affinity.keys"), &text);
    let before = reloads(&director, "signal");
    director.reload();
    wait::until("both keys again", || reloads(&director, "signal") > before);
    let stale = left_behind.cookie(name, cookie).unwrap().to_owned();

    keys(&["keys", "retire", &first]);
    let before = reloads(&director, "signal");
    director.reload();
    wait::until("the first key is gone", || reloads(&director, "signal") > before);
    let again: Vec<_> = old.iter_mut().map(|agent| agent.get(&url).location()).collect();
    assert_eq!(again, seats, "who was here after the second key came has its cookie under it");
    let mut strangers = BTreeMap::<String, usize>::new();
    for _ in 0..24 {
        let mut client = agent();
        client.set_cookie(name, cookie, &stale);
        let answer = client.get(&url);
        assert_eq!(answer.status, 302, "a cookie that nobody can open is no cookie");
        *strangers.entry(answer.location().to_string()).or_default() += 1;
    }
    assert!(strangers.len() > 1, "each is a new session with a place of its own, not {mine}: {strangers:?}");
    let known = crowd.stop();
    assert_eq!((known.failures, known.moves), (Vec::new(), Vec::new()));
    let rejected = Client::new().get(&director.metrics_url("/metrics")).text();
    assert!(rejected.contains("maitred_cookie_rejected_total{reason=\"unknown_key\"} 24"), "{}", json!(rejected));
}

fn id_of(listed: &serde_json::Value) -> String {
    let keys = listed.as_array().or_else(|| listed["keys"].as_array()).unwrap();
    assert_eq!(keys.len(), 1, "{listed}");
    keys[0]["id"].as_str().unwrap().to_owned()
}
