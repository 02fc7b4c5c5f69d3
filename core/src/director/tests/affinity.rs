//! A session that has a usable server goes back to it.

use std::time::Duration;

use super::rig::*;
use crate::director::{Deadline, End, EndRefusal, ServerWord, SessionState};
use crate::entry::{EndReason, Entry, Life, OperatorWord};
use crate::ids::Generation;
use crate::seating::{Affinity, AvoidRefusal, Refusal, RequestKey};

#[test]
fn the_same_key_comes_back_to_the_same_server() {
    let mut rig = Rig::new(settings(5, 0));
    let first = rig.start("1001").unwrap();
    assert_eq!((first.affinity, first.generation(), first.owner), (Affinity::Placed, Generation::FIRST, true));
    let again = rig.back(&first).unwrap();
    assert_eq!((again.affinity, at(&again), again.owner), (Affinity::Kept, at(&first), true));
    assert_eq!(again.session(), first.session());
}

#[test]
fn a_stranger_gets_the_server_and_nothing_else() {
    let mut rig = Rig::new(settings(5, 0));
    let owner = rig.start("1001").unwrap();
    let stranger = rig.start("1001").unwrap();
    assert_eq!(at(&stranger), at(&owner));
    assert!(!stranger.owner);
    let avoids = rig.ask(RequestKey::Given(name_key("1001")), Some(shown(&stranger)), Some(at(&owner)), &[]);
    assert_eq!(avoids, Err(Refusal::AvoidRefused(AvoidRefusal::NotOwner)));
}

#[test]
fn the_cookie_alone_is_enough_for_a_director_that_has_lost_everything() {
    let mut rig = Rig::new(settings(5, 0));
    let seats: Vec<_> = (0..50).map(|key| rig.start(&format!("agent-{key}")).unwrap()).collect();
    let mut fresh = Rig::unseen(settings(5, 0));
    for seat in &seats {
        let back = fresh.back(seat).unwrap();
        assert_eq!((back.affinity, at(&back), back.session()), (Affinity::Kept, at(seat), seat.session()));
    }
}

#[test]
fn a_cookie_counts_only_for_its_own_key_and_pool() {
    let mut rig = Rig::new(settings(5, 0));
    let other = rig.start("other").unwrap();
    let mut fresh = Rig::new(settings(5, 0));
    let seat = fresh.ask(RequestKey::Given(name_key("1001")), Some(shown(&other)), None, &[]).unwrap();
    assert_eq!(seat.affinity, Affinity::Placed);
    assert_eq!(fresh.seats().len(), 1, "the foreign seat is not stored");
}

#[test]
fn a_dead_servers_session_moves_once_and_stays_where_it_went() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let dead = at(&seat).to_owned();
    rig.kill(&dead);
    let moved = rig.back(&seat).unwrap();
    assert_eq!(moved.affinity, Affinity::Moved);
    assert_ne!(at(&moved), dead);
    assert_eq!((moved.session(), moved.generation()), (seat.session(), Generation::FIRST.next()));
    assert!(moved.owner);
    rig.revive(&dead);
    let stays = rig.back(&moved).unwrap();
    assert_eq!((stays.affinity, at(&stays)), (Affinity::Kept, at(&moved)), "who has moved is not moved back");
    let stale = rig.back(&seat).unwrap();
    assert_eq!(at(&stale), at(&moved), "an older cookie loses to the later start");
}

#[test]
fn a_verdict_alone_moves_nobody() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let _ = rig.entries();
    rig.kill(at(&seat));
    rig.pass(Duration::from_secs(60));
    assert!(rig.seats().is_empty(), "no record is written for a verdict (R3)");
    let found = rig.director.find(&pool(), &name_key("1001"), None, rig.now).unwrap();
    assert_eq!(SessionState::of(&found, &rig.director.view()), SessionState::Orphaned);
    rig.revive(at(&seat));
    assert_eq!(SessionState::of(&found, &rig.director.view()), SessionState::Seated);
    assert_eq!(rig.back(&seat).unwrap().affinity, Affinity::Kept);
}

#[test]
fn drain_keeps_those_who_sit_there_and_takes_nobody_new() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let drained = at(&seat).to_owned();
    rig.order(&drained, OperatorWord::Drain);
    assert_eq!(at(&rig.back(&seat).unwrap()), drained);
    for key in 0..200 {
        assert_ne!(at(&rig.start(&format!("new-{key}")).unwrap()), drained);
    }
    rig.order(&drained, OperatorWord::Maint);
    let moved = rig.back(&seat).unwrap();
    assert_eq!(moved.affinity, Affinity::Moved, "maint honours no session");
    rig.order(&drained, OperatorWord::Ready);
    assert_eq!(at(&rig.back(&moved).unwrap()), at(&moved));
}

#[test]
fn repeating_an_order_changes_nothing_and_says_so() {
    let rig = Rig::new(settings(3, 0));
    let order = |word, now| {
        rig.director.handle_server_order(&name("ua1"), &ServerWord::new(word).because("patch"), now).unwrap()
    };
    let first = order(OperatorWord::Drain, rig.now);
    assert_eq!((first.before, first.after, first.changed), (OperatorWord::Ready, OperatorWord::Drain, true));
    assert_eq!(rig.entries().len(), 1 + 3, "the order, and the three first verdicts");
    let again = order(OperatorWord::Drain, rig.now);
    assert_eq!((again.before, again.changed), (OperatorWord::Drain, false));
    let written = rig.entries();
    assert!(
        matches!(&written[..], [Entry::ServerOrder(order)] if order.word == OperatorWord::Drain),
        "its register is renewed, so that it also holds against an earlier order elsewhere: {written:?}"
    );
}

#[test]
fn what_a_repeated_order_leaves_out_stays_as_it_was_said() {
    let rig = Rig::new(settings(3, 0));
    let (until, later) = (rig.now.time + Duration::from_mins(5), rig.now.time + Duration::from_mins(9));
    let order = |said: ServerWord| {
        let told = rig.director.preview_server_order(&name("ua1"), &said, rig.now).unwrap();
        let changed = rig.director.handle_server_order(&name("ua1"), &said, rig.now).unwrap().changed;
        assert_eq!(told.changed, changed, "the preview says the same");
        let health = rig.director.server_health(&name("ua1")).unwrap();
        let holds = health.operator().unwrap();
        assert_eq!((&told.reason, told.deadline), (&holds.reason, holds.deadline));
        (changed, holds.reason.clone(), holds.deadline)
    };
    let drain = || ServerWord::new(OperatorWord::Drain);
    let kept = |changed| (changed, "patch".to_owned(), Some(until));
    assert_eq!(order(drain().because("patch").until(until)), kept(true));
    assert_eq!(order(drain()), kept(false));
    assert_eq!(order(drain().because("patch")), kept(false));
    assert_eq!(order(drain().until(later)), (true, "patch".to_owned(), Some(later)));
    assert_eq!(order(ServerWord { deadline: Deadline::Open, ..drain() }), (true, "patch".to_owned(), None));
    assert_eq!(order(drain().because("")), (true, String::new(), None));
    assert_eq!(order(ServerWord::new(OperatorWord::Ready)), (true, String::new(), None));
    assert!(!order(ServerWord::new(OperatorWord::Ready)).0);
    order(drain().because("patch"));
    assert_eq!(order(ServerWord::new(OperatorWord::Maint)), (true, String::new(), None), "another word is a new one");
}

#[test]
fn an_orders_deadline_makes_it_ready_again() {
    let mut rig = Rig::new(settings(2, 0));
    let drain = ServerWord::new(OperatorWord::Drain).until(rig.now.time + Duration::from_mins(5));
    rig.director.handle_server_order(&name("ua1"), &drain, rig.now).unwrap();
    rig.pass(Duration::from_mins(4));
    assert!(!rig.director.view().server(&name("ua1")).unwrap().1.standing.is_placeable());
    rig.pass(Duration::from_mins(2));
    rig.good(&name("ua1"));
    assert!(rig.director.view().server(&name("ua1")).unwrap().1.standing.is_placeable());
}

#[test]
fn a_minted_key_is_not_stored_until_it_is_seen_again() {
    let mut rig = Rig::new(settings(3, 0));
    let seats: Vec<_> = (0..100).map(|_| rig.mint().unwrap()).collect();
    assert_eq!(rig.director.sessions(), 0);
    let counted: u32 = ["ua1", "ua2", "ua3"].iter().map(|server| rig.load(server)).sum();
    assert_eq!(counted, 100, "but it counts as load");
    let first = &seats[0];
    let back = rig.ask(RequestKey::Shown(first.entry.key.clone()), Some(shown(first)), None, &[]).unwrap();
    assert_eq!((back.affinity, at(&back)), (Affinity::Kept, at(first)));
    assert_eq!(rig.director.sessions(), 1);
    let counted: u32 = ["ua1", "ua2", "ua3"].iter().map(|server| rig.load(server)).sum();
    assert_eq!(counted, 100, "once, not twice");
    rig.pass(Duration::from_mins(12));
    let counted: u32 = ["ua1", "ua2", "ua3"].iter().map(|server| rig.load(server)).sum();
    assert_eq!(counted, 1, "ghosts are forgotten");
}

#[test]
fn a_day_of_balancers_checks_leaves_nothing() {
    let mut rig = Rig::new(settings(3, 0));
    for _ in 0..(24 * 3600 / 5) {
        rig.mint().unwrap();
        rig.pass(Duration::from_secs(5));
        for server in rig.servers() {
            rig.good(&server);
        }
    }
    assert_eq!(rig.director.sessions(), 0);
    rig.pass(Duration::from_mins(12));
    assert_eq!(["ua1", "ua2", "ua3"].map(|server| rig.load(server)), [0, 0, 0]);
}

#[test]
fn looking_creates_nothing() {
    let mut rig = Rig::new(settings(3, 0));
    assert_eq!(rig.director.seated(&pool(), Some(&name_key("1001")), None, rig.now), None);
    assert_eq!(rig.director.sessions(), 0);
    let seat = rig.start("1001").unwrap();
    let looked = rig.director.seated(&pool(), Some(&name_key("1001")), None, rig.now).unwrap();
    assert_eq!((at(&looked), looked.owner), (at(&seat), false));
    let mut fresh = Rig::new(settings(3, 0));
    let looked = fresh.director.seated(&pool(), None, Some(&shown(&seat)), fresh.now).unwrap();
    assert_eq!((at(&looked), looked.owner), (at(&seat), true));
    assert_eq!(fresh.director.sessions(), 0);
    fresh.kill(at(&seat));
    assert_eq!(fresh.director.seated(&pool(), None, Some(&shown(&seat)), fresh.now), None);
}

#[test]
fn an_ended_session_stays_ended_whatever_cookie_comes() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let end = End::Session { session: seat.session(), generation: seat.generation(), reason: EndReason::Client };
    let tomb = rig.director.end(&pool(), &name_key("1001"), None, &end, rig.now).unwrap();
    assert_eq!(tomb.life, Life::Ended(EndReason::Client));
    assert!(rig.director.end(&pool(), &name_key("1001"), None, &end, rig.now).is_ok(), "ended once is ended");
    let by_cookie = rig.ask(RequestKey::Shown(name_key("1001")), Some(shown(&seat)), None, &[]);
    assert_eq!(by_cookie, Err(Refusal::SessionEnded));
    let anew = rig.back(&seat).unwrap();
    assert_eq!(anew.affinity, Affinity::Placed);
    assert_ne!(anew.session(), seat.session());
    assert_eq!(anew.generation(), Generation::FIRST.next());
}

#[test]
fn an_end_that_names_another_seat_changes_nothing_and_shows_the_current_one() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    rig.kill(at(&seat));
    let moved = rig.back(&seat).unwrap();
    let stale = End::Session { session: seat.session(), generation: seat.generation(), reason: EndReason::Client };
    let refused = rig.director.end(&pool(), &name_key("1001"), None, &stale, rig.now);
    assert_eq!(refused, Err(EndRefusal::Stale(Box::new(moved.entry.clone()))));
    let dead_server = End::Server {
        server: seat.server.name.clone(),
        incarnation: seat.entry.incarnation,
        generation: seat.generation(),
    };
    assert!(matches!(
        rig.director.end(&pool(), &name_key("1001"), None, &dead_server, rig.now),
        Err(EndRefusal::Stale(_))
    ));
    assert_eq!(at(&rig.back(&moved).unwrap()), at(&moved));
}

#[test]
fn an_owner_gets_away_from_a_server_that_is_of_no_use_three_times_in_ten_minutes() {
    let mut rig = Rig::new(settings(5, 0));
    let mut seat = rig.start("1001").unwrap();
    for round in 1..=3 {
        let before = at(&seat).to_owned();
        seat = rig.ask(RequestKey::Given(name_key("1001")), Some(shown(&seat)), Some(&before), &[]).unwrap();
        assert_eq!(seat.affinity, Affinity::Moved);
        assert_ne!(at(&seat), before);
        assert_eq!(seat.generation().get(), 1 + round);
    }
    let before = at(&seat).to_owned();
    let again = rig.ask(RequestKey::Given(name_key("1001")), Some(shown(&seat)), Some(&before), &[]);
    assert_eq!(again, Err(Refusal::AvoidRefused(AvoidRefusal::TooOften)));
    rig.pass(Duration::from_mins(10));
    assert!(rig.ask(RequestKey::Given(name_key("1001")), Some(shown(&seat)), Some(&before), &[]).is_ok());
}

#[test]
fn nobody_is_stranded_who_avoids_the_only_server() {
    let mut rig = Rig::new(settings(1, 0));
    let seat = rig.start("1001").unwrap();
    let kept = rig.ask(RequestKey::Given(name_key("1001")), Some(shown(&seat)), Some("ua1"), &[]).unwrap();
    assert_eq!((kept.affinity, kept.generation()), (Affinity::Kept, seat.generation()));
}

#[test]
fn a_reborn_server_keeps_the_seat_under_its_new_life() {
    let mut rig = Rig::new(settings(3, 0));
    for server in ["ua1", "ua2", "ua3"] {
        rig.born(server, "boot-1");
    }
    let seat = rig.start("1001").unwrap();
    rig.born(at(&seat), "boot-2");
    let found = rig.director.find(&pool(), &name_key("1001"), None, rig.now).unwrap();
    assert_eq!(SessionState::of(&found, &rig.director.view()), SessionState::Orphaned);
    let back = rig.back(&seat).unwrap();
    assert_eq!((back.affinity, at(&back)), (Affinity::Kept, at(&seat)));
    assert_ne!(back.entry.incarnation, seat.entry.incarnation);
    assert_eq!(SessionState::of(&back.entry, &rig.director.view()), SessionState::Seated);
}

#[test]
fn a_kept_start_renews_the_stamp_once_a_minute_at_most() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let _ = rig.entries();
    rig.pass(Duration::from_secs(59));
    assert_eq!(rig.back(&seat).unwrap().entry.stamp, seat.entry.stamp);
    assert!(rig.seats().is_empty());
    rig.pass(Duration::from_secs(2));
    assert!(rig.back(&seat).unwrap().entry.stamp > seat.entry.stamp);
    assert_eq!(rig.seats().len(), 1);
}

#[test]
fn with_allow_multiple_a_key_has_as_many_sessions_as_starts_without_a_cookie() {
    let mut rig = Rig::new(with(settings(3, 0), |pool| pool.allow_multiple = true));
    let one = rig.start("1001").unwrap();
    let two = rig.start("1001").unwrap();
    assert_ne!(one.session(), two.session());
    assert_eq!(rig.back(&one).unwrap().session(), one.session());
    assert_eq!(rig.back(&two).unwrap().session(), two.session());
    assert_eq!(rig.director.sessions(), 2);
}

#[test]
fn an_operator_moves_a_session_and_a_repeat_changes_nothing() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let to = ["ua1", "ua2", "ua3"].into_iter().find(|name| *name != at(&seat)).unwrap();
    let moved = rig.director.reseat(&pool(), &name_key("1001"), None, &name(to), rig.now).unwrap();
    assert_eq!(moved.after.server, name(to));
    assert_eq!(moved.after.generation, seat.generation().next());
    let back = rig.back(&seat).unwrap();
    assert_eq!((at(&back), back.affinity), (to, Affinity::Kept));
    let again = rig.director.reseat(&pool(), &name_key("1001"), None, &name(to), rig.now).unwrap();
    assert_eq!(again.before, again.after);
}
