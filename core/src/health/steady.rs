//! What a server's past falls cost it: slow start after each, hold-down that grows with them.
//!
//! Both only rank and weigh; neither makes a server unusable (R14).

use std::time::Duration;

use crate::clock::{Mono, millis};

/// Full weight, in steps.
pub const WEIGHT_STEPS: u8 = 16;
/// Held down this much longer with every fall after the first (Envoy's base ejection time).
const HOLD_DOWN_STEP: Duration = Duration::from_secs(30);
/// The longest hold-down.
const HOLD_DOWN_MAX: Duration = Duration::from_secs(600);
/// One fall is forgotten for every such stretch that the server stays up.
const FORGIVE_AFTER: Duration = Duration::from_secs(600);
/// More falls than these cost no more: the hold-down is at its longest.
const FALLS_MAX: u32 = 21;
/// From this many falls on a server flaps.
const FLAPPING_FALLS: u32 = 3;

/// A server's record of falling and rising.
#[derive(Debug, Clone, Default)]
pub struct Steadiness {
    falls: u32,
    /// When it last came up after a fall; `None` while down, and while it never fell.
    risen: Option<Mono>,
    /// Since when it has been up, for forgiving.
    up_since: Option<Mono>,
}

impl Steadiness {
    /// It is up; after a fall (`fell`) this begins slow start and hold-down.
    pub fn rise(&mut self, fell: bool, now: Mono) {
        self.up_since = Some(now);
        self.risen = fell.then_some(now);
    }

    /// It was up and is down.
    pub fn fall(&mut self, now: Mono) {
        let falls = self.falls_at(now).saturating_add(1);
        *self = Self { falls: falls.min(FALLS_MAX), risen: None, up_since: None };
    }

    /// Falls that still count.
    #[must_use]
    pub fn falls_at(&self, now: Mono) -> u32 {
        let up = self.up_since.map_or(Duration::ZERO, |since| now.since(since));
        let forgiven = millis(up) / millis(FORGIVE_AFTER);
        self.falls.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    /// It falls so often that its counts get no `fast` any more.
    #[must_use]
    pub fn flaps(&self, now: Mono) -> bool {
        self.falls_at(now) >= FLAPPING_FALLS
    }

    /// Until when it ranks last after its latest rise: not at all for the first fall, then 30 s more with each, at most 10 min.
    #[must_use]
    pub fn held_until(&self) -> Option<Mono> {
        let hold = HOLD_DOWN_STEP.saturating_mul(self.falls.saturating_sub(1)).min(HOLD_DOWN_MAX);
        self.risen.filter(|_| !hold.is_zero()).map(|risen| risen + hold)
    }

    /// It ranks last just now.
    #[must_use]
    pub fn is_held(&self, now: Mono) -> bool {
        self.held_until().is_some_and(|until| now < until)
    }

    /// Its share of its weight in sixteenths: 1 when it has just come up again, 16 after `slow_start`. It stands only for a
    /// server that is up.
    #[must_use]
    pub fn weight_step(&self, slow_start: Duration, now: Mono) -> u8 {
        let Some(risen) = self.risen else { return WEIGHT_STEPS };
        let (elapsed, whole) = (millis(now.since(risen)), millis(slow_start));
        let rest = u64::from(WEIGHT_STEPS - 1);
        let step = if elapsed >= whole { rest } else { elapsed * rest / whole };
        u8::try_from(step + 1).unwrap_or(WEIGHT_STEPS).min(WEIGHT_STEPS)
    }

    /// When weight or rank change next without any look.
    #[must_use]
    pub fn deadline(&self, slow_start: Duration, now: Mono) -> Option<Mono> {
        let held = self.held_until().filter(|until| now < *until);
        let step = self.weight_step(slow_start, now);
        let stepped = self.risen.filter(|_| step < WEIGHT_STEPS).map(|risen| {
            let wait = (u64::from(step) * millis(slow_start)).div_ceil(u64::from(WEIGHT_STEPS - 1));
            risen + Duration::from_millis(wait)
        });
        held.into_iter().chain(stepped).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOW: Duration = Duration::from_secs(30);

    fn second(second: u64) -> Mono {
        Mono(second * 1000)
    }

    #[test]
    fn weight_comes_back_in_sixteen_steps_after_a_fall_only() {
        let mut steady = Steadiness::default();
        assert_eq!(steady.weight_step(SLOW, second(0)), 16);
        steady.rise(false, second(0));
        assert_eq!(steady.weight_step(SLOW, second(0)), 16, "no slow start at the director's own start");
        steady.fall(second(10));
        steady.rise(true, second(20));
        for (at, step) in [(20, 1), (21, 1), (22, 2), (24, 3), (48, 15), (49, 15), (50, 16), (500, 16)] {
            assert_eq!(steady.weight_step(SLOW, second(at)), step, "{at}");
        }
        assert_eq!(steady.weight_step(Duration::ZERO, second(20)), 16);
    }

    #[test]
    fn the_first_fall_is_free_and_each_further_one_costs_30_seconds_up_to_10_minutes() {
        let mut steady = Steadiness::default();
        let mut at = 0;
        for fall in 1..=40u64 {
            steady.rise(fall > 1, second(at));
            steady.fall(second(at + 1));
            at += 2;
            steady.rise(true, second(at));
            let hold = (30 * (fall - 1)).min(600);
            assert_eq!(steady.held_until(), (hold > 0).then(|| second(at + hold)), "fall {fall}");
            assert_eq!(steady.is_held(second(at)), hold > 0);
            assert!(!steady.is_held(second(at + hold)));
        }
    }

    #[test]
    fn a_fall_is_forgotten_for_every_ten_minutes_up() {
        let mut steady = Steadiness::default();
        for at in 0..3 {
            steady.rise(at > 0, second(at * 2));
            steady.fall(second(at * 2 + 1));
        }
        steady.rise(true, second(10));
        assert!(steady.flaps(second(10)));
        assert_eq!(steady.falls_at(second(609)), 3);
        assert_eq!(steady.falls_at(second(610)), 2);
        assert!(!steady.flaps(second(610)));
        assert_eq!(steady.falls_at(second(10_000)), 0);
        steady.fall(second(10_000));
        steady.rise(true, second(10_001));
        assert!(!steady.is_held(second(10_001)), "the first fall again");
    }

    proptest! {
        /// Following the deadlines alone meets every change: whoever sleeps until then misses none.
        #[test]
        fn deadlines_meet_every_change(slow in 1u64..100_000, falls in 1u32..30) {
            let slow = Duration::from_millis(slow);
            let mut steady = Steadiness::default();
            for _ in 0..falls {
                steady.rise(true, Mono(0));
                steady.fall(Mono(0));
            }
            steady.rise(true, Mono(0));
            let seen = |steady: &Steadiness, now| (steady.weight_step(slow, now), steady.is_held(now));
            let mut now = Mono(0);
            while let Some(next) = steady.deadline(slow, now) {
                prop_assert!(next > now);
                prop_assert_eq!(seen(&steady, now), seen(&steady, Mono(next.0 - 1)));
                prop_assert_ne!(seen(&steady, now), seen(&steady, next));
                now = next;
            }
            prop_assert_eq!(seen(&steady, now), (16, false));
        }
    }
}
