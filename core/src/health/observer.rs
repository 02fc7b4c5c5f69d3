//! Suspect the observer (R11): when too many servers of the own site are silent, the fault is more likely here than there.
//!
//! Owns one question: is silence evidence just now? Knows counts only, no server and no vote. A refusal or a wrong answer is
//! never excused; it is an answer, and the server's own.

use std::time::Duration;

use super::Silence;
use crate::clock::Mono;
use crate::fault::{Fault, planted};

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
    /// Since when something answers all the same, without a moment at which nothing did.
    pub answering: Option<Mono>,
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
            let answering = answered.map(|_| now);
            self.suspicion = Some(Suspicion { since: now, silent, servers, answering, lifted: false });
            return Some(Turn::Suspected);
        };
        let answering = answered.map(|_| known.answering.unwrap_or(now));
        let mut next = Suspicion { silent, servers, answering, ..known };
        let turn = if known.lifted {
            // Now nothing answers at all any more: that is a new suspicion.
            let alone = silent >= SILENT_MIN && answered.is_none();
            if alone {
                next = Suspicion { since: now, lifted: false, ..next };
            }
            alone.then_some(Turn::Suspected)
        } else {
            // The delay runs from the first answer, so that a way that comes back after hours is given its time; and the answer
            // that ends it must be a fresh one, so that the last words before a cut end nothing.
            let others = answered.zip(answering).is_some_and(|(at, first)| at >= first + after);
            let others = others && !planted(Fault::FreezeAlone);
            next.lifted = others || (silent < SILENT_MIN && now >= known.since + after);
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

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(15);

    fn weigh(observer: &mut Observer, silent: u32, servers: u32, answered: Option<u64>, at: u64) -> Option<Turn> {
        let hearing = Hearing { servers, silent, answered: answered.map(|second| Mono(second * 1000)) };
        observer.weigh(&hearing, 50, AFTER, Mono(at * 1000))
    }

    #[test]
    fn only_more_than_the_share_raises_the_suspicion() {
        for (silent, servers, turn) in [
            (0, 0, None),
            (0, 3, None),
            (1, 2, None),
            (2, 4, None),
            (2, 3, Some(Turn::Suspected)),
            (3, 3, Some(Turn::Suspected)),
            (1, 1, Some(Turn::Suspected)),
        ] {
            assert_eq!(weigh(&mut Observer::default(), silent, servers, None, 0), turn, "{silent} of {servers}");
        }
    }

    #[test]
    fn it_is_lifted_by_an_answer_that_came_after_the_delay_not_by_an_old_one() {
        let mut observer = Observer::default();
        assert_eq!(weigh(&mut observer, 2, 3, Some(0), 1), Some(Turn::Suspected));
        assert_eq!(weigh(&mut observer, 2, 3, Some(15), 15), None);
        assert_eq!(weigh(&mut observer, 2, 3, Some(15), 100), None, "the answer is older than the delay");
        assert_eq!(observer.silence(), Silence::Excused);
        assert_eq!(weigh(&mut observer, 2, 3, Some(16), 101), Some(Turn::Lifted));
        assert_eq!(observer.silence(), Silence::Counts);
        assert_eq!(weigh(&mut observer, 2, 3, Some(17), 102), None);
    }

    #[test]
    fn the_first_answer_after_a_long_cut_lifts_nothing() {
        let mut observer = Observer::default();
        weigh(&mut observer, 3, 3, None, 0);
        assert_eq!(weigh(&mut observer, 2, 3, Some(100), 100), None);
        assert_eq!(weigh(&mut observer, 2, 3, Some(114), 114), None);
        assert_eq!(weigh(&mut observer, 3, 3, None, 114), None, "nothing answers: the delay starts anew");
        assert_eq!(weigh(&mut observer, 2, 3, Some(120), 120), None);
        assert_eq!(weigh(&mut observer, 2, 3, Some(134), 134), None);
        assert_eq!(weigh(&mut observer, 2, 3, Some(135), 135), Some(Turn::Lifted));
    }

    #[test]
    fn nothing_answers_means_suspicion_without_end() {
        let mut observer = Observer::default();
        weigh(&mut observer, 2, 2, None, 0);
        assert_eq!(weigh(&mut observer, 2, 2, None, 86_400), None);
        assert_eq!(observer.silence(), Silence::Excused);
        assert_eq!(observer.deadline(AFTER), None);
    }

    #[test]
    fn a_single_silent_server_goes_down_after_the_delay_even_alone() {
        let mut observer = Observer::default();
        weigh(&mut observer, 1, 1, None, 0);
        assert_eq!(observer.deadline(AFTER), Some(Mono(15_000)));
        assert_eq!(weigh(&mut observer, 1, 1, None, 14), None);
        assert_eq!(weigh(&mut observer, 1, 1, None, 15), Some(Turn::Lifted));
        assert_eq!(weigh(&mut observer, 1, 1, None, 16), None, "it does not come back by itself");
    }

    #[test]
    fn once_lifted_it_returns_when_nothing_answers_any_more() {
        let mut observer = Observer::default();
        weigh(&mut observer, 2, 3, Some(0), 0);
        assert_eq!(weigh(&mut observer, 2, 3, Some(15), 15), Some(Turn::Lifted));
        assert_eq!(weigh(&mut observer, 3, 3, None, 20), Some(Turn::Suspected));
        assert_eq!(observer.suspicion().map(|known| known.since), Some(Mono(20_000)));
        assert_eq!(weigh(&mut observer, 1, 3, Some(21), 21), Some(Turn::Trusted));
        assert_eq!(observer.suspicion(), None);
    }
}
