//! The draw: what one key and one server give together, and nothing else decides it.
//!
//! **Algorithm, fixed for all versions and machines**, because directors that disagree about it move each other's sessions:
//! `draw = fold((XXH3-64(name, NAME_SEED) ^ XXH3-64(key, KEY_SEED)) * 0x9e3779b97f4a7c15)`, the product in 128 bits and `fold`
//! the exclusive or of its halves: the folded multiply of XXH3 (`XXH3_mul128_fold64`) and wyhash, by the golden ratio. Both inputs
//! are hashes already, so one multiplication is enough: over 60 sets of 8 servers with 2,000,000 keys each, the first three of
//! the order are as evenly spread as with the finaliser of SplitMix64, at half its price. The vectors in
//! `tests/vectors/placement.txt` hold it still.
//!
//! The hash is not secret: whoever chooses keys can aim at a server. Bounded loads, not the hash, stop that.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::Key;

/// Seed of the hash of a server's name: "maitred" and `s`, in ASCII.
const NAME_SEED: u64 = 0x6d61_6974_7265_6473;
/// Seed of the hash of a key: "maitred" and `k`. Another one, so that a key that equals a name is no special case.
const KEY_SEED: u64 = 0x6d61_6974_7265_646b;
/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

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
}

/// The hash of a server's name, made once per view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameHash(u64);

impl NameHash {
    pub(super) fn of(name: &str) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), NAME_SEED))
    }

    /// The draw of this server for a key; the highest wins among servers of equal weight.
    pub(super) fn draw(self, key: KeyHash) -> u64 {
        let product = u128::from(self.0 ^ key.0) * u128::from(GOLDEN);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation of XXH3 and of the product.
    #[test]
    fn the_draw_is_the_one_of_the_other_implementation() {
        let server = NameHash::of("ua1.east.example");
        let key = KeyHash::of_text("agent-1001");
        assert_eq!(
            (server.0, key.0, server.draw(key)),
            (0x229f_c1cb_2c79_22e2, 0x657b_7909_1a5f_0bed, 0x8318_2c3c_fedb_4022)
        );
    }

    #[test]
    fn one_bit_of_a_key_changes_draws_by_about_half_their_bits() {
        let keys: Vec<u64> = (0..1000).map(|number| KeyHash::of_text(&format!("agent-{number}")).0).collect();
        let server = NameHash::of("ua1");
        for bit in 0..64 {
            let changed: u32 = keys
                .iter()
                .map(|key| (server.draw(KeyHash(*key)) ^ server.draw(KeyHash(key ^ (1 << bit)))).count_ones())
                .sum();
            assert!((24_000..40_000).contains(&changed), "bit {bit}: {changed} of 64,000 bits");
        }
    }
}
