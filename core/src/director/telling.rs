//! When a peer is told one kind of words again: all of them at a fixed pace, news sooner, but never in a storm (R11).

use std::time::Duration;

use crate::clock::Mono;

/// How often words of one kind are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cadence {
    /// All are told again this often, changed or not.
    pub(super) every: Duration,
    /// News are told no more often.
    pub(super) news_every: Duration,
}

/// What one peer has been told of one kind of words.
#[derive(Debug, Default)]
pub(super) struct Telling {
    news: u64,
    at: Mono,
    due: Mono,
}

impl Telling {
    /// Whether it is time to tell; then the peer counts as told. `news` rises with what the others should hear soon.
    pub(super) fn is_due(&mut self, news: u64, cadence: Cadence, now: Mono) -> bool {
        let due = now >= self.due || (self.news != news && now >= self.at + cadence.news_every);
        if due {
            *self = Self { news, at: now, due: now + cadence.every };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_told_at_a_fixed_pace_and_news_no_more_often_than_theirs() {
        let cadence = Cadence { every: Duration::from_millis(2000), news_every: Duration::from_millis(100) };
        let mut telling = Telling::default();
        let mut told = |news, at| telling.is_due(news, cadence, Mono(at));
        assert!(told(0, 0), "a new peer is told at once");
        assert!(!told(0, 1999) && told(0, 2000), "all of it again");
        assert!(!told(1, 2099) && told(1, 2100), "news wait a moment");
        assert!(!told(1, 4099) && told(1, 4100), "the pace begins anew with them");
    }
}
