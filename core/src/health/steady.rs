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
