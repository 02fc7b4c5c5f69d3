//! Sessions that both sides of a cut have seated: each is reported once, whichever director one listens to. Row 18.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::follower::{Follower, lives_of};
use crate::support::sites::{EAST, Sites, Told, WEST, site_of};
use crate::support::wait;

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];
/// Keys that are seated on both sides of the cut.
const DOUBLES: usize = 8;

/// Everything that was told so far has come to these listeners, or it never will: each director tells in order, and what each of them
/// tells last has come.
#[track_caller]
fn wait_for_the_last_word(sites: &mut Sites, listeners: &BTreeMap<&str, Follower>, name: &str) {
    ALL.iter().for_each(|at| drop(sites.start(at, &format!("{name} of {at}"))));
    for (at, listener) in listeners {
        for teller in ALL {
            let key = format!("{name} of {teller}");
            wait::until(&format!("{key} is heard at {at}"), || listener.has("session_placed", &key));
        }
    }
}

fn line(event: &str, told: &Told, reason: &str) -> String {
    format!("{event} {} {} {} {reason}", told.server, told.generation, told.session)
}

#[test]
fn row_18_each_double_seat_is_reported_once_at_every_director_and_nobody_hears_it_again_elsewhere() {
    let mut sites = Sites::build(|plan| plan);
    let listeners: BTreeMap<&str, Follower> =
        ALL.into_iter().map(|at| (at, Follower::from_now(sites.director(at)))).collect();
    wait_for_the_last_word(&mut sites, &listeners, "before");
    sites.network().cut(&EAST, &WEST);
    sites.wait_for_active(&["west-1", "west-2"], "west");
    sites.wait_for_active(&["east-1", "east-2"], "east");

    // Who has a key last is drawn from both sides, and from both directors of each.
    let mut seats: Vec<(String, Told, Told)> = Vec::new();
    for number in 0..DOUBLES {
        let (east, west) = (ALL[number % 2], ALL[2 + number / 2 % 2]);
        let (first, then) = if number < DOUBLES / 2 { (east, west) } else { (west, east) };
        let key = format!("double-{number}");
        let lost = sites.start(first, &key);
        let won = sites.start(then, &key);
        assert_ne!(site_of(&lost.server), site_of(&won.server), "{key}");
        seats.push((key, lost, won));
    }
    // Where each listener stood when nobody knew of it yet.
    let before: BTreeMap<&str, Vec<Value>> = listeners.iter().map(|(at, listener)| (*at, listener.told())).collect();
    sites.network().heal();
    sites.wait_until_whole();
    sites.wait_until_all_are_known(&ALL);
    wait_for_the_last_word(&mut sites, &listeners, "after");

    let expected = |lost: &Told, won: &Told| {
        let mut lines = [
            line("session_placed", lost, "new"),
            line("session_ended", lost, "double_seat"),
            line("session_placed", won, "new"),
        ];
        lines.sort();
        lines.to_vec()
    };
    for (at, listener) in &listeners {
        for (key, lost, won) in &seats {
            let mut told = listener.told_of(key);
            told.sort();
            assert_eq!(told, expected(lost, won), "{key} at {at}");
        }
        let of_all = listener.told().iter().filter(|told| told["reason"] == "double_seat").count();
        assert_eq!(of_all, DOUBLES, "at {at}");
    }
    // Whoever goes on at a director of the other side is told what it lacks, once, and nothing that it was told.
    let ways = || ALL.into_iter().zip(["west-2", "west-1", "east-2", "east-1"]);
    let place = |was: &str| before[was].last().unwrap()["id"].as_str().unwrap();
    let later = ways().map(|(was, is)| (is, Follower::at(sites.director(is), Some(place(was))))).collect();
    wait_for_the_last_word(&mut sites, &later, "later");
    for (was, is) in ways() {
        for (key, lost, won) in &seats {
            let mut told = [lives_of(&before[was], key), later[is].told_of(key)].concat();
            told.sort();
            assert_eq!(told, expected(lost, won), "{key}, first heard at {was} and then at {is}");
        }
    }
}

#[test]
fn row_18_the_reset_of_a_double_seat_is_one_event_too_whichever_directors_the_server_beats_to() {
    let mut sites = Sites::build(|plan| plan.with("pool", "beats = true"));
    let listeners: BTreeMap<&str, Follower> =
        ALL.into_iter().map(|at| (at, Follower::from_now(sites.director(at)))).collect();
    let lost = sites.seat_twice("twice");
    let incarnation = sites.server(&lost.server).incarnation();
    for (sequence, at) in ["east-1", "east-2", "east-1"].into_iter().enumerate() {
        wait::until(&format!("{at} tells the server to reset"), || {
            let held = json!([{"key": "twice", "generation": lost.generation, "via": "ticket"}]);
            let beat = json!({"incarnation": incarnation, "held": held, "held_seq": sequence + 1});
            let path = format!("/v1/servers/{}/heartbeat", lost.server);
            let answer = sites.order(at, Method::PUT, &path, &beat);
            answer["orders"].as_array().is_some_and(|orders| orders.iter().any(|order| order["reset"] == "twice"))
        });
    }
    wait_for_the_last_word(&mut sites, &listeners, "after");
    for (at, listener) in &listeners {
        let told = listener.told_of("twice");
        let of = |event: &str| told.iter().filter(|line| line.starts_with(event)).count();
        assert_eq!((of("session_reset"), of("session_ended")), (1, 2), "at {at}: {told:#?}");
    }
}
