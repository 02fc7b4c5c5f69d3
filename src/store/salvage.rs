//! Reads what can still be read from a file whose tree is broken, or that may only be read.
//!
//! The database keeps a row's bytes together, so whole batches stand in the file wherever its pages went. They are found by
//! their mark and believed by their checksum. Old copies turn up too: they do no harm, since every record is a register with an
//! order of its own (`Entry`). Knows nothing of the database's format.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::batch::{Batch, HEADER_BYTES, MARK, OwnerSeed, PAYLOAD_BYTES_MAX, payload_bytes};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 4 << 20;

/// Hands out every whole batch of `owner` in the file, each once, in no particular order; stops when `sink` says `false`.
pub(super) fn scan(path: &Path, owner: OwnerSeed, sink: &mut dyn FnMut(&Batch<'_>, &[u8]) -> bool) -> io::Result<()> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    // Rows share pages, and each commit copies the page it touches: most batches are there several times.
    let mut seen = BTreeSet::new();
    let mut window = Vec::with_capacity(CHUNK_BYTES + PAYLOAD_BYTES_MAX);
    loop {
        let read = file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut window)?;
        let last = read == 0;
        // A batch that begins before this place is in the window as a whole.
        let settled = if last { window.len() } else { window.len().saturating_sub(HEADER_BYTES + PAYLOAD_BYTES_MAX) };
        let mut at = 0;
        while let Some(found) = find_mark(&window[at..]).map(|offset| at + offset).filter(|found| *found < settled) {
            at = found + 1;
            if payload_bytes(&window[found..]).is_none() {
                continue;
            }
            if let Some(batch) = Batch::read(&window[found..], owner) {
                let end = found + batch.bytes();
                if seen.insert(batch.checksum) && !sink(&batch, &window[found..end]) {
                    return Ok(());
                }
                at = end;
            }
        }
        if last {
            return Ok(());
        }
        window.drain(..settled.max(at).min(window.len()));
    }
}

fn find_mark(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(offset) = bytes.get(from..)?.iter().position(|byte| *byte == MARK[0]) {
        if bytes[from + offset..].starts_with(&MARK) {
            return Some(from + offset);
        }
        from += offset + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::batch::Batches;
    use crate::store::tests::{owner, seat, state};
    use maitred_core::clock::Time;

    #[test]
    fn whole_batches_are_found_in_rubbish_and_across_chunks() {
        let seed = OwnerSeed::of(&owner());
        let mut file = vec![b'm'; 1000];
        for number in 0..3000 {
            let mut batches = Batches::new(seed);
            batches.push(&seat(number), Time(number));
            batches.push(&state(number, 4000), Time(number));
            file.extend(batches.finish(Time(number)).concat());
            file.extend_from_slice(&MARK);
        }
        assert!(file.len() > 2 * CHUNK_BYTES);
        let copy = file.clone();
        file.extend(copy);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rubbish");
        std::fs::write(&path, &file).expect("written");
        let mut clocks = BTreeSet::new();
        let mut found = 0;
        scan(&path, seed, &mut |batch, bytes| {
            assert_eq!(bytes.len(), batch.bytes());
            found += 1;
            clocks.insert(batch.clock)
        })
        .expect("read");
        assert_eq!((found, clocks.len()), (3000, 3000));
    }
}
