//! Random bits for ids, from the operating system.
//!
//! A system call per id would cost more than the rest of a kept start, so each thread draws a block and hands out slices, wiping
//! what it has given away: an id that is known cannot be found in memory again.

use std::cell::RefCell;

use crate::http::problem::Problem;

/// 32 ids per system call.
const BLOCK_BYTES: usize = 512;

struct Block {
    bytes: [u8; BLOCK_BYTES],
    left: usize,
}

thread_local! {
    static BLOCK: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK_BYTES], left: 0 }) };
}

/// 128 unpredictable bits.
///
/// # Errors
/// When the operating system has none; nothing may be guessed in their place.
pub fn bits_128() -> Result<[u8; 16], Problem> {
    BLOCK.with_borrow_mut(|block| {
        if block.left < 16 {
            getrandom::fill(&mut block.bytes).map_err(|error| {
                tracing::error!(%error, "the operating system gives no random bits");
                Problem::Internal
            })?;
            block.left = BLOCK_BYTES;
        }
        let (rest, end) = (block.left - 16, block.left);
        let mut id = [0; 16];
        id.copy_from_slice(&block.bytes[rest..end]);
        block.bytes[rest..end].fill(0);
        block.left = rest;
        Ok(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_repeat_within_or_across_blocks() {
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| bits_128().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(!ids.contains(&[0; 16]));
    }
}
