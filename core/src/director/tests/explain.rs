//! What is told is what is done: an explanation names the server, the reason and the refusal of the start that follows.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::rig::*;
use crate::director::{Explanation, Obstacle, Outcome, Rule};
use crate::entry::OperatorWord;
use crate::health::Report;
use crate::ids::{LabelName, ServerName, SessionId};
use crate::role::{Because, RoleCause, Service};
use crate::seating::{Affinity, Refusal, RequestKey, Seat, Shown, StartRequest};
use crate::settings::{Overflow, Passive, Policy};

type Labels<'a> = &'a [(LabelName, Cow<'a, str>)];

impl Rig {
    fn explain(
        &self,
        key: &RequestKey,
        shown: Option<Shown>,
        avoid: Option<&str>,
        labels: Labels<'_>,
    ) -> Result<Explanation, Refusal> {
        let avoid = avoid.map(|server| ServerName::parse(server).unwrap());
        let key = key.clone();
        let session = SessionId([7; 16]);
        let request = StartRequest { pool: &pool(), key, shown, labels, avoid: avoid.as_ref(), session };
        self.director.explain(&request, self.now)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Start { key: u8, back: bool, avoid: Option<u8>, media: Option<bool> },
    Kill(u8),
    Revive(u8),
    Order(u8, OperatorWord),
    Load(u8, u32),
    Reborn(u8, u8),
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let word = prop_oneof![Just(OperatorWord::Ready), Just(OperatorWord::Drain), Just(OperatorWord::Maint)];
    let avoid = prop::option::weighted(0.3, 0..6_u8);
    let media = prop::option::weighted(0.3, any::<bool>());
    prop_oneof![
        12 => (0..10_u8, any::<bool>(), avoid, media).prop_map(|(key, back, avoid, media)| Step::Start { key, back, avoid, media }),
        2 => (0..6_u8).prop_map(Step::Kill),
        2 => (0..6_u8).prop_map(Step::Revive),
        1 => (0..6_u8, word).prop_map(|(server, word)| Step::Order(server, word)),
        1 => (0..6_u8, 0..30_u32).prop_map(|(server, sessions)| Step::Load(server, sessions)),
        1 => (0..6_u8, 0..3_u8).prop_map(|(server, life)| Step::Reborn(server, life)),
        2 => (0..40_000_u32).prop_map(Step::Pass),
    ]
}

const SERVERS: [&str; 6] = ["ua1", "ua2", "ua3", "ua4", "ub1", "ub2"];

/// A pool where everything that can stand in the way does at times: four servers and two, of other weights, few places.
fn crowded(policy: Policy, overflow: Overflow, passive: Passive, relogin_rate: u32) -> Rig {
    Rig::new(with(settings(4, 2), |pool| {
        pool.placement = policy;
        pool.capacity = 6;
        pool.failover.overflow = overflow;
        pool.failover.passive = passive;
        pool.failover.relogin_rate = relogin_rate;
        for (weight, media, name) in
            [(100, "voice", "ua1"), (100, "chat", "ua2"), (250, "voice", "ua3"), (0, "voice", "ua4")]
        {
            let server = std::sync::Arc::make_mut(pool.servers.get_mut(&ServerName::parse(name).unwrap()).unwrap());
            server.weight = weight;
            server.labels.insert(LabelName::parse("media").unwrap(), BTreeSet::from([media.to_owned()]));
        }
    }))
}

fn told_as_done(told: &Explanation, done: &Result<Seat, Refusal>) -> Result<(), TestCaseError> {
    let done = done.as_ref().map(|seat| (&seat.server.name, seat.affinity, seat.reason));
    let told_answer = told.answer.as_ref().map(|answer| (&answer.server, answer.affinity, answer.reason));
    prop_assert_eq!(told_answer, done);
    let taken: Vec<_> = told.candidates.iter().filter(|it| it.outcome == Outcome::Taken).map(|it| &it.server).collect();
    prop_assert_eq!(taken, told.placement.as_ref().ok().into_iter().collect::<Vec<_>>());
    let names: BTreeSet<_> = told.candidates.iter().map(|it| it.server.as_str()).collect();
    prop_assert_eq!(names, BTreeSet::from(SERVERS), "each server once");
    prop_assert_eq!(told.candidates.len(), SERVERS.len());
    // Of those before the taken one on its step, each has something in the way: the order is the one that decides.
    let at = told.candidates.iter().position(|it| it.outcome == Outcome::Taken).unwrap_or(0);
    let before = &told.candidates[..at];
    let all_bound = told.candidates.iter().skip(at).take(1).all(|it| it.weighed.is_some_and(|it| it.above_bound));
    prop_assert!(all_bound || before.iter().all(|it| it.outcome != Outcome::RanksLower), "{:?}", told.candidates);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_what_a_start_then_does(
        policy in prop::sample::select(vec![Policy::Rendezvous, Policy::LeastSessions, Policy::RoundRobin, Policy::FirstAvailable]),
        overflow in prop::sample::select(vec![Overflow::Refuse, Overflow::NextDatacenter]),
        passive in prop::sample::select(vec![Passive::Redirect, Passive::Refuse]),
        relogin_rate in prop::sample::select(vec![0_u32, 0, 1]),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut rig = crowded(policy, overflow, passive, relogin_rate);
        let mut last: std::collections::BTreeMap<u8, Seat> = Default::default();
        for step in steps {
            match step {
                Step::Start { key, back, avoid, media } => {
                    let cookie = last.get(&key).filter(|_| back).cloned();
                    let shown = cookie.as_ref().map(shown);
                    let request = match &cookie {
                        Some(seat) => RequestKey::Shown(seat.entry.key.clone()),
                        None if key == 9 => RequestKey::Minted(name_key(&format!("m{}", rig.entries().len()))),
                        None => RequestKey::Given(name_key(&format!("k{key}"))),
                    };
                    let avoid = avoid.map(|at| SERVERS[usize::from(at)]);
                    let media = media.map(|voice| if voice { "voice" } else { "chat" });
                    let labels: Vec<_> =
                        media.map(|media| (LabelName::parse("media").unwrap(), Cow::Borrowed(media))).into_iter().collect();
                    let told = rig.explain(&request, shown.clone(), avoid, &labels).unwrap();
                    let again = rig.explain(&request, shown.clone(), avoid, &labels).unwrap();
                    prop_assert_eq!(&told, &again, "telling changes nothing");
                    let done = rig.ask(request, shown, avoid, &labels);
                    told_as_done(&told, &done)?;
                    if let Ok(seat) = done { last.insert(key, seat); }
                }
                Step::Kill(server) => rig.kill(SERVERS[usize::from(server)]),
                Step::Revive(server) => rig.revive(SERVERS[usize::from(server)]),
                Step::Order(server, word) => rig.order(SERVERS[usize::from(server)], word),
                Step::Load(server, sessions) => {
                    rig.report(&name(SERVERS[usize::from(server)]), Report { sessions: Some(sessions), ..Report::default() });
                }
                Step::Reborn(server, life) => rig.born(SERVERS[usize::from(server)], &format!("life-{life}")),
                Step::Pass(millis) => {
                    rig.pass(Duration::from_millis(u64::from(millis)));
                    rig.look_again();
                }
            }
        }
    }
}

fn outcome_of(told: &Explanation, server: &str) -> Outcome {
    told.candidates.iter().find(|it| it.server.as_str() == server).unwrap().outcome
}

#[test]
fn each_server_that_was_passed_over_says_why() {
    let mut rig = crowded(Policy::Rendezvous, Overflow::Refuse, Passive::Redirect, 0);
    rig.kill("ua1");
    rig.order("ub2", OperatorWord::Drain);
    let media = [(LabelName::parse("media").unwrap(), Cow::Borrowed("voice"))];
    let told = rig.explain(&RequestKey::Given(name_key("1001")), None, None, &media).unwrap();
    assert_eq!(outcome_of(&told, "ua1"), Outcome::Obstacle(Obstacle::Standing(crate::health::Input::Down)));
    assert_eq!(outcome_of(&told, "ua2"), Outcome::Obstacle(Obstacle::Labels));
    assert_eq!(outcome_of(&told, "ua3"), Outcome::Taken);
    assert_eq!(outcome_of(&told, "ua4"), Outcome::Weightless);
    assert_eq!(outcome_of(&told, "ub1"), Outcome::NotReached);
    assert_eq!(outcome_of(&told, "ub2"), Outcome::Obstacle(Obstacle::Standing(crate::health::Input::Drain)));
    let answer = told.answer.unwrap();
    assert_eq!((answer.server.as_str(), answer.affinity, answer.rule), ("ua3", Affinity::Placed, Rule::Ladder));
    assert_eq!(told.seat, None);
}

#[test]
fn a_seat_is_told_with_its_fences_and_what_would_come_instead() {
    let mut rig = Rig::new(settings(3, 0));
    let seat = rig.start("1001").unwrap();
    let key = RequestKey::Given(name_key("1001"));
    let told = rig.explain(&key, None, None, &[]).unwrap();
    assert_eq!(told.seat.as_ref().map(|it| (&it.server, it.generation)), Some((&seat.server.name, seat.generation())));
    assert_eq!(told.answer.as_ref().map(|it| (it.affinity, it.rule)), Ok((Affinity::Kept, Rule::Affinity)));
    rig.kill(at(&seat));
    let told = rig.explain(&key, None, None, &[]).unwrap();
    let answer = told.answer.unwrap();
    assert_eq!((answer.affinity, answer.reason), (Affinity::Moved, "down"));
    assert_eq!(told.seat.map(|it| it.generation), Some(seat.generation()), "telling moves nobody");
}

#[test]
fn the_role_is_told_with_what_it_waits_for() {
    let mut rig = Rig::new(settings(2, 1));
    let story = |rig: &Rig| rig.director.explain_role(&pool(), rig.now).unwrap();
    assert_eq!((story(&rig).because, story(&rig).next), (Because::Preferred, None));
    rig.kill("ua1");
    assert_eq!(story(&rig).sites[0].service, Service::Serves, "one of two is enough");
    rig.kill("ua2");
    let told = story(&rig);
    assert_eq!((told.sites[0].service, told.sites[0].count.up, told.sites[0].count.needed), (Service::Fails, 0, 1));
    let next = told.next.unwrap();
    assert_eq!((next.to.as_str(), next.cause), ("west", RoleCause::Failover));
    for _ in 0..=next.wait.as_secs() {
        rig.pass(Duration::from_secs(1));
        rig.look_again();
    }
    let told = story(&rig);
    assert_eq!((told.active.as_str(), told.because), ("west", Because::Moved(RoleCause::Failover)));
    rig.director.handle_role_order(&pool(), Some(name("west")), rig.now).unwrap();
    assert_eq!(story(&rig).because, Because::Ordered);
}
