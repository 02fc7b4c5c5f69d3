//! Time that this director did not live through: its process was stopped, or starved for so long that it may as well have been.
//!
//! ```text
//! ticks, questions, frames ─ · · ─ ·      (nothing for 10 s)      the first of any kind: wake
//!                                  └───────── lost time ─────────▶ votes lapse, links are void, cold again
//! ```
//! Owns when time counts as lost and who notices: whoever comes first, before it is answered from a picture that the others may have
//! left behind. What was said over a link meanwhile lay in its buffers and looks younger than it is (R12), so such a link is closed and
//! opened anew; nor did a delay of a failover pass meanwhile. A director that lost time is as cold as one that has just started: its
//! starts wait for what its peers know, 5 s at most, and go on; `ready` says no for as long.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Director;
use super::control::Control;
use crate::clock::{Mono, Now};
use crate::event::Event;
use crate::fault::{Fault, planted};
use crate::health::{Look, Outcome};

/// Nothing happened here for so long: time was lost. Ticks are 200 ms apart; peers give up a silent link after 5 s, and own votes last
/// 7 s, so less than this changes nothing that they do not mend themselves.
pub const LOST_MIN: Duration = Duration::from_secs(10);
/// Signs of life are noted at most so often.
const NOTED_EVERY: Duration = Duration::from_secs(1);

/// What is known of the own life.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// The last sign of life, by [`NOTED_EVERY`].
    lived: AtomicU64,
    /// When lost time was noticed last; zero: never.
    woke: AtomicU64,
    /// It has been warm since it started, or since it lost time.
    was_warm: AtomicBool,
}

impl Pulse {
    pub(super) fn new(now: Mono) -> Self {
        Self { lived: AtomicU64::new(now.0), ..Self::default() }
    }

    fn silent_for(&self, now: Mono) -> Duration {
        now.since(Mono(self.lived.load(Ordering::Acquire)))
    }

    fn lost(&self, now: Mono) -> Option<Duration> {
        Some(self.silent_for(now)).filter(|lost| *lost >= LOST_MIN && !planted(Fault::Sleepwalk))
    }

    fn note(&self, now: Mono) {
        self.lived.fetch_max(now.0, Ordering::Release);
    }
}

impl Director {
    /// Notices lost time before anything is answered. Call with the time of each question; the inputs do it themselves. One look at
    /// a number, as long as anything happens.
    pub fn wake(&self, now: Now) {
        if self.pulse.silent_for(now.mono) < NOTED_EVERY {
            return;
        }
        if self.has_lost_time(now) {
            self.handle_timeout(now);
        } else {
            self.pulse.note(now.mono);
        }
    }

    /// Whether a start may have to wait for what peers know: until this director has been warm once, and again when it has lost
    /// time. One look at a flag otherwise.
    #[must_use]
    pub fn asks_peers(&self, now: Now) -> bool {
        if self.pulse.was_warm.load(Ordering::Relaxed) {
            return false;
        }
        let warm = self.is_warm(now);
        self.pulse.was_warm.store(warm, Ordering::Relaxed);
        !warm
    }

    pub(super) fn has_lost_time(&self, now: Now) -> bool {
        self.pulse.lost(now.mono).is_some()
    }

    /// What this director remembers may be older than what its peers know: it lost time since its start.
    pub(super) fn slept(&self) -> bool {
        self.pulse.woke.load(Ordering::Relaxed) > 0
    }

    /// Silence of a server during time that was lost is this director's own.
    pub(super) fn was_asleep(&self, look: &Look, now: Now) -> bool {
        let silent = matches!(&look.outcome, Outcome::Bad(failure) if failure.kind.is_silence());
        silent && now.mono.since(Mono(self.pulse.woke.load(Ordering::Relaxed))) < look.took && self.slept()
    }

    /// At the beginning of a tick. Under the lock of `control`, so that of many who notice one acts and the others wait for it.
    pub(super) fn notice_lost_time(&self, control: &mut Control, now: Now) {
        let Some(lost) = self.pulse.lost(now.mono) else { return };
        control.watch.lapse();
        control.roles.values_mut().for_each(|role| role.lapse(lost, now.mono));
        self.peers.lock().lapse(now.mono);
        self.pulse.woke.store(now.mono.0, Ordering::Relaxed);
        self.pulse.was_warm.store(false, Ordering::Relaxed);
        control.publish(Event::TimeLost { lost });
    }

    /// At its end, when the picture is of now.
    pub(super) fn note_tick(&self, now: Now) {
        self.pulse.note(now.mono);
    }
}
