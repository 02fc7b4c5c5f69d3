//! The events that are kept, in the order of their arrival, and which of them are one.
//!
//! An event lies in the ring itself, without a block of the heap for each; whoever means it names its number. The latest of a group is
//! found by the group, the others behind it.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::{DirectorName, Mark, Mono, Notice};

/// Names an event as long as it is kept, in the order of arrival. Goes round: nothing is kept for half of a round.
pub(super) type Number = u32;

/// One event.
#[derive(Debug)]
pub(super) struct Item {
    /// Place in the order of arrival here, among those that are not kept as well.
    pub(super) arrival: u64,
    pub(super) at: Mono,
    pub(super) director: DirectorName,
    pub(super) run: u64,
    pub(super) notice: Notice,
    pub(super) group: Group,
}

/// Which others an event is the same as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Group {
    /// It is told as it happens and not kept.
    Passing,
    /// It is the first of them that came here, the one that is shown.
    First(u128),
    /// One of them was known.
    Again {
        /// The group.
        group: u128,
        /// The one before it.
        before: Number,
    },
}

impl Item {
    pub(super) fn mark(&self) -> Mark {
        Mark { run: self.run, number: self.notice.number }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.group().is_some()
    }

    fn group(&self) -> Option<u128> {
        match self.group {
            Group::Passing => None,
            Group::First(group) | Group::Again { group, .. } => Some(group),
        }
    }
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Ring {
    items: VecDeque<Item>,
    /// The oldest one's number.
    begin: Number,
    /// The latest of each group.
    groups: HashTable<Number>,
}

/// What is not kept any more.
pub(super) struct Gone {
    pub(super) item: Item,
    /// Its group, when nothing is left of that.
    pub(super) group: Option<u128>,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether something of a group is kept.
    pub(super) fn has(&self, group: u128) -> bool {
        self.latest(group).is_some()
    }

    /// The group of the next event to come, and the event's number: it joins those that are one with it.
    pub(super) fn join(&mut self, group: u128) -> (Group, Number) {
        let number = self.begin.wrapping_add(Number::try_from(self.items.len()).unwrap_or_default());
        let Self { items, begin, groups } = self;
        let of = |number: &Number| at(items, *begin, *number).and_then(Item::group);
        match groups.find_mut(hash(group), |number| of(number) == Some(group)) {
            Some(latest) => (Group::Again { group, before: std::mem::replace(latest, number) }, number),
            None => {
                groups.insert_unique(hash(group), number, |number| of(number).map_or(0, hash));
                (Group::First(group), number)
            }
        }
    }

    /// Takes the one whose group has just been joined.
    pub(super) fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    /// Lets go of the oldest.
    pub(super) fn pop(&mut self) -> Option<Gone> {
        let (item, number) = (self.items.pop_front()?, self.begin);
        self.begin = number.wrapping_add(1);
        let latest = item.group().and_then(|group| {
            let entry = self.groups.find_entry(hash(group), |latest| *latest == number).ok()?;
            entry.remove();
            Some(group)
        });
        Some(Gone { item, group: latest })
    }

    pub(super) fn get(&self, number: Number) -> Option<&Item> {
        at(&self.items, self.begin, number)
    }

    /// All, the oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter()
    }

    /// Those that arrived then or later.
    pub(super) fn since(&self, arrival: u64) -> impl Iterator<Item = &Item> {
        self.items.range(self.items.partition_point(|item| item.arrival < arrival)..)
    }

    /// Those of a group that are kept, the latest first.
    pub(super) fn of(&self, group: u128) -> impl Iterator<Item = &Item> {
        std::iter::successors(self.latest(group), |item| match item.group {
            Group::Again { before, .. } => self.get(before),
            Group::First(_) | Group::Passing => None,
        })
    }

    fn latest(&self, group: u128) -> Option<&Item> {
        let of = |number: &Number| self.get(*number).filter(|item| item.group() == Some(group));
        self.groups.find(hash(group), |number| of(number).is_some()).and_then(of)
    }
}

fn at(items: &VecDeque<Item>, begin: Number, number: Number) -> Option<&Item> {
    items.get(number.wrapping_sub(begin) as usize)
}

/// A group is a digest: any bits of it are a hash.
fn hash(group: u128) -> u64 {
    group as u64
}

#[cfg(test)]
mod tests {
    use super::super::{EVENTS_MAX, What};
    use super::*;
    use crate::clock::Time;

    fn told(number: u64, group: Group) -> Item {
        let director = DirectorName::parse("d1").unwrap();
        let notice = Notice {
            number,
            time: Time(number),
            what: What::Peer { up: true, peer: director.clone() },
            reason: "new".into(),
        };
        Item { arrival: number, at: Mono(number), director, run: 1, notice, group }
    }

    fn take(ring: &mut Ring, number: u64, group: u128) -> Number {
        let (group, name) = ring.join(group);
        ring.push(told(number, group));
        name
    }

    fn numbers<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<u64> {
        items.map(|item| item.mark().number).collect()
    }

    #[test]
    fn an_event_takes_at_most_256_bytes_all_in() {
        // A bucket of seven eighths that are used just after doubling, and the number in its director's row.
        let groups = (size_of::<Number>() + 1) * 2;
        let all = size_of::<Item>() + groups + size_of::<Number>();
        assert!(all <= 256, "{all}");
    }

    #[test]
    fn events_that_are_one_are_found_by_their_group_until_the_last_of_them_is_gone() {
        // Numbers go round meanwhile.
        let mut ring = Ring { begin: Number::MAX - 2, ..Ring::default() };
        let names: Vec<_> = [7, 8, 7, 9, 7].iter().zip(1..).map(|(group, at)| take(&mut ring, at, *group)).collect();
        assert_eq!(numbers(ring.of(7)), [5, 3, 1]);
        assert_eq!(numbers(ring.iter()), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(ring.since(4)), [4, 5]);
        assert!(matches!(ring.get(names[0]).unwrap().group, Group::First(7)));
        assert!(matches!(ring.get(names[4]).unwrap().group, Group::Again { group: 7, before } if before == names[2]));
        let gone: Vec<_> =
            std::iter::from_fn(|| ring.pop()).map(|gone| (gone.item.mark().number, gone.group)).collect();
        assert_eq!(gone, [(1, None), (2, Some(8)), (3, None), (4, Some(9)), (5, Some(7))]);
        assert!(ring.of(7).next().is_none() && !ring.has(7) && ring.get(names[4]).is_none());
    }

    #[test]
    fn what_is_told_again_when_the_first_of_its_group_goes_stays_known() {
        let mut ring = Ring::default();
        for number in 0..EVENTS_MAX as u64 {
            take(&mut ring, number, u128::from(number));
        }
        // As the feed does it: the newest joins, then the oldest goes.
        let (group, name) = ring.join(0);
        assert!(ring.pop().is_some_and(|gone| gone.group.is_none()));
        ring.push(told(EVENTS_MAX as u64, group));
        assert!(ring.has(0) && matches!(ring.get(name).unwrap().group, Group::Again { .. }));
        assert_eq!(numbers(ring.of(0)), [EVENTS_MAX as u64]);
    }
}
