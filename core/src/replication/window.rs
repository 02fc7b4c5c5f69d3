//! What is on its way to one peer: bounded, so that a slow peer costs little and no word to a near one waits long.
//!
//! Whatever is on its way is taken before what is said next, and an answer about a start is such a word: so a near peer is sent no
//! more than it takes in a few milliseconds, a distant one as much more as is on the way meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Violation, WINDOW_BYTES, WINDOW_MESSAGES};
use crate::wire::DATA_BYTES_MAX;

/// To a peer next door: some two milliseconds of its time. Four messages cost both sides more than two, for what waits in buffers is in
/// no cache any more when its turn comes.
const NEAR_BYTES: usize = 2 * DATA_BYTES_MAX;
/// For each millisecond there and back: about what one takes in it.
const BYTES_PER_MILLI: usize = DATA_BYTES_MAX;

/// Data messages that the peer has not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Window {
    in_flight: VecDeque<InFlight>,
    bytes: usize,
    sent: u64,
    acked: u64,
    acked_own: u64,
    /// There and back without a queue: the shortest of the link's pings.
    way: Option<Duration>,
}

#[derive(Debug)]
struct InFlight {
    bytes: usize,
    /// Own changes up to here are in it or before it.
    own: u64,
}

impl Window {
    /// Whether one more message may go.
    pub(super) fn is_open(&self) -> bool {
        let millis = self.way.map_or(0, |way| usize::try_from(way.as_millis()).unwrap_or(usize::MAX));
        let bytes = millis.saturating_mul(BYTES_PER_MILLI).saturating_add(NEAR_BYTES).min(WINDOW_BYTES);
        self.in_flight.len() < WINDOW_MESSAGES && self.bytes < bytes
    }

    /// A message goes, with own changes up to a number in it or before it.
    pub(super) fn send(&mut self, bytes: usize, own: u64) {
        self.bytes += bytes;
        self.in_flight.push_back(InFlight { bytes, own });
        self.sent += 1;
    }

    /// The peer has taken so many since the link came up.
    pub(super) fn acked(&mut self, messages: u64) -> Result<(), Violation> {
        if messages > self.sent || messages < self.acked {
            return Err(Violation::Limit);
        }
        while self.acked < messages {
            self.acked += 1;
            if let Some(arrived) = self.in_flight.pop_front() {
                self.bytes = self.bytes.saturating_sub(arrived.bytes);
                self.acked_own = arrived.own;
            }
        }
        Ok(())
    }

    /// The peer stands there to begin with.
    pub(super) fn begin(&mut self, own: u64) {
        self.acked_own = own;
    }

    /// A ping came back.
    pub(super) fn ponged(&mut self, took: Duration) {
        self.way = Some(self.way.map_or(took, |way| way.min(took)));
    }

    /// Whether nothing has been sent yet.
    pub(super) fn is_new(&self) -> bool {
        self.sent == 0
    }

    /// Bytes on their way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Own changes that the peer has.
    pub(super) fn acked_own(&self) -> u64 {
        self.acked_own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that go before the first acknowledgement.
    fn bytes_at_once(way: Option<u64>) -> usize {
        let mut window = Window::default();
        way.into_iter().for_each(|millis| window.ponged(Duration::from_millis(millis)));
        while window.is_open() {
            window.send(DATA_BYTES_MAX, 0);
        }
        window.bytes()
    }

    #[test]
    fn a_near_peer_is_sent_little_at_once_and_a_distant_one_more_up_to_the_bound() {
        let sent = [None, Some(0), Some(5), Some(40), Some(5000)].map(|way| bytes_at_once(way) / DATA_BYTES_MAX);
        assert_eq!(sent, [2, 2, 7, WINDOW_BYTES / DATA_BYTES_MAX, WINDOW_BYTES / DATA_BYTES_MAX]);
    }

    #[test]
    fn what_waits_in_a_queue_is_no_distance() {
        let mut window = Window::default();
        [3, 900, 40].into_iter().for_each(|millis| window.ponged(Duration::from_millis(millis)));
        assert_eq!(window.way, Some(Duration::from_millis(3)));
    }

    #[test]
    fn nothing_is_acknowledged_that_was_not_sent_or_twice() {
        let mut window = Window::default();
        (1..4).for_each(|own| window.send(10, own));
        assert_eq!(window.acked(2), Ok(()));
        assert_eq!((window.bytes(), window.acked_own()), (10, 2));
        assert_eq!((window.acked(1), window.acked(4)), (Err(Violation::Limit), Err(Violation::Limit)));
    }
}
