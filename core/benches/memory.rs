//! What the core takes from the allocator: for each session that it remembers, and for each start.
//!
//! `cargo bench -p maitred-core --bench memory`. Counts, does not time: the same figures on any machine.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]
#![allow(dead_code, reason = "other benchmarks use the rest of the world")]

use allocation_counter::measure;

use world::{NOW, World, pool, request, seat};

mod world;

const STARTS: usize = 1_000;
/// Sessions that are there before: by then the events that are kept for readers are as many as there ever are.
const BEFORE: usize = 20_000;

fn main() {
    for more in [100_000, 1_000_000] {
        let (before, after) = (World::of(16, BEFORE), World::of(16, BEFORE + more));
        let (director, from, to) = (before.director(), before.sessions(), after.sessions());
        let taken = measure(|| seat(&director, from..to)).bytes_current;
        println!("bytes_per_session/{more} {:.1}", taken as f64 / (to - from).max(1) as f64);
        let pool = pool();
        let requests: Vec<_> = (0..STARTS.min(to)).map(|number| request(&pool, number)).collect();
        let starts = measure(|| assert!(requests.iter().all(|request| director.start(request, NOW).is_ok())));
        println!("allocations_per_kept_start/{more} {}", starts.count_total as f64 / requests.len() as f64);
    }
}
