//! What operators get to see.

use std::collections::BTreeSet;

use super::fixture::{As, Fixture};

#[test]
fn a_server_shows_every_input_apart_and_which_one_won() {
    let house = Fixture::start();
    house.look("ua1", true);
    house
        .order("PUT", "/v1/servers/ua1/state", r#"{"state": "drain", "reason": "new kernel", "deadline": "30m"}"#)
        .ok();
    let ua1 = house.get("/v1/servers/ua1").ok();
    assert_eq!((&ua1["state"], &ua1["usable"], &ua1["placeable"]), (&"drain".into(), &true.into(), &false.into()));
    assert_eq!(ua1["verdict"]["state"], "up", "health is not touched by an order");
    assert_eq!(ua1["operator"]["reason"], "new kernel");
    assert!(ua1["operator"]["deadline"].as_str().unwrap().ends_with('Z'));
    assert_eq!(ua1["last_look"]["good"], true);
    assert_eq!(ua1["url"], "https://ua1-east.example.com");
    house.look("ua2", false);
    let ua2 = house.get("/v1/servers/ua2").ok();
    assert_eq!((&ua2["state"], &ua2["usable"]), (&"down".into(), &false.into()));
    assert_eq!(ua2["last_look"]["failure"]["kind"], "refused");
    assert_eq!(ua2["last_look"]["failure"]["detail"], "connection refused");
    assert_eq!(ua2["votes"][0]["vote"], "down");
    assert_eq!(house.get("/v1/servers/ua3").problem(), (404, 1007));
    assert_eq!(house.get("/v1/servers/%20").problem(), (404, 1007));
    let all = house.get("/v1/servers").ok();
    assert_eq!(all["servers"].as_array().unwrap().len(), 3);
    assert_eq!(house.get("/v1/servers?pool=nix").problem(), (404, 1007));
    let head = house.ask(super::fixture::OPERATOR, "HEAD", "/v1/servers", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn pools_datacenters_peers_and_config_say_what_is() {
    let house = Fixture::start();
    house.look("ua1", true);
    let pool = house.get("/v1/pools/ua").ok();
    assert_eq!(pool["role"]["active"], "east");
    assert_eq!(pool["states"]["up"], 1);
    assert_eq!(house.get("/v1/pools").ok()["pools"][0], house.get("/v1/pools/ua").ok());
    assert_eq!(house.get("/v1/pools/ua/active").ok()["datacenters"][0]["service"], "serves");
    assert_eq!(house.get("/v1/pools/nix").problem(), (404, 1007));
    let sites = house.get("/v1/datacenters").ok();
    assert_eq!(sites["datacenters"][0]["directors"][0], "east-1");
    assert_eq!(sites["datacenters"][1]["directors"][0], "west-1");
    let peers = house.get("/v1/peers").ok();
    assert_eq!((&peers["peers"][0]["name"], &peers["peers"][0]["state"]), (&"west-1".into(), &"unlinked".into()));
    let config = house.get("/v1/config").ok();
    assert_eq!(config["digest"], house.config.digest.as_str());
    assert!(config["config"]["pool"]["ua"]["server"]["ua1"].is_object());
    let secret = std::fs::read_to_string(house.path("affinity.keys")).unwrap();
    let secret = secret.split_whitespace().find(|word| word.len() > 40).unwrap();
    assert!(!house.get("/v1/config").body.contains(secret));
}

#[test]
fn the_status_tells_the_director_at_a_glance() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.seat("1001");
    let status = house.get("/v1/status").ok();
    assert_eq!((&status["director"], &status["datacenter"]), (&"east-1".into(), &"east".into()));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pools"]["ua"]["sessions"], 1);
    assert_eq!(status["pools"]["ua"]["here"], "active");
    assert_eq!(status["journal"]["state"], "none");
    assert!(status["warnings"][0].as_str().unwrap().contains("state_dir"));
    assert_eq!(status["certificates"][0]["listener"], "internal");
    house.internal.vitals.reloads().refused(maitred_core::clock::Time(5), vec!["maitred.toml:1: x: y".to_owned()]);
    assert_eq!(house.get("/v1/status").ok()["config"]["refused"]["faults"][0], "maitred.toml:1: x: y");
}

#[test]
fn sessions_are_listed_in_one_order_page_by_page() {
    let house = Fixture::start();
    house.look("ua1", true);
    house.look("ua2", true);
    let keys: Vec<String> = (0..25).map(|number| format!("agent {number:02}/x")).collect();
    let seats: Vec<_> = keys.iter().map(|key| house.seat(key)).collect();
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = house.get(&format!("/v1/sessions?limit=10{cursor}")).ok();
        seen.extend(page["sessions"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), (keys.clone(), 3));
    let at_ua1 = house.get("/v1/sessions?server=ua1&limit=1000").ok();
    let expected = seats.iter().filter(|seat| seat.server.name.as_str() == "ua1").count();
    assert_eq!(at_ua1["sessions"].as_array().unwrap().len(), expected);
    let one = house.get("/v1/sessions?key=agent+07/x&pool=ua").ok();
    assert_eq!(one["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(house.get("/v1/sessions?pool=nix").ok()["sessions"].as_array().unwrap().len(), 0);
    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=x", "agent=", "key=", "limit=5&limit=6", "pool=%20"] {
        assert_eq!(house.get(&format!("/v1/sessions?{bad}")).problem(), (400, 1000), "{bad}");
    }
}

#[test]
fn a_session_is_found_by_its_key_whatever_the_key_is() {
    let house = Fixture::start();
    house.look("ua1", true);
    let seat = house.seat("J\u{fc}rgen/M 7%");
    let path = "/v1/sessions/ua/J%C3%BCrgen%2FM%207%25";
    let found = house.get(path).ok();
    assert_eq!(found["session"], seat.session().to_string());
    assert_eq!((&found["server"], &found["state"], &found["generation"]), (&"ua1".into(), &"seated".into(), &1.into()));
    assert_eq!(house.get(&format!("{path}?session={}", seat.session())).status, 200);
    assert_eq!(house.get(&format!("{path}?session={}", "0".repeat(32))).problem(), (404, 1007));
    assert_eq!(house.get(&format!("{path}?session=x")).problem(), (400, 1000));
    assert_eq!(house.get("/v1/sessions/ua/nobody").problem(), (404, 1007));
    assert_eq!(house.get("/v1/sessions/nix/nobody").problem(), (404, 1007));
    assert_eq!(house.get(&format!("/v1/sessions/ua/{}", "k".repeat(129))).problem(), (400, 1000));
}

#[test]
fn metrics_and_health_are_here_too() {
    let house = Fixture::start();
    let page = house.ask(As::Token("token-of-prom"), "GET", "/metrics", &[], "");
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(page.body.contains("maitred_server_up{pool=\"ua\",server=\"ua1\"} 1\n"), "{}", page.body);
    assert!(page.body.contains("maitred_certificate_not_after_seconds{listener=\"internal\"} "));
    let live = house.ask(As::Token("token-of-prom"), "GET", "/health/live", &[], "");
    assert_eq!((live.status, live.body.as_str()), (200, "ok running\n"));
    let described: BTreeSet<String> =
        house.get("/openapi.json").ok()["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(described.contains("/v1/servers/{name}/state"));
}
