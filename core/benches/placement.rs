//! What one placement costs: `cargo bench -p maitred-core --bench placement`.
//!
//! The goals (`performance.md`): at most 300 ns at 16 servers and 1.5 µs at 1,000, from loads that are one read each.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use divan::Bencher;
use maitred_core::placement::{Demand, KeyHash, Loads, PlacementSet, Seatable, ServerSlot, choose, order};
use maitred_core::settings::Policy;

const SERVERS: [u32; 2] = [16, 1000];
const PERMILLE: u32 = 1250;

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// Half full, every tenth server not eligible.
struct Pool {
    set: PlacementSet,
    loads: Box<[AtomicU32]>,
    eligible: Box<[bool]>,
    keys: Vec<KeyHash>,
    next: Cell<usize>,
}

impl Loads for Pool {
    fn load(&self, server: ServerSlot) -> u32 {
        self.loads[server.0 as usize].load(Relaxed)
    }
    fn capacity(&self, _: ServerSlot) -> u32 {
        1000
    }
}

impl Pool {
    /// `servers` with `weights` different weights.
    fn new(servers: u32, weights: u32) -> Self {
        let names: Vec<String> = (0..servers).map(|number| format!("ua{number}.east.example")).collect();
        Self {
            set: set(&names, weights),
            loads: (0..servers).map(|number| AtomicU32::new(500 + number % 7 * (1 + number % weights))).collect(),
            eligible: (0..servers).map(|number| number % 10 != 9).collect(),
            keys: (0..1024).map(|number| KeyHash::of_text(&format!("agent-{number}"))).collect(),
            next: Cell::new(0),
        }
    }

    /// Another key each time, so that no branch can be learnt from the one before.
    fn key(&self) -> KeyHash {
        self.next.set((self.next.get() + 1) % self.keys.len());
        self.keys[self.next.get()]
    }

    fn choose(&self, policy: Policy) -> Option<ServerSlot> {
        let turn = self.next.get() as u64;
        let demand = Demand { policy, load_bound_permille: PERMILLE, key: black_box(self.key()), turn };
        choose(demand, &self.set, self, |one: ServerSlot| self.eligible[one.0 as usize])
    }
}

fn set(names: &[String], weights: u32) -> PlacementSet {
    PlacementSet::new((0..).zip(names).map(|(number, name)| Seatable {
        server: ServerSlot(number),
        name,
        weight: 100 * (1 + number % weights),
        position: number,
    }))
}

#[divan::bench(args = SERVERS)]
fn rendezvous(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 1);
    bencher.bench_local(|| pool.choose(Policy::Rendezvous));
}

#[divan::bench(args = SERVERS)]
fn rendezvous_of_16_weights(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 16);
    bencher.bench_local(|| pool.choose(Policy::Rendezvous));
}

#[divan::bench(args = SERVERS)]
fn least_sessions(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 1);
    bencher.bench_local(|| pool.choose(Policy::LeastSessions));
}

#[divan::bench(args = SERVERS)]
fn round_robin(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 1);
    bencher.bench_local(|| pool.choose(Policy::RoundRobin));
}

#[divan::bench(args = SERVERS)]
fn round_robin_of_16_weights(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 16);
    bencher.bench_local(|| pool.choose(Policy::RoundRobin));
}

#[divan::bench(args = SERVERS)]
fn first_available(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 1);
    bencher.bench_local(|| pool.choose(Policy::FirstAvailable));
}

#[divan::bench(args = SERVERS)]
fn sixteen_alternates(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 1);
    bencher.bench_local(|| order(&pool.set, black_box(pool.key()), 16, |one| pool.eligible[one.0 as usize]));
}

#[divan::bench(args = SERVERS)]
fn building_the_set(bencher: Bencher<'_, '_>, servers: u32) {
    let names: Vec<String> = (0..servers).map(|number| format!("ua{number}.east.example")).collect();
    bencher.bench_local(|| set(&names, 1));
}

#[divan::bench(args = SERVERS)]
fn sums_alone(bencher: Bencher<'_, '_>, servers: u32) {
    let pool = Pool::new(servers, 1);
    bencher.bench_local(|| black_box(&pool).set.totals(&pool, |one: ServerSlot| pool.eligible[one.0 as usize]));
}
