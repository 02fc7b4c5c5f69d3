//! Replays whole histories over the real core: one seed, one run.
//!
//! First faults, then heal, then calm; the invariants of `rules.md` are looked at all the time. A seed that breaks one replays it:
//! `cargo run --release -p maitred-sim -- --seed N`.

pub mod host;
pub mod invariants;
pub mod plan;
pub mod random;
pub mod story;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use maitred_core::fault;

use crate::plan::Plan;
use crate::world::World;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The run.
    pub seed: u64,
    /// Which one, by its name in `rules.md`.
    pub invariant: &'static str,
    /// When, in milliseconds of the run.
    pub at_ms: u64,
    /// What was seen.
    pub what: String,
    /// The bug that was planted, if any.
    pub planted: Option<fault::Fault>,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let planted = self.planted.map_or_else(String::new, |it| format!(" --plant {}", it.as_str()));
        writeln!(f, "seed {} broke {} after {} ms: {}", self.seed, self.invariant, self.at_ms, self.what)?;
        write!(f, "replay: cargo run --release -p maitred-sim -- --seed {}{planted}", self.seed)
    }
}

/// A run that held: how long it was, in simulated milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Directors in it.
    pub directors: usize,
}

/// Plays one seed.
///
/// # Errors
/// The first invariant that broke.
pub fn run(seed: u64, planted: Option<fault::Fault>) -> Result<Held, Broken> {
    let broken = |invariant, at_ms, what| Broken { seed, invariant, at_ms, what, planted };
    fault::plant(planted);
    let played = catch_unwind(AssertUnwindSafe(|| play(seed)));
    fault::plant(None);
    match played {
        Ok(played) => played.map_err(|(invariant, at, what)| broken(invariant, at, what)),
        Err(_) => Err(broken("no panic", 0, "the core panicked".to_owned())),
    }
}

/// Plays one seed and tells everything that the world saw, with its time in milliseconds: for people who look for a cause.
pub fn trace(seed: u64, planted: Option<fault::Fault>, tell: &mut dyn FnMut(u64, String)) {
    fault::plant(planted);
    let mut world = World::new(Plan::of(seed));
    while world.step() {
        for seen in world.seen() {
            if !matches!(seen, world::Seen::Tick) {
                tell(world.now, story::line(&seen));
            }
        }
    }
    for line in story::end(&world) {
        tell(world.now, line);
    }
    fault::plant(None);
}

fn play(seed: u64) -> Result<Held, (&'static str, u64, String)> {
    let mut world = World::new(Plan::of(seed));
    let mut invariants = invariants::all();
    while world.step() {
        for seen in world.seen() {
            for invariant in &mut invariants {
                invariant.see(&world, &seen).map_err(|what| (invariant.name(), world.now, what))?;
            }
        }
    }
    for invariant in &mut invariants {
        invariant.end(&world).map_err(|what| (invariant.name(), world.now, what))?;
    }
    Ok(Held { simulated_ms: world.now, directors: world.hosts.len() })
}
