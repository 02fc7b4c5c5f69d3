//! Which shard a key belongs to: unequal shares of the hashes, so that no two shards grow at the same moment.
//!
//! An index that is full doubles. Were the shards of one size, all of them would do so within a few thousand sessions of each other: one
//! pause after the other, and a table that has just doubled takes 5 bytes a session more than one that is about to. Here the largest share
//! is twice the smallest, which is from one doubling to the next, and the shards' sizes lie evenly between: together they take about 8
//! bytes a session at any size, and two threads meet in one shard hardly more often than with equal shares (1.04 times).

/// Bits of a hash that choose the shard, from this one on. The index takes the lowest and the seven highest.
const FROM: u32 = 24;

/// The shard of a hash, of so many.
///
/// With the hash as `x` from 0 to 1 this is `x + x(1 - x) / 3`, whose slope falls from 4/3 to 2/3.
pub(super) fn shard_of(hash: u64, shards: usize) -> usize {
    let x = u64::from((hash >> FROM) as u32);
    let y = x + ((x * ((1 << 32) - x)) >> 32) / 3;
    // Below 2^32, and so the product is below 2^32 times the number of shards.
    ((y * shards as u64) >> 32) as usize
}

/// The part of all hashes that a shard has: what lies between its two ends under the inverse of [`shard_of`].
pub(super) fn share_of(shard: usize, shards: usize) -> f64 {
    let begin = |shard: usize| 2.0 - (4.0 - 3.0 * shard as f64 / shards as f64).sqrt();
    begin(shard + 1) - begin(shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hash_has_a_shard_and_each_shard_its_share() {
        for shards in [1, 2, 64, 4096] {
            assert_eq!((shard_of(0, shards), shard_of(u64::MAX, shards)), (0, shards - 1));
        }
        let (mut counts, all) = ([0_u32; 64], 1 << 20);
        for number in 0..all {
            counts[shard_of(xxhash_rust::xxh3::xxh3_64(&u64::to_le_bytes(number)), 64)] += 1;
        }
        for (shard, count) in counts.iter().enumerate() {
            let part = f64::from(*count) / all as f64 / share_of(shard, 64);
            assert!((0.9..1.1).contains(&part), "shard {shard}: {part}");
        }
        assert!((1.9..=2.0).contains(&(share_of(63, 64) / share_of(0, 64))));
    }

    #[test]
    fn the_indices_take_about_as_much_for_each_session_at_any_size() {
        // A number and a control byte for each bucket, a power of two of them, seven of eight in use at most.
        let bytes = |records: f64| (records * 8.0 / 7.0).log2().ceil().exp2() * 5.0;
        let mut sessions = 20_000.0;
        while sessions < 4_000_000.0 {
            let all: f64 = (0..64).map(|shard| bytes(sessions * share_of(shard, 64))).sum();
            assert!((8.0..8.7).contains(&(all / sessions)), "{} bytes each for {sessions}", all / sessions);
            sessions *= 1.03;
        }
    }
}
