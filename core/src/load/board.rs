//! The loads of all servers side by side in memory, one number each: a placement among a thousand servers reads them in one pass,
//! where a pointer and a handful of counters for each would cost it several microseconds.
//!
//! Owns no meaning: what a load is, [`super::ServerLoad`] says, and writes it down here whenever it changes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Servers in one piece of the board. Pieces never move, so whoever has one may read and write it for ever.
pub(crate) const LANE: usize = 1024;

/// Says that a load depends on the time, so that its server must be asked.
const ASK: u32 = 1 << 31;

#[derive(Debug)]
struct Lane([AtomicU32; LANE]);

/// The board of as many servers as have a number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    lanes: Arc<[Arc<Lane>]>,
}

/// One server's place on the board.
#[derive(Debug)]
pub(super) struct Place {
    lane: Arc<Lane>,
    at: usize,
}

/// What the board says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The load.
    Load(u32),
    /// Ask the server.
    Ask,
}

impl Board {
    /// A board that has room for a server of this number too. The places that were there stay the same.
    pub(crate) fn with_room(&self, number: usize) -> Self {
        let lanes = (number / LANE + 1).max(self.lanes.len());
        let fresh = || Arc::new(Lane(std::array::from_fn(|_| AtomicU32::new(0))));
        let lanes = (0..lanes).map(|at| self.lanes.get(at).map_or_else(fresh, Arc::clone)).collect();
        Self { lanes }
    }

    /// A server's place. `None` where the board has no room for it.
    pub(super) fn place(&self, number: usize) -> Option<Place> {
        self.lanes.get(number / LANE).map(|lane| Place { lane: Arc::clone(lane), at: number % LANE })
    }

    /// What stands at a server's place.
    #[inline]
    pub(crate) fn read(&self, number: usize) -> Shown {
        let word = self.lanes.get(number / LANE).map(|lane| lane.0[number % LANE].load(Ordering::Relaxed));
        match word {
            Some(word) if word & ASK == 0 => Shown::Load(word),
            _ => Shown::Ask,
        }
    }

    /// The sum of the loads of servers with consecutive numbers; `None` where one of them must be asked.
    pub(crate) fn sum(&self, mut servers: Range<usize>) -> Option<u64> {
        let (mut sum, mut seen) = (0, 0);
        while !servers.is_empty() {
            let from = servers.start % LANE;
            let to = LANE.min(from + servers.len());
            for word in &self.lanes.get(servers.start / LANE)?.0[from..to] {
                let word = word.load(Ordering::Relaxed);
                sum += u64::from(word);
                seen |= word;
            }
            servers.start += to - from;
        }
        (seen & ASK == 0).then_some(sum)
    }
}

impl Place {
    /// Writes down what `load` gives, until it gives the same before and after: whoever writes last has seen what all others
    /// changed before they wrote.
    pub(super) fn show(&self, load: impl Fn() -> Option<u32>) {
        let word = || load().map_or(ASK, |load| load.min(ASK - 1));
        let mut now = word();
        loop {
            self.lane.0[self.at].swap(now, Ordering::AcqRel);
            let again = word();
            if again == now {
                return;
            }
            now = again;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_grows_under_those_who_write_on_it() {
        let board = Board::default().with_room(3);
        let place = board.place(3).unwrap();
        let grown = board.with_room(5 * LANE);
        place.show(|| Some(7));
        assert_eq!((board.read(3), grown.read(3)), (Shown::Load(7), Shown::Load(7)));
        assert_eq!((grown.read(5 * LANE), board.read(5 * LANE)), (Shown::Load(0), Shown::Ask));
        place.show(|| None);
        assert_eq!(grown.read(3), Shown::Ask);
    }

    #[test]
    fn a_sum_goes_over_several_pieces_and_says_when_somebody_must_be_asked() {
        let board = Board::default().with_room(2 * LANE);
        for at in 0..2 * LANE {
            board.place(at).unwrap().show(|| Some(at as u32));
        }
        let sum = |servers: Range<usize>| servers.sum::<usize>() as u64;
        for servers in [0..0, 3..4, 5..LANE, LANE - 1..LANE + 1, 7..2 * LANE] {
            assert_eq!(board.sum(servers.clone()), Some(sum(servers)));
        }
        assert_eq!(board.sum(0..9 * LANE), None, "no such servers");
        board.place(LANE).unwrap().show(|| None);
        assert_eq!((board.sum(0..LANE), board.sum(0..LANE + 1)), (Some(sum(0..LANE)), None));
    }

    #[test]
    fn the_last_word_is_the_right_one_whoever_writes_it() {
        let board = Board::default().with_room(0);
        let count = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let place = board.place(0).unwrap();
                    for _ in 0..10_000 {
                        count.fetch_add(1, Ordering::Relaxed);
                        place.show(|| Some(count.load(Ordering::Relaxed)));
                    }
                });
            }
        });
        assert_eq!(board.read(0), Shown::Load(40_000));
    }
}
