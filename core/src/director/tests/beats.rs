//! Servers that talk: lists, walk-ins, what is unlisted, and who is told to reset (R5, R6, R8).

use std::time::Duration;

use super::rig::*;
use super::servers::*;
use crate::director::{Beat, BeatRefusal, DONE_MAX, End, OrderId, ResetReason};
use crate::entry::{EndReason, Life};
use crate::health::Report;
use crate::held::{HELD_MAX, HeldSession};
use crate::ids::Generation;
use crate::seating::Affinity;

const BEAT: Duration = Duration::from_secs(2);

#[test]
fn a_beat_tells_load_and_capacity_and_moves_no_vote() {
    let mut rig = Rig::unseen(settings(2, 0));
    let mut server = Server::new("ua1");
    let report = Report { sessions: Some(700), capacity: Some(900), ..server.report() };
    rig.director.handle_beat(&server.name, &Beat { report, ..Beat::default() }, rig.now).unwrap();
    assert_eq!(rig.load("ua1"), 700);
    let health = rig.director.server_health(&server.name).unwrap();
    assert!(health.voter().vote().is_none(), "a beat is no look");
    assert_eq!(health.incarnation().unwrap().as_str(), "boot-1");
    rig.good(&server.name);
    assert_eq!(rig.load("ua1"), 700, "a plain probe beside it forgets nothing");
    server.beat(&mut rig);
    assert_eq!(rig.load("ua1"), 700);
}

#[test]
fn what_is_no_beat_is_refused_and_changes_nothing() {
    let rig = Rig::new(settings(2, 0));
    let server = Server::new("ua1");
    let tell = |name_: &str, beat: Beat| rig.director.handle_beat(&name(name_), &beat, rig.now).err();
    let report = || Beat { report: server.report(), ..Beat::default() };
    assert_eq!(tell("nobody", report()), Some(BeatRefusal::UnknownServer));
    assert_eq!(tell("ua1", Beat::default()), Some(BeatRefusal::NoIncarnation));
    let swapped = Report { server: Some(name("ua2")), ..server.report() };
    assert_eq!(tell("ua1", Beat { report: swapped, ..Beat::default() }), Some(BeatRefusal::WrongName(name("ua2"))));
    let held: Vec<HeldSession> = (0..=HELD_MAX).map(|key| held(&format!("k{key}"))).collect();
    assert!(matches!(tell("ua1", Beat { held: Some(held), ..report() }), Some(BeatRefusal::TooLong(_))));
    let id = OrderId::parse(&"0".repeat(32)).unwrap();
    assert_eq!(tell("ua1", Beat { done: vec![id; DONE_MAX + 1], ..report() }), Some(BeatRefusal::TooManyDone));
    assert_eq!(rig.director.sessions(), 0);
    assert!(rig.director.server_health(&server.name).unwrap().incarnation().is_none());
}

#[test]
fn a_late_beat_of_a_former_life_is_refused() {
    let mut rig = Rig::new(settings(2, 0));
    let mut server = Server::new("ua1");
    let old = server.clone();
    server.beat(&mut rig);
    server.reborn("boot-2");
    server.beat(&mut rig);
    let late = Beat { report: old.report(), held: Some(vec![held("k1")]), ..Beat::default() };
    assert_eq!(rig.director.handle_beat(&server.name, &late, rig.now).err(), Some(BeatRefusal::FormerLife));
    assert_eq!(rig.director.sessions(), 0);
}

#[test]
fn the_full_list_is_asked_for_when_it_is_not_known_or_not_current() {
    let mut rig = Rig::new(settings(2, 0));
    let mut server = Server::new("ua1");
    server.quiet = true;
    assert!(server.beat(&mut rig).need_held);
    server.quiet = false;
    server.log_in("k1", None);
    assert!(!server.beat(&mut rig).need_held);
    server.quiet = true;
    assert!(!server.beat(&mut rig).need_held, "its number stands");
    server.log_in("k2", None);
    assert!(server.beat(&mut rig).need_held);
    server.reborn("boot-2");
    assert!(server.beat(&mut rig).need_held);
}

#[test]
fn r5_a_walk_in_is_adopted_with_stamp_zero_and_counts_once() {
    let mut rig = Rig::new(settings(3, 0));
    let mut server = Server::new("ua2");
    server.log_in("1001", None);
    for _ in 0..3 {
        server.beat(&mut rig);
        rig.pass(BEAT);
    }
    let found = rig.found("1001").unwrap();
    assert_eq!((found.server.as_str(), found.stamp.to_bits(), found.generation), ("ua2", 0, Generation::FIRST));
    assert_eq!(rig.load("ua2"), 1);
    let start = rig.start("1001").unwrap();
    assert_eq!((at(&start), start.affinity, start.session()), ("ua2", Affinity::Kept, found.session));
    assert!(start.entry.stamp.to_bits() > 0, "the start makes it a seat like any other");
    assert!(!start.owner);
}

#[test]
fn r5_a_walk_in_loses_to_a_cookie_and_to_a_tombstone() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let mut fresh = Rig::new(settings(3, 0));
    let mut server = Server::new(other(&seat));
    server.log_in("1001", None);
    server.beat(&mut fresh);
    let back = fresh.back(&seat).unwrap();
    assert_eq!((at(&back), back.session()), (at(&seat), seat.session()), "the cookie's start is a start");

    rig.end(&seat);
    server.beat(&mut rig);
    assert!(matches!(rig.found("1001").unwrap().life, Life::Ended(_)));
}

#[test]
fn all_directors_lost_everything_and_every_walk_in_stays_where_it_is() {
    let mut rig = Rig::new(settings(4, 0));
    let mut servers = Server::all(4);
    let seats: Vec<_> = (0..200).map(|key| rig.start(&format!("agent-{key}")).unwrap()).collect();
    for seat in &seats {
        servers.iter_mut().find(|it| it.name == seat.server.name).unwrap().log_in_by(seat);
    }
    servers.iter_mut().for_each(|server| drop(server.beat(&mut rig)));

    // All directors and one server stop; clients go on by their stored alternates, spread over the others.
    let dead = servers.remove(0);
    let mut at_last = std::collections::BTreeMap::new();
    for (number, seat) in seats.iter().enumerate() {
        let key = seat.entry.key.as_str();
        let refuge = if seat.server.name == dead.name {
            let refuge = &mut servers[number % 3];
            refuge.log_in(key, None);
            refuge.name.clone()
        } else {
            seat.server.name.clone()
        };
        at_last.insert(key.to_owned(), refuge);
    }
    // They return with nothing in memory. The dead server is seen down; its old cookies still say it was a start.
    let mut fresh = Rig::new(settings(4, 0));
    fresh.skip_ids(&rig);
    fresh.kill(dead.name.as_str());
    for _ in 0..3 {
        for server in &mut servers {
            assert_eq!(server.beat(&mut fresh).orders, []);
        }
        fresh.pass(BEAT);
    }
    assert_eq!(fresh.director.sessions(), 200);
    let check = |rig: &mut Rig| {
        for seat in &seats {
            let back = rig.back(seat).unwrap();
            assert_eq!(back.server.name, at_last[seat.entry.key.as_str()], "nobody is moved again");
        }
    };
    check(&mut fresh);
    // The server comes back empty, and nobody is called back; nobody is reset either.
    fresh.revive(dead.name.as_str());
    let mut reborn = Server::new(dead.name.as_str());
    reborn.reborn("boot-2");
    for _ in 0..60 {
        for server in servers.iter_mut().chain([&mut reborn]) {
            assert_eq!(server.beat(&mut fresh).orders, []);
            fresh.good(&server.name.clone());
        }
        fresh.pass(BEAT);
    }
    check(&mut fresh);
}

#[test]
fn directors_that_remember_find_those_who_went_on_while_they_were_away() {
    let mut rig = Rig::new(settings(3, 0));
    Server::all(3).iter_mut().for_each(|server| drop(server.beat(&mut rig)));
    let seat = rig.start("1001").unwrap();
    let mut home = rig.logged_in(&seat);
    // Away. The server stops, the client goes on by itself, the server returns as another process, the directors return.
    let mut back = Rig::unseen(settings(3, 0));
    back.director.restore(rig.entries(), back.now);
    back.skip_ids(&rig);
    let mut refuge = Server::new(other(&seat));
    refuge.log_in("1001", None);
    home.reborn("boot-2");
    for _ in 0..60 {
        for server in [&mut home, &mut refuge] {
            assert_eq!(server.beat(&mut back).orders, [], "the agent's only session is left alone");
            back.good(&server.name.clone());
        }
        back.pass(BEAT);
    }
    let returned = back.back(&seat).unwrap();
    assert_eq!((returned.server.name.clone(), returned.reason), (refuge.name.clone(), "listed"));
}

#[test]
fn r5_a_dead_servers_session_goes_first_to_a_server_that_lists_it() {
    let mut rig = Rig::new(settings(8, 0));
    for number in 0..20 {
        let seat = rig.start(&format!("k{number}")).unwrap();
        let mut refuge = Server::new(other(&seat));
        refuge.log_in(seat.entry.key.as_str(), None);
        refuge.beat(&mut rig);
        rig.kill(at(&seat));
        let moved = rig.back(&seat).unwrap();
        assert_eq!((moved.server.name.clone(), moved.affinity, moved.reason), (refuge.name, Affinity::Moved, "listed"));
        assert_eq!((moved.generation(), moved.session()), (Generation::FIRST.next(), seat.session()));
        rig.revive(at(&seat));
    }
}

#[test]
fn r8_a_start_leaves_a_usable_server_only_when_it_is_unlisted_there_and_listed_elsewhere() {
    let mut rig = Rig::new(settings(3, 0));
    let mut seat = rig.start("1001").unwrap();
    let mut home = rig.logged_in(&seat);
    home.log_out("1001");
    home.beat(&mut rig);
    let mut refuge = Server::new(other(&seat));
    refuge.log_in("1001", None);
    let mut passed = Duration::ZERO;
    let mut went_at = None;
    while passed < Duration::from_mins(3) && went_at.is_none() {
        for server in [&mut home, &mut refuge] {
            assert_eq!(server.beat(&mut rig).orders, []);
            rig.good(&server.name.clone());
        }
        seat = rig.back(&seat).unwrap();
        if seat.server.name == refuge.name {
            went_at = Some(passed);
        }
        rig.pass(BEAT);
        passed += BEAT;
    }
    let went_at = went_at.expect("it goes");
    assert!((Duration::from_secs(90)..Duration::from_secs(95)).contains(&went_at), "{went_at:?}");

    // Unlisted everywhere: it stays where it is.
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let mut home = rig.logged_in(&seat);
    home.log_out("1001");
    for _ in 0..100 {
        home.beat(&mut rig);
        rig.good(&home.name);
        rig.pass(BEAT);
    }
    assert_eq!(at(&rig.back(&seat).unwrap()), at(&seat));
}

#[test]
fn r18_being_listed_keeps_a_session_alive_and_writes_it_down_rarely() {
    let mut rig = Rig::new(settings(2, 0));
    let seat = rig.start("1001").unwrap();
    let mut home = Server::new(at(&seat));
    home.log_in_by(&seat);
    let mut written = 0;
    let _ = rig.entries();
    for _ in 0..(36 * 60) {
        home.beat(&mut rig);
        rig.good(&home.name);
        rig.pass(Duration::from_mins(1));
        written += rig.seats().len();
    }
    assert_eq!(rig.found("1001").unwrap().session, seat.session(), "a day and a half without a start");
    assert!((11..=12).contains(&written), "once every three hours: {written}");
}

#[test]
fn r6_a_lower_generation_is_reset_at_once_and_repeats_with_one_id_until_it_is_done() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let mut old = rig.logged_in(&seat);
    let moved = rig.avoid(&seat);
    let first = old.beat(&mut rig).orders;
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].key.as_str(), &first[0].reason, first[0].first), ("1001", &ResetReason::Moved, true));
    assert_eq!(first[0].generation, Some(seat.generation()));
    for _ in 0..5 {
        rig.pass(BEAT);
        let again = old.beat(&mut rig).orders;
        assert_eq!((again.len(), again[0].id, again[0].first), (1, first[0].id, false));
        rig.good(&name(at(&moved)));
    }
    old.obey = true;
    old.done.push(first[0].id);
    assert_eq!(old.beat(&mut rig).orders, [], "done is done, even before the list shows it");
    old.log_out("1001");
    assert_eq!(old.beat(&mut rig).orders, []);
    let mut new = Server::new(at(&moved));
    new.log_in_by(&moved);
    assert_eq!(new.beat(&mut rig).orders, [], "never the seat of the last answered start");
}

#[test]
fn r6_without_a_generation_it_waits_a_minute() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let mut old = Server::new(at(&seat));
    old.log_in("1001", None);
    old.beat(&mut rig);
    let moved = rig.avoid(&seat);
    let mut passed = Duration::ZERO;
    while old.beat(&mut rig).orders.is_empty() {
        rig.pass(BEAT);
        passed += BEAT;
        rig.good(&name(at(&moved)));
        assert!(passed < Duration::from_mins(2), "it comes");
    }
    assert_eq!(passed, Duration::from_secs(60));
}

#[test]
fn r6_nobody_is_reset_for_a_server_that_could_not_have_it() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let mut old = rig.logged_in(&seat);
    let moved = rig.avoid(&seat);
    rig.kill(at(&moved));
    assert_eq!(old.beat(&mut rig).orders, [], "the other one is down");
    rig.revive(at(&moved));
    assert_eq!(old.beat(&mut rig).orders.len(), 1);
}

#[test]
fn r6_what_was_ended_is_reset_and_a_new_login_of_the_same_key_is_not() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let mut home = rig.logged_in(&seat);
    rig.pass(BEAT);
    rig.end(&seat);
    let due = |rig: &mut Rig, home: &mut Server| {
        (0..40).any(|_| {
            rig.pass(BEAT);
            rig.good(&home.name);
            !home.beat(rig).orders.is_empty()
        })
    };
    assert!(due(&mut rig, &mut home));
    // The server lets it go; the agent comes back to it by a bookmark, past the directors.
    home.log_out("1001");
    home.beat(&mut rig);
    home.log_in("1001", None);
    assert!(!due(&mut rig, &mut home), "nobody ended that one");
}

#[test]
fn an_end_by_the_server_itself_needs_no_reset() {
    let mut rig = Rig::new(settings(3, 0));
    Server::all(3).iter_mut().for_each(|server| drop(server.beat(&mut rig)));
    let seat = rig.start("1001").unwrap();
    let mut home = rig.logged_in(&seat);
    let end = End::Server { server: home.name.clone(), incarnation: home.tag(), generation: seat.generation() };
    let tomb = rig.director.end(&pool(), &seat.entry.key, None, &end, rig.now).unwrap();
    assert_eq!(tomb.life, Life::Ended(EndReason::Server));
    home.log_out("1001");
    assert_eq!(home.beat(&mut rig).orders, []);
}
