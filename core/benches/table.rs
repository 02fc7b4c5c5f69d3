//! What many sessions cost: time to hand all of them on and to take them over.
//!
//! `cargo bench -p maitred-core --bench table`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]
#![allow(dead_code, reason = "other benchmarks use the rest of the world")]

use divan::Bencher;
use divan::counter::ItemsCount;
use maitred_core::director::{Director, SnapshotPlace};
use maitred_core::entry::Entry;

use world::{NOW, World, director};

mod world;

fn main() {
    divan::main();
}

const MANY: [World; 2] = [World::of(16, 100_000), World::of(16, 1_000_000)];
/// Seats that are read at a time, as the journal does.
const PAGE: usize = 2000;

fn snapshot(director: &Director, sink: &mut dyn FnMut(Entry)) {
    let mut place = Some(SnapshotPlace::default());
    while let Some(from) = place {
        place = director.snapshot(&from, PAGE, NOW, sink);
    }
}

#[divan::bench(args = MANY, sample_count = 3, sample_size = 1)]
fn handed_on(bencher: Bencher<'_, '_>, world: World) {
    let director = world.director();
    bencher.counter(ItemsCount::new(world.sessions())).bench_local(|| {
        let mut entries = 0;
        snapshot(&director, &mut |_| entries += 1);
        assert!(entries >= world.sessions());
    });
}

#[divan::bench(args = MANY, sample_count = 3, sample_size = 1)]
fn taken_over(bencher: Bencher<'_, '_>, world: World) {
    let from = world.director();
    let entries = || {
        let mut entries = Vec::with_capacity(world.sessions());
        snapshot(&from, &mut |entry| entries.extend(matches!(entry, Entry::Seat(_)).then_some(entry)));
        entries
    };
    bencher
        .counter(ItemsCount::new(world.sessions()))
        .with_inputs(|| (director(world.servers), entries()))
        .bench_local_values(|(to, entries)| {
            to.restore(entries, NOW);
            assert_eq!(to.sessions(), world.sessions());
            to
        });
}
