//! Histories that the seeds do not draw, because they are too long: what an operator would see in ten bad minutes, or half a day.

use std::collections::BTreeMap;

use maitred_core::role::RoleCause;
use maitred_core::settings::FailoverSettings;
use maitred_sim::plan::{Fault, Plan, Story};
use maitred_sim::world::{Seen, World};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
/// When the first fault comes; so do the seeds' own.
const BEGIN: u64 = 20 * SECOND;

/// The first plans that tell this story, with the failover of the manual.
fn plans(story: Story, count: usize) -> impl Iterator<Item = Plan> {
    let of_manual = |mut plan: Plan| {
        plan.pool.failover = FailoverSettings::default();
        plan
    };
    (1..).map(Plan::of).filter(move |plan| plan.story == story).map(of_manual).take(count)
}

/// Each turn of the role: when, at which director, why.
fn turns(plan: Plan) -> (World, Vec<(u64, usize, RoleCause)>) {
    let (mut world, mut turns) = (World::new(plan), Vec::new());
    while world.step() {
        for seen in world.seen() {
            if let Seen::Role { host, cause, .. } = seen {
                turns.push((world.now, host, cause));
            }
        }
    }
    (world, turns)
}

#[test]
fn a_site_that_flaps_every_30_seconds_for_10_minutes_loses_the_role_once_at_most() {
    let mut failed_over = 0;
    for mut plan in plans(Story::SiteDies, 6) {
        let hang = plan.seed % 2 == 0;
        let mut flaps = Vec::new();
        for half in 0..20 {
            let at = BEGIN + half * 30 * SECOND;
            flaps.extend((0..plan.servers[0]).map(|server| {
                let fault = match (half % 2, hang) {
                    (1, _) => Fault::ServerReturns(server),
                    (_, true) => Fault::ServerHangs(server),
                    (_, false) => Fault::ServerDies(server),
                };
                (at, fault)
            }));
        }
        plan.heal_ms = BEGIN + 20 * 30 * SECOND;
        flaps.push((plan.heal_ms, Fault::Heal));
        plan.faults = flaps;
        let (seed, heal) = (plan.seed, plan.heal_ms);
        let mut by_host: BTreeMap<usize, Vec<(u64, RoleCause)>> = BTreeMap::new();
        for (at, host, cause) in turns(plan).1.into_iter().filter(|(at, ..)| *at <= heal) {
            by_host.entry(host).or_default().push((at, cause));
        }
        for (host, turns) in &by_host {
            assert!(turns.len() <= 1, "seed {seed}: director {host} turned: {turns:?}");
        }
        failed_over += usize::from(!by_host.is_empty());
    }
    assert!(failed_over > 0, "30 s are longer than the delay: somebody must have seen a failover");
}

#[test]
fn a_cut_of_half_a_day_leaves_the_role_where_it_was() {
    for mut plan in plans(Story::PureCut, 2) {
        plan.heal_ms = BEGIN + 12 * HOUR;
        plan.faults.retain(|(_, fault)| *fault != Fault::Heal);
        plan.faults.push((plan.heal_ms, Fault::Heal));
        let (seed, east, heal) = (plan.seed, plan.directors[0], plan.heal_ms);
        let (world, turns) = turns(plan);
        let isolated = turns.iter().filter(|(_, _, cause)| *cause == RoleCause::Isolated).count();
        assert!(isolated > 0, "seed {seed}: the cut-off side serves whoever reaches it");
        for (at, host, cause) in &turns {
            let expected = if *at < heal { RoleCause::Isolated } else { RoleCause::Agreed };
            assert!(*host >= east && *cause == expected, "seed {seed}: director {host} at {at}: {cause:?}");
        }
        for host in 0..world.hosts.len() {
            let view = world.director(host).unwrap().view();
            let role = view.pools().next().unwrap().role();
            assert_eq!((role.active.as_str(), role.epoch), ("east", 0), "seed {seed}: director {host}");
        }
    }
}
