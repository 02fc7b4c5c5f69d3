//! Servers that talk to directors: logins and resets, a link that breaks, clients that went on by themselves, and the
//! walk-through of the documents.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::certificates;
use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::talking::{TalkingServer, orders};
use crate::support::wait;

/// A start of a program that keeps nothing; with a token, of its owner.
fn start(director: &Director, key: Option<&str>, token: Option<&Value>) -> Value {
    let bearer = token.and_then(Value::as_str).map(|token| format!("Bearer {token}")).unwrap_or_default();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(token.map(|_| ("authorization", bearer.as_str())));
    let body = key.map_or_else(|| json!({"pool": "ua"}), |key| json!({"pool": "ua", "key": key}));
    let url = director.url("/maitred/v1/sessions");
    let answer = Client::new().send(hyper::Method::POST, &url, &headers, &body.to_string());
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.json()
}

/// What a director shows of a key.
fn known(director: &Director, key: &str) -> Value {
    director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}"))).json()
}

#[test]
fn two_minted_keys_and_one_login_are_one_session_and_one_reset() {
    let (mut one, mut two) = (TalkingServer::start("ua1"), TalkingServer::start("ua2"));
    let director = TalkingServer::plan(&[&one, &two]).start();
    director.wait_for_usable(&["ua1", "ua2"]);
    // Two browsers without a key of their own, at different servers.
    let mut seats: BTreeMap<String, Value> = BTreeMap::new();
    wait::until("a browser at each server", || {
        let seat = start(&director, None, None);
        seats.insert(seat["server"]["name"].as_str().unwrap().to_owned(), seat);
        seats.len() == 2
    });
    let keys = ["ua1", "ua2"].map(|server| seats[server]["key"].as_str().unwrap().to_owned());
    for (server, name) in [(&mut one, "ua1"), (&mut two, "ua2")] {
        let claims = server.verify(&director, &seats[name]["ticket"]);
        assert_eq!((&claims["sub"], &claims["session"]), (&seats[name]["key"], &seats[name]["session"]));
        server.take_in(&seats[name]);
        assert_eq!(server.beat_with_list(&director)["orders"], json!([]));
    }

    let first = one.confirm(&director, &keys[0], Some("agent-7"));
    assert_eq!((&first["agent"], &first["session"]), (&json!("agent-7"), &seats["ua1"]["session"]));
    assert_eq!(one.leave_state(&director, &keys[0], &json!({"queue": "blue"})).status, 200);
    let second = two.confirm(&director, &keys[1], Some("agent-7"));
    assert_eq!(second["superseded"].as_array().unwrap().len(), 1, "{second}");
    assert_eq!(second["superseded"][0]["server"], "ua1");

    let told = one.beat(&director);
    assert_eq!(orders(&told).len(), 1, "{told}");
    assert_eq!((&told["orders"][0]["reset"], &told["orders"][0]["reason"]), (&json!(keys[0]), &json!("superseded")));
    for _ in 0..3 {
        assert_eq!(one.beat(&director)["orders"], told["orders"], "until it says that it is done");
        assert_eq!(two.beat(&director)["orders"], json!([]));
    }
    assert_eq!(one.obey(&told), 1);
    for _ in 0..3 {
        assert_eq!(one.beat_with_list(&director)["orders"], json!([]));
    }
    wait::for_equal("one line about the reset", &1, || director.lines_with(&["event=\"session_reset\""]).len());
    assert_eq!(director.metric("maitred_resets_total{reason=\"superseded\"}"), Some(1.0));

    // The agent's id leads to the agent's one session from anywhere, and its state has come along.
    let by_agent = start(&director, Some("agent-7"), None);
    assert_eq!((&by_agent["server"]["name"], &by_agent["session"]), (&json!("ua2"), &seats["ua2"]["session"]));
    let listed = director.operator().get(&director.internal_url("/v1/sessions?agent=agent-7")).json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["sessions"][0]["key"], keys[1].as_str());
    let state = two.read_state(&director, &keys[1]);
    assert_eq!((state.status, &state.json()["state"]), (200, &json!({"queue": "blue"})));
    assert_eq!(one.read_state(&director, &keys[0]).status, 409);
    assert_eq!(two.end(&director, &keys[1]).status, 200);
    assert_eq!(known(&director, &keys[1])["ended_by"], "server");
}

#[test]
fn what_a_server_says_of_itself_to_one_director_holds_at_the_other_too() {
    let (mut one, two) = (TalkingServer::start("ua1"), TalkingServer::start("ua2"));
    let mesh = Mesh::of(&[("east-1", "east"), ("west-1", "west")]);
    let depends = "[[pool.depends]]\nname = \"mail\"\neffect = \"degrade\"";
    let plan = || TalkingServer::plan(&[&one, &two]).with("end", depends);
    let (east, west) = (mesh.plan("east-1", plan()).start(), mesh.plan("west-1", plan()).start());
    wait_for_links(&[&east, &west]);
    [&east, &west].iter().for_each(|director| director.wait_for_usable(&["ua1", "ua2"]));
    let shown = |director: &Director| director.operator().get(&director.internal_url("/v1/servers/ua1")).json();

    one.says = [("draining", json!(true)), ("capacity", json!(7)), ("sessions", json!(3))].into();
    one.beat(&east);
    wait::for_equal("the other one knows", &(json!(true), json!("draining"), json!(7), json!("east-1")), || {
        let it = shown(&west);
        (it["draining"].clone(), it["state"].clone(), it["capacity"].clone(), it["report"]["told_by"].clone())
    });
    assert_eq!(shown(&west)["report"]["sessions"], 3);
    assert_eq!(shown(&east)["report"]["told_by"], Value::Null, "which heard it itself");
    for number in 0..12 {
        let seat = start(&west, Some(&format!("new-{number}")), None);
        assert_eq!(seat["server"]["name"], "ua2", "nobody new comes to a server that drains");
    }
    one.says = [("depends", json!({"mail": "down"}))].into();
    one.beat(&east);
    wait::for_equal("and what it says next", &(json!(false), json!("degraded")), || {
        let it = shown(&west);
        (it["draining"].clone(), it["state"].clone())
    });
}

#[test]
fn a_broken_telephony_link_resets_each_session_once_and_each_comes_back_to_its_server() {
    let (mut one, mut two) = (TalkingServer::start("ua1"), TalkingServer::start("ua2"));
    let depends = "[[pool.depends]]\nname = \"aes\"\neffect = \"reset\"";
    let director = TalkingServer::plan(&[&one, &two]).with("end", depends).start();
    director.wait_for_usable(&["ua1", "ua2"]);
    let (mut at_one, mut at_two) = (Vec::new(), Vec::new());
    for number in 0..12 {
        let seat = start(&director, Some(&format!("agent-{number}")), None);
        let (server, at) =
            if seat["server"]["name"] == "ua1" { (&mut one, &mut at_one) } else { (&mut two, &mut at_two) };
        server.take_in(&seat);
        server.confirm(&director, seat["key"].as_str().unwrap(), None);
        at.push(seat);
    }
    for server in [&mut one, &mut two] {
        server.link(true);
        assert_eq!(server.beat_with_list(&director)["orders"], json!([]));
    }

    for outage in 1..=2 {
        one.link(false);
        let mut reset = 0;
        for _ in 0..6 {
            let answer = one.beat_with_list(&director);
            for order in orders(&answer) {
                assert_eq!((&order["reason"], &order["dependency"]), (&json!("dependency"), &json!("aes")), "{order}");
            }
            let now = one.obey(&answer);
            reset += now;
            if now > 0 {
                // Each agent logs in again where it is.
                for seat in &at_one {
                    one.take_in(seat);
                    let confirmed = one.confirm(&director, seat["key"].as_str().unwrap(), None);
                    assert_eq!((&confirmed["server"], &confirmed["session"]), (&json!("ua1"), &seat["session"]));
                }
            }
            assert_eq!(two.beat(&director)["orders"], json!([]), "another server's link works");
        }
        assert_eq!(reset, at_one.len(), "outage {outage}");
        one.link(true);
        for _ in 0..3 {
            assert_eq!(one.beat_with_list(&director)["orders"], json!([]));
        }
    }
    for seat in at_one.iter().chain(&at_two) {
        let back = start(&director, seat["key"].as_str(), None);
        assert_eq!((&back["affinity"], &back["session"]), (&json!("kept"), &seat["session"]));
        assert_eq!(back["server"], seat["server"]);
    }
    let resets = director.metric("maitred_resets_total{reason=\"dependency\"}");
    assert_eq!(resets, Some(2.0 * at_one.len() as f64));
}

#[test]
fn clients_that_went_on_by_themselves_are_adopted_where_they_are() {
    let mut servers = ["ua1", "ua2", "ua3", "ua4"].map(TalkingServer::start);
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let run = |name| mesh.plan(name, TalkingServer::plan(&servers.each_ref())).start();
    let mut directors = [run("east-1"), run("east-2")];
    for director in &directors {
        director.wait_for_usable(&["ua1", "ua2", "ua3", "ua4"]);
    }
    wait_for_links(&[&directors[0], &directors[1]]);
    // Each says first which process it is, so that seats name it.
    tell_all(&mut servers, &directors);
    let seats: Vec<Value> =
        (0..80).map(|number| start(&directors[number % 2], Some(&format!("agent-{number}")), None)).collect();
    for seat in &seats {
        at(&mut servers, seat["server"]["name"].as_str().unwrap()).take_in(seat);
    }
    tell_all(&mut servers, &directors);

    // All directors are gone, and so is one server: its clients go where their list of alternates says.
    directors.iter_mut().for_each(Director::kill);
    servers[0].die();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for seat in &seats {
        let own = seat["server"]["name"].as_str().unwrap();
        let key = seat["key"].as_str().unwrap();
        let there = if own == "ua1" {
            let next = seat["alternates"][0]["name"].as_str().unwrap();
            at(&mut servers, next).walk_in(key);
            *taken.entry(next.to_owned()).or_default() += 1;
            next
        } else {
            own
        };
        places.insert(key.to_owned(), there.to_owned());
    }
    let gone: usize = taken.values().sum();
    assert!(gone >= 8, "a server of four had {gone} of 80");
    assert_eq!(taken.len(), 3, "every other server takes some: {taken:?}");
    assert!(taken.values().all(|count| count * 3 <= gone * 2), "no server takes more than two thirds: {taken:?}");

    // The directors return and have no journal: what they know, servers tell them.
    directors.iter_mut().for_each(Director::start_again);
    for director in &directors {
        director.wait_for_usable(&["ua2", "ua3", "ua4"]);
    }
    wait_for_links(&[&directors[0], &directors[1]]);
    tell_all(&mut servers[1..], &directors);
    for director in &directors {
        for (key, server) in &places {
            wait::for_equal(&format!("{key} is known where it is"), &json!(server), || {
                known(director, key)["server"].clone()
            });
        }
    }
    // The lost server is back as well, another process of it. Nobody is moved: neither who comes with the old token of a seat
    // at that server, nor who comes with nothing but the key.
    servers[0].come_back();
    for director in &directors {
        director.wait_for_usable(&["ua1", "ua2", "ua3", "ua4"]);
    }
    tell_all(&mut servers, &directors);
    for round in 0..2 {
        for (number, seat) in seats.iter().enumerate() {
            let key = seat["key"].as_str().unwrap();
            let token = (number % 2 == 0).then_some(&seat["token"]);
            let back = start(&directors[(number + round) % 2], Some(key), token);
            assert_eq!(back["server"]["name"], places[key].as_str(), "{key}, round {round}: {back}");
        }
        tell_all(&mut servers, &directors);
    }
    for director in &directors {
        assert_eq!(director.lines_with(&["event=\"session_reset\""]), [""; 0], "nobody is reset");
    }
}

/// Every server beats at every director, and nobody is ordered anything.
fn tell_all(servers: &mut [TalkingServer], directors: &[Director]) {
    for server in servers {
        for director in directors {
            assert_eq!(server.beat_with_list(director)["orders"], json!([]), "{}", server.name());
        }
    }
}

fn at<'s>(servers: &'s mut [TalkingServer; 4], name: &str) -> &'s mut TalkingServer {
    servers.iter_mut().find(|server| server.name() == name).unwrap()
}

/// The lines that a page of the documents tells its reader to type.
fn lines_of(page: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in fs::read_to_string(format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap().lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => script.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    script
}

/// Types lines; what came of it.
fn typed(script: &str, director: &Director) -> String {
    let certs = certificates::shared().path("ca.pem").parent().unwrap().to_owned();
    let output = Command::new("sh")
        .args(["-e", "-u", "-c", script])
        .env("FRONT", format!("https://localhost:{}", director.ports().public))
        .env("INTERNAL", format!("https://localhost:{}", director.ports().internal))
        .env("CERTS", &certs)
        .env("VOICE", "client-ua1")
        .env("NO_PROXY", "*")
        .output()
        .unwrap_or_else(|error| panic!("sh: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{why}\n`tests/run` installs what it needs (curl, jq)");
    said
}

#[test]
fn the_walk_through_of_the_documents_works_line_by_line() {
    let server = TalkingServer::start("ua1");
    let director = TalkingServer::plan(&[&server]).start();
    director.wait_for_usable(&["ua1"]);
    let script = lines_of("server-walkthrough.md");
    assert!(script.lines().count() > 15, "{script}");
    let said = typed(&script, &director);
    let last = known(&director, "caller-2");
    assert_eq!((&last["state"], &last["ended_by"]), (&json!("ended"), &json!("server")), "{said}");
}

#[test]
fn the_lines_for_a_servers_developer_show_what_the_page_says() {
    let server = TalkingServer::start("ua1");
    let director = TalkingServer::plan(&[&server]).start();
    director.wait_for_usable(&["ua1"]);
    // The page's names, here.
    let near = format!("--resolve '*:{}:127.0.0.1'", server.stub.port());
    let mut script = format!("curl() {{ command curl --cacert \"$CERTS/ca.pem\" {near} \"$@\"; }}\n");
    script.push_str(&lines_of("server-integration.md"));
    for (theirs, here) in [
        ("https://ua1-east.example.com", server.stub.origin().as_str()),
        ("https://agents.example.com", "$FRONT"),
        ("https://director.example.com:9443", "$INTERNAL"),
        ("ua1.pem", "$CERTS/$VOICE.pem"),
        ("ua1.key", "$CERTS/$VOICE.key"),
        ("'$FRONT/desk?agent=1001'", "\"$FRONT/desk?agent=1001\""),
    ] {
        assert!(script.contains(theirs), "{theirs}");
        script = script.replace(theirs, here);
    }
    assert!(!script.contains("example.com"), "{script}");
    let said = typed(&script, &director);
    assert!(said.starts_with("HTTP/1.1 200") || said.starts_with("HTTP/2 200"), "{said}");
    let (_, ticket) = said.split_once("maitred_ticket=").unwrap_or_else(|| panic!("no ticket: {said}"));
    let ticket = ticket.split_whitespace().next().unwrap();
    assert!(said.contains("\"keys\":") && said.contains("\"reason\":"), "keys, and why the dots are no ticket: {said}");
    let said = typed(&script.replace("eyJ...", ticket), &director);
    assert!(said.contains("\"sub\":\"1001\"") && said.contains("\"aud\":\"ua1\""), "{said}");
}
