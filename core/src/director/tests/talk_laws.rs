//! Laws over random histories of servers that talk: nothing that lists, walk-ins, confirms and resets do may break affinity.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::rig::*;
use super::servers::*;
use crate::director::{Confirm, ResetReason, ServerFence};
use crate::entry::Life;
use crate::seating::Seat;

#[derive(Debug, Clone)]
enum Step {
    Start(u8),
    Back(u8),
    Avoid(u8),
    End(u8),
    /// The client comes to the server that it was sent to.
    Arrive(u8),
    /// The client goes to a server by itself.
    Wander(u8, u8),
    Leave(u8, u8),
    Confirm(u8, u8),
    StartAgent(u8),
    Kill(u8),
    Revive(u8),
    Reborn(u8),
    Restart,
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let (key, server, agent) = (0..6_u8, 0..4_u8, 0..3_u8);
    prop_oneof![
        4 => key.clone().prop_map(Step::Start),
        4 => key.clone().prop_map(Step::Back),
        2 => key.clone().prop_map(Step::Avoid),
        1 => key.clone().prop_map(Step::End),
        6 => key.clone().prop_map(Step::Arrive),
        2 => (key.clone(), server.clone()).prop_map(|(key, server)| Step::Wander(key, server)),
        1 => (key.clone(), server.clone()).prop_map(|(key, server)| Step::Leave(key, server)),
        3 => (key, agent.clone()).prop_map(|(key, agent)| Step::Confirm(key, agent)),
        1 => agent.prop_map(Step::StartAgent),
        1 => server.clone().prop_map(Step::Kill),
        2 => server.clone().prop_map(Step::Revive),
        1 => server.prop_map(Step::Reborn),
        1 => Just(Step::Restart),
        6 => (0..40_000_u32).prop_map(Step::Pass),
    ]
}

#[derive(Default)]
struct Model {
    /// The last answered start of each key that has not ended since.
    last: BTreeMap<String, Seat>,
    /// Keys that ended, with no later start.
    ended: BTreeMap<String, Seat>,
}

impl Model {
    fn started(&mut self, seat: Seat) {
        let key = seat.entry.key.as_str().to_owned();
        if let Some(ended) = self.ended.remove(&key) {
            assert_ne!(seat.session(), ended.session(), "NORES");
        }
        self.last.insert(key, seat);
    }

    fn end(&mut self, key: &str) {
        if let Some(seat) = self.last.remove(key) {
            self.ended.insert(key.to_owned(), seat);
        }
    }

    fn holds(&self, rig: &Rig) {
        for (key, seat) in &self.last {
            let found = rig.found(key).expect("LAST: it is remembered");
            assert_eq!(
                (found.life, found.session, &found.server),
                (Life::Live, seat.session(), &seat.server.name),
                "LAST"
            );
        }
        for key in self.ended.keys() {
            assert!(rig.found(key).is_some_and(|found| found.life != Life::Live), "NORES: {key}");
        }
    }
}

/// All servers beat once, obey, and probes go on.
fn talk(rig: &mut Rig, servers: &mut [Server], model: &Model) {
    for server in servers {
        let usable = rig.director.view().server(&server.name).unwrap().1.standing.is_usable();
        if usable {
            rig.good(&server.name)
        } else {
            rig.kill(server.name.as_str())
        }
        for order in server.beat(rig).orders {
            assert!(!matches!(order.reason, ResetReason::Dependency(_)));
            let key = order.key.as_str();
            let last = model.last.get(key);
            assert!(last.is_none_or(|seat| seat.server.name != server.name), "RESET: {key} at {}", server.name);
            assert!(last.is_some() || model.ended.contains_key(key), "nobody decided about {key}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_reset_moved_or_brought_back_that_should_not_be(steps in prop::collection::vec(step(), 1..100)) {
        let mut rig = Rig::new(settings(4, 0));
        let mut servers = Server::all(4);
        for server in &mut servers {
            server.obey = true;
            server.beat(&mut rig);
        }
        let (mut model, mut journal, mut lives) = (Model::default(), Vec::new(), 1);
        let name_of = |key: u8| format!("k{key}");
        for step in steps {
            match step {
                Step::Start(key) => {
                    if let Ok(seat) = rig.start(&name_of(key)) {
                        model.started(seat);
                    }
                }
                Step::Back(key) => {
                    let cookie = model.last.get(&name_of(key)).or_else(|| model.ended.get(&name_of(key))).cloned();
                    if let Some(Ok(seat)) = cookie.map(|cookie| rig.back(&cookie)) {
                        model.started(seat);
                    }
                }
                Step::Avoid(key) => {
                    let Some(seat) = model.last.get(&name_of(key)).filter(|seat| seat.owner).cloned() else { continue };
                    let request = crate::seating::RequestKey::Given(seat.entry.key.clone());
                    if let Ok(seat) = rig.ask(request, Some(shown(&seat)), Some(at(&seat)), &[]) {
                        model.started(seat);
                    }
                }
                Step::End(key) => {
                    if let Some(seat) = model.last.get(&name_of(key)).cloned() {
                        rig.end(&seat);
                        model.end(&name_of(key));
                    }
                }
                Step::Arrive(key) => {
                    let Some(seat) = model.last.get(&name_of(key)) else { continue };
                    servers.iter_mut().find(|server| server.name == seat.server.name).unwrap().log_in_by(seat);
                }
                Step::Wander(key, server) => servers[usize::from(server)].log_in(&name_of(key), None),
                Step::Leave(key, server) => servers[usize::from(server)].log_out(&name_of(key)),
                Step::Confirm(key, agent) => {
                    let Some(seat) = model.last.get(&name_of(key)).cloned() else { continue };
                    let server = servers.iter().find(|server| server.name == seat.server.name).unwrap();
                    let fence = ServerFence {
                        server: server.name.clone(),
                        incarnation: server.tag(),
                        generation: Some(seat.generation()),
                    };
                    let agent = Some(name_key(&format!("agent-{agent}")));
                    let confirm = Confirm { fence, agent };
                    let confirmed = rig.director.confirm(&pool(), &seat.entry.key, None, &confirm, rig.now);
                    for left in confirmed.map(|it| it.superseded).unwrap_or_default() {
                        prop_assert_ne!(&left.key, &seat.entry.key);
                        model.end(left.key.as_str());
                    }
                }
                Step::StartAgent(agent) => {
                    let agent = format!("agent-{agent}");
                    let newest = rig.director.sessions_of_agent(&pool(), &name_key(&agent), rig.now).pop();
                    let own = rig.found(&agent).is_some_and(|seat| seat.life == Life::Live);
                    let Ok(seat) = rig.start(&agent) else { continue };
                    if let Some(newest) = newest.filter(|_| !own) {
                        prop_assert_eq!(seat.session(), newest.session, "the alias leads to the agent's session");
                    }
                    model.started(seat);
                }
                Step::Kill(server) => rig.kill(servers[usize::from(server)].name.as_str()),
                Step::Revive(server) => rig.revive(servers[usize::from(server)].name.as_str()),
                Step::Reborn(server) => {
                    lives += 1;
                    servers[usize::from(server)].reborn(&format!("boot-{lives}"));
                }
                Step::Restart => {
                    journal.extend(rig.entries());
                    rig = rig.restarted(&journal);
                }
                Step::Pass(millis) => rig.pass(Duration::from_millis(u64::from(millis))),
            }
            talk(&mut rig, &mut servers, &model);
            model.holds(&rig);
        }
        // What is over is gone from every server in the end, once everybody is well.
        for server in ["ua1", "ua2", "ua3", "ua4"] {
            rig.revive(server);
        }
        for _ in 0..120 {
            rig.pass(Duration::from_secs(2));
            talk(&mut rig, &mut servers, &model);
        }
        model.holds(&rig);
        for server in &servers {
            for held in &server.held {
                let key = held.key.as_str();
                let ended = model.ended.get(key);
                prop_assert!(
                    ended.is_none() || held.session.is_none() || held.session != ended.map(Seat::session),
                    "{key} has ended and is still at {}", server.name
                );
            }
        }
    }
}
