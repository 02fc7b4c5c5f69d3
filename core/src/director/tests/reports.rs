//! A client's report brings one look forward, and changes nothing else.

use std::time::Duration;

use super::rig::*;
use crate::director::Reported;
use crate::event::Effect;

fn effects(rig: &Rig) -> Vec<Effect> {
    std::iter::from_fn(|| rig.director.next_effect()).collect()
}

#[test]
fn ten_thousand_reports_in_a_second_are_two_looks_and_nothing_else() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    effects(&rig);
    rig.entries();
    let server = name(at(&seat));
    let (picture, load) = (rig.director.view().number(), rig.load(at(&seat)));
    for half_second in [0, 500] {
        rig.now.mono = rig.now.mono + Duration::from_millis(half_second);
        let answers: Vec<_> = (0..5000).map(|_| rig.director.report(&server, rig.now)).collect();
        assert_eq!(answers.iter().filter(|answer| **answer == Reported::Forwarded).count(), 1, "one per fast interval");
    }
    assert_eq!(effects(&rig), [Effect::ProbeNow(server.clone()), Effect::ProbeNow(server)]);
    assert_eq!((rig.director.view().number(), rig.load(at(&seat))), (picture, load));
    assert_eq!(rig.entries(), []);
    assert_eq!(at(&rig.back(&seat).unwrap()), at(&seat), "its session stays");
}

#[test]
fn each_server_has_a_look_of_its_own_and_a_later_report_brings_another() {
    let mut rig = Rig::new(settings(2, 0));
    effects(&rig);
    assert_eq!(rig.director.report(&name("ua1"), rig.now), Reported::Forwarded);
    assert_eq!(rig.director.report(&name("ua1"), rig.now), Reported::Coalesced);
    assert_eq!(rig.director.report(&name("ua2"), rig.now), Reported::Forwarded);
    assert_eq!(rig.director.report(&name("ua7"), rig.now), Reported::Unknown);
    rig.pass(Duration::from_millis(500));
    assert_eq!(rig.director.report(&name("ua1"), rig.now), Reported::Forwarded);
}
