//! What happened to sessions, as every director tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::house::House;
use super::rig::*;
use crate::director::{Director, End};
use crate::entry::EndReason;
use crate::event::{Effect, Event, SessionEvent};

const TWO: [&str; 2] = ["east-1", "east-2"];

fn told(rig: &Rig) -> Vec<SessionEvent> {
    let mut events = Vec::new();
    assert_eq!(rig.director.drain_session_events(rig.now, &mut |event| events.push(event)), 0, "nothing was lost");
    events
}

fn words(events: &[SessionEvent]) -> Vec<(&str, &str, u32)> {
    events.iter().map(|event| (event.as_str(), event.reason(), event.generation.get())).collect()
}

fn house() -> House {
    let mut house = House::new(&TWO, &settings(2, 0));
    house.join_all();
    house.pass(Duration::from_secs(1));
    house.rigs.values().for_each(|rig| rig.director.tell_sessions(100));
    house
}

fn end(director: &Director, seat: &crate::seating::Seat, now: crate::clock::Now) {
    let named = End::Session { session: seat.session(), generation: seat.generation(), reason: EndReason::Client };
    director.end(&pool(), &seat.entry.key, None, &named, now).unwrap();
}

#[test]
fn every_director_tells_the_same_and_each_generation_begins_and_ends_once() {
    let mut house = house();
    let seat = house.at("east-1").start("k").unwrap();
    house.carry();
    for _ in 0..3 {
        house.pass(Duration::from_secs(70));
        house.at("east-2").start("k").unwrap();
    }
    house.carry();
    let server = at(&seat).to_owned();
    TWO.iter().for_each(|who| house.at(who).kill(&server));
    house.carry();
    let moved = house.at("east-2").start("k").unwrap();
    house.carry();
    let rig = house.at("east-1");
    end(&rig.director, &moved, rig.now);
    house.carry();
    let [one, other] = TWO.map(|who| told(&house.rigs[who]));
    let expected = [("placed", "", 1), ("ended", "moved", 1), ("moved", "", 2), ("ended", "client", 2)];
    assert_eq!(words(&one), expected);
    assert_eq!(words(&other), expected);
    let identities = |events: &[SessionEvent]| events.iter().map(|event| event.identity).collect::<Vec<_>>();
    assert_eq!(identities(&one), identities(&other));
    let mut once = identities(&one);
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), expected.len());
}

#[test]
fn a_double_seat_is_told_once_and_one_of_both_is_over() {
    let mut house = house();
    house.cut("east-1", "east-2");
    house.at("east-1").start("k").unwrap();
    house.pass(Duration::from_secs(1));
    house.at("east-2").order("ua1", crate::entry::OperatorWord::Drain);
    house.at("east-2").start("k").unwrap();
    house.join_all();
    house.pass(Duration::from_secs(2));
    let mut counts: BTreeMap<(u128, &str), usize> = BTreeMap::new();
    let events = TWO.map(|who| told(&house.rigs[who]));
    for event in events.iter().flatten() {
        *counts.entry((event.identity, event.reason())).or_default() += 1;
    }
    let doubles: Vec<_> = counts.iter().filter(|((_, reason), _)| *reason == "double_seat").collect();
    assert_eq!(doubles.len(), 1, "{events:?}");
}

#[test]
fn nobody_who_does_not_drain_fills_the_memory_and_what_is_lost_is_counted() {
    let mut rig = Rig::new(settings(2, 0));
    rig.director.tell_sessions(3);
    for key in 0..40 {
        rig.start(&format!("k{key}")).unwrap();
    }
    let mut kept = 0;
    let lost = rig.director.drain_session_events(rig.now, &mut |_| kept += 1);
    assert!(kept <= 4 * 3 && lost + kept == 40, "{kept} kept, {lost} lost");
    rig.director.tell_sessions(0);
    rig.start("one more").unwrap();
    assert_eq!(told(&rig), []);
}

#[test]
fn a_crowd_that_logs_out_and_a_server_that_falls_are_one_incident_each() {
    let mut rig = Rig::new(settings(2, 0));
    rig.director.tell_sessions(1000);
    let seats: Vec<_> = (0..100).map(|key| rig.start(&format!("k{key}")).unwrap()).collect();
    told(&rig);
    let incidents = |rig: &Rig| {
        std::iter::from_fn(|| rig.director.next_effect())
            .filter_map(|effect| match effect {
                Effect::Publish(Event::MassLogout { incident, .. }) => {
                    Some((incident.count, incident.of, incident.panic))
                }
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    for seat in &seats[..30] {
        end(&rig.director, seat, rig.now);
    }
    told(&rig);
    assert_eq!(incidents(&rig), [], "it is told when its window is over");
    rig.pass(Duration::from_mins(2));
    assert_eq!(incidents(&rig), [(30, 100, false)]);
    rig.pass(Duration::from_mins(2));
    assert_eq!(incidents(&rig), []);
    let fallen = u64::from(rig.load("ua1"));
    rig.kill("ua1");
    rig.kill("ua2");
    let told = incidents(&rig);
    assert!(matches!(told[..], [(count, 70, true)] if count >= fallen && count >= 35), "{told:?}");
}
