//! Bounded loads: no server gets a session above a multiple of the mean load of those that are eligible with it.
//!
//! After Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016): the limit is
//! `ceil(c * (sessions + 1) * weight / weights)`, the one to be placed included.

use std::ops::Range;

use super::set::{PlacementSet, ServerSlot};

/// What placement asks about a server's load. It must not change what it answers while one decision runs for the decision to be
/// exact; where it does (other threads place at the same time), the caller reserves against [`super::Placement::limit`].
pub trait Loads {
    /// Sessions that it has, recent placements included.
    fn load(&self, server: ServerSlot) -> u32;
    /// Sessions that it can have; at this load it is full.
    fn capacity(&self, server: ServerSlot) -> u32;
    /// The loads of servers with numbers in a row, together.
    fn sum(&self, servers: Range<u32>) -> u64 {
        servers.map(|server| u64::from(self.load(ServerSlot(server)))).sum()
    }
}

/// Who may be given a session at all; load is another question. Must answer the same within one decision.
pub trait Eligible: Copy {
    /// Whether this one may; asked about a server up to three times.
    fn admits(self, server: ServerSlot) -> bool;
    /// Whether all may: then nobody has to be asked for each.
    fn admits_all(self) -> bool {
        false
    }
}

impl<F: Fn(ServerSlot) -> bool + Copy> Eligible for F {
    fn admits(self, server: ServerSlot) -> bool {
        self(server)
    }
}

/// The limit of one server: its share by weight of `sessions` (the one to be placed included) times `permille` thousandths,
/// rounded up, and at least 1. Without any weight there is nothing to share and the limit is 1.
#[must_use]
pub fn bound(sessions: u64, weight: u32, weights: u64, permille: u32) -> u32 {
    let share = u128::from(sessions) * u128::from(permille) * u128::from(weight);
    let limit = share.div_ceil(1000 * u128::from(weights.max(1)));
    u32::try_from(limit).unwrap_or(u32::MAX).max(1)
}

/// Sums over the servers that one decision may choose from, full ones included: they carry their part of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Sessions that they have.
    pub sessions: u64,
    /// Their weights.
    pub weights: u64,
}

impl Totals {
    /// Whether a server of this weight and load may get one more session: the same as `load < self.limit(..)`, without a
    /// division.
    pub(super) fn admits(self, load: u32, weight: u32, permille: u32) -> bool {
        // For whole numbers, load < ceil(share / weights) exactly when load < share / weights.
        let share = u128::from(self.sessions + 1) * u128::from(permille) * u128::from(weight);
        load == 0 || u128::from(load) * 1000 * u128::from(self.weights) < share
    }

    /// The limit of a server of this weight for the session that is about to be placed.
    #[must_use]
    pub fn limit(self, weight: u32, permille: u32) -> u32 {
        bound(self.sessions + 1, weight, self.weights, permille)
    }
}

impl PlacementSet {
    /// The sums over the eligible servers.
    #[must_use]
    pub fn totals(&self, loads: &impl Loads, eligible: impl Eligible) -> Totals {
        if eligible.admits_all() {
            let sessions = self.stretches.iter().map(|servers| loads.sum(servers.clone())).sum();
            return Totals { sessions, weights: self.weights };
        }
        let mut totals = Totals::default();
        // In the order of the configuration, which is that of the loads in memory. A load is not asked for in vain: it may be
        // the sum of several counters.
        for one in &self.in_turn {
            if eligible.admits(one.server) {
                totals.sessions += u64::from(loads.load(one.server));
                totals.weights += u64::from(one.weight);
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_share_rounded_up_and_never_zero() {
        assert_eq!(bound(1, 100, 1600, 1250), 1);
        assert_eq!(bound(100, 100, 400, 1250), 32);
        assert_eq!(bound(100, 300, 400, 1000), 75);
        assert_eq!(bound(0, 1, 4, 1250), 1);
        assert_eq!(bound(5, 1, 0, 1250), 7);
        let empty_handed = Totals { sessions: 5, weights: 10 };
        assert_eq!(empty_handed.limit(1, 0), 1);
        assert!(empty_handed.admits(0, 1, 0) && !empty_handed.admits(1, 1, 0), "one session is always allowed");
        assert_eq!(bound(u64::MAX, u32::MAX, 1, u32::MAX), u32::MAX);
    }

    proptest::proptest! {
        #[test]
        fn admission_is_the_limit_without_a_division(
            sessions in 0_u64..100_000, weight in 1_u32..2_000, others in 0_u64..20_000,
            permille in 1_000_u32..3_000, load in 0_u32..100_000,
        ) {
            let totals = Totals { sessions, weights: others + u64::from(weight) };
            let limit = totals.limit(weight, permille);
            for load in [load, limit.saturating_sub(1), limit, limit + 1] {
                proptest::prop_assert_eq!(totals.admits(load, weight, permille), load < limit);
            }
        }
    }
}
