//! The recent changes of this director's table, numbered: its own in one row, what it hands on of others' in another.
//!
//! Bounded: whoever has fallen behind the oldest number is resynchronised, never waited for. The numbers only say where to
//! resume (R16); the merge alone judges a record.

use std::collections::VecDeque;

use crate::clock::Mono;
use crate::wire::{Change, Position};

/// Changes that each row keeps: some 15 MB at most, or a minute of a thousand starts a second.
pub(super) const CHANGES_MAX: usize = 65_536;

/// A numbered row of changes.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Number of the change before the oldest one that is kept.
    floor: u64,
    items: VecDeque<Item>,
}

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) change: Change,
    /// When it came.
    pub(super) at: Mono,
}

impl Row {
    pub(super) fn push(&mut self, change: Change, at: Mono) {
        if self.items.len() >= CHANGES_MAX {
            self.items.pop_front();
            self.floor += 1;
        }
        self.items.push_back(Item { change, at });
    }

    /// Numbers changes that nobody will ask for, and keeps none: whoever stands further back than these is compared with.
    pub(super) fn pass_over(&mut self, changes: u64) {
        self.floor = self.end() + changes;
        self.items = VecDeque::new();
    }

    /// The number of the latest change.
    pub(super) fn end(&self) -> u64 {
        self.floor + self.items.len() as u64
    }

    /// Whether everything behind this number is still here.
    pub(super) fn reaches(&self, number: u64) -> bool {
        (self.floor..=self.end()).contains(&number)
    }

    /// The oldest change behind this number that is kept.
    pub(super) fn oldest_behind(&self, number: u64) -> Option<&Item> {
        self.item(number.max(self.floor) + 1)
    }

    /// The change with this number.
    pub(super) fn item(&self, number: u64) -> Option<&Item> {
        let at = number.checked_sub(self.floor + 1)?;
        self.items.get(usize::try_from(at).ok()?)
    }
}

/// Both rows of one run.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) run: u64,
    pub(super) own: Row,
    pub(super) relayed: Row,
}

impl Log {
    pub(super) fn new(run: u64) -> Self {
        Self { run, own: Row::default(), relayed: Row::default() }
    }

    pub(super) fn end(&self) -> Position {
        Position { run: self.run, own: self.own.end(), relayed: self.relayed.end() }
    }

    /// Whether somebody who stands there can be brought up to date from here.
    pub(super) fn reaches(&self, position: Position) -> bool {
        position.run == self.run && self.own.reaches(position.own) && self.relayed.reaches(position.relayed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::entry::Entry;

    #[test]
    fn numbers_go_on_when_the_oldest_are_dropped() {
        let mut row = Row::default();
        let extra = 10;
        for time in 1..=CHANGES_MAX as u64 + extra {
            row.push(Change { origin: None, entry: Entry::Clock(Time(time)) }, Mono(0));
        }
        assert_eq!(row.end(), CHANGES_MAX as u64 + extra);
        assert!(row.item(extra).is_none() && !row.reaches(extra - 1));
        assert!(row.reaches(extra) && row.reaches(row.end()) && !row.reaches(row.end() + 1));
        let entry = |number| row.item(number).map(|item| item.change.entry.clone());
        assert_eq!(entry(extra + 1), Some(Entry::Clock(Time(extra + 1))));
        assert_eq!(entry(row.end() + 1), None);
        let oldest = |behind| row.oldest_behind(behind).map(|item| item.change.entry.clone());
        assert_eq!(
            (oldest(0), oldest(extra)),
            (entry(extra + 1), entry(extra + 1)),
            "who is further behind waits as long"
        );
        assert_eq!((oldest(extra + 1), oldest(row.end())), (entry(extra + 2), None));
    }

    #[test]
    fn what_is_passed_over_has_a_number_and_is_not_kept() {
        let mut row = Row::default();
        row.push(Change { origin: None, entry: Entry::Clock(Time(1)) }, Mono(0));
        row.pass_over(1);
        assert_eq!(row.end(), 2);
        assert!(row.reaches(2) && !row.reaches(1) && !row.reaches(0), "who stands before it is compared with");
        row.push(Change { origin: None, entry: Entry::Clock(Time(3)) }, Mono(0));
        assert_eq!(row.item(3).map(|item| item.change.entry.clone()), Some(Entry::Clock(Time(3))));
    }
}
