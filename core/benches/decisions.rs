//! What one start costs in the core: kept at several sizes of the table, placed at several sizes of the pool.
//!
//! `cargo bench -p maitred-core --bench decisions`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use divan::Bencher;

use world::{NOW, director, key, pool, seated, settings, start};

mod world;

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// Starts in a row that are timed together: one alone would show what the harness between two of them left of the caches.
const IN_A_ROW: u32 = 20_000;

#[divan::bench(args = [1_000, 10_000, 100_000, 1_000_000], sample_size = IN_A_ROW)]
fn kept(bencher: Bencher<'_, '_>, sessions: usize) {
    let (pool, (director, keys)) = (pool(), seated(sessions));
    let next = AtomicUsize::new(0);
    bencher.bench(|| {
        // A stride that visits all keys, in an order that no cache line foresees.
        let at = next.fetch_add(7919, Ordering::Relaxed) % sessions;
        start(&director, &pool, &keys[at], at)
    });
}

/// Several threads on one director: nanoseconds are those of one thread, so that the same figure means perfect scaling.
#[divan::bench(threads = [1, 2, 8], sample_size = IN_A_ROW)]
fn kept_by_threads(bencher: Bencher<'_, '_>) {
    const SESSIONS: usize = 200_000;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    // Each thread has other agents: two that ask for one and the same at one moment are not what a director sees.
    thread_local!(static NEXT: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) * 25_013));
    let (pool, (director, keys)) = (pool(), seated(SESSIONS));
    bencher.bench(|| {
        let at = NEXT.get() % SESSIONS;
        NEXT.set(at + 7919);
        start(&director, &pool, &keys[at], at)
    });
}

#[divan::bench(args = [2, 16, 100, 1_000], sample_size = 1_000)]
fn placed(bencher: Bencher<'_, '_>, servers: u32) {
    let director = director(servers);
    let pool = pool();
    let next = AtomicUsize::new(0);
    bencher
        .with_inputs(|| next.fetch_add(1, Ordering::Relaxed))
        .bench_values(|number| start(&director, &pool, &key(number), number));
}

#[divan::bench(args = [16, 100, 1_000], sample_count = 50)]
fn view_rebuilt(bencher: Bencher<'_, '_>, servers: u32) {
    let director = director(servers);
    let settings = settings(servers);
    bencher.with_inputs(|| settings.clone()).bench_values(|settings| director.handle_settings(settings, NOW));
}
