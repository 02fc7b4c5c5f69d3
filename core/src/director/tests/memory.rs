//! What comes back after a restart, what a reload keeps, what is forgotten.

use std::time::Duration;

use super::rig::*;
use crate::director::SnapshotPlace;
use crate::entry::{Entry, OperatorWord};
use crate::seating::Affinity;

fn restarted(entries: Vec<Entry>, settings: crate::settings::Settings) -> Rig {
    let rig = Rig::unseen(settings);
    rig.director.restore(entries, rig.now);
    rig
}

#[test]
fn sessions_orders_verdicts_and_roles_come_back_from_the_journal() {
    let mut rig = Rig::new(settings(3, 2));
    let seats: Vec<_> = (0..40).map(|key| rig.start(&format!("k{key}")).unwrap()).collect();
    rig.order("ua2", OperatorWord::Drain);
    rig.kill("ua3");
    rig.director.handle_role_order(&pool(), Some(name("west")), rig.now).unwrap();
    let mut back = restarted(rig.entries(), settings(3, 2));
    let view = back.director.view();
    assert_eq!(view.pool(&pool()).unwrap().role().active.as_str(), "west");
    assert!(!view.server(&name("ua2")).unwrap().1.standing.is_placeable());
    assert!(!view.server(&name("ua3")).unwrap().1.standing.is_usable(), "last known down, unconfirmed");
    for seat in seats.iter().filter(|seat| at(seat) != "ua3") {
        let again = back.start(seat.entry.key.as_str()).unwrap();
        assert_eq!((again.affinity, at(&again), again.session()), (Affinity::Kept, at(seat), seat.session()));
    }
}

#[test]
fn a_snapshot_holds_everything_and_order_and_repetition_do_not_matter() {
    let mut rig = Rig::new(settings(3, 0));
    for key in 0..200 {
        rig.start(&format!("k{key}")).unwrap();
    }
    rig.order("ua1", OperatorWord::Drain);
    let mut entries = Vec::new();
    let mut place = Some(SnapshotPlace::default());
    while let Some(from) = place {
        let before = entries.len();
        place = rig.director.snapshot(&from, 7, rig.now, &mut |entry| entries.push(entry));
        assert!(entries.len() - before <= 7, "a page is bounded");
    }
    let mut twice: Vec<_> = entries.iter().rev().cloned().collect();
    twice.extend(entries);
    let back = restarted(twice, settings(3, 0));
    assert_eq!(back.director.sessions(), 200);
    for server in ["ua1", "ua2", "ua3"] {
        assert_eq!(back.load(server), rig.load(server));
    }
}

#[test]
fn sessions_expire_and_leave_nothing() {
    let mut rig = Rig::new(settings(3, 0));
    let seats: Vec<_> = (0..100).map(|key| rig.start(&format!("k{key}")).unwrap()).collect();
    rig.pass(Duration::from_hours(23));
    assert_eq!(rig.back(&seats[0]).unwrap().affinity, Affinity::Kept);
    rig.pass(Duration::from_hours(2));
    rig.sweep();
    assert_eq!(rig.director.sessions(), 1, "the one that came back lives on");
    let loads: u32 = ["ua1", "ua2", "ua3"].iter().map(|server| rig.load(server)).sum();
    assert_eq!(loads, 1);
    for server in rig.servers() {
        rig.good(&server);
    }
    let expired = rig.back(&seats[1]).unwrap();
    assert_eq!(expired.affinity, Affinity::Placed, "an expired cookie is absent");
}

#[test]
fn a_reload_loses_no_session_and_a_removed_server_gives_its_sessions_away() {
    let mut rig = Rig::new(settings(4, 0));
    let seats: Vec<_> = (0..100).map(|key| rig.start(&format!("k{key}")).unwrap()).collect();
    rig.director.handle_settings(settings(3, 0), rig.now).unwrap();
    for seat in &seats {
        let back = rig.back(seat).unwrap();
        if at(seat) == "ua4" {
            assert_eq!((back.affinity, back.reason), (Affinity::Moved, "removed"));
        } else {
            assert_eq!((back.affinity, at(&back)), (Affinity::Kept, at(seat)));
        }
    }
    rig.director.handle_settings(settings(4, 0), rig.now).unwrap();
    assert_eq!(rig.load("ua4"), 0);
}

#[test]
fn orphans_of_a_reborn_server_stop_counting_after_the_grace() {
    let mut rig = Rig::new(settings(1, 0));
    rig.born("ua1", "boot-1");
    for key in 0..20 {
        rig.start(&format!("k{key}")).unwrap();
    }
    rig.born("ua1", "boot-2");
    rig.start("new").unwrap();
    rig.pass(Duration::from_mins(9));
    assert_eq!(rig.load("ua1"), 21);
    rig.pass(Duration::from_mins(2));
    rig.sweep();
    assert_eq!(rig.load("ua1"), 1, "they keep their seats, but weigh nothing");
    assert_eq!(rig.director.sessions(), 21);
}

#[test]
fn a_list_is_in_one_order_over_all_pages() {
    let mut rig = Rig::new(settings(3, 0));
    for key in 0..95 {
        rig.start(&format!("k{key:03}")).unwrap();
    }
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = rig.director.list(&Default::default(), after.as_ref(), 10, rig.now);
        assert!(page.sessions.len() <= 10);
        let last = page.sessions.last().unwrap();
        after = Some((last.pool.clone(), last.key.clone(), last.session));
        keys.extend(page.sessions.iter().map(|seat| seat.key.as_str().to_owned()));
        if !page.more {
            break;
        }
    }
    let expected: Vec<_> = (0..95).map(|key| format!("k{key:03}")).collect();
    assert_eq!(keys, expected);
}
