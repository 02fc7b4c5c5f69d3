//! Directors that are killed, stopped, replaced, or whose clocks are wrong: rows 10 to 13 and 25, with peers.

use std::fs;

use hyper::Method;
use serde_json::json;

use crate::support::client::Client;
use crate::support::process;
use crate::support::sites::Sites;
use crate::support::wait;

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];

fn nothing_happened(sites: &Sites) {
    for (name, director) in sites.directors() {
        assert_eq!(sites.all_moves(name), Vec::<String>::new(), "{name}");
        assert_eq!(director.lines_with(&["event=\"server_down\""]), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn rows_10_and_12_all_directors_are_killed_at_once_and_nobody_is_lost_by_journal_or_by_cookie() {
    let mut sites = Sites::build(|plan| plan);
    sites.crowd(&ALL, "crowd", 40);
    let mut browsers: Vec<Client> = (0..6).map(|_| Client::new()).collect();
    // Without an agent id: the cookie alone says who it is.
    let visit = |sites: &Sites, browser: &mut Client, at: &str| {
        browser.dial(sites.director(at).address());
        browser.get(&sites.director(at).url("/desk")).location()
    };
    let homes: Vec<_> =
        browsers.iter_mut().zip(ALL.iter().cycle()).map(|(browser, at)| visit(&sites, browser, at)).collect();
    ALL.iter().for_each(|name| sites.director(name).wait_until_written());
    for round in 0..2 {
        ALL.iter().for_each(|name| sites.director_mut(name).kill());
        if round == 1 {
            // With the journals gone as well.
            for name in ALL {
                fs::remove_dir_all(sites.director(name).folder().join("state")).unwrap();
            }
        }
        ["west-2", "east-2", "west-1", "east-1"].iter().for_each(|name| sites.director_mut(name).start_again());
        // At once, at any director, before anybody has looked at anything.
        for (number, browser) in browsers.iter_mut().enumerate() {
            assert_eq!(visit(&sites, browser, ALL[(number + round + 1) % 4]), homes[number], "round {round}");
        }
        sites.wait_until_whole();
        if round == 0 {
            sites.wait_until_all_are_known(&ALL);
            ALL.iter().for_each(|at| sites.nobody_moves(at));
        }
        nothing_happened(&sites);
    }
}

#[test]
fn row_11_a_director_and_a_server_that_were_stopped_go_on_with_what_happened_meanwhile() {
    let mut sites = Sites::build(|plan| plan);
    sites.crowd(&ALL, "crowd", 36);
    sites.wait_until_all_are_known(&ALL);
    sites.director("east-1").freeze();
    sites.server("ua2").freeze();
    for name in ["east-2", "west-1", "west-2"] {
        wait::until("the stopped director is missed", || {
            sites.director(name).metric("maitred_peer_up{peer=\"east-1\"}") == Some(0.0)
        });
        wait::until("the stopped server is down", || sites.director(name).server("ua2")["verdict"]["state"] == "down");
    }
    // Meanwhile: one ends, a server drains, some of the stopped server move, others have not noticed.
    let at = |sites: &Sites, server: &str| {
        let there = sites.told().iter().filter(|(_, told)| told.server == server);
        there.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let (struck, at_1) = (at(&sites, "ua2"), at(&sites, "ua1"));
    assert!(struck.len() >= 2 && !at_1.is_empty(), "{:?}", sites.told());
    let (moving, staying) = struck.split_at(struck.len() / 2);
    for (key, at) in moving.iter().zip(["east-2", "west-1", "west-2"].iter().cycle()) {
        assert_ne!(sites.start(at, key).server, "ua2");
    }
    let ended = at_1[0].clone();
    let seat = sites.forget(&ended);
    sites.order(
        "west-1",
        Method::POST,
        &format!("/v1/sessions/ua/{ended}/end"),
        &json!({"session": seat.session, "generation": seat.generation}),
    );
    sites.order("west-2", Method::PUT, "/v1/servers/ua3/state", &json!({"state": "drain", "reason": "test"}));
    sites.crowd(&["east-2", "west-1"], "meanwhile", 6);

    sites.director("east-1").thaw();
    sites.server("ua2").thaw();
    sites.wait_until_whole();
    sites.wait_until_all_are_known(&ALL);
    for name in ALL {
        wait::for_equal(&format!("the ended session at {name}"), &json!("ended"), || sites.state(name, &ended));
        wait::for_equal(&format!("the draining server at {name}"), &json!("drain"), || {
            sites.director(name).server("ua3")["state"].clone()
        });
        sites.nobody_moves(name);
    }
    assert!(staying.iter().all(|key| sites.told()[key].server == "ua2"));
    sites.crowd(&["east-1"], "after", 6);
    assert!(sites.told().iter().all(|(key, told)| !key.starts_with("after") || told.server != "ua3"));
}

#[test]
fn row_13_directors_are_replaced_one_by_one_and_nobody_is_refused() {
    let mut sites = Sites::build(|plan| plan.with("director", "stop_delay = \"2s\""));
    sites.crowd(&ALL, "crowd", 12);
    for (round, name) in ALL.into_iter().enumerate() {
        sites.director(name).terminate();
        wait::until("it says that it is stopping", || {
            let ready = sites.director(name).client().get(&sites.director(name).url("/health/ready"));
            ready.status == 503 && ready.text().starts_with("no stopping")
        });
        // Whoever has not noticed is served all the same, and what it hands over last is not lost.
        sites.crowd(&[name], &format!("late-{round}"), 3);
        let others: Vec<&str> = ALL.into_iter().filter(|other| *other != name).collect();
        sites.crowd(&others, &format!("others-{round}"), 3);
        assert!(sites.director_mut(name).wait().success());
        sites.wait_until_all_are_known(&others);
        sites.director_mut(name).start_again();
        wait::until("it is ready", || {
            let ready = sites.director(name).client().get(&sites.director(name).url("/health/ready"));
            ready.status == 200
        });
        sites.nobody_moves(name);
    }
    sites.wait_until_whole();
    sites.wait_until_all_are_known(&ALL);
    nothing_happened(&sites);
}

#[test]
fn row_25_directors_whose_clocks_are_minutes_apart_agree_on_what_came_last() {
    let libfaketime = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    process::require(&libfaketime);
    let mut sites = Sites::without_directors(|plan| plan);
    for (name, offset) in [("east-1", "+300"), ("east-2", "+0"), ("west-1", "-300"), ("west-2", "+120")] {
        let variables = format!("LD_PRELOAD={libfaketime} FAKETIME={offset} FAKETIME_DONT_FAKE_MONOTONIC=1");
        sites.add(name, |plan| plan.prepared_by(&format!("export {variables}")));
    }
    sites.wait_until_whole();
    sites.crowd(&ALL, "crowd", 24);
    sites.wait_until_all_are_known(&ALL);
    // Decided where the clock is ahead, changed where it is behind: the later word holds.
    let (ended, moved, again) = ("ended", "moved", "again");
    for key in [ended, moved, again] {
        sites.start("east-1", key);
    }
    sites.wait_until_all_are_known(&ALL);
    for key in [ended, again] {
        let seat = sites.forget(key);
        let what = json!({"session": seat.session, "generation": seat.generation});
        sites.order("west-1", Method::POST, &format!("/v1/sessions/ua/{key}/end"), &what);
    }
    let to = if sites.told()[moved].server == "ua1" { "ua2" } else { "ua1" };
    sites.forget(moved);
    sites.order(
        "west-1",
        Method::PUT,
        &format!("/v1/sessions/ua/{moved}/server"),
        &json!({"server": to, "reason": "test"}),
    );
    sites.order("east-1", Method::PUT, "/v1/servers/ua3/state", &json!({"state": "drain", "reason": "test"}));
    for name in ALL {
        wait::for_equal(&format!("the ended session at {name}"), &json!("ended"), || sites.state(name, ended));
        wait::for_equal(&format!("the moved session at {name}"), &Some(to.to_owned()), || {
            sites.known(name, moved).map(|told| told.server)
        });
        wait::for_equal(&format!("the draining server at {name}"), &json!("drain"), || {
            sites.director(name).server("ua3")["state"].clone()
        });
        wait::for_equal(&format!("what starts again has ended first at {name}"), &json!("ended"), || {
            sites.state(name, again)
        });
    }
    sites.order("west-1", Method::PUT, "/v1/servers/ua3/state", &json!({"state": "ready"}));
    sites.start("west-1", again);
    sites.start("west-2", moved);
    sites.wait_until_all_are_known(&ALL);
    for name in ALL {
        wait::for_equal(&format!("the server that is ready at {name}"), &json!("up"), || {
            sites.director(name).server("ua3")["state"].clone()
        });
        sites.nobody_moves(name);
        assert_eq!(sites.state(name, ended), json!("ended"), "{name}");
    }
    nothing_happened(&sites);
}
