//! Suspect the observer (R11): when too many servers of the own site are silent, the fault is more likely here than there.
//!
//! Owns one question: is silence evidence just now? Knows counts only, no server and no vote. A refusal or a wrong answer is
//! never excused; it is an answer, and the server's own.

use std::time::Duration;

use super::Silence;
use crate::clock::Mono;

/// This many silent servers can keep the suspicion alive without end while nothing answers. A single one cannot: with nothing to
/// compare it with, it goes down once `failover.after` has passed.
const SILENT_MIN: u32 = 2;

/// What this director hears from the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hearing {
    /// Servers of the own site, without those in maint, whose silence is expected.
    pub servers: u32,
    /// Those of them whose last look heard nothing.
    pub silent: u32,
    /// The latest last look, at any server of any site, that got an answer.
    pub answered: Option<Mono>,
}

/// A director's suspicion against itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// Since when.
    pub since: Mono,
    /// Silent servers of the own site.
    pub silent: u32,
    /// Servers of the own site.
    pub servers: u32,
    /// It is over although as many are silent: others kept answering, so the silence is theirs.
    pub lifted: bool,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Suspicion: silence is excused from now on.
    Suspected,
    /// As many are silent as before, but silence counts now.
    Lifted,
    /// Enough answer again; silence counts from now on, not backwards.
    Trusted,
}

/// Decides whether silence counts.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    suspicion: Option<Suspicion>,
}

impl Observer {
    /// Weighs what is heard. Called after every look that might matter and by the timer; early, late or twice is harmless.
    pub fn weigh(&mut self, hearing: &Hearing, above_percent: u8, after: Duration, now: Mono) -> Option<Turn> {
        let Hearing { servers, silent, answered } = *hearing;
        let share = u64::from(silent) * 100;
        if share <= u64::from(servers) * u64::from(above_percent) {
            return self.suspicion.take().map(|_| Turn::Trusted);
        }
        let Some(known) = self.suspicion else {
            self.suspicion = Some(Suspicion { since: now, silent, servers, lifted: false });
            return Some(Turn::Suspected);
        };
        let mut next = Suspicion { silent, servers, ..known };
        let over = known.since + after;
        let turn = if known.lifted {
            // Now nothing answers at all any more: that is a new suspicion.
            let alone = silent >= SILENT_MIN && answered.is_none();
            if alone {
                next = Suspicion { since: now, lifted: false, ..next };
            }
            alone.then_some(Turn::Suspected)
        } else {
            next.lifted = answered.is_some_and(|at| at >= over) || (silent < SILENT_MIN && now >= over);
            next.lifted.then_some(Turn::Lifted)
        };
        self.suspicion = Some(next);
        turn
    }

    /// Whether silence is evidence just now.
    #[must_use]
    pub fn silence(&self) -> Silence {
        match self.suspicion {
            Some(Suspicion { lifted: false, .. }) => Silence::Excused,
            Some(Suspicion { lifted: true, .. }) | None => Silence::Counts,
        }
    }

    /// The suspicion, for status and metric.
    #[must_use]
    pub fn suspicion(&self) -> Option<&Suspicion> {
        self.suspicion.as_ref()
    }

    /// When weighing again may lift it although no look came.
    #[must_use]
    pub fn deadline(&self, after: Duration) -> Option<Mono> {
        self.suspicion.filter(|known| !known.lifted && known.silent < SILENT_MIN).map(|known| known.since + after)
    }
}
