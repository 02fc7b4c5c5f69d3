//! Servers that beat to different directors: what their lists say is known to all of them (R5, R6, R8).

use std::time::Duration;

use super::house::{House, of};
use super::rig::*;
use super::servers::*;
use crate::director::Rule;
use crate::seating::{RequestKey, Seat, StartRequest};
use crate::wire::{Hello, LIST_ITEMS_MAX, ListSays, Message, VERSION, VERSION_MIN, VERSION_OF_LISTS, VERSION_OF_SAID};

const ALL: [&str; 3] = ["east-1", "east-2", "west-1"];
const BEAT: Duration = Duration::from_secs(2);

/// Linked directors, and a session that was told to the server at which it sits.
fn seated() -> (House, Seat, Server, Server) {
    let mut house = House::new(&ALL, &settings(3, 0));
    house.join_all();
    house.carry();
    let name = ["ua1", "ua2", "ua3"];
    name.iter().for_each(|name| drop(Server::new(name).beat(house.at("east-1"))));
    let seat = house.at("east-1").start("1001").unwrap();
    let mut home = Server::new(at(&seat));
    home.log_in_by(&seat);
    home.beat(house.at("east-1"));
    house.pass(BEAT);
    let mut refuge = Server::new(other(&seat));
    refuge.log_in("1001", None);
    (house, seat, home, refuge)
}

/// Beats of each server to its director for a while; nobody is told to reset anything.
fn beat(house: &mut House, time: Duration, servers: &mut [(&mut Server, &str)]) {
    for _ in 0..time.as_secs() / BEAT.as_secs() {
        for (server, director) in servers.iter_mut() {
            assert_eq!(server.beat(house.at(director)).orders, [], "{}", server.name);
        }
        house.pass(BEAT);
    }
}

/// Where each director would send the session's client: asked without a trace, so that the first answer decides for nobody else.
fn answers(house: &mut House, seat: &Seat) -> Vec<(String, String, Rule)> {
    let ask = |who: &&str| {
        let rig = house.at(who);
        let request = StartRequest {
            pool: &pool(),
            key: RequestKey::Given(seat.entry.key.clone()),
            shown: None,
            labels: &[],
            avoid: None,
            session: seat.session(),
        };
        let answer = rig.director.explain(&request, rig.now).unwrap().answer.unwrap();
        ((*who).to_owned(), answer.server.as_str().to_owned(), answer.rule)
    };
    ALL.iter().map(ask).collect()
}

fn everywhere(server: &Server, rule: Rule) -> Vec<(String, String, Rule)> {
    ALL.iter().map(|who| ((*who).to_owned(), server.name.as_str().to_owned(), rule)).collect()
}

#[test]
fn a_dead_servers_session_goes_to_the_server_that_lists_it_at_every_director() {
    let (mut house, seat, home, mut refuge) = seated();
    ALL.iter().for_each(|who| house.at(who).kill(home.name.as_str()));
    beat(&mut house, 2 * BEAT, &mut [(&mut refuge, "west-1")]);
    assert_eq!(answers(&mut house, &seat), everywhere(&refuge, Rule::Listed));
    let moved = house.at("east-2").back(&seat).unwrap();
    assert_eq!((&moved.server.name, moved.reason), (&refuge.name, "listed"));
    beat(&mut house, 2 * BEAT, &mut [(&mut refuge, "west-1")]);
    assert_eq!(answers(&mut house, &seat), everywhere(&refuge, Rule::Affinity), "now it is a seat like any other");
    house.assert_one_table();
}

#[test]
fn a_server_that_lost_its_sessions_by_a_restart_calls_nobody_back() {
    let (mut house, seat, mut home, mut refuge) = seated();
    // Its new life is known by beats only, and only to one director; the client is listed at another one.
    home.reborn("boot-2");
    beat(&mut house, Duration::from_mins(3), &mut [(&mut home, "east-1"), (&mut refuge, "east-2")]);
    assert_eq!(answers(&mut house, &seat), everywhere(&refuge, Rule::Listed));
    // Where the container stored its sessions, nothing is lost: everybody stays.
    let (mut house, seat, mut home, mut refuge) = seated();
    let held = home.held.clone();
    home.reborn("boot-2");
    home.held = held;
    for _ in 0..5 {
        home.beat(house.at("east-1"));
        refuge.beat(house.at("east-2"));
        house.pass(BEAT);
    }
    assert_eq!(answers(&mut house, &seat), everywhere(&home, Rule::Affinity));
}

#[test]
fn r8_what_a_list_has_lacked_for_long_is_unlisted_at_every_director() {
    let (mut house, seat, mut home, mut refuge) = seated();
    home.log_out("1001");
    beat(&mut house, Duration::from_secs(80), &mut [(&mut home, "east-1"), (&mut refuge, "east-2")]);
    assert_eq!(answers(&mut house, &seat), everywhere(&home, Rule::Affinity), "not yet");
    beat(&mut house, Duration::from_secs(20), &mut [(&mut home, "east-1"), (&mut refuge, "east-2")]);
    assert_eq!(answers(&mut house, &seat), everywhere(&refuge, Rule::Listed));
    // Listed again, by whichever director hears it now: it stays.
    home.log_in_by(&seat);
    for _ in 0..5 {
        home.beat(house.at("west-1"));
        house.pass(BEAT);
    }
    assert_eq!(answers(&mut house, &seat), everywhere(&home, Rule::Affinity));
}

#[test]
fn words_about_lists_go_round_a_cut_lapse_with_the_beats_and_are_few() {
    let (mut house, seat, home, mut refuge) = seated();
    ALL.iter().for_each(|who| house.at(who).kill(home.name.as_str()));
    for number in 0..600 {
        refuge.log_in(&format!("other-{number}"), None);
    }
    house.cut("west-1", "east-2");
    beat(&mut house, Duration::from_secs(30), &mut [(&mut refuge, "west-1")]);
    assert_eq!(answers(&mut house, &seat), everywhere(&refuge, Rule::Listed), "a third bridges the cut");
    house.records_sent();
    let mut lists = 0;
    for _ in 0..15 {
        refuge.beat(house.at("west-1"));
        house.pass(BEAT);
        for (_, _, message) in &house.log {
            if let Message::Lists(words) = message {
                lists += 1;
                assert!(words.iter().map(|word| word.says.len()).sum::<usize>() <= LIST_ITEMS_MAX);
                let says = words.iter().flat_map(|word| &word.says);
                assert!(
                    says.clone().all(|item| item.key == seat.entry.key),
                    "adopted ones are in the table: {words:?}"
                );
                assert!(says.clone().all(|item| matches!(item.says, ListSays::Holds { .. })));
            }
        }
        assert_eq!(house.records_sent(), 0, "QUIET: nothing is written");
    }
    assert!((8..=16).contains(&lists), "every ten seconds over four ways: {lists}");
    // Silence: the word lapses everywhere, also where it went round.
    house.pass(Duration::from_secs(40));
    let told = |it: &(String, String, Rule)| it.2 == Rule::Listed;
    let after = answers(&mut house, &seat);
    assert!(after.iter().all(|it| told(it) == (it.0 == "west-1")), "{after:?}");
}

#[test]
fn a_peer_of_a_former_protocol_is_told_nothing_that_it_does_not_understand() {
    for version in VERSION_MIN..=VERSION {
        let mut rig = Rig::new(of("east-1", &["east-1", "east-2"], &settings(2, 0)));
        let peer = name("east-2");
        rig.director.handle_link_up(&peer, rig.now).unwrap();
        assert!(matches!(rig.director.next_message(&peer, rig.now), Some(Message::Hello(_))));
        let (datacenter, have) = (name("east"), Vec::new());
        let hello = Hello { name: peer.clone(), datacenter, run: 1, version_min: 1, version, config: 0, have };
        rig.director.handle_message(&peer, Message::Hello(hello), rig.now).unwrap();
        let mut server = Server::new("ua1");
        let (mut lists, mut said) = (false, false);
        for _ in 0..50 {
            server.beat(&mut rig);
            while let Some(message) = rig.director.next_message(&peer, rig.now) {
                lists |= matches!(message, Message::Lists(_));
                said |= matches!(message, Message::Said(_));
            }
            rig.pass(Duration::from_millis(100));
        }
        assert_eq!((lists, said), (version >= VERSION_OF_LISTS, version >= VERSION_OF_SAID), "version {version}");
    }
}
