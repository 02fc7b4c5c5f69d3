//! Slots of one size in chunks, each with a number that stays until it is freed, and a bit per reader that says what changed.
//!
//! Chunks and no growing vector: a table that grows copies nothing and never needs twice its memory. The dirty bits cost an
//! eighth of a byte per slot and reader and bound themselves: a slot that changes a hundred times, or is freed and used again,
//! is one bit. Each reader drains its own bits, so none can take a change away from another, and a slow one costs nothing.

/// No slot.
pub(super) const NONE: u32 = u32::MAX;
/// Slots per chunk: 16 kB of seats, so that a small table is small and a large one has few chunks.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(super) enum Slot<T> {
    Used(T),
    /// The next free slot, or [`NONE`].
    Free(u32),
}

#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    free: u32,
    used: usize,
    dirty: [Dirt; Reader::COUNT],
}

/// Who is told of changes, each independently of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Writes down what changed.
    Journal,
    /// Hands own changes to the other directors.
    Peers,
}

impl Reader {
    pub(super) const COUNT: usize = 2;
    const ALL: [Self; Self::COUNT] = [Self::Journal, Self::Peers];

    pub(super) fn at(self) -> usize {
        match self {
            Self::Journal => 0,
            Self::Peers => 1,
        }
    }
}

/// What one reader has not seen yet.
#[derive(Debug, Default)]
struct Dirt {
    bits: Vec<u64>,
    count: usize,
    /// The word that is looked at next. A reader who takes a part at a time goes round, so that slots which change again and
    /// again do not keep it from the others.
    at: usize,
}

impl Dirt {
    fn set(&mut self, number: u32) {
        let (word, bit) = place(number);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            self.count += 1;
        }
    }

    fn clear(&mut self, number: u32) {
        let (word, bit) = place(number);
        if let Some(word) = self.bits.get_mut(word)
            && *word & bit != 0
        {
            *word &= !bit;
            self.count -= 1;
        }
    }
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, used: 0, dirty: Default::default() }
    }

    /// Slots in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Every number in use is below this.
    pub(super) fn end(&self) -> u32 {
        let slots = self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len());
        u32::try_from(slots).unwrap_or(NONE)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        match self.chunks.get(number / CHUNK)?.get(number % CHUNK)? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        match self.slot_mut(number)? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// Takes a slot, unless there are `limit` already.
    pub(super) fn insert(&mut self, value: T, limit: usize) -> Option<u32> {
        if self.used >= limit {
            return None;
        }
        let number = if self.free == NONE {
            let number = self.end();
            if number == NONE {
                return None;
            }
            match self.chunks.last_mut() {
                Some(last) if last.len() < CHUNK => last.push(Slot::Used(value)),
                _ => {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    chunk.push(Slot::Used(value));
                    self.chunks.push(chunk);
                }
            }
            number
        } else {
            let number = self.free;
            let slot = self.slot_mut(number)?;
            let Slot::Free(next) = *slot else { return None };
            *slot = Slot::Used(value);
            self.free = next;
            number
        };
        self.used += 1;
        Some(number)
    }

    /// Frees a slot; what is gone is not dirty.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let free = self.free;
        let slot = self.slot_mut(number)?;
        let value = match std::mem::replace(slot, Slot::Free(free)) {
            Slot::Used(value) => value,
            Slot::Free(next) => {
                *slot = Slot::Free(next);
                return None;
            }
        };
        self.free = number;
        self.used -= 1;
        self.clean(number);
        Some(value)
    }

    /// Marks a slot as changed, for one reader.
    pub(super) fn mark(&mut self, number: u32, reader: Reader) {
        self.dirty[reader.at()].set(number);
    }

    /// How many slots have changed that the reader has not seen.
    pub(super) fn dirty(&self, reader: Reader) -> usize {
        self.dirty[reader.at()].count
    }

    /// Hands out what has changed since it was last handed to this reader, at most `limit` slots, from where the last call
    /// stopped.
    pub(super) fn drain_dirty(&mut self, reader: Reader, limit: usize, mut sink: impl FnMut(&T)) -> usize {
        let mut drained = 0;
        while drained < limit && self.dirty(reader) > 0 {
            let dirt = &mut self.dirty[reader.at()];
            // There is a bit somewhere, so this goes round once at most.
            let Some(bits) = dirt.bits.get(dirt.at).copied() else {
                dirt.at = 0;
                continue;
            };
            if bits == 0 {
                dirt.at += 1;
                continue;
            }
            let number = u32::try_from(dirt.at * 64).unwrap_or(NONE) + bits.trailing_zeros();
            self.dirty[reader.at()].clear(number);
            if let Some(value) = self.get(number) {
                sink(value);
                drained += 1;
            }
        }
        drained
    }

    /// Forgets for a reader what changed: one bit for each, and no look at any slot.
    pub(super) fn pass_over(&mut self, reader: Reader) {
        self.dirty[reader.at()] = Dirt::default();
    }

    fn clean(&mut self, number: u32) {
        for reader in Reader::ALL {
            self.dirty[reader.at()].clear(number);
        }
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot<T>> {
        let number = number as usize;
        self.chunks.get_mut(number / CHUNK)?.get_mut(number % CHUNK)
    }
}

fn place(number: u32) -> (usize, u64) {
    (number as usize / 64, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_used_again_and_a_number_stays() {
        let mut slab = Slab::new();
        let numbers: Vec<u32> = (0..600).map(|value| slab.insert(value, 1000).unwrap()).collect();
        assert_eq!(slab.remove(numbers[300]), Some(300));
        assert_eq!(slab.remove(numbers[300]), None);
        assert_eq!(slab.insert(9999, 1000), Some(numbers[300]));
        assert_eq!(slab.get(numbers[599]), Some(&599));
        assert_eq!((slab.used(), slab.end()), (600, 600));
    }

    #[test]
    fn the_limit_holds_and_room_that_was_freed_counts() {
        let mut slab = Slab::new();
        assert_eq!(slab.insert('a', 2), Some(0));
        assert_eq!(slab.insert('b', 2), Some(1));
        assert_eq!(slab.insert('c', 2), None);
        slab.remove(0);
        assert_eq!(slab.insert('c', 2), Some(0));
    }

    #[test]
    fn changes_coalesce_and_what_is_gone_is_not_dirty() {
        let mut slab = Slab::new();
        for value in 0..300 {
            slab.insert(value, 1000);
        }
        for number in [299, 5, 5, 70, 5] {
            slab.mark(number, Reader::Journal);
        }
        slab.mark(5, Reader::Peers);
        slab.remove(70);
        assert_eq!(slab.insert(7070, 1000), Some(70));
        assert_eq!(slab.dirty(Reader::Journal), 2);
        let mut drained = Vec::new();
        assert_eq!(slab.drain_dirty(Reader::Journal, 1, |value| drained.push(*value)), 1);
        assert_eq!(slab.drain_dirty(Reader::Journal, 10, |value| drained.push(*value)), 1);
        assert_eq!(slab.drain_dirty(Reader::Journal, 10, |value| drained.push(*value)), 0);
        assert_eq!(drained, [5, 299]);
        assert_eq!(slab.drain_dirty(Reader::Peers, 10, |value| assert_eq!(*value, 5)), 1, "each reader for itself");
    }
}
