//! Times as people and programs read them: RFC 3339 in UTC, and durations from now.

use std::time::{Duration, UNIX_EPOCH};

use maitred_core::clock::{Mono, Now, Time, millis};

use crate::http::problem::Problem;

/// The last millisecond that has four digits for its year.
const LAST: u64 = 253_402_300_799_999;
/// The furthest deadline: a year from now. What is meant to last longer has no deadline.
const DEADLINE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A time of the own clock.
pub(super) fn written(time: Time) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time.0.min(LAST))).to_string()
}

/// A moment of this run on the own clock.
pub(super) fn on_clock(at: Mono, now: Now) -> Time {
    if at > now.mono { now.time + at.since(now.mono) } else { now.time - now.mono.since(at) }
}

/// Reads a deadline: RFC 3339, or a duration from now such as `30m`.
pub(super) fn deadline(text: &str, now: Time) -> Result<Time, Problem> {
    let fault = |fault| Problem::malformed("deadline", fault);
    let at = match humantime::parse_duration(text) {
        Ok(duration) => now + duration.min(DEADLINE_MAX + Duration::from_secs(1)),
        Err(_) => {
            let moment = humantime::parse_rfc3339(text)
                .map_err(|_| fault("is neither a time (2026-01-31T18:00:00Z) nor a duration (30m)"))?;
            Time(moment.duration_since(UNIX_EPOCH).map_or(0, millis))
        }
    };
    if at <= now {
        return Err(fault("has passed"));
    }
    if at > now + DEADLINE_MAX {
        return Err(fault("is more than a year ahead"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_000);

    #[test]
    fn a_deadline_is_a_time_or_a_duration() {
        assert_eq!(deadline("30m", NOW), Ok(Time(NOW.0 + 1_800_000)));
        assert_eq!(deadline("2023-11-14T22:13:21Z", NOW), Ok(Time(NOW.0 + 1000)));
        for bad in [
            "",
            "0s",
            "soon",
            "-5m",
            "2023-11-14T22:13:20Z",
            "1970-01-01T00:00:00Z",
            "2 years",
            "9999-12-31T23:59:59Z",
            "99999999999years",
        ] {
            assert!(deadline(bad, NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_written_whatever_they_are() {
        assert_eq!(written(NOW), "2023-11-14T22:13:20.000Z");
        assert_eq!(written(Time(u64::MAX)), "9999-12-31T23:59:59.999Z");
        let now = Now { mono: Mono(5000), time: NOW };
        assert_eq!(on_clock(Mono(4000), now), Time(NOW.0 - 1000));
        assert_eq!(on_clock(Mono(6000), now), Time(NOW.0 + 1000));
    }
}
