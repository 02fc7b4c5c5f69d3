//! Where a session that has no server goes, and when it goes nowhere (R14).

use std::time::Duration;

use super::rig::*;
use crate::entry::{Entry, LastVerdict, OperatorWord};
use crate::event::{Effect, Event};
use crate::health::{Failure, FailureKind, Input, Look, Outcome};
use crate::ids::{LabelName, ServerName};
use crate::role::RoleCause;
use crate::seating::{Affinity, Refusal, RequestKey};
use crate::settings::{MinUp, Overflow, Passive, Policy};

fn site(seat: &crate::seating::Seat) -> &str {
    seat.server.datacenter.as_str()
}

#[test]
fn new_sessions_go_to_the_active_site() {
    let mut rig = Rig::new(settings(3, 3));
    for key in 0..100 {
        assert_eq!(site(&rig.start(&format!("k{key}")).unwrap()), "east");
    }
}

#[test]
fn before_any_look_everything_is_unconfirmed_and_usable() {
    let mut rig = Rig::unseen(settings(3, 3));
    assert_eq!(site(&rig.start("1001").unwrap()), "east");
}

#[test]
fn a_dead_site_is_passed_over_at_once_and_loses_the_role_after_the_delay() {
    let mut rig = Rig::new(settings(2, 2));
    while rig.director.next_effect().is_some() {}
    rig.kill("ua1");
    rig.kill("ua2");
    assert_eq!(site(&rig.start("1001").unwrap()), "west", "nobody waits for the role");
    assert_eq!(rig.director.view().pool(&pool()).unwrap().role().active.as_str(), "east");
    for _ in 0..8 {
        rig.pass(Duration::from_secs(2));
        for server in ["ub1", "ub2"] {
            rig.good(&name(server));
        }
        rig.kill("ua1");
        rig.kill("ua2");
    }
    assert_eq!(rig.director.view().pool(&pool()).unwrap().role().active.as_str(), "west");
    let moved = std::iter::from_fn(|| rig.director.next_effect())
        .any(|effect| matches!(effect, Effect::Publish(Event::RoleMoved { cause: RoleCause::Failover, epoch: 1, .. })));
    assert!(moved);
    rig.revive("ua1");
    let stays = rig.start("1001").unwrap();
    assert_eq!((stays.affinity, site(&stays)), (Affinity::Kept, "west"));
    assert_eq!(site(&rig.start("new").unwrap()), "west", "failback has its own delay");
}

#[test]
fn a_role_change_alone_moves_no_usable_session() {
    let mut rig = Rig::new(settings(2, 2));
    let seats: Vec<_> = (0..50).map(|key| rig.start(&format!("k{key}")).unwrap()).collect();
    rig.director.handle_role_order(&pool(), Some(name("west")), rig.now).unwrap();
    for seat in &seats {
        let back = rig.back(seat).unwrap();
        assert_eq!((back.affinity, at(&back)), (Affinity::Kept, at(seat)));
    }
    assert_eq!(site(&rig.start("new").unwrap()), "west");
    rig.director.handle_role_order(&pool(), None, rig.now).unwrap();
    for _ in 0..160 {
        rig.pass(Duration::from_secs(2));
        for server in rig.servers() {
            rig.good(&server);
        }
    }
    assert_eq!(site(&rig.start("newer").unwrap()), "east");
}

#[test]
fn full_is_not_failed() {
    let small = |overflow| {
        with(settings(2, 2), |pool| {
            pool.capacity = 5;
            pool.failover.overflow = overflow;
        })
    };
    let mut rig = Rig::new(small(Overflow::Refuse));
    let seats: Vec<_> = (0..10).map(|key| rig.start(&format!("k{key}")).unwrap()).collect();
    let Err(Refusal::NoServer(shortage)) = rig.start("one-more") else { panic!("must be refused") };
    assert_eq!((shortage.servers, shortage.full, shortage.elsewhere), (4, 2, 2));
    assert!(seats.iter().all(|seat| rig.back(seat).unwrap().affinity == Affinity::Kept), "a kept start ignores full");
    let mut rig = Rig::new(small(Overflow::NextDatacenter));
    for key in 0..10 {
        assert_eq!(site(&rig.start(&format!("k{key}")).unwrap()), "east");
    }
    assert_eq!(site(&rig.start("one-more").unwrap()), "west");
}

#[test]
fn labels_choose_and_their_lack_is_said() {
    let media: LabelName = name("media");
    let voice = with(settings(3, 0), |pool| {
        for server in ["ua1", "ua2"] {
            let server = std::sync::Arc::make_mut(pool.servers.get_mut(&name(server)).unwrap());
            server.labels.insert(media.clone(), ["voice".to_owned()].into());
        }
        pool.required_labels.insert(media.clone());
    });
    let mut rig = Rig::new(voice);
    for key in 0..50 {
        let key = RequestKey::Given(name_key(&format!("k{key}")));
        let seat = rig.ask(key, None, None, &[(media.clone(), "voice".into())]).unwrap();
        assert_ne!(at(&seat), "ua3");
    }
    let chat = rig.ask(RequestKey::Given(name_key("x")), None, None, &[(media.clone(), "chat".into())]);
    let Err(Refusal::NoServer(shortage)) = chat else { panic!("nobody offers chat") };
    assert_eq!(shortage.labels, 3);
    let unknown = rig.ask(RequestKey::Given(name_key("x")), None, None, &[(name("tenant"), "a".into())]);
    assert_eq!(unknown, Err(Refusal::UnknownLabel(name("tenant"))));
}

#[test]
fn everything_down_refuses_and_counts_why() {
    let mut rig = Rig::new(settings(2, 1));
    rig.kill("ua1");
    rig.order("ua2", OperatorWord::Maint);
    rig.order("ub1", OperatorWord::Drain);
    let Err(Refusal::NoServer(shortage)) = rig.start("1001") else { panic!("must be refused") };
    assert_eq!((shortage.down, shortage.maint, shortage.drain), (1, 1, 1));
}

#[test]
fn a_passive_director_redirects_or_refuses_as_it_is_told() {
    let west = |passive| {
        let mut settings = with(settings(2, 2), |pool| pool.failover.passive = passive);
        settings.datacenter = name("west");
        settings
    };
    let mut rig = Rig::new(west(Passive::Redirect));
    assert_eq!(site(&rig.start("1001").unwrap()), "east");
    let mut rig = Rig::new(west(Passive::Refuse));
    assert_eq!(rig.start("1001"), Err(Refusal::Passive { active: name("east") }));
    rig.kill("ua1");
    rig.kill("ua2");
    assert_eq!(site(&rig.start("1001").unwrap()), "west", "it refuses only while the active site can seat");
}

#[test]
fn min_up_decides_whether_a_site_serves() {
    let half = with(settings(4, 2), |pool| pool.failover.min_up = MinUp::Percent(75));
    let mut rig = Rig::new(half);
    rig.kill("ua1");
    rig.kill("ua2");
    rig.pass(Duration::from_secs(16));
    for server in ["ua3", "ua4", "ub1", "ub2"] {
        rig.good(&name(server));
    }
    assert_eq!(site(&rig.start("1001").unwrap()), "west");
}

#[test]
fn alternates_are_the_other_servers_rotated_per_key() {
    let mut rig = Rig::new(settings(8, 2));
    rig.kill("ua8");
    let mut firsts = std::collections::BTreeSet::new();
    for key in 0..50 {
        let seat = rig.start(&format!("k{key}")).unwrap();
        let alternates = rig.director.alternates(&seat);
        assert_eq!(alternates.len(), 8, "all but its own and the dead one");
        assert!(alternates.iter().all(|other| other.name != seat.server.name && other.name.as_str() != "ua8"));
        assert!(alternates[6..].iter().all(|other| other.datacenter.as_str() == "west"), "the passive site last");
        firsts.insert(alternates[0].name.clone());
    }
    assert!(firsts.len() >= 5);
}

#[test]
fn those_who_lose_one_server_and_all_directors_spread_evenly_over_the_others() {
    let mut rig = Rig::new(settings(8, 0));
    let seats: Vec<_> = (0..8000).map(|key| rig.start(&format!("k{key}")).unwrap()).collect();
    let mut next = std::collections::BTreeMap::<ServerName, u32>::new();
    for seat in seats.iter().filter(|seat| at(seat) == "ua1") {
        *next.entry(rig.director.alternates(seat)[0].name.clone()).or_default() += 1;
    }
    let lost: u32 = next.values().sum();
    let (each, tolerance) = (f64::from(lost) / 7.0, 4.5 * f64::from(lost).sqrt() * (1.0_f64 / 7.0 * 6.0 / 7.0).sqrt());
    assert!(lost > 500 && next.len() == 7, "{next:?}");
    assert!(next.values().all(|count| (f64::from(*count) - each).abs() <= tolerance), "{next:?}");
}

#[test]
fn a_crowd_spreads_within_the_bound_under_every_policy() {
    for policy in [Policy::Rendezvous, Policy::LeastSessions, Policy::RoundRobin] {
        let mut rig = Rig::new(with(settings(8, 0), |pool| pool.placement = policy));
        for key in 0..800 {
            rig.start(&format!("k{key}")).unwrap();
        }
        for server in rig.servers() {
            assert!(rig.load(server.as_str()) <= 126, "{policy:?}: {} at {server}", rig.load(server.as_str()));
        }
    }
    let mut rig = Rig::new(with(settings(3, 0), |pool| {
        pool.placement = Policy::FirstAvailable;
        pool.capacity = 10;
    }));
    let order: Vec<_> = (0..30).map(|key| at(&rig.start(&format!("k{key}")).unwrap()).to_owned()).collect();
    assert!(order[..10].iter().all(|server| server == "ua1") && order[20..].iter().all(|server| server == "ua3"));
}

#[test]
fn threads_that_race_never_overfill_a_server() {
    let rig = Rig::new(with(settings(4, 0), |pool| pool.capacity = 250));
    let (director, now) = (&rig.director, rig.now);
    let refused: usize = std::thread::scope(|scope| {
        let start = |thread: u128| {
            move || {
                (0..300_u128)
                    .filter(|number| {
                        let key = RequestKey::Given(name_key(&format!("{thread}-{number}")));
                        let session = crate::ids::SessionId((thread * 1000 + number).to_be_bytes());
                        let request = crate::seating::StartRequest {
                            pool: &pool(),
                            key,
                            shown: None,
                            labels: &[],
                            avoid: None,
                            session,
                        };
                        director.start(&request, now).is_err()
                    })
                    .count()
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(start(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(refused, 200, "1,200 starts for 1,000 places");
    for server in rig.servers() {
        assert_eq!(rig.load(server.as_str()), 250);
    }
}

#[test]
fn a_look_that_changes_nothing_weighs_no_role_and_one_that_changes_something_does_at_once() {
    let mut rig = Rig::new(settings(3, 3));
    rig.pass(Duration::from_secs(1));
    let weighed = |rig: &Rig| rig.director.control.lock().weighed;
    let before = weighed(&rig);
    rig.now.mono = rig.now.mono + Duration::from_millis(50);
    rig.good(&name("ua1"));
    assert_eq!(weighed(&rig), before, "with a thousand servers each weighing asks a thousand");
    rig.kill("ua1");
    assert_eq!(weighed(&rig), rig.now.mono, "what changed counts at once");
    rig.now.mono = rig.now.mono + Duration::from_millis(100);
    rig.good(&name("ua2"));
    assert_eq!(weighed(&rig), rig.now.mono, "and nothing is left unweighed for long");
}

/// A director of the east to which the west is silent from the start.
fn west_unseen() -> Rig {
    let mut rig = Rig::unseen(settings(1, 1));
    rig.good(&name("ua1"));
    rig
}

fn silent(rig: &mut Rig, server: &str) {
    let failure = Failure { kind: FailureKind::Timeout, check: None, detail: String::new() };
    let look = Look { took: Duration::from_secs(1), outcome: Outcome::Bad(failure) };
    rig.director.handle_look(&name(server), &look, rig.now);
}

fn input(rig: &Rig, server: &str) -> Input {
    rig.director.view().server(&name(server)).unwrap().1.standing.input
}

#[test]
fn what_nobody_has_ever_seen_is_unconfirmed_until_it_was_looked_at_for_long_and_then_the_last_resort() {
    let mut rig = west_unseen();
    assert_eq!(input(&rig, "ub1"), Input::Unconfirmed);
    for _ in 0..FALL {
        silent(&mut rig, "ub1");
    }
    assert_eq!(input(&rig, "ub1"), Input::Unconfirmed, "three looks in a moment are no long time");
    for _ in 0..8 {
        rig.pass(Duration::from_secs(2));
        rig.good(&name("ua1"));
        silent(&mut rig, "ub1");
    }
    assert_eq!(input(&rig, "ub1"), Input::Unseen);
    assert_eq!(site(&rig.start("a").unwrap()), "east");

    // Nobody is sent there while there is anything else, and nobody is refused while there is nothing else.
    rig.kill("ua1");
    let seat = rig.start("b").unwrap();
    assert_eq!((at(&seat), seat.affinity), ("ub1", Affinity::Placed));
    let again = rig.back(&seat).unwrap();
    assert_eq!((at(&again), again.affinity), ("ub1", Affinity::Kept), "who has found the last resort stays there");
    rig.revive("ua1");
    let back = rig.back(&seat).unwrap();
    assert_eq!((at(&back), back.affinity), ("ua1", Affinity::Moved), "and leaves it for a server that serves");

    // One good look is all that it takes.
    rig.good(&name("ub1"));
    assert_eq!(input(&rig, "ub1"), Input::Up);
    rig.order("ub1", OperatorWord::Maint);
    assert_eq!(input(&rig, "ub1"), Input::Maint);
}

#[test]
fn an_unseen_server_is_no_failed_one_and_never_one_that_was_known() {
    let mut rig = west_unseen();
    let last = LastVerdict { server: name("ub1"), up: true, incarnation: None, time: rig.now.time };
    rig.director.restore([Entry::LastVerdict(last)], rig.now);
    for _ in 0..20 {
        rig.pass(Duration::from_secs(2));
        rig.good(&name("ua1"));
        silent(&mut rig, "ub1");
    }
    assert_eq!(input(&rig, "ub1"), Input::Unconfirmed, "somebody saw it up once: unknown is not down");
    // Its own site's servers are looked at from near: what cannot be reached there is down.
    let mut rig = Rig::unseen(settings(2, 0));
    rig.good(&name("ua1"));
    for _ in 0..20 {
        rig.pass(Duration::from_secs(2));
        rig.good(&name("ua1"));
        silent(&mut rig, "ua2");
    }
    assert_eq!(input(&rig, "ua2"), Input::Down);
}
