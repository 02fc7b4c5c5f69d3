//! How often a session's owner has avoided a server: at most 3 times in 10 minutes (`interface.md`).

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Mono;

const TIMES: usize = 3;
const WINDOW: Duration = Duration::from_mins(10);
/// Sessions whose avoidances are remembered at once; beyond that the oldest go, which only forgets a limit early.
const SESSIONS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Avoided {
    by_session: BTreeMap<[u8; 16], SmallVec<[Mono; TIMES]>>,
}

impl Avoided {
    /// Whether this session may avoid once more.
    pub(super) fn may(&self, session: [u8; 16], now: Mono) -> bool {
        let lately = |times: &SmallVec<[Mono; TIMES]>| times.iter().filter(|at| now.since(**at) < WINDOW).count();
        self.by_session.get(&session).is_none_or(|times| lately(times) < TIMES)
    }

    /// Whether this session may avoid once more; counts it when it may.
    pub(super) fn admit(&mut self, session: [u8; 16], now: Mono) -> bool {
        if self.by_session.len() >= SESSIONS_MAX && !self.by_session.contains_key(&session) {
            self.forget(now);
        }
        let times = self.by_session.entry(session).or_default();
        times.retain(|at| now.since(*at) < WINDOW);
        let admitted = times.len() < TIMES;
        if admitted {
            times.push(now);
        }
        admitted
    }

    fn forget(&mut self, now: Mono) {
        self.by_session.retain(|_, times| times.last().is_some_and(|at| now.since(*at) < WINDOW));
        while self.by_session.len() >= SESSIONS_MAX {
            self.by_session.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_in_ten_minutes_and_then_again() {
        let mut avoided = Avoided::default();
        for at in [0, 1, 2] {
            assert!(avoided.may([1; 16], Mono(at)) && avoided.admit([1; 16], Mono(at)));
        }
        assert!(!avoided.may([1; 16], Mono(3)) && !avoided.admit([1; 16], Mono(3)));
        assert!(avoided.admit([2; 16], Mono(3)), "each session for itself");
        assert!(avoided.admit([1; 16], Mono(600_000)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut avoided = Avoided::default();
        for number in 0..(SESSIONS_MAX as u128 + 100) {
            avoided.admit(number.to_be_bytes(), Mono(5));
        }
        assert!(avoided.by_session.len() <= SESSIONS_MAX);
    }
}
