//! A datacenter is lost: its servers, or everything of it. Rows 19, 21 and 33.

use std::collections::BTreeSet;

use crate::support::client::Client;
use crate::support::sites::{DIRECTORS, EAST, Sites, WEST, names_of, site_of};
use crate::support::wait;

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];

/// Opens the front address as a browser whose DNS answer is this director for ever; the server that it is sent to.
#[track_caller]
fn visit(sites: &Sites, browser: &mut Client, at: &str, agent: &str) -> String {
    let director = sites.director(at);
    browser.dial(director.address());
    let answer = browser.get(&director.url(&format!("/desk?agent={agent}")));
    assert_eq!(answer.status, 302, "{agent} at {at}: {answer:?}");
    let server = answer.location().host_str().unwrap().trim_end_matches(".test").to_owned();
    assert!(sites.server(&server).lives(), "{agent} at {at} was sent to {server}, which does not live");
    server
}

/// Starts every session again at these directors: it is in `site` now, having moved at most once, and stays.
#[track_caller]
fn everybody_moves_once_to(sites: &mut Sites, at: &[&str], site: &str) {
    let before = sites.told().clone();
    for ((key, before), at) in before.iter().zip(at.iter().cycle()) {
        let now = sites.start(at, key);
        let moved = u64::from(site_of(&before.server) != site);
        assert_eq!((site_of(&now.server), now.generation), (site, before.generation + moved), "{key}: {before:?}");
        assert_eq!(now.session, before.session, "{key}");
    }
    sites.wait_until_all_are_known(at);
    at.iter().for_each(|at| sites.nobody_moves(at));
}

#[test]
fn rows_19_21_and_33_the_passive_site_takes_over_when_the_servers_of_the_active_one_die() {
    let mut sites = Sites::build(|plan| plan.with("pool.failover", "failback = \"4s\""));
    sites.crowd(&ALL, "before", 24);
    sites.wait_until_all_are_known(&ALL);
    sites.kill_servers("east");
    sites.wait_for_active(&ALL, "west");

    // Who has the old site's addresses for ever is sent to the living one.
    for at in ALL {
        let mut browser = Client::new();
        let server = visit(&sites, &mut browser, at, &format!("pinned-{at}"));
        assert_eq!((site_of(&server), visit(&sites, &mut browser, at, &format!("pinned-{at}"))), ("west", server));
        let director = sites.director(at);
        let active = browser.get(&director.url("/health/active")).status;
        assert_eq!(active, if at.starts_with("west") { 200 } else { 503 }, "{at}");
    }
    everybody_moves_once_to(&mut sites, &ALL, "west");

    // The failed site flaps: whatever it does in less than the failback, the role stays.
    for _ in 0..2 {
        sites.start_servers("east");
        wait::until("its servers are seen up", || {
            names_of("east").all(|server| sites.director("west-1").server(server)["verdict"]["state"] == "up")
        });
        sites.kill_servers("east");
        wait::until("and down", || {
            names_of("east").all(|server| sites.director("west-1").server(server)["verdict"]["state"] == "down")
        });
    }
    sites.start_servers("east");
    sites.wait_until_whole();
    sites.wait_for_active(&ALL, "east");
    let moves: Vec<Vec<String>> = ALL.iter().map(|at| sites.all_moves(at)).collect();
    assert!(moves.iter().all(|moves| moves.len() % 2 == 0), "there and back: {moves:#?}");
    assert!(moves.iter().all(|moves| moves.len() <= 4), "{moves:#?}");
    // New sessions go there, and nobody who has moved is moved back.
    ALL.iter().for_each(|at| sites.nobody_moves(at));
    sites.crowd(&ALL, "after", 8);
    let after = sites.told().iter().filter(|(key, _)| key.starts_with("after"));
    assert_eq!(after.map(|(_, told)| site_of(&told.server)).collect::<BTreeSet<_>>(), BTreeSet::from(["east"]));
    sites.wait_until_all_are_known(&ALL);
}

#[test]
fn row_19_everything_of_the_active_site_goes_dark_at_once_and_comes_back() {
    let left = ["west-1", "west-2"];
    let mut sites = Sites::build(|plan| plan);
    sites.crowd(&ALL, "before", 24);
    let mut browsers: Vec<Client> = (0..6).map(|_| Client::new()).collect();
    for (number, browser) in browsers.iter_mut().enumerate() {
        assert_eq!(site_of(&visit(&sites, browser, "east-2", &format!("browser-{number}"))), "east");
    }
    sites.wait_until_all_are_known(&ALL);

    // No power: nothing is refused, nothing answers.
    sites.network().cut(&EAST, &WEST);
    sites.network().cut(&EAST, &["clients"]);
    sites.kill_servers("east");
    ["east-1", "east-2"].iter().for_each(|name| sites.director_mut(name).kill());
    sites.wait_for_active(&left, "west");
    everybody_moves_once_to(&mut sites, &left, "west");
    let homes: Vec<String> = browsers
        .iter_mut()
        .enumerate()
        .map(|(number, browser)| visit(&sites, browser, left[number % 2], &format!("browser-{number}")))
        .collect();
    assert!(homes.iter().all(|server| site_of(server) == "west"), "{homes:?}");
    sites.crowd(&left, "during", 8);

    sites.network().heal();
    sites.start_servers("east");
    ["east-2", "east-1"].iter().for_each(|name| sites.director_mut(name).start_again());
    sites.wait_until_whole();
    sites.wait_for_active(&ALL, "east");
    sites.wait_until_all_are_known(&ALL);
    ALL.iter().for_each(|at| sites.nobody_moves(at));
    for (number, browser) in browsers.iter_mut().enumerate() {
        let at = ALL[number % ALL.len()];
        assert_eq!(visit(&sites, browser, at, &format!("browser-{number}")), homes[number]);
    }
    wait::for_equal("epochs", &1, || {
        let epoch =
            |name| sites.director(name).metric("maitred_role_epoch{pool=\"ua\"}").map(|epoch| epoch.to_string());
        DIRECTORS.iter().map(|(name, _)| epoch(name)).collect::<BTreeSet<_>>().len()
    });

    // One that was never there has everything.
    sites.add("west-3", |plan| plan);
    sites.wait_until_whole();
    sites.wait_until_all_are_known(&["west-3"]);
    sites.nobody_moves("west-3");
}
