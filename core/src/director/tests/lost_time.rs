//! A director that was stopped notices that before it answers.

use std::time::Duration;

use super::house::House;
use super::rig::*;
use crate::director::LOST_MIN;
use crate::event::{Effect, Event};
use crate::health::{Failure, FailureKind, Input, Look, Outcome};
use crate::replication::Violation;
use crate::seating::Affinity;
use crate::wire::Message;

const STOPPED: Duration = Duration::from_secs(30);

fn lost(rig: &Rig) -> Vec<Duration> {
    let effects = std::iter::from_fn(|| rig.director.next_effect());
    effects
        .filter_map(|it| if let Effect::Publish(Event::TimeLost { lost }) = it { Some(lost) } else { None })
        .collect()
}

/// The east's first director is stopped; the others give it up and live on.
fn stopped() -> House {
    let mut house = House::new(&["east-1", "east-2"], &settings(3, 2));
    house.join_all();
    house.pass(Duration::from_secs(3));
    house
}

#[test]
fn the_first_question_after_it_finds_a_director_that_is_cold_and_asks() {
    let mut house = stopped();
    let rig = house.at("east-1");
    assert!(rig.director.is_warm(rig.now) && !rig.director.asks_peers(rig.now));
    rig.oversleep(STOPPED);
    // Nobody has called it yet, and it says already that it does not know.
    assert!(!rig.director.is_warm(rig.now));
    rig.director.wake(rig.now);
    assert!(!rig.director.is_warm(rig.now) && rig.director.asks_peers(rig.now));
    let question = rig.director.catch_up(rig.now).expect("it waits");
    assert_eq!(lost(rig), [STOPPED]);
    assert!(!rig.director.is_answered(&question, rig.now));
    // What it saw of the servers is too old to be said again.
    let view = rig.director.view();
    let inputs: Vec<Input> = view.pool(&pool()).unwrap().servers().iter().map(|it| it.standing.input).collect();
    assert!(inputs[..3].iter().all(|input| *input == Input::Unconfirmed), "{inputs:?}");
    // With nobody to be heard, it goes on after 5 s.
    rig.pass(Duration::from_secs(5));
    assert!(rig.director.is_answered(&question, rig.now) && rig.director.catch_up(rig.now).is_none());
    assert_eq!(lost(rig), [], "told once");
}

#[test]
fn what_was_said_meanwhile_is_not_taken_and_a_new_link_brings_what_happened() {
    let mut house = stopped();
    let seat = house.at("east-1").start("k").unwrap();
    house.carry();
    // The other one's words lie in the buffers of the link when it is stopped.
    let other = house.at("east-2");
    other.pass(Duration::from_secs(2));
    let word = other.director.next_message(&name("east-1"), other.now).expect("it goes on talking");
    assert!(!matches!(word, Message::Hello(_)));
    other.director.handle_link_down(&name("east-1"));
    let away = ["ua1", "ua2", "ua3"].into_iter().find(|server| *server != at(&seat)).unwrap();
    other.director.reseat(&pool(), &name_key("k"), None, &name(away), other.now).unwrap();
    other.pass(STOPPED);
    let rig = house.at("east-1");
    rig.oversleep(STOPPED + Duration::from_secs(2));
    assert_eq!(rig.director.handle_message(&name("east-2"), word, rig.now), Err(Violation::Past));
    assert!(rig.director.catch_up(rig.now).is_some(), "a link that stood does not make it warm");
    house.cut("east-1", "east-2");
    house.join("east-1", "east-2");
    house.carry();
    let rig = house.at("east-1");
    assert!(rig.director.is_warm(rig.now) && rig.director.catch_up(rig.now).is_none());
    let again = rig.start("k").unwrap();
    assert_eq!((at(&again), again.affinity, again.generation().get()), (away, Affinity::Kept, 2));
}

#[test]
fn a_link_that_comes_up_first_is_not_taken_for_one_that_stood() {
    let mut house = stopped();
    for who in ["east-1", "east-2"] {
        house.at(who).oversleep(STOPPED);
    }
    house.cut("east-1", "east-2");
    house.join("east-1", "east-2");
    house.carry();
    for who in ["east-1", "east-2"] {
        let rig = house.at(who);
        assert!(rig.director.is_warm(rig.now), "{who}");
        assert_eq!(lost(rig), [STOPPED], "{who}");
    }
}

#[test]
fn a_tick_that_is_only_late_changes_nothing() {
    let mut house = stopped();
    let rig = house.at("east-1");
    rig.oversleep(LOST_MIN - Duration::from_millis(1));
    rig.director.wake(rig.now);
    assert!(rig.director.is_warm(rig.now) && rig.director.catch_up(rig.now).is_none());
    rig.director.handle_timeout(rig.now);
    assert!(rig.director.is_warm(rig.now));
    assert_eq!(lost(rig), []);
}

#[test]
fn questions_are_a_sign_of_life_when_ticks_are_late() {
    let mut house = stopped();
    let rig = house.at("east-1");
    for _ in 0..8 {
        rig.oversleep(LOST_MIN / 2);
        rig.director.wake(rig.now);
        assert!(rig.director.is_warm(rig.now) && rig.director.catch_up(rig.now).is_none());
    }
    assert_eq!(lost(rig), []);
}

#[test]
fn who_has_no_peers_has_nobody_to_wait_for() {
    let mut rig = Rig::new(settings(3, 2));
    let seat = rig.start("k").unwrap();
    rig.oversleep(STOPPED);
    assert!(rig.director.is_warm(rig.now));
    rig.director.wake(rig.now);
    assert!(rig.director.is_warm(rig.now) && rig.director.catch_up(rig.now).is_none());
    assert_eq!(lost(&rig), [STOPPED]);
    assert_eq!(at(&rig.start("k").unwrap()), at(&seat));
}

#[test]
fn a_down_of_before_is_not_made_young_by_a_good_look_and_no_failover_is_due() {
    let mut house = House::new(&["east-1", "west-1"], &settings(2, 2));
    house.join_all();
    house.pass(Duration::from_secs(3));
    // The west is cut off from the east for a moment, and stopped in it.
    house.cut("east-1", "west-1");
    let rig = house.at("west-1");
    let silence = Look {
        took: Duration::from_secs(1),
        outcome: Outcome::Bad(Failure { kind: FailureKind::Timeout, check: None, detail: String::new() }),
    };
    for _ in 0..FALL {
        for server in ["ua1", "ua2"] {
            rig.director.handle_look(&name(server), &silence, rig.now);
        }
    }
    let active = |rig: &Rig| rig.director.view().pool(&pool()).unwrap().role().active.to_string();
    rig.pass(Duration::from_secs(8));
    assert_eq!(active(rig), "east");
    rig.oversleep(Duration::from_secs(120));
    rig.director.wake(rig.now);
    assert_eq!(active(rig), "east", "nobody looked for two minutes");
    let input = |rig: &Rig| rig.director.view().server(&name("ua1")).unwrap().1.standing.input;
    assert_ne!(input(rig), Input::Down);
    rig.good(&name("ua1"));
    assert_eq!(input(rig), Input::Up, "the first look counts");
}

#[test]
fn a_look_that_was_under_way_blames_nobody_and_praises_whoever_answered() {
    let only = with(settings(1, 1), |pool| pool.health.fall = 1);
    let mut rig = Rig::new(only);
    let silence = |took| {
        let failure = Failure { kind: FailureKind::Timeout, check: None, detail: String::new() };
        Look { took, outcome: Outcome::Bad(failure) }
    };
    rig.oversleep(STOPPED);
    rig.director.handle_look(&name("ua1"), &silence(STOPPED), rig.now);
    let input = |rig: &Rig| rig.director.view().server(&name("ua1")).unwrap().1.standing.input;
    assert_eq!(input(&rig), Input::Unconfirmed);
    rig.good(&name("ua1"));
    assert_eq!(input(&rig), Input::Up);
    rig.pass(Duration::from_secs(2));
    rig.director.handle_look(&name("ua1"), &silence(Duration::from_secs(1)), rig.now);
    assert_ne!(input(&rig), Input::Up, "a look of its own time counts");
}
