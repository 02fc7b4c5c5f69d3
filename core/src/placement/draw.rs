//! The draw: what one key and one server give together, and nothing else decides it.
//!
//! **Algorithm, fixed for all versions and machines**, because directors that disagree about it move each other's sessions:
//! `draw = mix13(xxh3_64(name, NAME_SEED) ^ xxh3_64(key, KEY_SEED))`, where `mix13` is David Stafford's variant 13 of the
//! MurmurHash3 finaliser, the one that SplitMix64 uses. Both inputs are hashes already, so a single mixing of their exclusive or
//! is enough; `mix13` is a bijection, so two servers tie only if their names' hashes collide. The vectors in
//! `tests/vectors/placement.txt` hold it still.
//!
//! The hash is not secret: whoever chooses keys can aim at a server. Bounded loads, not the hash, stop that.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::Key;

/// Seed of the hash of a server's name: "maitred" and `s`, in ASCII.
const NAME_SEED: u64 = 0x6d61_6974_7265_6473;
/// Seed of the hash of a key: "maitred" and `k`. Another one, so that a key that equals a name is no special case.
const KEY_SEED: u64 = 0x6d61_6974_7265_646b;

/// A key's hash, as placement uses it: the same at every director.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(u64);

impl KeyHash {
    /// The hash of a key.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        Self::of_text(key.as_str())
    }

    /// The hash of a text that stands for a key, where an order is wanted and no key is known.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self(xxh3_64_with_seed(text.as_bytes(), KEY_SEED))
    }

    /// The hash as a number, for tables that would hash the key a second time.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    pub(super) fn half(self) -> Half {
        Half::of(self.0)
    }
}

/// One side of a draw with the first, linear step of `mix13` done: for a name once per view, for a key once per decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Half(u64);

impl Half {
    /// The half of a server.
    pub(super) fn of_name(name: &str) -> Self {
        Self::of(xxh3_64_with_seed(name.as_bytes(), NAME_SEED))
    }

    fn of(hash: u64) -> Self {
        Self(hash ^ (hash >> 30))
    }

    /// The draw of the two together; the highest wins among servers of equal weight.
    pub(super) fn draw(self, other: Self) -> u64 {
        let mixed = (self.0 ^ other.0).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64 as published: a counter in steps of the golden ratio, then `mix13`.
    #[test]
    fn the_mixer_is_the_one_of_splitmix64() {
        let golden = 0x9e37_79b9_7f4a_7c15_u64;
        let published = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (round, expected) in (1..).zip(published) {
            let state = 1_234_567_u64.wrapping_add(golden.wrapping_mul(round));
            // Split in two halves, as a name and a key are.
            let half = 0x0123_4567_89ab_cdef;
            assert_eq!(Half::of(state ^ half).draw(Half::of(half)), expected);
        }
    }

    #[test]
    fn one_bit_of_a_key_changes_half_the_bits_of_a_draw() {
        let server = Half::of_name("ua1");
        let changed: u32 =
            (0..64).map(|bit| (server.draw(Half::of(7)) ^ server.draw(Half::of(7 ^ (1 << bit)))).count_ones()).sum();
        assert!((64 * 28..64 * 36).contains(&changed), "{changed} of 4096 bits");
    }
}
