//! What moves the role, when, and what leaves it where it is.

use super::*;

fn settings(failback: Failback) -> FailoverSettings {
    FailoverSettings { failback, ..FailoverSettings::default() }
}

fn dc(name: &str) -> DatacenterName {
    DatacenterName::parse(name).unwrap()
}

fn two() -> Role {
    Role::new(&[dc("east"), dc("west")], None, Mono(0))
}

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1000)
}

#[test]
fn the_first_site_is_active_before_any_evidence() {
    let mut role = two();
    assert_eq!(role.active(), Some(&dc("east")));
    role.observe(&dc("west"), Service::Serves, at(1), at(1));
    assert_eq!(
        role.evaluate(&settings(Failback::After(Duration::from_mins(5))), true, at(1000)),
        None,
        "unknown is not down"
    );
}

#[test]
fn the_role_leaves_after_the_delay_and_not_before() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("east"), Service::Serves, at(1), at(1));
    role.observe(&dc("west"), Service::Serves, at(1), at(1));
    role.observe(&dc("east"), Service::Fails, at(10), at(10));
    assert_eq!(role.evaluate(&settings, true, at(24)), None);
    assert_eq!(role.next_deadline(&settings, at(24)), Some(at(25)));
    let change = role.evaluate(&settings, true, at(25)).unwrap();
    assert_eq!((change.to, change.cause, change.epoch), (dc("west"), RoleCause::Failover, 1));
    assert_eq!(role.evaluate(&settings, true, at(26)), None, "once");
}

#[test]
fn a_short_outage_moves_nothing() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    for round in 0..100 {
        role.observe(&dc("east"), Service::Fails, at(round * 20), at(round * 20));
        assert_eq!(role.evaluate(&settings, true, at(round * 20 + 14)), None);
        role.observe(&dc("east"), Service::Serves, at(round * 20 + 14), at(round * 20 + 14));
    }
}

#[test]
fn flapping_every_30_seconds_for_10_minutes_is_at_most_one_failover() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    let mut failovers = 0;
    for second in 0..600 {
        let service = if (second / 30) % 2 == 0 { Service::Serves } else { Service::Fails };
        let served = if service == Service::Serves { second } else { second / 30 * 30 };
        role.observe(&dc("east"), service, at(served), at(second));
        failovers += usize::from(role.evaluate(&settings, true, at(second)).is_some());
    }
    assert_eq!(failovers, 1);
    assert_eq!(role.active(), Some(&dc("west")));
}

#[test]
fn failback_waits_for_a_stable_site_and_twice_as_long_the_second_time() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    role.observe(&dc("east"), Service::Serves, at(0), at(0));
    let mut clock = 10;
    for wait in [300, 600, 1200] {
        role.evaluate(&settings, true, at(clock));
        role.observe(&dc("east"), Service::Fails, at(clock), at(clock));
        assert!(role.evaluate(&settings, true, at(clock + 15)).is_some());
        role.observe(&dc("east"), Service::Serves, at(clock + 20), at(clock + 20));
        assert_eq!(role.evaluate(&settings, true, at(clock + 20 + wait - 1)), None);
        let change = role.evaluate(&settings, true, at(clock + 20 + wait)).unwrap();
        assert_eq!(change.cause, RoleCause::Failback);
        clock += 20 + wait;
    }
}

#[test]
fn manual_failback_waits_for_an_order() {
    let settings = settings(Failback::Manual);
    let mut role = two();
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    role.observe(&dc("east"), Service::Fails, at(1), at(1));
    assert!(role.evaluate(&settings, true, at(20)).is_some());
    role.observe(&dc("east"), Service::Serves, at(21), at(21));
    assert_eq!(role.evaluate(&settings, true, at(100_000)), None);
    role.set_order(Some(dc("east")));
    assert_eq!(role.evaluate(&settings, true, at(100_001)).unwrap().cause, RoleCause::Order);
}

#[test]
fn a_dead_ordered_site_is_passed_over() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("east"), Service::Serves, at(0), at(0));
    role.observe(&dc("west"), Service::Fails, at(0), at(0));
    role.set_order(Some(dc("west")));
    assert_eq!(role.evaluate(&settings, true, at(1)), None);
    role.observe(&dc("west"), Service::Serves, at(2), at(2));
    assert_eq!(role.evaluate(&settings, true, at(2)).unwrap().to, dc("west"));
}

#[test]
fn start_up_with_a_dead_first_site_counts_no_failover() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("east"), Service::Fails, at(1), at(1));
    role.observe(&dc("west"), Service::Serves, at(1), at(1));
    assert!(role.evaluate(&settings, true, at(20)).is_some_and(|c| c.to == dc("west")));
    assert!(role.failovers.is_empty() || role.failback_after(&settings) == Some(Duration::from_mins(5)));
}

#[test]
fn who_was_away_follows_those_who_have_been_through_the_delay_and_counts_no_failover() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("east"), Service::Serves, at(0), at(0));
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    // It was stopped until now, and the others left the east long ago.
    role.lapse(Duration::from_secs(100), at(100));
    role.observe(&dc("east"), Service::Fails, at(100), at(101));
    role.hear(vec![Claim { epoch: 1, ..claim("west", 14) }]);
    assert_eq!(role.evaluate(&settings, true, at(101)), None, "they themselves are hardly through it");
    role.hear(vec![Claim { epoch: 1, ..claim("west", 80) }]);
    let change = role.evaluate(&settings, true, at(101)).unwrap();
    assert_eq!((change.to, change.cause, change.epoch), (dc("west"), RoleCause::Agreed, 1));
    assert_eq!((role.failovers(), role.left()), (0, Some(at(21))));
    assert_eq!(role.began(at(101)), Some(Duration::from_secs(80)));
    assert_eq!(role.evaluate(&settings, true, at(200)), None, "once");
}

#[test]
fn who_was_isolated_spares_nobody_the_delay() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    // The west was cut off and serves by itself; this one has seen the east serve all the time, and hears of the west again.
    for second in [0, 1000] {
        role.observe(&dc("east"), Service::Serves, at(second), at(second));
        role.observe(&dc("west"), Service::Serves, at(second), at(second));
    }
    role.hear(vec![claim("west", 900)]);
    assert_eq!(role.evaluate(&settings, true, at(1000)), None);
    role.observe(&dc("east"), Service::Fails, at(1001), at(1001));
    assert_eq!(role.evaluate(&settings, true, at(1001)), None, "which may be short");
    let change = role.evaluate(&settings, true, at(1016)).unwrap();
    assert_eq!((change.to, change.cause, change.epoch), (dc("west"), RoleCause::Failover, 1));
}

#[test]
fn a_dead_site_that_is_ordered_is_left_after_the_own_delay_whatever_others_hold() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.set_order(Some(dc("east")));
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    role.observe(&dc("east"), Service::Fails, at(100), at(100));
    role.hear(vec![claim("west", 80)]);
    assert_eq!(role.evaluate(&settings, true, at(114)), None);
    assert_eq!(role.evaluate(&settings, true, at(115)).map(|change| change.cause), Some(RoleCause::Failover));
}

fn claim(active: &str, began: u64) -> Claim {
    Claim {
        director: DirectorName::parse("west-1").unwrap(),
        active: dc(active),
        began: Duration::from_secs(began),
        epoch: 0,
        failovers: 0,
    }
}

#[test]
fn a_cut_of_any_length_raises_nothing_and_the_preferred_site_keeps_the_role_after_it() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    role.observe(&dc("east"), Service::Fails, at(100), at(100));
    let change = role.evaluate(&settings, false, at(115)).unwrap();
    assert_eq!((change.to, change.cause, change.epoch), (dc("west"), RoleCause::Isolated, 0));
    // The heal: the east says that it served all the time.
    role.observe(&dc("east"), Service::Serves, at(5000), at(5000));
    role.hear(vec![claim("east", 0)]);
    role.set_claimed(&dc("east"), Some(Duration::from_secs(5000)), at(5000));
    let change = role.evaluate(&settings, true, at(5000)).unwrap();
    assert_eq!((change.to, change.cause, change.epoch), (dc("east"), RoleCause::Agreed, 0));
}

#[test]
fn a_site_that_had_a_break_waits_for_its_failback_on_both_sides() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let (mut east, mut west) = (two(), two());
    west.observe(&dc("west"), Service::Serves, at(0), at(0));
    west.observe(&dc("east"), Service::Fails, at(100), at(100));
    assert!(west.evaluate(&settings, false, at(115)).is_some());
    // A director of the east starts with its servers, 200 s after the west has begun.
    for role in [&mut east, &mut west] {
        role.observe(&dc("west"), Service::Serves, at(315), at(315));
        role.observe(&dc("east"), Service::Serves, at(315), at(315));
        role.set_claimed(&dc("east"), Some(Duration::from_secs(5)), at(315));
    }
    east.hear(vec![claim("west", 200)]);
    west.hear(vec![claim("east", 0)]);
    assert_eq!(east.evaluate(&settings, true, at(315)).unwrap().to, dc("west"));
    assert_eq!(west.evaluate(&settings, true, at(315)), None);
    assert_eq!(west.next_deadline(&settings, at(315)), Some(at(610)));
    assert_eq!(west.evaluate(&settings, true, at(610)).unwrap().cause, RoleCause::Failback);
}

#[test]
fn hold_waits_for_an_operator_until_somebody_has_seen_it() {
    let settings = FailoverSettings { isolated: Isolated::Hold, ..settings(Failback::Manual) };
    let mut role = two();
    role.observe(&dc("west"), Service::Serves, at(0), at(0));
    role.observe(&dc("east"), Service::Fails, at(1), at(1));
    for second in [2, 1000] {
        assert_eq!(role.evaluate(&settings, false, at(second)), None);
        assert!(role.is_held(), "before the delay as well: the ladder must not seat anybody here");
    }
    assert!(role.evaluate(&settings, true, at(1001)).is_some());
    assert!(!role.is_held());
}

#[test]
fn an_order_is_above_every_claim() {
    let settings = settings(Failback::After(Duration::from_mins(5)));
    let mut role = two();
    for site in ["east", "west"] {
        role.observe(&dc(site), Service::Serves, at(0), at(0));
    }
    // The west has been active for longer than the east serves, and somebody has not heard of the order yet.
    role.set_claimed(&dc("east"), Some(Duration::from_secs(10)), at(100));
    role.hear(vec![claim("west", 60)]);
    assert_eq!(role.evaluate(&settings, true, at(100)).map(|change| change.to), Some(dc("west")));
    role.set_order(Some(dc("east")));
    assert_eq!(role.evaluate(&settings, true, at(100)).map(|change| change.to), Some(dc("east")));
    assert_eq!(role.evaluate(&settings, true, at(100)), None, "and stays there");
}

#[test]
fn a_poisoned_epoch_is_not_believed() {
    let mut role = two();
    role.hear(vec![Claim { epoch: u64::MAX, ..claim("east", 0) }]);
    assert_eq!(role.epoch(), 0);
    role.hear(vec![Claim { epoch: 7, ..claim("east", 0) }]);
    assert_eq!(role.epoch(), 7);
}
