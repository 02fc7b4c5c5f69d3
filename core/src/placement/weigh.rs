//! A decision laid open: every server of a set in the order in which it would be tried, with what that order rests on.
//!
//! For explanations. Decides nothing: it asks the very functions that [`super::place`] decides by.

use super::Demand;
use super::bound::{Eligible, Loads};
use super::rank::{self, Ranked};
use super::set::{PlacementSet, ServerSlot};
use crate::settings::Policy;

/// One server as a placement sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighed {
    /// The server.
    pub server: ServerSlot,
    /// Its effective weight, in sixteenths of the configured one.
    pub weight: u32,
    /// What the key draws for it, by weight: the lower, the rather. In millionths.
    pub score_millionths: u64,
    /// Its load now.
    pub load: u32,
    /// At this load it is full.
    pub capacity: u32,
    /// The load that it must be below to be taken, where the policy sets one beside the capacity.
    pub bound: Option<u32>,
    /// Whether its bound passes it over.
    pub above_bound: bool,
}

/// Lays a set open, the server that would be tried first at the beginning. The arguments are those of [`super::place`].
#[must_use]
pub fn weigh(demand: Demand, set: &PlacementSet, loads: &impl Loads, eligible: impl Eligible) -> Vec<Weighed> {
    let Demand { policy, load_bound_permille, key, .. } = demand;
    let preferred = || rank::by_preference(set, key, usize::MAX, |_| true).into_vec();
    let ranked: Vec<Ranked> = match policy {
        Policy::Rendezvous => preferred(),
        Policy::LeastSessions => rank::by_load(set, key, loads),
        Policy::RoundRobin | Policy::FirstAvailable => {
            let by_slot = preferred();
            let in_turn = set.slots().filter_map(|slot| by_slot.iter().find(|one| one.server == slot).copied());
            let mut in_turn: Vec<Ranked> = in_turn.collect();
            let first = (policy == Policy::RoundRobin)
                .then(|| super::choose(demand, set, loads, eligible))
                .flatten()
                .and_then(|first| in_turn.iter().position(|one| one.server == first));
            in_turn.rotate_left(first.unwrap_or(0));
            in_turn
        }
    };
    let totals = (policy == Policy::Rendezvous).then(|| set.totals(loads, eligible));
    ranked
        .into_iter()
        .map(|ranked| {
            let load = loads.load(ranked.server);
            Weighed {
                server: ranked.server,
                weight: ranked.weight,
                score_millionths: ranked.score_millionths(),
                load,
                capacity: loads.capacity(ranked.server),
                bound: totals.map(|totals| totals.limit(ranked.weight, load_bound_permille)),
                above_bound: totals.is_some_and(|totals| !totals.admits(load, ranked.weight, load_bound_permille)),
            }
        })
        .collect()
}
