//! How much a client of HTTP/2 may say without asking for anything.
//!
//! The protocol lets a client send frames that cost it nothing and oblige the server to something: pings and settings to be
//! acknowledged, resets of requests just made (CVE-2023-44487), data without bytes, priorities, unknown types. The `h2` crate
//! bounds what they cost in memory; this bounds how many there may be. Each request gives a credit, each frame that asks for
//! nothing takes from it, and time gives some back, so that a client that lives normally never notices.
//!
//! Counts frames by their heads only: what they mean is the crate's business.

use tokio::time::Instant;

/// What a new connection may spend, and what can be saved up.
const CREDIT_MAX: u32 = 1000;
/// What a request gives back.
const REQUEST: u32 = 8;
/// What a reset costs: more than a request gives, so that asking and resetting in turn comes to an end.
const RESET: u32 = 2 * REQUEST;
/// What a piece of a head that was not sent in one frame costs.
const CONTINUATION: u32 = 4;
/// What every other frame costs.
const OTHER: u32 = 1;
/// Data of at least this many bytes costs nothing here: limits of bodies and windows count it.
const DATA_FREE: u32 = 256;
/// What each second gives back.
const PER_SECOND: u32 = 20;

/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" (RFC 9113, section 3.4).
const PREFACE_LENGTH: u32 = 24;
const HEAD_LENGTH: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION_TYPE: u8 = 9;

/// The credit of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    credit: u32,
    filled: Instant,
    skip: u32,
    head: [u8; HEAD_LENGTH],
    read: usize,
}

impl Frames {
    /// Before the preface.
    pub(super) fn new(now: Instant) -> Self {
        Self { credit: CREDIT_MAX, filled: now, skip: PREFACE_LENGTH, head: [0; HEAD_LENGTH], read: 0 }
    }

    /// Counts the frames in what was read. False when the client has spent more than it has.
    #[must_use]
    pub(super) fn take(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        self.refill(now);
        loop {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes = &bytes[skipped..];
            self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
            let missing = (HEAD_LENGTH - self.read).min(bytes.len());
            if missing == 0 {
                return true;
            }
            self.head[self.read..self.read + missing].copy_from_slice(&bytes[..missing]);
            (self.read, bytes) = (self.read + missing, &bytes[missing..]);
            if self.read == HEAD_LENGTH {
                self.read = 0;
                let [a, b, c, kind, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]);
                if !self.pay(kind) {
                    return false;
                }
            }
        }
    }

    fn pay(&mut self, kind: u8) -> bool {
        let price = match kind {
            HEADERS => {
                self.credit = CREDIT_MAX.min(self.credit + REQUEST);
                return true;
            }
            DATA if self.skip >= DATA_FREE => return true,
            RST_STREAM => RESET,
            CONTINUATION_TYPE => CONTINUATION,
            _ => OTHER,
        };
        let rest = self.credit.checked_sub(price);
        self.credit = rest.unwrap_or(0);
        rest.is_some()
    }

    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            let given = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PER_SECOND);
            self.credit = CREDIT_MAX.min(self.credit.saturating_add(given));
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, length: u32) -> Vec<u8> {
        let [_, a, b, c] = length.to_be_bytes();
        let mut bytes = vec![a, b, c, kind, 0, 0, 0, 0, 1];
        bytes.resize(HEAD_LENGTH + length as usize, 0xff);
        bytes
    }

    fn opened() -> (Frames, Instant) {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        assert!(frames.take(&[b'x'; PREFACE_LENGTH as usize], now));
        (frames, now)
    }

    /// How many repetitions of these frames are let through, if they end.
    fn endured(frames: &[Vec<u8>]) -> Option<usize> {
        let (mut meter, now) = opened();
        (0..100_000).find(|_| !frames.iter().all(|frame| meter.take(frame, now)))
    }

    #[test]
    fn what_asks_for_nothing_comes_to_an_end() {
        const PING: u8 = 6;
        const SETTINGS: u8 = 4;
        assert_eq!(endured(&[frame(PING, 8)]), Some(1000));
        assert_eq!(endured(&[frame(SETTINGS, 0)]), Some(1000));
        assert_eq!(endured(&[frame(DATA, 0)]), Some(1000));
        assert_eq!(endured(&[frame(DATA, 1)]), Some(1000));
        assert_eq!(endured(&[frame(0xee, 100)]), Some(1000));
        assert_eq!(endured(&[frame(CONTINUATION_TYPE, 1)]), Some(250));
        assert!(endured(&[frame(HEADERS, 20), frame(RST_STREAM, 4)]).is_some_and(|times| times < 130));
    }

    #[test]
    fn requests_and_bodies_may_go_on() {
        assert_eq!(endured(&[frame(HEADERS, 40)]), None);
        assert_eq!(endured(&[frame(HEADERS, 40), frame(DATA, 3), frame(8, 4), frame(8, 4)]), None);
        assert_eq!(endured(&[frame(DATA, 16_384)]), None);
    }

    #[test]
    fn frames_are_counted_however_the_bytes_are_cut() {
        let stream: Vec<u8> = [frame(HEADERS, 300), frame(6, 8), frame(DATA, 0), frame(DATA, 5), frame(3, 4)].concat();
        let credit = |cut: usize| {
            let (mut frames, now) = opened();
            frames.credit = 500;
            assert!(stream.chunks(cut).all(|chunk| frames.take(chunk, now)));
            frames.credit
        };
        for cut in [1, 2, 3, 8, 9, 10, 100, 10_000] {
            assert_eq!(credit(cut), 500 + REQUEST - OTHER - OTHER - OTHER - RESET, "cut at {cut}");
        }
    }

    #[test]
    fn time_gives_back() {
        let (mut frames, now) = opened();
        frames.credit = 0;
        assert!(!frames.take(&frame(6, 8), now));
        assert!(frames.take(&frame(6, 8), now + Duration::from_secs(1)));
        assert_eq!(frames.credit, PER_SECOND - OTHER);
    }
}
