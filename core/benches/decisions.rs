//! What one start costs in the core: kept, adopted and placed, at several sizes of the pool and of the table.
//!
//! `cargo bench -p maitred-core --bench decisions`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use divan::Bencher;
use maitred_core::clock::Stamp;
use maitred_core::director::{Director, ServerWord};
use maitred_core::entry::{Life, OperatorWord, SeatEntry};
use maitred_core::ids::{DirectorName, Generation, IncarnationTag};
use maitred_core::seating::{Affinity, Shown, StartRequest};

use world::{NOW, World, director, keepers, key, pool, request, server, session, settings};

mod world;

fn main() {
    divan::main();
}

const WORLDS: [World; 12] = [
    World::of(16, 1_000),
    World::of(16, 10_000),
    World::of(16, 100_000),
    World::of(16, 1_000_000),
    World::of(100, 1_000),
    World::of(100, 10_000),
    World::of(100, 100_000),
    World::of(100, 1_000_000),
    World::of(1_000, 1_000),
    World::of(1_000, 10_000),
    World::of(1_000, 100_000),
    World::of(1_000, 1_000_000),
];

/// Starts that are timed together. Their requests are made just before, as a request is parsed just before its start: they are in the
/// caches, and what the director remembers is where the starts before left it.
const IN_A_ROW: u32 = 100;

/// How often that is done. A director that has no session for the keys that are asked for gets as many more.
const ROWS: u32 = 100;

fn started(director: &Director, request: &StartRequest<'_>, as_expected: Affinity) {
    assert!(director.start(request, NOW).is_ok_and(|seat| seat.affinity == as_expected));
}

#[divan::bench(args = WORLDS, sample_count = ROWS, sample_size = IN_A_ROW)]
fn kept(bencher: Bencher<'_, '_>, world: World) {
    let (pool, director, sessions) = (pool(), world.director(), world.sessions());
    let next = AtomicUsize::new(0);
    bencher
        // A stride that visits all keys, in an order that no cache line foresees.
        .with_inputs(|| request(&pool, next.fetch_add(7919, Relaxed) % sessions))
        .bench_refs(|request| started(&director, request, Affinity::Kept));
}

/// The session is only in the cookie that the caller shows, sealed by another director.
#[divan::bench(args = WORLDS, sample_count = ROWS, sample_size = IN_A_ROW)]
fn adopted(bencher: Bencher<'_, '_>, world: World) {
    let (pool, director, writer) = (pool(), world.director(), DirectorName::parse("east-2").unwrap());
    let next = AtomicUsize::new(world.sessions());
    bencher
        .with_inputs(|| {
            let number = next.fetch_add(1, Relaxed);
            let seat = SeatEntry {
                pool: pool.clone(),
                key: key(number),
                session: session(number),
                server: server(number as u32 % world.servers),
                incarnation: IncarnationTag::UNKNOWN,
                generation: Generation::FIRST,
                stamp: Stamp::at(NOW.time),
                writer: writer.clone(),
                life: Life::Live,
                seen: NOW.time,
                minted: false,
            };
            new_row(&director, number);
            StartRequest { shown: Some(Shown { seat, owner: true }), ..request(&pool, number) }
        })
        .bench_refs(|request| started(&director, request, Affinity::Kept));
}

#[divan::bench(args = WORLDS, sample_count = ROWS, sample_size = IN_A_ROW)]
fn placed(bencher: Bencher<'_, '_>, world: World) {
    let (pool, director) = (pool(), world.director());
    let next = AtomicUsize::new(world.sessions());
    bencher
        .with_inputs(|| {
            let number = next.fetch_add(1, Relaxed);
            new_row(&director, number);
            request(&pool, number)
        })
        .bench_refs(|request| started(&director, request, Affinity::Placed));
}

/// What starts leave to be done is done before the next row of them.
fn new_row(director: &Director, number: usize) {
    if number.is_multiple_of(IN_A_ROW as usize) {
        keepers(director);
    }
}

/// Several threads on one director: nanoseconds are those of one thread, so that the same figure means perfect scaling.
#[divan::bench(threads = [1, 2, 8], sample_count = 50, sample_size = 20_000)]
fn kept_by_threads(bencher: Bencher<'_, '_>) {
    const WORLD: World = World::of(16, 200_000);
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    // Each thread has other agents: two that ask for one and the same at one moment are not what a director sees.
    thread_local!(static NEXT: Cell<usize> = Cell::new(THREADS.fetch_add(1, Relaxed) * 25_013));
    let (pool, director, sessions) = (pool(), WORLD.director(), WORLD.sessions());
    let requests: Vec<_> = (0..sessions).map(|number| request(&pool, number)).collect();
    bencher.bench(|| {
        let at = NEXT.get() % sessions;
        NEXT.set(at + 7919);
        started(&director, &requests[at], Affinity::Kept);
    });
}

/// All anew, as after a reload.
#[divan::bench(args = [16, 100, 1_000], sample_count = 50)]
fn view_rebuilt(bencher: Bencher<'_, '_>, servers: u32) {
    let director = director(servers);
    let settings = settings(servers);
    bencher.with_inputs(|| settings.clone()).bench_values(|settings| director.handle_settings(settings, NOW));
}

/// One server taken out or brought back, as when it goes down or comes up.
#[divan::bench(args = [16, 100, 1_000], sample_count = 50)]
fn server_changed(bencher: Bencher<'_, '_>, servers: u32) {
    let director = director(servers);
    let next = AtomicUsize::new(0);
    bencher
        .with_inputs(|| {
            let number = next.fetch_add(1, Relaxed);
            let word = if number.is_multiple_of(2) { OperatorWord::Drain } else { OperatorWord::Ready };
            (server(number as u32 / 2 % servers), ServerWord::new(word))
        })
        .bench_values(|(server, word)| director.handle_server_order(&server, &word, NOW).is_ok());
}
