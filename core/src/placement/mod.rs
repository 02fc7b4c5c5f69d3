//! Which server gets a session that has none (or cannot have its own any more).
//!
//! A pure function of the servers and their weights ([`PlacementSet`]), the key, the loads and who is eligible. It refuses to
//! know why a server is not eligible, what a tier of the ladder (R14) means and what a label is: the caller calls it once per
//! tier, best tier first, until one gives a server. No floating point, hash map, clock or allocation takes part in a decision,
//! so every director decides the same from the same picture, and a replay repeats it.
//!
//! ```text
//! names, weights ──> PlacementSet (once per view)
//! key ──> KeyHash ──────┐
//! loads, eligible ──> place ──> Placement { server, limit }
//! ```

mod bound;
mod draw;
mod logarithm;
mod rank;
mod set;
mod turn;
mod weigh;

pub use bound::{Eligible, Loads, Totals, bound};
pub use draw::KeyHash;
pub use rank::{Ranking, order};
pub use set::{PlacementSet, SLOW_START_STEPS, Seatable, ServerSlot, stepped_weight};
pub use weigh::{Weighed, weigh};

use crate::settings::Policy;

/// What a place is wanted for, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// How to choose.
    pub policy: Policy,
    /// How far above its fair share a server may be filled, in thousandths; [`Policy::Rendezvous`] alone uses it (see [`bound()`]).
    pub load_bound_permille: u32,
    /// The session's key.
    pub key: KeyHash,
    /// A number that the caller raises by one for each placement; [`Policy::RoundRobin`] alone uses it.
    pub turn: u64,
}

/// A server that was chosen, and up to where it may be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The server.
    pub server: ServerSlot,
    /// The load that it must be below to take the session: its capacity, and its bound where the policy has one. Whoever places
    /// from several threads reserves against this and decides again when the place has gone.
    pub limit: u32,
}

/// Chooses a server, or says that none of the eligible has room.
///
/// Each policy passes over servers that are not eligible, have no weight, or are full (load at or above their capacity).
/// Where every server that is not full stands at its bound, which takes servers that fill up below it, the one with the least
/// load for its weight is taken: a bound never refuses.
#[must_use]
pub fn place(demand: Demand, set: &PlacementSet, loads: &impl Loads, eligible: impl Eligible) -> Option<Placement> {
    let Demand { policy, load_bound_permille, key, turn } = demand;
    let up_to_capacity = |server| Placement { server, limit: loads.capacity(server) };
    let has_room = |server| eligible.admits(server) && loads.load(server) < loads.capacity(server);
    match policy {
        Policy::Rendezvous => within_bound(set, key, loads, eligible, load_bound_permille)
            .or_else(|| rank::least_loaded(set, key, loads, eligible).map(|one| up_to_capacity(one.server))),
        Policy::LeastSessions => rank::least_loaded(set, key, loads, eligible).map(|one| up_to_capacity(one.server)),
        Policy::RoundRobin => turn::in_turn(set, turn, has_room).map(up_to_capacity),
        Policy::FirstAvailable => {
            set.in_turn.iter().map(|one| one.server).find(|&server| has_room(server)).map(up_to_capacity)
        }
    }
}

/// [`place`] for callers that do not reserve.
#[must_use]
pub fn choose(demand: Demand, set: &PlacementSet, loads: &impl Loads, eligible: impl Eligible) -> Option<ServerSlot> {
    place(demand, set, loads, eligible).map(|placement| placement.server)
}

/// The server that the key prefers among those that are below their capacity and their bound.
fn within_bound(
    set: &PlacementSet,
    key: KeyHash,
    loads: &impl Loads,
    eligible: impl Eligible,
    permille: u32,
) -> Option<Placement> {
    let totals = set.totals(loads, eligible);
    if totals.weights == 0 {
        return None;
    }
    let (server, weight) = rank::first(set, key, |server, weight| {
        let load = loads.load(server);
        eligible.admits(server) && load < loads.capacity(server) && totals.admits(load, weight, permille)
    })?;
    let limit = totals.limit(weight, permille).min(loads.capacity(server));
    Some(Placement { server, limit })
}

#[cfg(test)]
mod tests;
