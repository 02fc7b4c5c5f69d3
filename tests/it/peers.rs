//! Directors among each other: what one knows all know, and who is no peer learns nothing.

use std::collections::BTreeMap;

use hyper::Method;
use maitred::peer::frame;
use maitred_core::wire;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::client::Client;
use crate::support::director::Director;
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

/// What a director knows of a key, without creating anything: session and server.
fn known(director: &Director, key: &str) -> Option<(Value, Value)> {
    let answer = director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}")));
    let body = (answer.status == 200).then(|| answer.json())?;
    Some((body["session"].clone(), body["server"].clone()))
}

/// A start of a program, without a cookie.
fn start(director: &Director, key: &str) -> Value {
    let answer = Client::new().post_json(&director.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": key}));
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.json()
}

/// Starts so many sessions, and says where each is.
fn crowd(director: &Director, name: &str, count: usize) -> BTreeMap<String, (Value, Value)> {
    let one = |number| {
        let key = format!("{name}-{number}");
        start(director, &key);
        let known = known(director, &key).unwrap();
        (key, known)
    };
    (0..count).map(one).collect()
}

#[track_caller]
fn wait_until_known(director: &Director, crowd: &BTreeMap<String, (Value, Value)>) {
    for (key, seat) in crowd {
        wait::for_equal(&format!("{key} is known"), &Some(seat.clone()), || known(director, key));
    }
}

#[test]
fn what_one_director_knows_all_know() {
    let stubs = ["ua1", "ua2", "ua3"].map(StubServer::start);
    let servers = ["ua1", "ua2", "ua3"];
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east"), ("east-3", "east")]);
    let run = |name| mesh.plan(name, Plan::new().stubs(&stubs)).start();
    let (one, mut two) = (run("east-1"), run("east-2"));
    one.wait_for_usable(&servers);
    two.wait_for_usable(&servers);
    wait_for_links(&[&one, &two]);

    // Seats in both directions; the key alone is enough at the other one.
    let mut seats = crowd(&one, "first", 20);
    wait_until_known(&two, &seats);
    let back = crowd(&two, "second", 5);
    wait_until_known(&one, &back);
    seats.extend(back);
    for (key, (_, server)) in &seats {
        let seat = start(&two, key);
        assert_eq!(seat["server"]["name"], *server, "{key}: {seat}");
    }

    // An order given at one holds at the other.
    let order = json!({"state": "drain", "reason": "test"}).to_string();
    let json = [("content-type", "application/json")];
    let ordered = one.operator().send(Method::PUT, &one.internal_url("/v1/servers/ua2/state"), &json, &order);
    assert_eq!(ordered.status, 200, "{ordered:?}");
    two.wait_for_usable(&["ua1", "ua3"]);

    // A fresh one has everything before it says that it is ready.
    let three = run("east-3");
    wait::until("the third is ready", || Client::new().get(&three.url("/health/ready")).status == 200);
    wait_for_links(&[&one, &two, &three]);
    wait_until_known(&three, &seats);
    three.wait_for_usable(&["ua1", "ua3"]);

    // So has one that was killed, what happened in between included.
    two.kill();
    wait::until("the link is lost", || one.has_said("peer_down"));
    let meanwhile = crowd(&one, "third", 5);
    two.start_again();
    wait_for_links(&[&one, &two, &three]);
    seats.extend(meanwhile);
    wait_until_known(&two, &seats);

    let page = Client::new().get(&one.metrics_url("/metrics")).text();
    for line in ["maitred_peer_up{peer=\"east-2\"} 1", "maitred_divergent_sessions{peer=\"east-3\"} 0"] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(page.contains("maitred_peer_bytes_total{"), "{page}");
}

#[test]
fn a_passive_director_that_refuses_sends_balancers_elsewhere_while_somebody_is_there() {
    let stubs = ["ua1", "ua9"].map(StubServer::start);
    let mesh = Mesh::of(&[("east-1", "east"), ("west-1", "west")]);
    let run = |name| {
        let plan = Plan::new().server_in("ua1", stubs[0].port(), "east").server_in("ua9", stubs[1].port(), "west");
        let plan = plan.with("pool", "datacenters = [\"east\", \"west\"]");
        mesh.plan(name, plan.with("pool.failover", "passive = \"refuse\"")).start()
    };
    let (mut east, west) = (run("east-1"), run("west-1"));
    east.wait_for_usable(&["ua1", "ua9"]);
    west.wait_for_usable(&["ua1", "ua9"]);
    wait_for_links(&[&east, &west]);

    let ready = |director: &Director| {
        let answer = Client::new().get(&director.url("/health/ready"));
        (answer.status, answer.text().split(' ').next().unwrap_or_default().to_owned())
    };
    wait::for_equal("the active one takes all", &(200, "ok".to_owned()), || ready(&east));
    wait::for_equal("the passive one none", &(503, "no".to_owned()), || ready(&west));
    let refused =
        Client::new().post_json(&west.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": "1001"})).json();
    assert_eq!((&refused["code"], &refused["active"]), (&1002.into(), &"east".into()));

    // Its servers still live, so the role stays; but nobody is there to be sent to.
    east.kill();
    wait::for_equal("the last door is open", &(200, "degraded".to_owned()), || ready(&west));
}

#[test]
fn who_is_no_peer_learns_nothing() {
    let stub = StubServer::start("ua1");
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east"), ("west-1", "west")]);
    let director = mesh.plan("east-1", Plan::new().stubs([&stub])).start();
    director.wait_for_usable(&["ua1"]);
    start(&director, "secret");
    mesh.issue("stranger", &["east-9", "front.test"]);
    mesh.issue("several", &["east-2", "west-1"]);
    mesh.issue("oneself", &["east-1"]);
    for stem in ["stranger", "several", "oneself"] {
        let (binary, said) = mesh.knock("east-1", stem, Vec::new());
        let code = said.as_ref().map(|said| said.code);
        assert_eq!((binary, code), (0, Some(CloseCode::Policy)), "{stem}: {said:?}");
    }
    wait::until("the strangers are counted", || {
        let page = Client::new().get(&director.metrics_url("/metrics")).text();
        page.contains("maitred_peer_refused_total{reason=\"stranger\"} 3")
    });
}

#[test]
fn a_frame_that_is_no_message_closes_the_link() {
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let director = mesh.plan("east-1", Plan::new().server("ua1", 1)).start();
    let cases = [
        ("garbage", Message::binary(vec![0xff; 100]), CloseCode::Protocol),
        ("nothing", Message::binary(Vec::new()), CloseCode::Protocol),
        ("text", Message::text("{}"), CloseCode::Unsupported),
        ("too large", Message::binary(vec![0; 2 << 20]), CloseCode::Size),
        // A pong: well-formed, and out of turn before any greeting.
        ("out of turn", Message::binary(vec![2, 0]), CloseCode::Policy),
    ];
    for (what, frame, code) in cases {
        let (_, said) = mesh.knock("east-1", "east-2", vec![frame]);
        assert_eq!(said.as_ref().map(|said| said.code), Some(code), "{what}: {said:?}");
    }
    assert_eq!(Client::new().get(&director.url("/health/live")).status, 200);
}

#[test]
fn the_other_site_takes_over_when_the_servers_of_the_active_one_die() {
    let mut east = StubServer::start("ua1");
    let west = StubServer::start("ua2");
    let mesh = Mesh::of(&[("east-1", "east"), ("west-1", "west")]);
    let run = |name| {
        let plan = Plan::new()
            .server_in("ua1", east.port(), "east")
            .server_in("ua2", west.port(), "west")
            .with("pool", "datacenters = [\"east\", \"west\"]")
            .with("pool.failover", "after = \"1s\"");
        mesh.plan(name, plan).start()
    };
    let directors = [run("east-1"), run("west-1")];
    wait_for_links(&[&directors[0], &directors[1]]);
    let active = |director: &Director| {
        let role = director.operator().get(&director.internal_url("/v1/pools/ua/active")).json();
        role["active"].as_str().unwrap().to_owned()
    };
    for (number, director) in directors.iter().enumerate() {
        wait::for_equal("the servers of both sites are up", &2, || {
            let pool = director.operator().get(&director.internal_url("/v1/pools/ua")).json();
            pool["states"]["up"].as_u64().unwrap_or(0)
        });
        wait::for_equal("the first site is active", &"east".to_owned(), || active(director));
        wait::for_equal("starts go there", &json!("ua1"), || {
            start(director, &format!("before-{number}"))["server"]["name"].clone()
        });
    }
    east.stop();
    for (number, director) in directors.iter().enumerate() {
        wait::for_equal("the other site is active", &"west".to_owned(), || active(director));
        let seat = start(director, &format!("after-{number}"));
        assert_eq!(seat["server"]["name"], "ua2", "{seat}");
    }
}

/// Two directors of one datacenter that are linked and see a server.
fn two_of_one_site() -> (StubServer, Mesh, Director, Director) {
    let stub = StubServer::start("ua1");
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let run = |name| mesh.plan(name, Plan::new().stubs([&stub])).start();
    let (one, two) = (run("east-1"), run("east-2"));
    one.wait_for_usable(&["ua1"]);
    wait_for_links(&[&one, &two]);
    (stub, mesh, one, two)
}

#[test]
fn a_frozen_peer_costs_starts_nothing_and_catches_up_when_it_goes_on() {
    let (_stub, _mesh, one, two) = two_of_one_site();
    two.freeze();
    let mut seats = crowd(&one, "first", 30);
    wait::for_equal("the silent link is closed", &Some(0.0), || one.metric("maitred_peer_up{peer=\"east-2\"}"));
    seats.extend(crowd(&one, "second", 30));
    let bound = one.operator().get(&one.internal_url("/v1/peers")).json()["peers"][0].clone();
    assert_eq!((&bound["state"], &bound["lag_seconds"]), (&json!("unlinked"), &Value::Null), "{bound}");
    two.thaw();
    wait_for_links(&[&one, &two]);
    wait_until_known(&two, &seats);
}

#[test]
fn a_peers_new_certificate_is_taken_without_a_restart() {
    let (_stub, mesh, one, two) = two_of_one_site();
    mesh.issue("east-1", &["east-1"]);
    one.reload();
    wait::until("the link is opened again with it", || {
        one.metric("maitred_peer_links_closed_total{reason=\"renewed\"}").is_some_and(|closed| closed >= 1.0)
    });
    wait_for_links(&[&one, &two]);
    let peers = two.operator().get(&two.internal_url("/v1/peers")).json();
    assert_eq!(peers["peers"][0]["config_differs"], false, "{peers}");
    let seats = crowd(&one, "after", 3);
    wait_until_known(&two, &seats);
}

#[test]
fn a_peer_of_another_protocol_is_told_so_and_what_is_not_believed_is_counted() {
    let stubs = ["ua1", "ua2"].map(StubServer::start);
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let one = mesh.plan("east-1", Plan::new().stubs(&stubs[..1])).start();
    one.wait_for_usable(&["ua1"]);
    let (name, datacenter) = ("east-2".parse().unwrap(), "east".parse().unwrap());
    let (version_min, version) = (wire::VERSION + 1, wire::VERSION + 1);
    let hello = wire::Hello { name, datacenter, run: 1, version_min, version, config: 0, have: Vec::new() };
    let hello = frame::encode(&wire::Message::Hello(hello)).unwrap();
    let (_, said) = mesh.knock("east-1", "east-2", vec![Message::Binary(hello)]);
    let said = said.expect("it says why");
    assert!(said.code == CloseCode::Policy && said.reason.contains("versions"), "{said:?}");

    // The same name again, with a server that the first one does not know.
    let two = mesh.plan("east-2", Plan::new().stubs(&stubs)).start();
    wait_for_links(&[&one, &two]);
    let json = [("content-type", "application/json")];
    let order = json!({"state": "drain"}).to_string();
    let ordered = two.operator().send(Method::PUT, &two.internal_url("/v1/servers/ua2/state"), &json, &order);
    assert_eq!(ordered.status, 200, "{ordered:?}");
    wait::until("the order is counted as not believed", || {
        one.metric("maitred_peer_dropped_total{reason=\"order_server\"}").is_some_and(|dropped| dropped >= 1.0)
    });
    for (director, peer) in [(&one, "east-2"), (&two, "east-1")] {
        let peers = director.operator().get(&director.internal_url("/v1/peers")).json();
        let differs = (&peers["peers"][0]["name"], &peers["peers"][0]["config_differs"]);
        assert_eq!(differs, (&json!(peer), &json!(true)), "{peers}");
    }
}
