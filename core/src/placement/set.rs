//! The servers of one pool in the form that a decision reads: built once per view, never changed.

use std::ops::Range;

use super::draw::NameHash;

/// A server's number, given by the caller; the loads of servers with numbers in a row lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerSlot(pub u32);

/// A server that may be given sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seatable<'a> {
    /// Its number.
    pub server: ServerSlot,
    /// Its name, which alone decides its draws: a server that gets another position keeps its sessions' first choice.
    pub name: &'a str,
    /// Its effective weight, slow start applied (see [`stepped_weight`]); 0 takes no placement.
    pub weight: u32,
    /// Its position in the configuration, for [`crate::settings::Policy::FirstAvailable`] and in turn.
    pub position: u32,
}

/// Steps in which a slow start raises a weight: few, so that servers share few weights and a decision needs few logarithms.
pub const SLOW_START_STEPS: u32 = 16;

/// The effective weight of a server after `step` of [`SLOW_START_STEPS`] steps, in sixteenths of a configured weight, so that
/// even weight 1 has all steps. A server that has a weight has at least one step of it: ranked low is not refused (R14).
#[must_use]
pub fn stepped_weight(weight: u32, step: u32) -> u32 {
    weight.saturating_mul(step.clamp(1, SLOW_START_STEPS))
}

/// The servers of a pool that have a weight, grouped by it. Does not depend on the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacementSet {
    /// The heaviest first.
    pub(super) classes: Box<[Class]>,
    /// In the order of the configuration.
    pub(super) in_turn: Box<[InTurn]>,
    /// All numbers, as few stretches.
    pub(super) stretches: Box<[Range<u32>]>,
    /// All weights.
    pub(super) weights: u64,
}

/// Servers of one weight: among them the raw draw decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) weight: u32,
    /// By the name's hash, then the name, so that even a tie of draws does not depend on the order in which servers were given.
    pub(super) members: Box<[Member]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: NameHash,
    pub(super) server: ServerSlot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InTurn {
    pub(super) server: ServerSlot,
    pub(super) weight: u32,
}

impl PlacementSet {
    /// Groups the servers; those of weight 0 are left out.
    #[must_use]
    pub fn new<'a>(servers: impl IntoIterator<Item = Seatable<'a>>) -> Self {
        let mut servers: Vec<Seatable<'a>> = servers.into_iter().filter(|server| server.weight > 0).collect();
        servers.sort_by_key(|server| (server.position, server.name));
        let in_turn = servers.iter().map(|one| InTurn { server: one.server, weight: one.weight }).collect();
        servers.sort_by_cached_key(|one| (std::cmp::Reverse(one.weight), NameHash::of(one.name), one.name));
        let classes = servers
            .chunk_by(|one, next| one.weight == next.weight)
            .map(|class| Class {
                weight: class[0].weight,
                members: class.iter().map(|one| Member { name: NameHash::of(one.name), server: one.server }).collect(),
            })
            .collect();
        let weights = servers.iter().map(|one| u64::from(one.weight)).sum();
        let stretches = stretches(servers.iter().map(|one| one.server.0).collect());
        Self { classes, in_turn, stretches, weights }
    }

    /// The servers that have a weight, in the order of the configuration.
    pub fn slots(&self) -> impl Iterator<Item = ServerSlot> + '_ {
        self.in_turn.iter().map(|one| one.server)
    }

    /// How many servers have a weight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_turn.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_turn.is_empty()
    }
}

/// Numbers as few ranges.
fn stretches(mut numbers: Vec<u32>) -> Box<[Range<u32>]> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers.chunk_by(|one, next| one + 1 == *next).map(|row| row[0]..row[row.len() - 1] + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_one_stretch() {
        assert_eq!(*stretches(vec![]), [] as [Range<u32>; 0]);
        assert_eq!(*stretches(vec![7, 3, 4, 9, 8, 1]), [1..2, 3..5, 7..10]);
    }
}
