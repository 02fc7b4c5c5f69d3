//! The returning crowd after a failover: how many starts a second are placed, and when to come back (`relogin_rate`).
//!
//! A bucket of one second's tokens. Who is turned away is told a moment at which there will be a token left for it, counting
//! those who were told so before: honest, and it spreads them.

use std::time::Duration;

use crate::clock::Mono;

/// Nobody is sent away for longer.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Starts are paced for this long after the role left a failed datacenter.
pub(super) const PACED_FOR: Duration = Duration::from_mins(10);

/// One pool's pace at this director.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    /// When the last one counted below will have been served.
    next_free: Mono,
    /// Part of a millisecond that `next_free` lacks, in thousandths of a token's time.
    promised_until: Mono,
}

impl Pace {
    /// One more start, at `rate` starts per second.
    ///
    /// # Errors
    /// When to come back.
    pub(super) fn admit(&mut self, rate: u32, now: Mono) -> Result<(), Duration> {
        let each = u64::from(1000 / rate.clamp(1, 1000)).max(1);
        let burst = 1000;
        let earliest = now.0.saturating_sub(burst - each.min(burst));
        self.next_free = Mono(self.next_free.0.max(earliest));
        if self.next_free <= now {
            self.next_free = Mono(self.next_free.0 + each);
            return Ok(());
        }
        let slot = self.promised_until.0.max(self.next_free.0).max(now.0) + each;
        self.promised_until = Mono(slot.min(now.0 + RETRY_MAX.as_millis() as u64));
        let wait = Duration::from_millis(slot - now.0).min(RETRY_MAX);
        Err(Duration::from_secs(wait.as_millis().div_ceil(1000) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_let_in_at_the_rate_and_nobody_is_sent_away_twice_who_came_when_told() {
        let mut pace = Pace::default();
        let rate = 50;
        let mut waiting: Vec<(u64, u32)> = (0..2000).map(|_| (0, 0)).collect();
        let mut done = Vec::new();
        while let Some(at) = waiting.iter().map(|(due, _)| *due).min() {
            let (due, rest) = waiting.into_iter().partition::<Vec<_>, _>(|(due, _)| *due == at);
            waiting = rest;
            for (_, refused) in due {
                match pace.admit(rate, Mono(100_000 + at)) {
                    Ok(()) => done.push((at, refused)),
                    Err(after) => {
                        assert!(after <= RETRY_MAX && !after.is_zero());
                        waiting.push((at + u64::try_from(after.as_millis()).unwrap(), refused + 1));
                    }
                }
            }
        }
        let last = done.iter().map(|(at, _)| *at).max().unwrap();
        assert!((38_000..=48_000).contains(&last), "2000 at 50 a second: {last} ms");
        assert!(
            done.iter().all(|(_, refused)| *refused <= 4),
            "told honestly: {:?}",
            done.iter().max_by_key(|it| it.1)
        );
    }
}
