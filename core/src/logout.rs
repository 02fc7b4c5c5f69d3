//! Many sessions that end at once are one incident, told once.
//!
//! Owns the sliding count and the two shares: from the first one on it is an incident, from the second one on it is a panic. An
//! incident is told when it becomes a panic, else when its window is over: whoever reports to people wants one line with the whole
//! number, and an alarm at once. Refuses to know why sessions ended and where.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Mono;

/// Ends that come within this time belong together.
pub const WINDOW: Duration = Duration::from_secs(60);
/// From this share of the sessions that were live on, in percent, ends are an incident.
pub const SHARE_PERCENT: u64 = 20;
/// From this share on, in percent, it is a panic.
pub const PANIC_PERCENT: u64 = 50;
/// Fewer ends than these are nobody's incident, whatever share they are: the last ones who go home are not a crowd.
pub const COUNT_MIN: u64 = 10;
/// Ends are counted by this step, so that a crowd of a million costs some dozen numbers.
const STEP: Duration = Duration::from_secs(1);

/// An incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MassLogout {
    /// Sessions that ended.
    pub count: u64,
    /// Sessions that were live when it began.
    pub of: u64,
    /// The share from which on it is an incident, in percent.
    pub threshold_percent: u64,
    /// What `count` was counted over.
    pub window: Duration,
    /// More than [`PANIC_PERCENT`] went.
    pub panic: bool,
}

/// Counts the ends of one pool.
#[derive(Debug, Default)]
pub struct Logouts {
    ends: VecDeque<(Mono, u64)>,
    incident: Option<Incident>,
}

#[derive(Debug)]
struct Incident {
    began: Mono,
    count: u64,
    of: u64,
    told: bool,
}

impl Logouts {
    /// So many sessions ended just now, and so many are live still. Says the incident when it is time.
    pub fn ended(&mut self, count: u64, live: u64, now: Mono) -> Option<MassLogout> {
        let before = self.pass(now);
        if count == 0 {
            return before;
        }
        match self.ends.back_mut() {
            Some((at, ends)) if now.since(*at) < STEP => *ends += count,
            _ => self.ends.push_back((now, count)),
        }
        if let Some(incident) = &mut self.incident {
            incident.count += count;
        } else {
            let ended = self.ends.iter().map(|(_, ends)| ends).sum::<u64>();
            let of = live.saturating_add(ended);
            if ended >= COUNT_MIN && ended * 100 >= of * SHARE_PERCENT {
                let began = self.ends.front().map_or(now, |(at, _)| *at);
                self.incident = Some(Incident { began, count: ended, of, told: false });
            }
        }
        let incident = self.incident.as_mut()?;
        let panic = incident.count * 100 >= incident.of * PANIC_PERCENT;
        // One event each: what was over in the same moment was told before, and this one waits for its window.
        (panic && !incident.told && before.is_none()).then(|| incident.tell(true)).or(before)
    }

    /// Lets time pass: an incident whose window is over is told, if it was not.
    pub fn pass(&mut self, now: Mono) -> Option<MassLogout> {
        while self.ends.front().is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.ends.pop_front();
        }
        let mut over = self.incident.take_if(|incident| now.since(incident.began) >= WINDOW)?;
        // Its ends are told; the next incident has ends of its own.
        self.ends.clear();
        (!over.told).then(|| over.tell(false))
    }
}

impl Incident {
    fn tell(&mut self, panic: bool) -> MassLogout {
        self.told = true;
        MassLogout { count: self.count, of: self.of, threshold_percent: SHARE_PERCENT, window: WINDOW, panic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(1_000_000 + seconds * 1000)
    }

    #[test]
    fn agents_who_go_home_one_by_one_are_no_incident() {
        let mut logouts = Logouts::default();
        for second in 0..3_600 {
            assert_eq!(logouts.ended(1, 4_000 - second, at(second)), None, "after {second} s");
        }
    }

    #[test]
    fn a_crowd_is_told_once_with_its_whole_number_when_the_window_is_over() {
        let mut logouts = Logouts::default();
        for second in 0..30 {
            assert_eq!(logouts.ended(10, 1000 - 10 * (second + 1), at(second)), None);
        }
        assert_eq!(logouts.pass(at(59)), None);
        let told = logouts.pass(at(60)).unwrap();
        assert_eq!((told.count, told.of, told.panic), (300, 1000, false));
        assert_eq!(logouts.pass(at(300)), None);
    }

    #[test]
    fn more_than_half_is_told_at_once_and_not_again() {
        let mut logouts = Logouts::default();
        assert_eq!(logouts.ended(400, 600, at(0)), None);
        let told = logouts.ended(100, 500, at(1)).unwrap();
        assert_eq!((told.count, told.of, told.panic), (500, 1000, true));
        assert_eq!(logouts.ended(400, 100, at(2)), None);
        assert_eq!(logouts.pass(at(100)), None);
    }

    #[test]
    fn the_last_few_are_no_crowd() {
        let mut logouts = Logouts::default();
        for left in (0..9).rev() {
            assert_eq!(logouts.ended(1, left, at(9 - left)), None);
        }
    }
}
