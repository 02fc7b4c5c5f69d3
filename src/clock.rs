//! The director's own clock (R2): read by the shell once per input, never by the core.
//!
//! ```text
//! time = max(wall at start, last clock value in the journal) + monotonic time since + what peers moved it forward
//! ```
//! A jump of the machine's wall clock therefore moves nothing: no timer, no stamp, no expiry. It is only an alarm
//! ([`Clock::wall_jump`]).
//!
//! Monotonic time is that since boot, which goes on while the machine is suspended; [`std::time::Instant`] stands still meanwhile. A
//! director whose machine slept therefore finds that it lost time (`maitred_core::director::LOST_MIN`), and its own clock is still right.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use maitred_core::clock::{Mono, Now, Time, millis};

/// How far wall clock and own clock may differ before it is an alarm (R2 uses the same bound between directors).
pub const JUMP_MIN: Duration = Duration::from_secs(60);

/// Where time comes from; tests inject their own.
pub trait TimeSource: Send + Sync {
    /// The machine's wall clock.
    fn wall(&self) -> SystemTime;
    /// Time since some fixed moment, with what the machine slept; never runs backwards.
    fn monotonic(&self) -> Duration;
}

struct Machine;

impl TimeSource for Machine {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        use rustix::time::{ClockId, clock_gettime};
        // It cannot lie before the boot.
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }
}

/// The one clock of a director, shared by all threads.
pub struct Clock {
    source: Box<dyn TimeSource>,
    /// The own clock minus monotonic time, in milliseconds; only ever grows.
    base: AtomicU64,
    /// Monotonic time at start, so that [`Mono`] begins at 0.
    origin: Duration,
}

impl Clock {
    /// Starts the clock; `last` is the journal's last value, so that stamps never run backwards over a restart.
    #[must_use]
    pub fn new(last: Option<Time>) -> Self {
        Self::with_source(last, Box::new(Machine))
    }

    /// The same with other sources, for tests and demonstrations.
    #[must_use]
    pub fn with_source(last: Option<Time>, source: Box<dyn TimeSource>) -> Self {
        let start = since_epoch(source.wall()).max(last.unwrap_or_default());
        let origin = source.monotonic();
        Self { source, base: AtomicU64::new(start.0), origin }
    }

    /// This moment, for one input to the core.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = millis(self.source.monotonic().saturating_sub(self.origin));
        Now { mono: Mono(elapsed), time: Time(self.base.load(Ordering::Relaxed).saturating_add(elapsed)) }
    }

    /// The machine's wall clock: for certificates and people, never for stamps.
    #[must_use]
    pub fn wall(&self) -> Time {
        since_epoch(self.source.wall())
    }

    /// Moves the own clock forward to `to` and never back: a director that is more than a minute behind every linked one
    /// follows the earliest of theirs (R2). The caller checks that.
    pub fn move_forward(&self, to: Time) {
        let elapsed = self.now().mono.0;
        self.base.fetch_max(to.0.saturating_sub(elapsed), Ordering::Relaxed);
    }

    /// How far the wall clock is from the own one, if by more than [`JUMP_MIN`]: somebody set it, or the journal was written
    /// under a later clock.
    #[must_use]
    pub fn wall_jump(&self) -> Option<WallJump> {
        let (wall, own) = (self.wall(), self.now().time);
        match wall.since(own).max(own.since(wall)) {
            difference if difference <= JUMP_MIN => None,
            ahead if wall > own => Some(WallJump::Ahead(ahead)),
            behind => Some(WallJump::Behind(behind)),
        }
    }
}

/// The wall clock is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallJump {
    /// It shows a later time than the own clock.
    Ahead(Duration),
    /// It shows an earlier time than the own clock.
    Behind(Duration),
}

/// Milliseconds since 1970; a wall clock before that counts as 1970.
fn since_epoch(wall: SystemTime) -> Time {
    Time(wall.duration_since(UNIX_EPOCH).map_or(0, millis))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone)]
    struct Fake {
        wall: Arc<AtomicU64>,
        mono: Arc<AtomicU64>,
    }

    impl Fake {
        fn at(wall: u64) -> Self {
            Self { wall: Arc::new(AtomicU64::new(wall)), mono: Arc::new(AtomicU64::new(5_000)) }
        }

        fn clock(&self, last: Option<Time>) -> Clock {
            Clock::with_source(last, Box::new(self.clone()))
        }

        fn pass(&self, ms: u64) {
            self.wall.fetch_add(ms, Ordering::Relaxed);
            self.mono.fetch_add(ms, Ordering::Relaxed);
        }

        fn set_wall(&self, ms: u64) {
            self.wall.store(ms, Ordering::Relaxed);
        }
    }

    impl TimeSource for Fake {
        fn wall(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_millis(self.wall.load(Ordering::Relaxed))
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.mono.load(Ordering::Relaxed))
        }
    }

    const DAY: u64 = 24 * 3600 * 1000;
    const START: u64 = 1_800_000_000_000;

    #[test]
    fn it_starts_at_the_later_of_wall_and_journal() {
        let fake = Fake::at(START);
        assert_eq!(fake.clock(None).now(), Now { mono: Mono(0), time: Time(START) });
        assert_eq!(fake.clock(Some(Time(START - DAY))).now().time, Time(START));
        assert_eq!(fake.clock(Some(Time(START + DAY))).now().time, Time(START + DAY));
    }

    #[test]
    fn a_jump_of_the_wall_clock_moves_nothing_and_is_an_alarm() {
        let fake = Fake::at(START);
        let clock = fake.clock(None);
        fake.pass(1_000);
        assert_eq!(clock.wall_jump(), None);
        for (wall, alarm) in [
            (START + 1_000 + DAY, WallJump::Ahead(Duration::from_millis(DAY))),
            (0, WallJump::Behind(Duration::from_millis(START + 1_000))),
        ] {
            fake.set_wall(wall);
            assert_eq!(clock.now(), Now { mono: Mono(1_000), time: Time(START + 1_000) });
            assert_eq!(clock.wall_jump(), Some(alarm));
        }
        fake.set_wall(START + 61_000);
        assert_eq!(clock.wall_jump(), None, "a minute is still no jump");
        fake.set_wall(START + 61_001);
        assert!(clock.wall_jump().is_some());
    }

    #[test]
    fn it_is_moved_forward_and_never_back() {
        let fake = Fake::at(START);
        let clock = fake.clock(None);
        fake.pass(10_000);
        clock.move_forward(Time(START + DAY));
        assert_eq!(clock.now(), Now { mono: Mono(10_000), time: Time(START + DAY) });
        clock.move_forward(Time(START));
        fake.pass(1);
        assert_eq!(clock.now().time, Time(START + DAY + 1));
    }

    #[test]
    fn a_wall_clock_before_1970_counts_as_1970() {
        assert_eq!(since_epoch(UNIX_EPOCH - Duration::from_secs(5)), Time(0));
    }

    #[test]
    fn the_machines_clock_runs() {
        let clock = Clock::new(None);
        let first = clock.now();
        while clock.now().mono <= first.mono {
            std::thread::yield_now();
        }
        assert!(clock.now().time > first.time);
        assert_eq!(clock.wall_jump(), None);
    }
}
