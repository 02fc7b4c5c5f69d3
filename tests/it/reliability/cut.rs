//! Cuts between datacenters and directors: rows 14, 15, 17, 18 and 20.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::sites::{DIRECTORS, EAST, Sites, WEST, names_of, site_of};
use crate::support::wait;

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];

/// The sites to which these keys were told to go.
fn sites_of(sites: &Sites, name: &str) -> BTreeSet<&'static str> {
    let told = sites.told().iter().filter(|(key, _)| key.starts_with(name));
    told.map(|(_, told)| site_of(&told.server)).collect()
}

#[test]
fn rows_14_18_and_20_a_cut_between_the_sites_leaves_the_role_where_it_was_and_loses_nobody() {
    let mut sites = Sites::build(|plan| plan);
    sites.crowd(&ALL, "before", 20);
    sites.wait_until_all_are_known(&ALL);
    assert_eq!(sites_of(&sites, "before"), BTreeSet::from(["east"]));

    sites.network().cut(&EAST, &WEST);
    sites.wait_for_active(&["west-1", "west-2"], "west");
    sites.wait_for_active(&["east-1", "east-2"], "east");
    // Each side serves whoever reaches it, at servers that it reaches.
    sites.crowd(&["east-1", "east-2"], "cut-east", 6);
    sites.crowd(&["west-1", "west-2"], "cut-west", 6);
    assert_eq!((sites_of(&sites, "cut-east"), sites_of(&sites, "cut-west")), (["east"].into(), ["west"].into()));
    // The same keys on both sides, old ones and new ones; where each went last is where it is afterwards.
    for number in 0..4 {
        for key in [format!("before-{number}"), format!("double-{number}")] {
            sites.start("east-1", &key);
            sites.start("west-1", &key);
        }
    }
    for key in (4..8).map(|number| format!("double-{number}")) {
        sites.start("west-2", &key);
        sites.start("east-2", &key);
    }

    sites.network().heal();
    sites.wait_until_whole();
    sites.wait_for_active(&ALL, "east");
    sites.wait_until_all_are_known(&ALL);
    ALL.iter().for_each(|at| sites.nobody_moves(at));
    for (name, site) in DIRECTORS {
        assert_eq!(sites.moves(name, "failover") + sites.moves(name, "failback"), 0, "{name}");
        let isolated = usize::from(site == "west");
        assert_eq!((sites.moves(name, "isolated"), sites.moves(name, "agreed")), (isolated, isolated), "{name}");
        names_of(site).for_each(|server| assert_eq!(sites.director(name).events("server_down", server), 0, "{name}"));
    }
    sites.crowd(&ALL, "after", 8);
    assert_eq!(sites_of(&sites, "after"), BTreeSet::from(["east"]));
}

#[test]
fn row_15_what_is_heard_on_one_side_only_is_a_cut_for_both() {
    let mut sites = Sites::build(|plan| plan);
    sites.crowd(&ALL, "before", 12);
    sites.wait_until_all_are_known(&ALL);

    // The east hears the west, and is not heard.
    sites.network().drop_from_to(&EAST, &WEST);
    for (name, _) in DIRECTORS {
        wait::until(&format!("{name} has lost both links to the other side"), || {
            sites.director(name).metric(&format!("maitred_peer_up{{peer=\"{}-1\"}}", other(name))) == Some(0.0)
                && sites.director(name).metric(&format!("maitred_peer_up{{peer=\"{}-2\"}}", other(name))) == Some(0.0)
        });
    }
    sites.wait_for_active(&["west-1", "west-2"], "west");
    sites.wait_for_active(&["east-1", "east-2"], "east");
    sites.crowd(&ALL, "during", 12);

    sites.network().heal();
    sites.wait_until_whole();
    sites.wait_for_active(&ALL, "east");
    sites.wait_until_all_are_known(&ALL);
    ALL.iter().for_each(|at| sites.nobody_moves(at));
    assert_eq!(ALL.iter().map(|name| sites.moves(name, "failover")).sum::<usize>(), 0);
}

#[test]
fn rows_18_and_20_with_hold_the_cut_off_side_waits_for_an_operator_and_the_latest_order_wins() {
    let mut sites = Sites::build(|plan| plan.with("pool.failover", "isolated = \"hold\""));
    sites.crowd(&ALL, "before", 8);
    sites.wait_until_all_are_known(&ALL);
    sites.network().cut(&EAST, &WEST);
    for at in ["west-1", "west-2"] {
        wait::until(&format!("{at} refuses to decide"), || {
            let refused = sites.ask(at, "new");
            let held = refused.status == 503 && refused.header("retry-after").parse::<u32>().is_ok();
            assert!(held || refused.json()["server"]["datacenter"] == "east", "{refused:?}");
            held
        });
        assert_eq!(sites.active(at), "east");
    }
    sites.crowd(&["east-1", "east-2"], "cut-east", 4);

    // Two operators, one on each side; the second one has the last word.
    let path = "/v1/pools/ua/active";
    sites.order("east-2", Method::PUT, path, &json!({"datacenter": "east"}));
    wait::until("a later moment", || {
        sites.order("west-2", Method::PUT, path, &json!({"datacenter": "west"}));
        let answer = sites.ask("west-1", "new");
        answer.status < 300 && answer.json()["server"]["datacenter"] == "west"
    });
    sites.crowd(&["west-1", "west-2"], "cut-west", 4);
    assert_eq!(sites_of(&sites, "cut-west"), ["west"].into());
    sites.network().heal();
    sites.wait_until_whole();
    sites.wait_for_active(&ALL, "west");
    sites.wait_until_all_are_known(&ALL);
    ALL.iter().for_each(|at| sites.nobody_moves(at));
    sites.order("east-1", Method::PUT, path, &json!({"datacenter": "auto"}));
    sites.wait_for_active(&ALL, "east");
    ALL.iter().for_each(|at| sites.nobody_moves(at));
}

#[test]
fn row_20_the_server_that_lost_a_double_seat_is_told_to_reset_it_once() {
    let mut sites = Sites::build(|plan| plan.with("pool", "beats = true"));
    let lost = sites.seat_twice("twice");
    // The server that lost says what it has, to one director or the other; the order has one id until it is done.
    let incarnation = sites.server(&lost.server).incarnation();
    let mut sequence = 0;
    let mut beat = |at: &str, done: &[Value]| {
        sequence += 1;
        let held = if done.is_empty() {
            json!([{"key": "twice", "generation": lost.generation, "via": "ticket"}])
        } else {
            json!([])
        };
        let beat = json!({"incarnation": incarnation, "held": held, "held_seq": sequence, "done": done});
        let answer = sites.order(at, Method::PUT, &format!("/v1/servers/{}/heartbeat", lost.server), &beat);
        answer["orders"].as_array().unwrap().clone()
    };
    let first = wait::for_some("it is told to reset", || beat("east-1", &[]).first().cloned());
    assert_eq!((&first["reset"], &first["generation"]), (&json!("twice"), &json!(lost.generation)), "{first}");
    assert_eq!(beat("east-1", &[]).first().map(|order| order["id"].clone()), Some(first["id"].clone()), "once");
    let other = wait::for_some("the other director says the same", || beat("east-2", &[]).first().cloned());
    assert_eq!(other["id"], first["id"]);
    assert_eq!(beat("east-1", &[first["id"].clone()]), Vec::<Value>::new());
}

fn other(director: &str) -> &'static str {
    if director.starts_with("east") { "west" } else { "east" }
}

#[test]
fn row_17_one_director_that_is_cut_off_is_bridged_by_its_neighbour_and_changes_nothing() {
    let mut sites = Sites::build(|plan| plan);
    sites.network().cut(&["east-1"], &WEST);
    for peer in ["west-1", "west-2"] {
        wait::until(&format!("the link to {peer} is lost"), || {
            sites.director("east-1").metric(&format!("maitred_peer_up{{peer=\"{peer}\"}}")) == Some(0.0)
        });
    }
    // Words and sessions take the way round, in both directions.
    sites.crowd(&["east-1", "west-1"], "round", 30);
    sites.wait_until_all_are_known(&ALL);
    wait::until("it has looked at the other site again and again", || {
        let silent = "maitred_probes_total{pool=\"ua\",outcome=\"timeout\"}";
        sites.director("east-1").metric(silent) >= Some(6.0)
    });
    ALL.iter().for_each(|at| sites.nobody_moves(at));
    for (name, _) in DIRECTORS {
        assert_eq!(sites.active(name), "east", "{name}");
        assert_eq!(sites.director(name).lines_with(&["event=\"datacenter_active\""]), Vec::<String>::new(), "{name}");
        assert_eq!(sites.director(name).lines_with(&["event=\"server_down\""]), Vec::<String>::new(), "{name}");
    }
    sites.network().heal();
    sites.wait_until_whole();
}
