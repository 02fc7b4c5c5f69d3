//! A brake on wrong tokens: per source, and of fixed size.
//!
//! Only wrong tokens count and only they are braked: many people may share one address, and who guesses must not lock out the
//! others. So it saves answers and tells who guesses; what keeps a token from being guessed is its length. A missing credential is
//! no guess.

use std::net::IpAddr;
use std::time::Duration;

use maitred_core::clock::Mono;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Sources that are remembered; two that share a place brake each other, which a guesser can only do to itself on purpose by
/// knowing the seed.
const SOURCES: usize = 1024;
/// Wrong tokens that are free.
const FREE: u32 = 10;
/// Over this time.
const WINDOW: Duration = Duration::from_secs(60);

/// Who guessed wrong lately.
pub(super) struct Guesses {
    seed: u64,
    sources: Mutex<Box<[Source; SOURCES]>>,
}

#[derive(Clone, Copy, Default)]
struct Source {
    begun: Mono,
    wrong: u32,
}

impl Guesses {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, sources: Mutex::new(Box::new([Source::default(); SOURCES])) }
    }

    /// A token was wrong: how long this source is to wait before it tries another one; `None` is not at all.
    pub(super) fn count(&self, source: IpAddr, now: Mono) -> Option<Duration> {
        let known = &mut self.sources.lock()[self.place(source)];
        if known.wrong == 0 || now.since(known.begun) >= WINDOW {
            *known = Source { begun: now, wrong: 0 };
        }
        known.wrong = known.wrong.saturating_add(1);
        (known.wrong > FREE).then(|| WINDOW.saturating_sub(now.since(known.begun)))
    }

    /// An IPv6 customer has a /64 of addresses.
    fn place(&self, source: IpAddr) -> usize {
        let hash = match source.to_canonical() {
            IpAddr::V4(address) => xxh3_64_with_seed(&address.octets(), self.seed),
            IpAddr::V6(address) => xxh3_64_with_seed(&address.octets()[..8], self.seed),
        };
        usize::try_from(hash % SOURCES as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_guesses_waits_and_is_forgiven_after_a_minute() {
        let guesses = Guesses::new(7);
        let (source, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..FREE {
            assert_eq!(guesses.count(source, Mono(1000)), None);
        }
        assert_eq!(guesses.count(source, Mono(31_000)), Some(Duration::from_secs(30)));
        assert_eq!(guesses.count(other, Mono(31_000)), None);
        assert_eq!(guesses.count(source, Mono(61_000)), None, "counted anew");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let guesses = Guesses::new(7);
        let of = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        for _ in 0..FREE {
            guesses.count(of(1), Mono(0));
        }
        assert!(guesses.count(of(2), Mono(0)).is_some());
    }
}
