//! Time as the core sees it: always a parameter, never read.
//!
//! Two kinds that must not be mixed: [`Mono`] drives timers and never jumps; [`Time`] is the director's own wall clock and goes
//! into stamps. R2: the own clock is max(wall, last clock value in the journal) at start, plus monotonic time since; a jump of
//! the machine's wall clock therefore moves neither.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Monotonic milliseconds since the director started. For timers, deadlines and ages only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A moment that may lie before this director started: what was heard of was some time old when it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    heard: Mono,
    before: Duration,
}

impl Since {
    /// A moment that lay `before` the one at which it was heard of.
    #[must_use]
    pub fn new(heard: Mono, before: Duration) -> Self {
        Self { heard, before }
    }

    /// How long ago it is.
    #[must_use]
    pub fn age(self, now: Mono) -> Duration {
        self.before.saturating_add(now.since(self.heard))
    }

    /// Whether it lies after another one.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        let (heard, others) = (Duration::from_millis(self.heard.0), Duration::from_millis(other.heard.0));
        heard.saturating_add(other.before) > others.saturating_add(self.before)
    }

    /// When it becomes older than `lasts`; the moment at which it was heard of when it was by then.
    #[must_use]
    pub fn lapses(self, lasts: Duration) -> Mono {
        self.heard + lasts.saturating_sub(self.before)
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(millis(delay)))
    }
}

/// The director's own clock: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(millis(delay)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(millis(delay)))
    }
}

/// One moment, read once per input by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For timers.
    pub mono: Mono,
    /// For stamps.
    pub time: Time,
}

/// When a seat was decided: milliseconds of the writer's clock, and a counter that keeps one writer's stamps apart.
///
/// Packed into one word (48 bits and 16 bits), so that order is one comparison. The default, zero, is older than every start:
/// a server's word (R5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Stamp(u64);

impl Stamp {
    /// Older than every start; what a server tells is stored with it (R5).
    pub const ZERO: Self = Self(0);

    /// The first stamp of a millisecond.
    #[must_use]
    pub fn at(time: Time) -> Self {
        Self(time.0.min((1 << 48) - 1) << 16)
    }

    /// The stamp that a writer gives: max(own clock, what it replaces + 1) (R2).
    #[must_use]
    pub fn next(time: Time, replaced: Option<Self>) -> Self {
        let own = Self::at(time);
        replaced.map_or(own, |old| own.max(Self(old.0.saturating_add(1))))
    }

    /// The milliseconds part.
    #[must_use]
    pub fn time(self) -> Time {
        Time(self.0 >> 16)
    }

    /// The packed word, for codecs.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// From the packed word.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// A duration in whole milliseconds, saturating.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_above_what_it_replaces_even_with_a_slow_clock() {
        let ahead = Stamp::at(Time(10_000));
        let next = Stamp::next(Time(5_000), Some(ahead));
        assert!(next > ahead);
        assert_eq!(next.time(), Time(10_000));
        assert_eq!(Stamp::next(Time(20_000), Some(ahead)), Stamp::at(Time(20_000)));
    }

    #[test]
    fn a_servers_word_is_older_than_every_start() {
        assert!(Stamp::ZERO < Stamp::at(Time(1)));
    }
}
