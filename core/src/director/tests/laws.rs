//! Laws over random histories: whatever happens in whatever order, these hold.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::rig::*;
use crate::director::End;
use crate::entry::{EndReason, Life, OperatorWord};
use crate::seating::{Affinity, Refusal, Seat};

#[derive(Debug, Clone)]
enum Step {
    Start(u8),
    Back(u8),
    End(u8),
    Kill(u8),
    Revive(u8),
    Order(u8, OperatorWord),
    Pass(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let word = prop_oneof![Just(OperatorWord::Ready), Just(OperatorWord::Drain), Just(OperatorWord::Maint)];
    prop_oneof![
        6 => (0..12_u8).prop_map(Step::Start),
        6 => (0..12_u8).prop_map(Step::Back),
        1 => (0..12_u8).prop_map(Step::End),
        2 => (1..5_u8).prop_map(Step::Kill),
        2 => (1..5_u8).prop_map(Step::Revive),
        1 => (1..5_u8, word).prop_map(|(server, word)| Step::Order(server, word)),
        2 => (0..200_000_u32).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

/// What the world outside believes.
#[derive(Default)]
struct Model {
    /// The last answered start of each key that has not been ended since.
    last: BTreeMap<u8, Seat>,
    /// Keys whose end was acknowledged, with no later start.
    ended: BTreeMap<u8, Seat>,
}

fn usable(rig: &Rig, server: &str) -> bool {
    rig.director.view().server(&name(server)).is_some_and(|(_, server)| server.standing.is_usable())
}

fn answered(rig: &Rig, model: &mut Model, key: u8, before: Option<&Seat>, answer: Result<Seat, Refusal>) {
    match answer {
        Ok(seat) => {
            // I1: a session's server does not change while it is usable.
            if let Some(before) = before
                && usable(rig, at(before))
            {
                assert_eq!(at(&seat), at(before));
                assert_eq!(seat.affinity, Affinity::Kept);
            }
            assert!(usable(rig, at(&seat)), "nobody is sent to a server that is known to be down");
            if let Some(ended) = model.ended.remove(&key) {
                assert_ne!(seat.session(), ended.session(), "NORES: what was ended does not come back");
            }
            // LAST: the record names the last answered start.
            let found = rig.director.find(&pool(), &seat.entry.key, None, rig.now).unwrap();
            assert_eq!((&found.server, found.session, found.life), (&seat.server.name, seat.session(), Life::Live));
            assert!(before.is_none_or(|before| seat.entry.stamp >= before.entry.stamp), "stamps never run backwards");
            model.last.insert(key, seat);
        }
        Err(Refusal::NoServer(_)) => {
            // NOREFUSE: only when no server that takes sessions could be reached.
            let view = rig.director.view();
            assert!(view.pool(&pool()).unwrap().servers().iter().all(|server| !server.standing.is_placeable()));
        }
        Err(other) => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn affinity_holds_over_any_history(steps in prop::collection::vec(step(), 1..120)) {
        let mut rig = Rig::new(settings(3, 1));
        let mut journal = Vec::new();
        let mut model = Model::default();
        let server_name = |number: u8| if number < 4 { format!("ua{number}") } else { "ub1".to_owned() };
        for step in steps {
            match step {
                Step::Start(key) => {
                    let before = model.last.get(&key).cloned();
                    let answer = rig.start(&format!("k{key}"));
                    answered(&rig, &mut model, key, before.as_ref(), answer);
                }
                Step::Back(key) => {
                    let before = model.last.get(&key).cloned();
                    let Some(cookie) = before.clone().or_else(|| model.ended.get(&key).cloned()) else { continue };
                    let answer = rig.back(&cookie);
                    answered(&rig, &mut model, key, before.as_ref(), answer);
                }
                Step::End(key) => {
                    let Some(seat) = model.last.remove(&key) else { continue };
                    let end = End::Session {
                        session: seat.session(),
                        generation: seat.generation(),
                        reason: EndReason::Client,
                    };
                    let tomb = rig.director.end(&pool(), &seat.entry.key, None, &end, rig.now).unwrap();
                    prop_assert!(tomb.stamp > seat.entry.stamp);
                    model.ended.insert(key, seat);
                }
                Step::Kill(server) => rig.kill(&server_name(server)),
                Step::Revive(server) => rig.revive(&server_name(server)),
                Step::Order(server, word) => rig.order(&server_name(server), word),
                Step::Pass(millis) => {
                    rig.pass(Duration::from_millis(u64::from(millis)));
                    // Probes go on: what was known is confirmed again.
                    let view = rig.director.view();
                    for server in view.pool(&pool()).unwrap().servers() {
                        let name = &server.settings.name;
                        if server.standing.is_usable() { rig.good(name) } else { rig.kill(name.as_str()) }
                    }
                }
                Step::Restart => {
                    journal.extend(rig.entries());
                    rig = rig.restarted(&journal);
                }
            }
        }
        // Counters agree with the table.
        let view = rig.director.view();
        for server in view.pool(&pool()).unwrap().servers() {
            let filter = crate::director::SessionsFilter {
                server: Some(server.settings.name.clone()),
                ..Default::default()
            };
            let page = rig.director.list(&filter, None, 1000, rig.now);
            prop_assert_eq!(server.load.seats() as usize, page.sessions.len());
        }
    }
}
