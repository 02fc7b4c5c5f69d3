//! One row of the journal: a batch of records that proves by itself that it is whole and whose it is.
//!
//! The embedded database checks its pages only after a crash; a bit that flips later is found here. Because a batch carries its
//! own mark, length and checksum, it can also be recognised in the raw bytes of a file whose tree is broken (`salvage`).
//!
//! ```text
//! mark 8 | payload bytes u32 | records u32 | writer's clock u64 | xxh3 u64 | { record bytes u32 | postcard(Entry) }*
//! ```
//! All numbers are little-endian. The checksum is seeded with the owner's name: another director's batch is no batch of ours.
//! Knows nothing of files, tables and threads.

use maitred_core::clock::Time;
use maitred_core::entry::Entry;
use maitred_core::ids::DirectorName;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// First bytes of every batch; the last one counts the format's versions.
pub(super) const MARK: [u8; 8] = *b"mtrdlog\x01";
/// Bytes before the records.
pub(super) const HEADER_BYTES: usize = 32;
/// A batch is closed when its records reach this size, so that one row stays cheap to read and to lose, and fits a page of 64 KiB
/// together with one more record of a usual size.
const PAYLOAD_BYTES_FULL: usize = 56 << 10;
/// A batch is closed at this number of records.
const RECORDS_MAX: u32 = 4096;
/// Largest record that is taken: 16 times the largest `agent_state`. A larger one is a defect of its writer.
const RECORD_BYTES_MAX: usize = 64 << 10;
/// Largest payload that a reader believes: what the first version wrote.
pub(super) const PAYLOAD_BYTES_MAX: usize = (1 << 20) + RECORD_BYTES_MAX + 4;

/// No session takes less in a batch, however short its names are.
pub(super) const SEAT_BYTES_MIN: u64 = 40;

/// Keys the checksums to one director.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnerSeed(u64);

impl OwnerSeed {
    pub(super) fn of(owner: &DirectorName) -> Self {
        Self(xxh3_64(owner.as_str().as_bytes()))
    }

    fn checksum(self, header: &[u8], payload: &[u8]) -> u64 {
        let mut hash = Xxh3::with_seed(self.0);
        hash.update(header);
        hash.update(payload);
        hash.digest()
    }
}

/// Collects records into batches; the buffers are kept from one commit to the next.
#[derive(Debug)]
pub(super) struct Batches {
    owner: OwnerSeed,
    closed: Vec<Vec<u8>>,
    closed_bytes: usize,
    open: Vec<u8>,
    open_records: u32,
    records: u64,
    refused: u64,
    /// Where a record is encoded: a batch that made room for each byte would take as long for that as for all the rest.
    record: Box<[u8]>,
}

impl Batches {
    pub(super) fn new(owner: OwnerSeed) -> Self {
        let record = vec![0; RECORD_BYTES_MAX].into_boxed_slice();
        Self {
            owner,
            closed: Vec::new(),
            closed_bytes: 0,
            open: Vec::new(),
            open_records: 0,
            records: 0,
            refused: 0,
            record,
        }
    }

    /// Adds one record. One that cannot be written is counted, never half written.
    pub(super) fn push(&mut self, entry: &Entry, clock: Time) {
        // One that does not fit is too large.
        let Ok(record) = postcard::to_slice(entry, &mut self.record) else {
            self.refused += 1;
            return;
        };
        if self.open.is_empty() {
            self.open.resize(HEADER_BYTES, 0);
        }
        // The buffer is far below 4 GiB.
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.open.extend_from_slice(&length.to_le_bytes());
        self.open.extend_from_slice(record);
        self.open_records += 1;
        self.records += 1;
        if self.open_records >= RECORDS_MAX || self.open.len() >= PAYLOAD_BYTES_FULL + HEADER_BYTES {
            self.close(clock);
        }
    }

    /// Closes the open batch and hands out all of them, oldest first.
    pub(super) fn finish(&mut self, clock: Time) -> &[Vec<u8>] {
        self.close(clock);
        &self.closed
    }

    /// Forgets what was collected, after a commit or a failure.
    pub(super) fn clear(&mut self) {
        self.closed.clear();
        self.closed_bytes = 0;
        self.open.clear();
        self.open_records = 0;
        self.records = 0;
    }

    /// Bytes collected since the last `clear`.
    pub(super) fn bytes(&self) -> usize {
        self.closed_bytes + self.open.len()
    }

    /// Records collected since the last `clear`.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Records that could not be written since the last call.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    fn close(&mut self, clock: Time) {
        if self.open_records > 0 {
            let room = self.open.len();
            let mut batch = std::mem::replace(&mut self.open, Vec::with_capacity(room));
            seal(&mut batch, self.open_records, clock, self.owner);
            self.closed_bytes += batch.len();
            self.closed.push(batch);
        }
        self.open.clear();
        self.open_records = 0;
    }
}

/// A batch without records: the writer's clock, with the same proof of wholeness.
pub(super) fn clock_mark(clock: Time, owner: OwnerSeed) -> Vec<u8> {
    let mut batch = vec![0; HEADER_BYTES];
    seal(&mut batch, 0, clock, owner);
    batch
}

fn seal(batch: &mut [u8], records: u32, clock: Time, owner: OwnerSeed) {
    let (header, payload) = batch.split_at_mut(HEADER_BYTES);
    // A payload never reaches 4 GiB: `push` closes it long before.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header[..8].copy_from_slice(&MARK);
    header[8..12].copy_from_slice(&length.to_le_bytes());
    header[12..16].copy_from_slice(&records.to_le_bytes());
    header[16..24].copy_from_slice(&clock.0.to_le_bytes());
    let checksum = owner.checksum(&header[..24], payload);
    header[24..32].copy_from_slice(&checksum.to_le_bytes());
}

/// A batch that is whole and ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    /// The writer's clock when it was closed.
    pub(super) clock: Time,
    /// Records in it.
    pub(super) records: u32,
    /// Tells batches apart.
    pub(super) checksum: u64,
    payload: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads the batch at the beginning of `bytes`; what follows it is not looked at. `None`: not whole, not ours, or not a batch.
    pub(super) fn read(bytes: &'a [u8], owner: OwnerSeed) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let payload = rest.get(..payload_bytes(header)?)?;
        let checksum = number(&header[24..32]);
        (checksum == owner.checksum(&header[..24], payload)).then(|| Self {
            clock: Time(number(&header[16..24])),
            records: u32::try_from(number(&header[12..16])).unwrap_or(u32::MAX),
            checksum,
            payload,
        })
    }

    /// Bytes of the whole batch.
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Decodes the records. One that this version does not understand is skipped and counted; the others are kept.
    pub(super) fn decode(&self, sink: &mut dyn FnMut(Entry)) -> u64 {
        let mut rest = self.payload;
        let mut skipped = 0;
        while let Some((length, tail)) = rest.split_at_checked(4) {
            let length = usize::try_from(number(length)).unwrap_or(usize::MAX);
            let Some((record, tail)) = tail.split_at_checked(length) else { break };
            match postcard::from_bytes(record) {
                Ok(entry) => sink(entry),
                Err(_) => skipped += 1,
            }
            rest = tail;
        }
        skipped
    }
}

/// Payload size that a header claims, when it has the mark and the claim is believable.
pub(super) fn payload_bytes(header: &[u8]) -> Option<usize> {
    let header = header.get(..HEADER_BYTES)?;
    let length = usize::try_from(number(&header[8..12])).ok()?;
    (header.starts_with(&MARK) && length <= PAYLOAD_BYTES_MAX).then_some(length)
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use maitred_core::entry::SeatEntry;
    use maitred_core::ids::{IncarnationTag, Key};

    use super::*;
    use crate::store::tests::{owner, seat, state};

    fn batch_of(entries: &[Entry]) -> Vec<u8> {
        let mut batches = Batches::new(OwnerSeed::of(&owner()));
        entries.iter().for_each(|entry| batches.push(entry, Time(5)));
        batches.finish(Time(5)).concat()
    }

    #[test]
    fn a_batch_reads_back_what_was_pushed() {
        let entries = vec![seat(1), state(2, 4096), Entry::Clock(Time(9))];
        let bytes = batch_of(&entries);
        let batch = Batch::read(&bytes, OwnerSeed::of(&owner())).expect("whole");
        let mut back = Vec::new();
        assert_eq!(batch.decode(&mut |entry| back.push(entry)), 0);
        assert_eq!((back, batch.records, batch.clock, batch.bytes()), (entries, 3, Time(5), bytes.len()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = batch_of(&[seat(1), seat(2)]);
        let seed = OwnerSeed::of(&owner());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(Batch::read(&bad, seed).is_none(), "byte {at} bit {bit}");
            }
            assert!(Batch::read(&bytes[..at], seed).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn another_directors_batch_is_none() {
        let other = DirectorName::parse("west-1").expect("a name");
        assert!(Batch::read(&batch_of(&[seat(1)]), OwnerSeed::of(&other)).is_none());
    }

    #[test]
    fn a_record_of_a_later_version_is_skipped_and_the_rest_kept() {
        let mut bytes = batch_of(&[seat(1), Entry::Clock(Time(1)), seat(2)]);
        let middle = bytes.windows(6).position(|w| w == [2, 0, 0, 0, 6, 1]).expect("the clock record");
        bytes[middle + 4] = 99;
        seal(&mut bytes, 3, Time(5), OwnerSeed::of(&owner()));
        let mut back = Vec::new();
        let batch = Batch::read(&bytes, OwnerSeed::of(&owner())).expect("whole");
        assert_eq!(batch.decode(&mut |entry| back.push(entry)), 1);
        assert_eq!(back, [seat(1), seat(2)]);
    }

    #[test]
    fn no_session_takes_less_than_is_reckoned_with() {
        let Entry::Seat(seat) = seat(1) else { panic!("a seat") };
        let name = "u";
        let least = Entry::Seat(SeatEntry {
            pool: name.parse().expect("a name"),
            key: Key::parse(name).expect("a key"),
            server: name.parse().expect("a name"),
            writer: name.parse().expect("a name"),
            incarnation: IncarnationTag::from_bits(0),
            seen: Time(0),
            ..seat
        });
        assert!((batch_of(&[least]).len() - HEADER_BYTES) as u64 >= SEAT_BYTES_MIN);
    }

    #[test]
    fn batches_are_bounded_and_a_giant_record_is_refused() {
        let mut batches = Batches::new(OwnerSeed::of(&owner()));
        batches.push(&state(0, RECORD_BYTES_MAX + 1), Time(1));
        for number in 0..2000 {
            batches.push(&state(number, 4096), Time(1));
        }
        (0..10_000).for_each(|number| batches.push(&seat(number), Time(1)));
        assert_eq!(batches.take_refused(), 1);
        assert_eq!(batches.records(), 12_000);
        let seed = OwnerSeed::of(&owner());
        let closed = batches.finish(Time(1));
        assert!(closed.len() > 8);
        let records: u32 = closed.iter().map(|bytes| Batch::read(bytes, seed).expect("whole").records).sum();
        assert_eq!(records, 12_000);
        assert!(closed.iter().all(|bytes| bytes.len() <= HEADER_BYTES + PAYLOAD_BYTES_MAX));
    }
}
