//! The keys' texts of one shard, packed: those of about one length lie side by side in chunks.
//!
//! A record of fixed size would need room for the longest usual key in each slot, and a heap block for each costs 16 bytes of its
//! own. Here a text takes its bytes, one for its length, and what rounds that up to eight: an agent's id of 14 bytes takes 16, a
//! UUID 40. Knows nothing of records; a text stays where it is until it is removed.

/// No cell.
const NONE: u32 = u32::MAX;
/// Cells differ by this many bytes from one class to the next; also holds the number of a free cell's successor.
const STEP: usize = 8;
/// Classes: the longest key has 128 bytes and one for its length.
const CLASSES: usize = (crate::ids::KEY_BYTES_MAX + 1).div_ceil(STEP);
/// Cells per chunk: 1 kB of the usual ids, so that chunks of texts fill what indices that have doubled and chunks of rows leave free.
const CHUNK: usize = 64;
/// Bits of a place that say which cell; those above say which class.
const CELL_BITS: u32 = 27;

/// Where a text lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextPlace(u32);

impl TextPlace {
    fn new(class: usize, cell: u32) -> Option<Self> {
        let class = u32::try_from(class).ok()?;
        (cell < 1 << CELL_BITS).then_some(Self((class << CELL_BITS) | cell))
    }

    fn class(self) -> usize {
        (self.0 >> CELL_BITS) as usize
    }

    fn cell(self) -> u32 {
        self.0 & ((1 << CELL_BITS) - 1)
    }
}

/// All texts of a shard.
#[derive(Debug)]
pub(super) struct Texts {
    classes: [Class; CLASSES],
}

/// Cells of one size.
#[derive(Debug)]
struct Class {
    cell_bytes: usize,
    chunks: Vec<Box<[u8]>>,
    /// The first cell that was given back.
    free: u32,
    /// Cells that have ever been taken.
    end: u32,
}

impl Texts {
    pub(super) fn new() -> Self {
        let class = |at: usize| Class { cell_bytes: (at + 1) * STEP, chunks: Vec::new(), free: NONE, end: 0 };
        Self { classes: std::array::from_fn(class) }
    }

    /// Takes a text, unless it is longer than a key may be or there are 2^27 of its length already.
    pub(super) fn insert(&mut self, text: &str) -> Option<TextPlace> {
        let class = text.len() / STEP;
        let cells = self.classes.get_mut(class)?;
        let cell = cells.take();
        let Some(place) = TextPlace::new(class, cell) else {
            cells.give_back(cell);
            return None;
        };
        if let Some((length, bytes)) = cells.cell_mut(cell).and_then(<[u8]>::split_first_mut) {
            *length = u8::try_from(text.len()).ok()?;
            bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        }
        Some(place)
    }

    /// The bytes of a text; none where it was removed.
    pub(super) fn bytes(&self, place: TextPlace) -> &[u8] {
        let cell = self.classes.get(place.class()).and_then(|cells| cells.cell(place.cell()));
        let text = cell.and_then(<[u8]>::split_first).and_then(|(length, bytes)| bytes.get(..usize::from(*length)));
        text.unwrap_or_default()
    }

    /// The text.
    pub(super) fn text(&self, place: TextPlace) -> &str {
        // The bytes came from a `str`, so the empty text is never taken.
        std::str::from_utf8(self.bytes(place)).unwrap_or_default()
    }

    /// Gives a text's cell to the next one of its class.
    pub(super) fn remove(&mut self, place: TextPlace) {
        if let Some(cells) = self.classes.get_mut(place.class()) {
            cells.give_back(place.cell());
        }
    }
}

impl Class {
    fn take(&mut self) -> u32 {
        if self.free != NONE {
            let cell = self.free;
            let next = self.cell(cell).and_then(<[u8]>::first_chunk).copied();
            self.free = next.map_or(NONE, u32::from_le_bytes);
            return cell;
        }
        if self.end as usize == self.chunks.len() * CHUNK {
            self.chunks.push(vec![0; CHUNK * self.cell_bytes].into_boxed_slice());
        }
        self.end += 1;
        self.end - 1
    }

    fn give_back(&mut self, cell: u32) {
        let next = self.free.to_le_bytes();
        if let Some(first) = self.cell_mut(cell).and_then(<[u8]>::first_chunk_mut) {
            *first = next;
            self.free = cell;
        }
    }

    fn cell(&self, cell: u32) -> Option<&[u8]> {
        let (chunk, at) = (cell as usize / CHUNK, cell as usize % CHUNK * self.cell_bytes);
        self.chunks.get(chunk)?.get(at..at + self.cell_bytes)
    }

    fn cell_mut(&mut self, cell: u32) -> Option<&mut [u8]> {
        let (chunk, at) = (cell as usize / CHUNK, cell as usize % CHUNK * self.cell_bytes);
        self.chunks.get_mut(chunk)?.get_mut(at..at + self.cell_bytes)
    }
}

/// Bytes that a text takes.
#[cfg(test)]
pub(super) fn bytes_of(text: &str) -> usize {
    (text.len() / STEP + 1) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::KEY_BYTES_MAX;

    #[test]
    fn texts_of_each_length_read_back() {
        let mut texts = Texts::new();
        let all: Vec<String> = (1..=KEY_BYTES_MAX).map(|length| "k".repeat(length)).collect();
        let places: Vec<TextPlace> = all.iter().map(|text| texts.insert(text).unwrap()).collect();
        for (text, place) in all.iter().zip(&places) {
            assert_eq!(texts.text(*place), text);
        }
        assert_eq!(texts.insert(&"k".repeat(KEY_BYTES_MAX + 20)), None);
        let place = texts.insert("\u{e9}l\u{e8}ve").unwrap();
        assert_eq!(texts.text(place), "\u{e9}l\u{e8}ve");
    }

    #[test]
    fn what_is_given_back_is_taken_again_and_the_others_stay() {
        let mut texts = Texts::new();
        let text = |number: u32| format!("agent-{number:08}");
        let places: Vec<TextPlace> = (0..1000).map(|number| texts.insert(&text(number)).unwrap()).collect();
        let chunks = |texts: &Texts| texts.classes.iter().map(|class| class.chunks.len()).sum::<usize>();
        let before = chunks(&texts);
        for number in (0..1000).step_by(3) {
            texts.remove(places[number]);
        }
        let again: Vec<TextPlace> = (2000..2334).map(|number| texts.insert(&text(number)).unwrap()).collect();
        assert_eq!(chunks(&texts), before);
        for (place, number) in again.iter().zip(2000..) {
            assert_eq!(texts.text(*place), text(number));
        }
        for number in (0..1000).filter(|number| number % 3 != 0) {
            assert_eq!(texts.text(places[number]), text(u32::try_from(number).unwrap()));
        }
    }

    #[test]
    fn an_agents_id_takes_16_bytes_and_a_uuid_40() {
        assert_eq!(bytes_of("agent-00000001"), 16);
        assert_eq!(bytes_of("0f8fad5b-d9cb-469f-a165-70867728950e"), 40);
    }
}
