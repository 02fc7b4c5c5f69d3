//! Directors of an older protocol beside this one: row 13.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Method;
use maitred_core::director::ServerWord;
use maitred_core::entry::OperatorWord;
use maitred_core::ids::{Key, ServerName, SessionId};
use maitred_core::seating::{RequestKey, StartRequest};
use maitred_core::settings::{PoolSettings, ServerSettings, Settings};
use maitred_core::wire;
use serde_json::{Value, json};

use crate::support::director::Director;
use crate::support::elder::Elder;
use crate::support::mesh::Mesh;
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::wait;

const SERVERS: [&str; 2] = ["ua1", "ua2"];

/// The elder's configuration.
fn settings(who: &str) -> Settings {
    let server = |(name, position): (&str, u32)| {
        let (name, datacenter): (ServerName, _) = (name.parse().unwrap(), "east".parse().unwrap());
        let origin = format!("https://{name}.test").into();
        (
            name.clone(),
            Arc::new(ServerSettings { name, datacenter, origin, position, weight: 100, labels: BTreeMap::new() }),
        )
    };
    let pool = PoolSettings {
        servers: SERVERS.into_iter().zip(0..).map(server).collect(),
        beats: true,
        ..PoolSettings::new("ua".parse().unwrap(), vec!["east".parse().unwrap()])
    };
    Settings {
        director: who.parse().unwrap(),
        datacenter: "east".parse().unwrap(),
        peers: BTreeMap::from([("east-1".parse().unwrap(), "east".parse().unwrap())]),
        pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
    }
}

fn operate(director: &Director, method: Method, path: &str, body: &Value) -> Value {
    let json = [("content-type", "application/json")];
    let answer = director.operator().send(method, &director.internal_url(path), &json, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// Server and generation of a key at the director.
fn seat_at(director: &Director, key: &str) -> Option<(String, u64)> {
    let answer = director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}")));
    let seat = (answer.status == 200).then(|| answer.json())?;
    Some((seat["server"].as_str()?.to_owned(), seat["generation"].as_u64()?))
}

/// The same at the elder.
fn seat_of(elder: &Elder, key: &str) -> Option<(String, u64)> {
    let (core, now) = elder.core();
    let seat = core.find(&"ua".parse().unwrap(), &Key::parse(key).unwrap(), None, now)?;
    Some((seat.server.to_string(), u64::from(seat.generation.get())))
}

fn started_at(director: &Director, key: &str) -> (String, u64) {
    let url = director.url("/maitred/v1/sessions");
    let seat = director.client().post_json(&url, &json!({"pool": "ua", "key": key}));
    assert_eq!(seat.status, 201, "{seat:?}");
    seat_at(director, key).unwrap()
}

fn started_by(elder: &Elder, key: &str, number: u8) -> (String, u64) {
    let (core, now) = elder.core();
    let (pool, text) = ("ua".parse().unwrap(), key);
    let (key, session) = (RequestKey::Given(Key::parse(text).unwrap()), SessionId([number; 16]));
    core.start(&StartRequest { pool: &pool, key, shown: None, labels: &[], avoid: None, session }, now).unwrap();
    seat_of(elder, text).unwrap()
}

fn operators_word(elder: &Elder, server: &str) -> OperatorWord {
    let (core, now) = elder.core();
    core.server_health(&server.parse().unwrap()).unwrap().operator_word(now.time)
}

fn link_to(director: &Director, peer: &str) -> (Value, Value) {
    let peers = director.operator().get(&director.internal_url("/v1/peers")).json();
    let peer = peers["peers"].as_array().unwrap().iter().find(|it| it["name"] == peer).unwrap();
    (peer["state"].clone(), peer["in_step"].clone())
}

#[test]
fn row_13_a_director_shares_with_elders_of_each_protocol_what_both_have() {
    let stubs = SERVERS.map(StubServer::start);
    // Of two directors the one with the smaller name speaks first: once it is the elder.
    let mesh = Mesh::of(&[("east-0", "east"), ("east-1", "east"), ("east-2", "east")]);
    let director = mesh.plan("east-1", Plan::new().stubs(&stubs).with("pool", "beats = true")).start();
    director.wait_for_usable(&SERVERS);
    let mut turn = 0;
    for version in wire::VERSION_MIN..=wire::VERSION {
        for who in ["east-0", "east-2"] {
            turn += 1;
            println!("{who} speaks version {version}");
            let elder = Elder::dial(&mesh, "east-1", settings(who), version);
            wait::for_equal("the link stands", &(json!("linked"), json!(true)), || link_to(&director, who));

            let (here, there) = (format!("here-{turn}"), format!("there-{turn}"));
            let seat = started_at(&director, &here);
            wait::for_equal("a start is known to the elder", &Some(seat), || seat_of(&elder, &here));
            let seat = started_by(&elder, &there, turn);
            wait::for_equal("a start of the elder is known", &Some(seat), || seat_at(&director, &there));

            let path = "/v1/servers/ua2/state";
            operate(&director, Method::PUT, path, &json!({"state": "drain"}));
            wait::for_equal("an order holds at the elder", &OperatorWord::Drain, || operators_word(&elder, "ua2"));
            let (core, now) = elder.core();
            core.handle_server_order(&"ua2".parse().unwrap(), &ServerWord::new(OperatorWord::Ready), now).unwrap();
            director.wait_for_usable(&SERVERS);

            // What a list says and the table does not, and what a server says of itself, is told to whoever understands it; then comes
            // what everybody does.
            let other = if seat_at(&director, &here).unwrap().0 == "ua1" { "ua2" } else { "ua1" };
            let held = json!([{"key": here, "via": "self"}]);
            let beat = json!({"incarnation": "one", "held": held, "held_seq": turn});
            operate(&director, Method::PUT, &format!("/v1/servers/{other}/heartbeat"), &beat);
            let last = format!("last-{turn}");
            let seat = started_at(&director, &last);
            wait::for_equal("the last start is known to the elder", &Some(seat), || seat_of(&elder, &last));
            let since = [("votes", 1), ("roles", 1), ("orders", 1), ("events", 2), ("lists", 3), ("said", 4)];
            for (kind, _) in since.into_iter().filter(|(_, since)| version >= *since) {
                wait::until(&format!("the elder hears {kind}"), || elder.heard(kind));
            }
            // Had it been sent what it does not understand, its link would not have lasted.
            elder.hang_up().unwrap_or_else(|why| panic!("{who}, version {version}: {why}"));
            wait::for_equal("the link is gone", &json!("unlinked"), || link_to(&director, who).0);
        }
    }
    assert_eq!(director.metric("maitred_peer_links_closed_total{reason=\"violation\"}"), None);
}
