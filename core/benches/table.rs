//! What many sessions cost: memory while they are seated, and time to hand all of them on and to take them over.
//!
//! `cargo bench -p maitred-core --bench table`. Memory per session is "max alloc" of `seated`, divided by the sessions; it counts the
//! whole director, the keys that the benchmark itself keeps included.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]
#![allow(dead_code, reason = "other benchmarks use the rest of the world")]

use divan::Bencher;
use divan::counter::ItemsCount;
use maitred_core::director::SnapshotPlace;
use maitred_core::entry::Entry;

use world::{NOW, director, key, pool, start};

mod world;

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const MANY: [usize; 2] = [100_000, 1_000_000];
/// Seats that are read at a time, as the journal does.
const PAGE: usize = 2000;

#[divan::bench(args = MANY, sample_count = 3, sample_size = 1)]
fn seated(bencher: Bencher<'_, '_>, sessions: usize) {
    bencher.counter(ItemsCount::new(sessions)).with_inputs(|| director(16)).bench_local_values(|director| {
        let pool = pool();
        for number in 0..sessions {
            assert!(start(&director, &pool, &key(number), number));
        }
        director
    });
}

#[divan::bench(args = MANY, sample_count = 3, sample_size = 1)]
fn handed_on(bencher: Bencher<'_, '_>, sessions: usize) {
    let (director, _keys) = world::seated(sessions);
    bencher.counter(ItemsCount::new(sessions)).bench_local(|| {
        let mut entries = 0;
        let mut place = Some(SnapshotPlace::default());
        while let Some(from) = place {
            place = director.snapshot(&from, PAGE, NOW, &mut |_| entries += 1);
        }
        assert!(entries >= sessions);
    });
}

#[divan::bench(args = MANY, sample_count = 3, sample_size = 1)]
fn taken_over(bencher: Bencher<'_, '_>, sessions: usize) {
    let (from, _keys) = world::seated(sessions);
    let entries = || {
        let mut entries = Vec::with_capacity(sessions);
        let mut place = Some(SnapshotPlace::default());
        while let Some(at) = place {
            let mut keep = |entry: Entry| entries.extend(matches!(entry, Entry::Seat(_)).then_some(entry));
            place = from.snapshot(&at, PAGE, NOW, &mut keep);
        }
        entries
    };
    bencher.counter(ItemsCount::new(sessions)).with_inputs(|| (director(16), entries())).bench_local_values(
        |(to, entries)| {
            to.restore(entries, NOW);
            assert_eq!(to.sessions(), sessions);
            to
        },
    );
}
