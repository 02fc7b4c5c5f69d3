//! Waiting for a condition: often looked at, generous, and explained when it does not come true.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// So long that only a broken promise reaches it, on a machine that does ten things at once too.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Often enough not to slow a test down, seldom enough not to disturb what is waited for.
const PAUSE: Duration = Duration::from_millis(30);

/// Looks until `look` gives a value; fails with `what` otherwise.
#[track_caller]
pub(crate) fn for_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < end, "waited {LIMIT:?} in vain: {what}");
        thread::sleep(PAUSE);
    }
}

/// Looks until it is true.
#[track_caller]
pub(crate) fn until(what: &str, mut look: impl FnMut() -> bool) {
    for_some(what, || look().then_some(()));
}

/// Looks until `look` gives what is expected; says what it gave last otherwise.
#[track_caller]
pub(crate) fn for_equal<T: PartialEq + Debug>(what: &str, expected: &T, mut look: impl FnMut() -> T) {
    let end = Instant::now() + LIMIT;
    loop {
        let seen = look();
        if seen == *expected {
            return;
        }
        assert!(Instant::now() < end, "waited {LIMIT:?} in vain: {what}; expected {expected:?}, saw {seen:?}");
        thread::sleep(PAUSE);
    }
}
