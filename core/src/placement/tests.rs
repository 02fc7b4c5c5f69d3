//! The laws of placement, and the vectors that hold it still.

use proptest::prelude::*;

use super::logarithm::negative_ln;
use super::*;

/// Above every load here: the bound never binds.
const UNBOUND: u32 = 1_000_000;
const POLICIES: [Policy; 4] = [Policy::Rendezvous, Policy::LeastSessions, Policy::RoundRobin, Policy::FirstAvailable];

/// Servers whose slot and position are their place in the list.
struct Pool {
    names: Vec<String>,
    weights: Vec<u32>,
    loads: Vec<u32>,
    capacities: Vec<u32>,
}

impl Loads for Pool {
    fn load(&self, server: ServerSlot) -> u32 {
        self.loads[server.0 as usize]
    }
    fn capacity(&self, server: ServerSlot) -> u32 {
        self.capacities[server.0 as usize]
    }
}

impl Pool {
    fn new(weights: &[u32]) -> Self {
        Self {
            names: (1..=weights.len()).map(|number| format!("ua{number}")).collect(),
            weights: weights.to_vec(),
            loads: vec![0; weights.len()],
            capacities: vec![u32::MAX; weights.len()],
        }
    }

    fn seatables(&self) -> Vec<Seatable<'_>> {
        (0..)
            .zip(&self.names)
            .zip(&self.weights)
            .map(|((number, name), &weight)| Seatable { server: ServerSlot(number), name, weight, position: number })
            .collect()
    }

    fn set(&self) -> PlacementSet {
        PlacementSet::new(self.seatables())
    }

    fn full(&self, server: ServerSlot) -> bool {
        self.load(server) >= self.capacity(server)
    }

    /// The first choice where no load counts.
    fn first(&self, set: &PlacementSet, key: KeyHash) -> Option<u32> {
        choose(demand(Policy::Rendezvous, key, UNBOUND, 0), set, self, |_| true).map(|server| server.0)
    }
}

fn demand(policy: Policy, key: KeyHash, load_bound_permille: u32, turn: u64) -> Demand {
    Demand { policy, load_bound_permille, key, turn }
}

fn key(number: u64) -> KeyHash {
    KeyHash::of_text(&format!("agent-{number}"))
}

#[test]
fn vectors_stand() {
    let mut vectors = 0;
    for line in include_str!("../../tests/vectors/placement.txt").lines().filter(|line| !line.starts_with('#')) {
        let [key, servers, expected] = line.split(" | ").collect::<Vec<_>>()[..] else {
            assert!(line.is_empty(), "{line}");
            continue;
        };
        let mut pool = Pool::new(&[]);
        for (name, weight) in servers.split(' ').filter_map(|server| server.split_once('=')) {
            pool.names.push(name.to_owned());
            pool.weights.push(weight.parse().unwrap());
            pool.loads.push(0);
            pool.capacities.push(1);
        }
        let (set, key) = (pool.set(), KeyHash::of(&crate::ids::Key::parse(key).unwrap()));
        let ranking = order(&set, key, usize::MAX, |_| true);
        let names: Vec<&str> = ranking.iter().map(|server| pool.names[server.0 as usize].as_str()).collect();
        assert_eq!(names.join(" "), expected, "{line}");
        let chosen = choose(demand(Policy::Rendezvous, key, 1250, 0), &set, &pool, |_| true);
        assert_eq!(chosen, ranking.first().copied(), "{line}");
        vectors += 1;
    }
    assert_eq!(vectors, 140);
}

#[test]
fn shares_follow_the_weights() {
    const KEYS: u32 = 60_000;
    for weights in [&[100; 8][..], &[1, 2, 3, 0, 10], &[1600, 1600, 100, 700, 700, 700], &[1, 99]] {
        let pool = Pool::new(weights);
        let set = pool.set();
        let mut counts = vec![0_u32; weights.len()];
        for number in 0..KEYS {
            counts[pool.first(&set, key(number.into())).unwrap() as usize] += 1;
        }
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            let share = f64::from(*weight) / f64::from(total);
            let (mean, deviation) = (f64::from(KEYS) * share, (f64::from(KEYS) * share * (1.0 - share)).sqrt());
            assert!((f64::from(*count) - mean).abs() <= 4.5 * deviation, "{counts:?} for {weights:?}");
        }
    }
}

#[test]
fn a_dead_servers_keys_spread_over_the_others_by_weight() {
    const KEYS: u64 = 40_000;
    let pool = Pool::new(&[300, 100, 200, 100]);
    let set = pool.set();
    let mut counts = [0_u32; 4];
    for number in 0..KEYS {
        if pool.first(&set, key(number)) == Some(0) {
            let next =
                choose(demand(Policy::Rendezvous, key(number), UNBOUND, 0), &set, &pool, |one: ServerSlot| one.0 != 0);
            assert_eq!(next, order(&set, key(number), 2, |_| true).get(1).copied());
            counts[next.unwrap().0 as usize] += 1;
        }
    }
    let moved = f64::from(counts.iter().sum::<u32>());
    for (count, share) in counts.iter().zip([0.0, 0.25, 0.5, 0.25]) {
        assert!((f64::from(*count) - moved * share).abs() <= 4.5 * (moved * 0.25).sqrt(), "{counts:?}");
    }
}

#[test]
fn a_crowd_that_sees_the_same_loads_spreads() {
    let mut pool = Pool::new(&[100; 4]);
    pool.loads = vec![7, 7, 9, 7];
    let set = pool.set();
    let mut counts = [0_u32; 4];
    for number in 0..3_000 {
        let chosen = choose(demand(Policy::LeastSessions, key(number), 1250, 0), &set, &pool, |_| true).unwrap();
        counts[chosen.0 as usize] += 1;
    }
    assert_eq!(counts[2], 0, "it has more");
    assert!([0, 1, 3].iter().all(|&server| (850..1150).contains(&counts[server])), "{counts:?}");
}

#[test]
fn first_available_fills_in_the_order_of_the_configuration() {
    let mut pool = Pool::new(&[1, 1000, 0, 1000]);
    pool.capacities = vec![2; 4];
    let mut servers = pool.seatables();
    servers[3].position = 0;
    servers[0].position = 3;
    let set = PlacementSet::new(servers);
    let mut filled = Vec::new();
    while let Some(chosen) = choose(demand(Policy::FirstAvailable, key(1), 1250, 0), &set, &pool, |_| true) {
        pool.loads[chosen.0 as usize] += 1;
        filled.push(chosen.0);
    }
    assert_eq!(filled, [3, 3, 1, 1, 0, 0]);
}

#[test]
fn a_bound_never_refuses() {
    let mut pool = Pool::new(&[1000, 1]);
    pool.loads = vec![100, 50];
    pool.capacities = vec![100, 60];
    let set = pool.set();
    let totals = set.totals(&pool, |_| true);
    assert_eq!(totals, Totals { sessions: 150, weights: 1001 });
    assert_eq!(totals.limit(1, 1250), 1, "the small one is far above its bound");
    let placement = place(demand(Policy::Rendezvous, key(1), 1250, 0), &set, &pool, |_| true);
    assert_eq!(placement, Some(Placement { server: ServerSlot(1), limit: 60 }));
    pool.loads[1] = 60;
    assert_eq!(place(demand(Policy::Rendezvous, key(1), 1250, 0), &set, &pool, |_| true), None, "all full");
}

#[test]
fn one_key_alone_cannot_fill_a_server_above_the_bound() {
    let mut pool = Pool::new(&[100; 4]);
    let set = pool.set();
    for _ in 0..400 {
        let chosen = choose(demand(Policy::Rendezvous, key(7), 1250, 0), &set, &pool, |_| true).unwrap();
        pool.loads[chosen.0 as usize] += 1;
    }
    assert_eq!(pool.loads.iter().max(), Some(&125));
}

#[test]
fn slow_start_has_sixteen_steps_whatever_the_weight() {
    assert_eq!([0, 1, 8, 16, 99].map(|step| stepped_weight(1, step)), [1, 1, 8, 16, 16]);
    assert_eq!(stepped_weight(0, 16), 0);
    assert_eq!(stepped_weight(u32::MAX, 16), u32::MAX);
}

/// Weights of few classes, of many, and of the whole range.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    let weight = prop_oneof![3 => Just(100_u32), 2 => 0_u32..20, 2 => (1_u32..=16).prop_map(|step| step * 100), 1 => any::<u32>()];
    prop::collection::vec(weight, 1..40)
}

proptest! {
    #[test]
    fn the_order_in_which_servers_are_given_does_not_matter(
        (servers, shuffled) in weights().prop_map(|weights| (0..).zip(weights).collect::<Vec<(u32, u32)>>())
            .prop_flat_map(|servers| (Just(servers.clone()), Just(servers).prop_shuffle())),
    ) {
        let names: Vec<String> = (0..servers.len()).map(|number| format!("ua{number}")).collect();
        let set = |servers: &[(u32, u32)]| PlacementSet::new(servers.iter().map(|&(number, weight)| Seatable {
            server: ServerSlot(number), name: &names[number as usize], weight, position: number,
        }));
        prop_assert_eq!(set(&servers), set(&shuffled));
    }

    /// Against the definition: sort all by `-ln(u) / weight`, with no shortcut.
    #[test]
    fn choice_and_order_are_those_of_the_definition(weights in weights(), number: u64, limit in 0_usize..20, mask: u64) {
        let pool = Pool::new(&weights);
        let (set, key) = (pool.set(), key(number));
        let eligible = |server: ServerSlot| mask >> server.0 & 1 == 1;
        let rank = |server: &Seatable<'_>| negative_ln(draw::NameHash::of(server.name).draw(key));
        let mut expected = pool.seatables();
        expected.retain(|server| server.weight > 0 && eligible(server.server));
        expected.sort_by(|one, other| {
            (rank(one) * u128::from(other.weight)).cmp(&(rank(other) * u128::from(one.weight)))
        });
        let expected: Vec<ServerSlot> = expected.iter().map(|server| server.server).collect();
        prop_assert_eq!(choose(demand(Policy::Rendezvous, key, UNBOUND, 0), &set, &pool, eligible), expected.first().copied());
        // All loads are equal (none), so the key decides there too.
        prop_assert_eq!(choose(demand(Policy::LeastSessions, key, UNBOUND, 0), &set, &pool, eligible), expected.first().copied());
        prop_assert_eq!(&order(&set, key, limit, eligible)[..], &expected[..limit.min(expected.len())]);
    }

    /// Sessions come and go at random; each placement is checked against the bound, written out again from the paper.
    #[test]
    fn no_placement_goes_above_the_bound(
        weights in prop::collection::vec(0_u32..9, 2..12),
        permille in 1_000_u32..2_000,
        steps in prop::collection::vec((any::<u16>(), any::<bool>(), 0_u32..12), 1..400),
    ) {
        let mut pool = Pool::new(&weights);
        let set = pool.set();
        for (number, comes, out) in steps {
            let eligible = |server: ServerSlot| server.0 != out;
            if !comes {
                let leaves = usize::from(number) % pool.loads.len();
                pool.loads[leaves] = pool.loads[leaves].saturating_sub(1);
                continue;
            }
            let number = u64::from(number) % 50;
            let Some(placement) = place(demand(Policy::Rendezvous, key(number), permille, 0), &set, &pool, eligible) else {
                prop_assert!(weights.iter().enumerate().all(|(one, weight)| *weight == 0 || one == out as usize));
                continue;
            };
            let own = placement.server.0 as usize;
            prop_assert!(eligible(placement.server) && weights[own] > 0);
            let seated = |(one, weight): (usize, &u32)| (*weight > 0 && one != out as usize).then_some((one, *weight));
            let (mut sessions, mut total) = (1, 0);
            for (one, weight) in weights.iter().enumerate().filter_map(seated) {
                sessions += u64::from(pool.loads[one]);
                total += u64::from(weight);
            }
            let limit = bound(sessions, weights[own], total, permille);
            prop_assert!(pool.loads[own] < limit, "{} of {limit}", pool.loads[own]);
            prop_assert_eq!(placement.limit, limit);
            pool.loads[own] += 1;
        }
    }

    /// Whatever the loads: none that is full, weightless or not eligible; somebody, if anybody is left.
    #[test]
    fn every_policy_gives_a_server_with_room_if_there_is_one(
        servers in prop::collection::vec((0_u32..4, 0_u32..6, 0_u32..6), 0..12), mask: u16, number: u64, turn: u64,
    ) {
        let mut pool = Pool::new(&servers.iter().map(|server| server.0).collect::<Vec<_>>());
        pool.loads = servers.iter().map(|server| server.1).collect();
        pool.capacities = servers.iter().map(|server| server.2).collect();
        let set = pool.set();
        let eligible = |server: ServerSlot| mask >> server.0 & 1 == 1;
        let usable = |server: &Seatable<'_>| server.weight > 0 && eligible(server.server) && !pool.full(server.server);
        let anybody = pool.seatables().iter().any(usable);
        for policy in POLICIES {
            let placement = place(demand(policy, key(number), 1250, turn), &set, &pool, eligible);
            prop_assert_eq!(placement.is_some(), anybody, "{:?}", policy);
            if let Some(Placement { server, limit }) = placement {
                prop_assert!(usable(&pool.seatables()[server.0 as usize]), "{policy:?}");
                prop_assert!(pool.load(server) < limit && limit <= pool.capacity(server), "{policy:?}");
            }
        }
    }

    #[test]
    fn least_sessions_takes_the_lowest_load_for_its_weight(
        servers in prop::collection::vec((1_u32..9, 0_u32..50), 1..12), number: u64,
    ) {
        let mut pool = Pool::new(&servers.iter().map(|server| server.0).collect::<Vec<_>>());
        pool.loads = servers.iter().map(|server| server.1).collect();
        let chosen = choose(demand(Policy::LeastSessions, key(number), 1250, 0), &pool.set(), &pool, |_| true).unwrap();
        let (weight, load) = servers[chosen.0 as usize];
        prop_assert!(servers.iter().all(|other| load * other.0 <= other.1 * weight), "{chosen:?} of {servers:?}");
    }
}

proptest! {
    // Each case asks for thousands of placements.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A server that comes or goes, or gets more or less weight, moves keys only to itself or from itself, and its share of them.
    #[test]
    fn one_server_more_moves_only_its_share(weights in prop::collection::vec(1_u32..20, 1..20), weight in 1_u32..20, seed: u32) {
        const KEYS: u32 = 2_000;
        let before = Pool::new(&weights);
        let after = Pool::new(&[&weights[..], &[weight]].concat());
        let heavier = Pool::new(&[&weights[..], &[weight * 2]].concat());
        let added = u32::try_from(weights.len()).unwrap();
        let (less, more, most) = (before.set(), after.set(), heavier.set());
        let mut moved = 0;
        for number in 0..KEYS {
            let key = key(u64::from(seed) << 32 | u64::from(number));
            let (old, new, newest) = (before.first(&less, key), after.first(&more, key), heavier.first(&most, key));
            let without = choose(demand(Policy::Rendezvous, key, UNBOUND, 0), &more, &after, |one: ServerSlot| one.0 != added);
            prop_assert_eq!(old, without.map(|one| one.0), "not eligible is the same as not there");
            prop_assert!(new == old || new == Some(added));
            prop_assert!(newest == new || newest == Some(added));
            moved += u32::from(new != old);
        }
        let share = f64::from(weight) / f64::from(weights.iter().sum::<u32>() + weight);
        let deviation = (f64::from(KEYS) * share * (1.0 - share)).sqrt();
        prop_assert!((f64::from(moved) - f64::from(KEYS) * share).abs() <= 5.5 * deviation + 1.0, "{moved} moved, share {share}");
    }
}
