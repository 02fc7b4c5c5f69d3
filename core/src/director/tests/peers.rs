//! What directors tell each other, and what comes of it.

use std::time::Duration;

use super::house::{House, of};
use super::rig::*;
use crate::clock::{Now, Stamp, Time};

use crate::director::{Director, End, ServerWord};
use crate::entry::{EndReason, Entry, OperatorWord, ServerOrder};
use crate::event::{Effect, Event};
use crate::health::{Failure, FailureKind, Input, Look, Outcome};
use crate::replication::{Violation, WINDOW_BYTES, WINDOW_MESSAGES};
use crate::seating::{Affinity, Refusal};
use crate::wire::{BUCKETS, Hello, Lane, Message, VERSION, VERSION_MIN};

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];

#[test]
fn a_session_that_one_director_placed_is_kept_by_all_and_an_end_ends_it_everywhere() {
    let mut house = House::new(&ALL, &settings(3, 2));
    house.join_all();
    house.carry();
    let seat = house.at("east-1").start("k").unwrap();
    house.carry();
    for who in ALL {
        let again = house.at(who).start("k").unwrap();
        assert_eq!((at(&again), again.affinity, again.session()), (at(&seat), Affinity::Kept, seat.session()), "{who}");
    }
    let rig = house.at("west-2");
    let end = End::Session { session: seat.session(), generation: seat.generation(), reason: EndReason::Client };
    rig.director.end(&pool(), &name_key("k"), None, &end, rig.now).unwrap();
    house.carry();
    for who in ALL {
        assert!(house.at(who).back(&seat).is_ok_and(|again| again.session() != seat.session()), "{who}");
        house.carry();
    }
    house.assert_one_table();
}

#[test]
fn nobody_is_told_what_it_has() {
    let mut house = House::new(&ALL, &settings(3, 2));
    house.join_all();
    house.pass(Duration::from_secs(3));
    house.records_sent();
    for key in 0..100 {
        house.at("east-1").start(&format!("k{key}")).unwrap();
    }
    house.pass(Duration::from_secs(5));
    assert_eq!(house.records_sent(), 300, "each change once to each of three");
    house.pass(Duration::from_secs(200));
    assert_eq!(house.records_sent(), 0, "QUIET: comparisons of equal tables send nothing");
    house.assert_one_table();
}

#[test]
fn a_third_bridges_a_cut() {
    let mut house = House::new(&ALL[..3], &settings(3, 2));
    house.join("east-1", "east-2");
    house.join("east-2", "west-1");
    house.carry();
    let seat = house.at("east-1").start("k").unwrap();
    house.carry();
    assert_eq!(at(&house.at("west-1").start("k").unwrap()), at(&seat));
    // A cut in a full mesh is bridged after a ping and a half.
    house.join("east-1", "west-1");
    house.pass(Duration::from_secs(3));
    house.cut("east-1", "west-1");
    let seat = house.at("east-1").start("other").unwrap();
    house.pass(Duration::from_secs(3));
    assert_eq!(house.at("west-1").start("other").unwrap().session(), seat.session());
    house.pass(Duration::from_secs(3));
    house.assert_one_table();
}

#[test]
fn a_fresh_director_gets_everything_and_is_cold_until_then() {
    let mut house = House::new(&ALL[..3], &settings(3, 2));
    house.join_all();
    house.carry();
    for key in 0..3000 {
        house.at("east-1").start(&format!("k{key}")).unwrap();
    }
    house.pass(Duration::from_secs(10));
    house.records_sent();
    house.replace("west-1");
    let rig = house.at("west-1");
    assert!(!rig.director.is_warm(rig.now));
    house.carry();
    let rig = house.at("west-1");
    assert!(rig.director.is_warm(rig.now));
    house.assert_one_table();
    assert!(house.records_sent() <= 2 * 3000, "from each of two, and nothing is handed on");
    house.pass(Duration::from_secs(5));
    assert_eq!(house.records_sent(), 0, "not handed on afterwards either");
}

#[test]
fn an_empty_director_is_sent_everything_without_a_comparison() {
    let mut house = House::new(&ALL[..2], &with(settings(3, 2), |pool| pool.capacity = 100_000));
    house.join_all();
    house.carry();
    // So many that their digests are not drawn at once.
    let sessions = 10_000;
    for key in 0..sessions {
        house.at("east-1").start(&format!("k{key}")).unwrap();
    }
    house.pass(Duration::from_secs(10));
    house.replace("east-2");
    house.records_sent();
    let seat = house.at("east-2").start("new").unwrap();
    house.carry();
    let digests = |log: &[(String, String, Message)]| {
        log.iter().filter(|(from, _, message)| from == "east-1" && matches!(message, Message::Digests { .. })).count()
    };
    assert_eq!(digests(&house.log), 0);
    assert_eq!(house.records_sent(), sessions + 1, "and what was seated before there was a link comes back");
    let rig = house.at("east-1");
    assert_eq!(rig.start("new").unwrap().session(), seat.session());
    // As many as 10,000 keys fall into.
    let divergent = rig.director.peers(rig.now)[0].divergent_buckets;
    assert!((BUCKETS as u32 * 7 / 8..=BUCKETS as u32).contains(&divergent), "{divergent}");
    house.assert_one_table();
    house.pass(Duration::from_secs(150));
    assert!(digests(&house.log) >= 2, "the usual ones");
    assert_eq!(house.records_sent(), 0, "and they find nothing");
}

#[test]
fn what_is_too_young_to_be_compared_is_on_its_way_and_not_lacking() {
    let mut house = House::new(&ALL[..2], &with(settings(3, 2), |pool| pool.capacity = 100_000));
    house.join_all();
    (0..10_000).for_each(|key| drop(house.at("east-1").start(&format!("k{key}")).unwrap()));
    house.pass(Duration::from_secs(1));
    house.replace("east-2");
    house.carry();
    house.assert_one_table();
    let rig = house.at("east-1");
    assert_eq!(rig.director.peers(rig.now)[0].divergent_buckets, 0);
}

#[test]
fn a_link_that_comes_back_goes_on_where_it_was() {
    let mut house = House::new(&ALL[..2], &settings(3, 2));
    house.join_all();
    for key in 0..500 {
        house.at("east-1").start(&format!("k{key}")).unwrap();
    }
    house.pass(Duration::from_secs(10));
    house.cut("east-1", "east-2");
    for key in 500..520 {
        house.at("east-1").start(&format!("k{key}")).unwrap();
        house.at("east-2").start(&format!("other{key}")).unwrap();
    }
    house.records_sent();
    house.join("east-1", "east-2");
    house.carry();
    assert!(!house.log.iter().any(|(_, _, message)| matches!(message, Message::Digests { .. })));
    assert_eq!(house.records_sent(), 40);
    house.assert_one_table();
}

#[test]
fn what_was_seated_twice_during_a_cut_ends_in_one_place_everywhere() {
    let mut house = House::new(&ALL, &settings(3, 2));
    house.carry();
    let early = house.at("east-1").start("k").unwrap();
    house.at("west-1").pass(Duration::from_secs(1));
    let late = house.at("west-1").start("k").unwrap();
    assert_ne!(early.session(), late.session());
    house.join_all();
    house.pass(Duration::from_secs(3));
    for who in ALL {
        assert_eq!(house.at(who).start("k").unwrap().session(), late.session(), "{who}: the last answered start wins");
    }
    house.pass(Duration::from_secs(3));
    house.assert_one_table();
}

#[test]
fn a_stuck_peer_costs_a_window_and_delays_no_word() {
    let mut house = House::new(&ALL[..2], &with(settings(3, 2), |pool| pool.capacity = 100_000));
    house.join_all();
    house.carry();
    for key in 0..60_000 {
        house.at("east-1").start(&format!("a key of some length, number {key}")).unwrap();
    }
    let rig = house.at("east-1");
    let (mut data, mut bytes, mut words) = (0, 0, 0);
    for _ in 0..20 {
        rig.pass(Duration::from_secs(1));
        while let Some(message) = rig.director.next_message(&name("east-2"), rig.now) {
            match message.lane() {
                Lane::Words => words += 1,
                Lane::Data => {
                    data += 1;
                    bytes += message.weight();
                }
            }
        }
    }
    assert!(data <= WINDOW_MESSAGES && bytes <= WINDOW_BYTES + 2 * crate::wire::DATA_BYTES_MAX, "{data}, {bytes}");
    assert!(words >= 40, "pings, votes and roles go on: {words}");
    assert!(rig.director.peers(rig.now)[0].lag >= Duration::from_secs(19));
}

#[test]
fn orders_hold_at_every_director_and_outlive_the_one_that_took_them() {
    let mut house = House::new(&ALL, &settings(3, 2));
    house.join_all();
    house.carry();
    house.at("east-1").order("ua1", OperatorWord::Maint);
    let rig = house.at("west-2");
    rig.director.handle_role_order(&pool(), Some(name("west")), rig.now).unwrap();
    house.pass(Duration::from_secs(1));
    house.replace("east-1");
    house.carry();
    for who in ALL {
        let view = house.at(who).director.view();
        assert!(!view.server(&name("ua1")).unwrap().1.standing.is_usable(), "{who}");
        let role = house.rigs[who].director.view().pool(&pool()).unwrap().role().clone();
        assert_eq!(role.active, name("west"), "{who}: {role:?}");
    }
    // The later word wins, whoever gave it.
    house.pass(Duration::from_secs(1));
    house.at("west-1").order("ua1", OperatorWord::Ready);
    house.carry();
    for who in ALL {
        assert!(house.at(who).director.view().server(&name("ua1")).unwrap().1.standing.is_usable(), "{who}");
    }
    let journal = house.at("east-2").entries();
    assert!(
        journal.iter().any(|entry| matches!(entry, Entry::ServerOrder(order) if order.word == OperatorWord::Ready))
    );
}

#[test]
fn one_directors_broken_path_changes_no_verdict() {
    let mut house = House::new(&ALL, &settings(3, 2));
    house.join_all();
    house.pass(Duration::from_secs(5));
    let silence = Failure { kind: FailureKind::Timeout, check: None, detail: String::new() };
    let look = Look { took: Duration::from_secs(1), outcome: Outcome::Bad(silence) };
    for _ in 0..10 {
        let rig = house.at("east-1");
        rig.director.handle_look(&name("ua1"), &look, rig.now);
        house.carry();
    }
    for who in ALL {
        assert!(house.at(who).director.view().server(&name("ua1")).unwrap().1.standing.is_usable(), "{who}");
    }
}

#[test]
fn a_word_that_seemed_to_hold_already_wins_over_an_earlier_one_elsewhere() {
    let mut house = House::new(&ALL[..2], &settings(3, 2));
    house.join_all();
    house.pass(Duration::from_secs(1));
    house.cut("east-1", "east-2");
    house.at("east-1").order("ua1", OperatorWord::Maint);
    house.pass(Duration::from_secs(1));
    // East-2 has not heard of the order: to it this word is no change.
    let rig = house.at("east-2");
    let ordered =
        rig.director.handle_server_order(&name("ua1"), &ServerWord::new(OperatorWord::Ready), rig.now).unwrap();
    assert!(!ordered.changed);
    house.join_all();
    house.pass(Duration::from_secs(2));
    for who in &ALL[..2] {
        let rig = house.at(who);
        let word = rig.director.server_health(&name("ua1")).unwrap().operator_word(rig.now.time);
        assert_eq!(word, OperatorWord::Ready, "{who}");
    }
    let superseded = |who: &str| {
        let director = &house.rigs[who].director;
        std::iter::from_fn(|| director.next_effect())
            .filter(|effect| matches!(effect, Effect::Publish(Event::OrderSuperseded { lost, .. }) if lost == "maint"))
            .count()
    };
    assert_eq!(superseded("east-2"), 1, "two orders were given apart");
    assert_eq!(superseded("east-1"), 0);
}

#[test]
fn a_vote_that_goes_round_grows_old_all_the_same() {
    let mut house = House::new(&ALL, &settings(3, 2));
    house.join_all();
    house.pass(Duration::from_secs(5));
    for other in &ALL[1..] {
        house.cut("east-1", other);
    }
    // East-2 no longer looks; the others hand east-1's last word round and round.
    for _ in 0..600 {
        for who in &ALL[1..] {
            house.at(who).pass(Duration::from_millis(100));
        }
        house.carry();
    }
    let health = house.at("west-1").director.server_health(&name("ua1")).unwrap();
    assert!(!health.verdict().is_confirmed(), "{:?}", health.verdict());
}

#[test]
fn a_cold_director_asks_for_a_key_that_it_does_not_know() {
    let mut house = House::new(&ALL[..2], &settings(3, 2));
    let seat = house.at("east-1").start("k").unwrap();
    house.pass(Duration::from_secs(1));
    house.join_all();
    // Only the greetings so far.
    let (one, two) = (name("east-1"), name("east-2"));
    let now = house.at("east-1").now;
    let hello = house.rigs["east-1"].director.next_message(&two, now).unwrap();
    house.rigs["east-2"].director.handle_message(&one, hello, now).unwrap();
    let hello = house.rigs["east-2"].director.next_message(&one, now).unwrap();
    house.rigs["east-1"].director.handle_message(&two, hello, now).unwrap();
    let rig = house.at("east-2");
    assert!(!rig.director.is_warm(now) && rig.director.seated(&pool(), Some(&name_key("k")), None, now).is_none());
    let question = rig.director.ask_peers(&pool(), &name_key("k"), None, now).unwrap();
    assert!(!rig.director.is_answered(&question, now));
    while !matches!(house.log.last(), Some((_, _, Message::Told { .. }))) {
        for (from, to) in [("east-2", "east-1"), ("east-1", "east-2")] {
            let Some(message) = house.rigs[from].director.next_message(&name(to), now) else { continue };
            house.log.push((from.to_owned(), to.to_owned(), message.clone()));
            house.rigs[to].director.handle_message(&name(from), message, now).unwrap();
        }
    }
    let rig = house.at("east-2");
    assert!(!rig.director.is_warm(now) && rig.director.is_answered(&question, now));
    assert_eq!(rig.director.ask_peers(&pool(), &name_key("k"), None, now), None, "it is known now");
    assert_eq!(rig.start("k").unwrap().session(), seat.session());
}

#[test]
fn nobody_waits_for_a_peer_that_is_gone_or_for_longer_than_a_director_is_cold() {
    let mut house = House::new(&ALL[..2], &settings(3, 2));
    house.join_all();
    let (one, two) = (name("east-1"), name("east-2"));
    let now = house.at("east-1").now;
    let asker = &house.rigs["east-1"].director;
    let hello = |from: &Director, to| from.next_message(to, now).unwrap();
    let greeting = hello(asker, &two);
    let other = &house.rigs["east-2"].director;
    other.handle_message(&one, greeting, now).unwrap();
    asker.handle_message(&two, hello(other, &one), now).unwrap();
    let ask = |key| asker.ask_peers(&pool(), &name_key(key), None, now).unwrap();
    let (question, again) = (ask("k"), ask("k"));
    assert_eq!(question, again);
    let warm = Now { mono: now.mono + Duration::from_secs(5), ..now };
    assert!(!asker.is_answered(&question, now) && asker.is_answered(&question, warm));
    let question = ask("other");
    assert!(!asker.is_answered(&question, now));
    asker.handle_link_down(&two);
    assert!(asker.is_answered(&question, now));
    assert_eq!(asker.ask_peers(&pool(), &name_key("k"), None, now), None, "there is nobody to ask");
}

#[test]
fn who_misbehaves_is_shown_the_door() {
    let house = House::new(&ALL[..2], &settings(3, 2));
    let rig = &house.rigs["east-1"];
    let (director, now, two) = (&rig.director, rig.now, name("east-2"));
    let hello = |who: &str, version_min, version| {
        let settings = of(who, &ALL, &rig.settings);
        let (name, datacenter) = (settings.director, settings.datacenter);
        Message::Hello(Hello { name, datacenter, run: 1, version_min, version, config: 0, have: Vec::new() })
    };
    assert_eq!(director.handle_link_up(&name("stranger"), now), Err(Violation::Unknown));
    let attempts = [
        (vec![Message::Synced(Default::default())], Violation::Turn),
        (vec![Message::Votes(Vec::new())], Violation::Turn),
        (vec![hello("west-1", VERSION_MIN, VERSION)], Violation::Name(name("west-1"))),
        (vec![hello("east-2", VERSION + 1, VERSION + 2)], Violation::Version(VERSION + 1, VERSION + 2)),
        (vec![hello("east-2", VERSION_MIN, VERSION); 2], Violation::Turn),
        (vec![hello("east-2", 0, u16::MAX), Message::Ack { messages: 1_000_000 }], Violation::Limit),
        (
            vec![hello("east-2", 0, VERSION), Message::Digests { routine: false, as_of: Time(1), buckets: vec![0; 7] }],
            Violation::Limit,
        ),
        (vec![hello("east-2", 0, VERSION), Message::Want { buckets: vec![255; 9999] }], Violation::Limit),
    ];
    for (messages, violation) in attempts {
        director.handle_link_up(&two, now).unwrap();
        while director.next_message(&two, now).is_some() {}
        let answers: Vec<_> = messages.into_iter().map(|it| director.handle_message(&two, it, now)).collect();
        assert_eq!(answers.last(), Some(&Err(violation)));
        director.handle_link_down(&two);
    }
}

#[test]
fn what_cannot_be_is_dropped_and_counted_never_clamped() {
    let mut house = House::new(&ALL[..2], &settings(3, 2));
    house.join_all();
    house.carry();
    let seat = house.at("east-2").start("k").unwrap();
    let now = house.at("east-1").now;
    let far = Stamp::at(now.time + Duration::from_hours(24 * 8));
    let poisoned = crate::entry::SeatEntry { stamp: far, ..seat.entry.clone() };
    let expired = crate::entry::SeatEntry { stamp: Stamp::at(Time(1)), seen: Time(1), ..seat.entry.clone() };
    let order = ServerOrder {
        server: name("ua1"),
        word: OperatorWord::Maint,
        reason: String::new(),
        deadline: None,
        stamp: far,
        writer: name("east-2"),
    };
    let director = &house.rigs["east-1"].director;
    let changes = [poisoned, expired].map(|seat| crate::wire::Change { origin: None, entry: Entry::Seat(seat) });
    let tail = Message::Changes { upto: Default::default(), changes: changes.to_vec() };
    director.handle_message(&name("east-2"), tail, now).unwrap();
    director.handle_message(&name("east-2"), Message::Orders(vec![Entry::ServerOrder(order)]), now).unwrap();
    let dropped = director.dropped_from_peers();
    assert_eq!((dropped.get("stamp_ahead"), dropped.get("expired")), (Some(&2), Some(&1)));
    assert_eq!(director.sessions(), 0);
    assert!(director.view().server(&name("ua1")).unwrap().1.standing.is_usable());
}

#[test]
fn after_a_failover_the_crowd_is_paced_by_all_directors_of_the_site_together() {
    let paced = with(settings(2, 2), |pool| pool.failover.relogin_rate = 10);
    let mut house = House::new(&ALL, &paced);
    house.join_all();
    house.pass(Duration::from_secs(5));
    let kept = house.at("west-1").start("kept").unwrap();
    assert_eq!(kept.server.datacenter, name("east"));
    for server in ["ua1", "ua2"] {
        ALL.iter().for_each(|who| house.at(who).kill(server));
    }
    house.pass(Duration::from_secs(20));
    let mut admitted = 0;
    for second in 0..10 {
        for who in ["west-1", "west-2"] {
            for number in 0..20 {
                match house.at(who).start(&format!("{who}-{second}-{number}")) {
                    Ok(seat) => {
                        assert_eq!(seat.server.datacenter, name("west"));
                        admitted += 1;
                    }
                    Err(Refusal::Paced { retry_after }) => assert!(!retry_after.is_zero()),
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        house.pass(Duration::from_secs(1));
    }
    assert!((90..=120).contains(&admitted), "10 a second for 10 seconds, and the first second's burst: {admitted}");
}

#[test]
fn nobody_is_refused_while_another_site_sees_a_server_that_serves() {
    let mut house = House::new(&["east-1", "west-1"], &settings(2, 1));
    house.join_all();
    house.pass(Duration::from_secs(2));
    let seat = house.at("west-1").start("k").unwrap();
    assert_eq!(seat.server.datacenter, name("east"));
    // East-1's way to both of its servers is broken; west-1 reaches them and sees them serve.
    ["ua1", "ua2"].iter().for_each(|server| house.at("east-1").kill(server));
    house.pass(Duration::from_secs(2));
    for who in ["east-1", "west-1"] {
        let view = house.at(who).director.view();
        assert_eq!(view.server(&name("ua1")).unwrap().1.standing.input, Input::Disputed, "{who}");
        assert_eq!(
            at(&house.at(who).start(&format!("new at {who}")).unwrap()),
            "ub1",
            "a server that is up comes first"
        );
    }
    assert_eq!(at(&house.at("west-1").start("k").unwrap()), "ub1");
    let other = house.at("west-1").start("other").unwrap();
    ["east-1", "west-1"].iter().for_each(|who| house.at(who).kill("ub1"));
    house.pass(Duration::from_secs(2));
    // Everything is down by the verdict, and there are two servers that somebody sees serve.
    let last = house.at("west-1").start("k").unwrap();
    assert!(at(&last).starts_with("ua") && last.affinity == Affinity::Moved, "{last:?}");
    house.carry();
    let again = house.at("east-1").start("k").unwrap();
    assert_eq!((at(&again), again.affinity), (at(&last), Affinity::Kept), "who has found the last resort stays there");
    let kept = house.at("west-1").start("other").unwrap();
    assert!(at(&kept).starts_with("ua") && at(&other) == "ub1");
    assert!(house.at("west-1").director.view().pool(&pool()).unwrap().can_seat());
    // An operator's word is above it.
    ["ua1", "ua2"].iter().for_each(|server| house.at("west-1").order(server, OperatorWord::Drain));
    house.pass(Duration::from_secs(1));
    assert!(matches!(house.at("west-1").start("nobody"), Err(Refusal::NoServer(_))));
}

#[test]
fn r11_a_site_whose_directors_fall_silent_is_looked_at_by_the_others_at_once_and_often_until_they_know() {
    let mut house = House::new(&["east-1", "west-1"], &settings(1, 1));
    house.join_all();
    house.pass(Duration::from_secs(2));
    let good = Look { took: Duration::from_millis(1), outcome: Outcome::Good(Default::default()) };
    let rig = house.at("west-1");
    let (health, now) = (rig.settings.pools[&pool()].health.clone(), rig.now);
    while rig.director.next_effect().is_some() {}
    let asked = |director: &Director| {
        std::iter::from_fn(|| director.next_effect()).filter(|it| *it == Effect::ProbeNow(name("ua1"))).count()
    };
    assert_eq!(rig.director.handle_look(&name("ua1"), &good, now), 5 * health.interval);
    house.cut("east-1", "west-1");
    let rig = house.at("west-1");
    rig.pass(Duration::from_secs(20));
    assert_eq!(asked(&rig.director), 1);
    let waits: Vec<_> = (0..5).map(|_| rig.director.handle_look(&name("ua1"), &good, rig.now)).collect();
    assert_eq!(waits, [health.fast, health.fast, health.interval, health.interval, health.interval]);
    rig.pass(Duration::from_secs(20));
    assert_eq!(asked(&rig.director), 0, "once");
    house.join_all();
    house.pass(Duration::from_secs(4));
    let rig = house.at("west-1");
    assert_eq!(rig.director.handle_look(&name("ua1"), &good, rig.now), 5 * health.interval);
}
