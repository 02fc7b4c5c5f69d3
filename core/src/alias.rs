//! Who is logged in where: what servers confirmed, and the alias from agent to session that follows from it (R5).
//!
//! One register per session says its agent; the newest register of an agent is its alias. So a session that another agent takes
//! over loses its first agent's alias by the same write, and there is no second table that could disagree.
//!
//! Owns the registers and their order. Refuses to know seats: whether the session is still there is asked where the table is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::clock::Stamp;
use crate::entry::{ConfirmedEntry, SeatEntry};
use crate::ids::{Generation, IncarnationTag, Key, PoolName, SessionId};
use crate::session::{Mark, Reader};
use crate::unwritten::Unwritten;

/// Which session, as the table tells them apart (R10).
pub type SessionPlace = (PoolName, Key, Option<SessionId>);

/// When, by whom, of which session: the order of an agent's confirms.
type Age = (Stamp, String, SessionPlace);

/// There are as many registers as there may be sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AliasesFull;

/// All registers.
#[derive(Debug)]
pub struct Aliases {
    max: usize,
    by_place: BTreeMap<SessionPlace, ConfirmedEntry>,
    /// An agent's sessions, the newest confirm last.
    by_agent: BTreeMap<(PoolName, Key), BTreeSet<Age>>,
    /// What the journal has not been given yet.
    unwritten: BTreeSet<SessionPlace>,
    /// Where it is noted that there are some.
    noted: Arc<Unwritten>,
    /// What the peers have not been told yet.
    untold: BTreeSet<SessionPlace>,
    sweep_at: Option<SessionPlace>,
}

impl ConfirmedEntry {
    /// Its session as the table tells them apart.
    #[must_use]
    pub fn place(&self) -> SessionPlace {
        (self.pool.clone(), self.key.clone(), self.by_session.then_some(self.session))
    }

    /// Whether it is about the session of this seat, wherever that sits by now. A session that only its server knew may have
    /// got its true id since, by a cookie: then server and generation tell.
    #[must_use]
    pub fn is_of(&self, seat: &SeatEntry) -> bool {
        self.session == seat.session || self.holds(seat)
    }

    /// Whether it is about this very seat: server, life and generation.
    #[must_use]
    pub fn holds(&self, seat: &SeatEntry) -> bool {
        self.server == seat.server
            && self.generation == seat.generation
            && !self.incarnation.contradicts(seat.incarnation)
    }

    /// Stamp and writer decide; the rest makes the order total.
    fn rank(&self) -> (Stamp, &str, &Key, SessionId, &str, IncarnationTag, Generation) {
        let server = self.server.as_str();
        (self.stamp, self.writer.as_str(), &self.agent, self.session, server, self.incarnation, self.generation)
    }

    fn age(&self) -> Age {
        (self.stamp, self.writer.as_str().to_owned(), self.place())
    }

    fn by(&self) -> (PoolName, Key) {
        (self.pool.clone(), self.agent.clone())
    }
}

impl Aliases {
    /// No more registers than `max`, the bound of the session table.
    #[must_use]
    pub fn new(max: usize, noted: Arc<Unwritten>) -> Self {
        Self {
            max,
            by_place: BTreeMap::new(),
            by_agent: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            noted,
            untold: BTreeSet::new(),
            sweep_at: None,
        }
    }

    /// Takes a register if it is higher than the known one; says whether it was. Any order and repetition give the same.
    ///
    /// # Errors
    /// [`AliasesFull`] when its session has none yet and there are too many.
    pub fn take(&mut self, entry: ConfirmedEntry, mark: Mark) -> Result<bool, AliasesFull> {
        let place = entry.place();
        match self.by_place.get(&place) {
            Some(known) if known.rank() >= entry.rank() => return Ok(false),
            None if self.by_place.len() >= self.max => return Err(AliasesFull),
            Some(_) | None => {}
        }
        self.remove(&place);
        self.by_agent.entry(entry.by()).or_default().insert(entry.age());
        self.by_place.insert(place.clone(), entry);
        if mark != Mark::Clean {
            self.unwritten.insert(place.clone());
            self.noted.note();
        }
        if mark == Mark::Dirty {
            self.untold.insert(place);
        }
        Ok(true)
    }

    /// What was confirmed about a session.
    #[must_use]
    pub fn of(&self, place: &SessionPlace) -> Option<&ConfirmedEntry> {
        self.by_place.get(place)
    }

    /// The alias of an agent: its newest confirm.
    #[must_use]
    pub fn newest(&self, pool: &PoolName, agent: &Key) -> Option<&ConfirmedEntry> {
        let ages = self.by_agent.get(&(pool.clone(), agent.clone()))?;
        ages.last().and_then(|(_, _, place)| self.by_place.get(place))
    }

    /// All registers of an agent, the oldest first.
    pub fn of_agent(&self, pool: &PoolName, agent: &Key) -> impl Iterator<Item = &ConfirmedEntry> {
        let ages = self.by_agent.get(&(pool.clone(), agent.clone()));
        ages.into_iter().flatten().filter_map(|(_, _, place)| self.by_place.get(place))
    }

    /// Hands a reader what changed since its last call, at most `limit` registers; says whether there is more.
    pub fn drain_dirty(&mut self, reader: Reader, limit: usize, sink: &mut dyn FnMut(ConfirmedEntry)) -> bool {
        let changed = match reader {
            Reader::Journal => &mut self.unwritten,
            Reader::Peers => &mut self.untold,
        };
        for place in std::iter::from_fn(|| changed.pop_first()).take(limit) {
            self.by_place.get(&place).cloned().into_iter().for_each(&mut *sink);
        }
        !changed.is_empty()
    }

    /// Up to `limit` registers behind a place, in a fixed order: for walks that let go of the lock between two steps.
    #[must_use]
    pub fn page(&self, after: Option<&SessionPlace>, limit: usize) -> Vec<ConfirmedEntry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_place.range::<SessionPlace, _>((from, Bound::Unbounded)).take(limit).map(|(_, it)| it.clone()).collect()
    }

    /// Up to `limit` registers behind the first `from`.
    #[must_use]
    pub fn slice(&self, from: usize, limit: usize) -> Vec<ConfirmedEntry> {
        self.by_place.values().skip(from).take(limit).cloned().collect()
    }

    /// The next few registers for the sweeper, who asks whether their sessions are still there.
    pub fn sweep(&mut self, budget: usize) -> Vec<ConfirmedEntry> {
        let from = self.sweep_at.take();
        let next = self.page(from.as_ref(), budget);
        if next.len() == budget {
            self.sweep_at = next.last().map(ConfirmedEntry::place);
        }
        next
    }

    /// Forgets a register, if it is still this one.
    pub fn forget(&mut self, entry: &ConfirmedEntry) {
        let place = entry.place();
        if self.by_place.get(&place) == Some(entry) {
            self.remove(&place);
            self.unwritten.remove(&place);
            self.untold.remove(&place);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_place.len()
    }

    /// Whether nobody has confirmed anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    fn remove(&mut self, place: &SessionPlace) {
        let Some(old) = self.by_place.remove(place) else { return };
        if let Some(ages) = self.by_agent.get_mut(&old.by()) {
            ages.remove(&old.age());
            if ages.is_empty() {
                self.by_agent.remove(&old.by());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{DirectorName, ServerName};

    fn entry(key: u8, agent: u8, stamp: u64, writer: u8) -> ConfirmedEntry {
        ConfirmedEntry {
            pool: PoolName::parse("ua").unwrap(),
            key: Key::parse(&format!("k{key}")).unwrap(),
            session: SessionId([key; 16]),
            by_session: false,
            server: ServerName::parse("ua1").unwrap(),
            incarnation: IncarnationTag::from_bits(1),
            generation: Generation::FIRST,
            agent: Key::parse(&format!("agent-{agent}")).unwrap(),
            stamp: Stamp::from_bits(stamp),
            writer: DirectorName::parse(&format!("d{writer}")).unwrap(),
        }
    }

    fn alias(aliases: &Aliases, agent: u8) -> Option<&str> {
        let agent = Key::parse(&format!("agent-{agent}")).unwrap();
        aliases.newest(&PoolName::parse("ua").unwrap(), &agent).map(|entry| entry.key.as_str())
    }

    #[test]
    fn the_newest_confirm_wins_and_a_session_has_one_agent() {
        let mut aliases = Aliases::new(10, Arc::default());
        assert_eq!(aliases.take(entry(1, 1, 10, 1), Mark::Dirty), Ok(true));
        assert_eq!(aliases.take(entry(2, 1, 20, 1), Mark::Dirty), Ok(true));
        assert_eq!(alias(&aliases, 1), Some("k2"));
        assert_eq!(aliases.take(entry(2, 2, 30, 1), Mark::Dirty), Ok(true));
        assert_eq!(alias(&aliases, 2), Some("k2"));
        assert_eq!(alias(&aliases, 1), Some("k1"), "the session is another agent's now");
        assert_eq!(aliases.take(entry(2, 1, 25, 1), Mark::Dirty), Ok(false), "a late one changes nothing");
        let mut drained = Vec::new();
        assert!(!aliases.drain_dirty(Reader::Journal, usize::MAX, &mut |entry| drained.push(entry)));
        assert_eq!(drained, [entry(1, 1, 10, 1), entry(2, 2, 30, 1)]);
        assert!(!aliases.drain_dirty(Reader::Journal, usize::MAX, &mut |entry| panic!("{entry:?} twice")));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut aliases = Aliases::new(2, Arc::default());
        assert_eq!(aliases.take(entry(1, 1, 1, 1), Mark::Dirty), Ok(true));
        assert_eq!(aliases.take(entry(2, 1, 2, 1), Mark::Dirty), Ok(true));
        assert_eq!(aliases.take(entry(3, 1, 3, 1), Mark::Dirty), Err(AliasesFull));
        assert_eq!(aliases.take(entry(2, 2, 4, 1), Mark::Dirty), Ok(true), "known ones still change");
        aliases.forget(&entry(1, 1, 1, 1));
        assert_eq!(aliases.take(entry(3, 1, 3, 1), Mark::Dirty), Ok(true));
    }

    #[test]
    fn the_sweeper_meets_everything_in_small_steps() {
        let mut aliases = Aliases::new(100, Arc::default());
        for key in 0..25 {
            aliases.take(entry(key, key, u64::from(key), 1), Mark::Clean).unwrap();
        }
        let met: BTreeSet<_> = (0..3).flat_map(|_| aliases.sweep(10)).map(|entry| entry.place()).collect();
        assert_eq!(met.len(), 25);
        assert_eq!(aliases.sweep(10).len(), 10, "and begins anew");
    }

    proptest! {
        #[test]
        fn any_order_and_repetition_give_the_same(
            entries in prop::collection::vec((0..4_u8, 0..3_u8, 0..6_u64, 0..2_u8), 1..20), order in any::<u64>(),
        ) {
            let entries: Vec<_> = entries.iter().map(|(key, agent, stamp, writer)| entry(*key, *agent, *stamp, *writer)).collect();
            let mut shuffled: Vec<_> = entries.iter().chain(&entries).cloned().collect();
            shuffled.sort_by_key(|e| xxhash_rust::xxh3::xxh3_64_with_seed(format!("{e:?}").as_bytes(), order));
            let of = |entries: Vec<ConfirmedEntry>| {
                let mut aliases = Aliases::new(100, Arc::default());
                entries.into_iter().for_each(|entry| assert!(aliases.take(entry, Mark::Dirty).is_ok()));
                let by_agent: Vec<_> = (0..3).map(|agent| alias(&aliases, agent).map(str::to_owned)).collect();
                (aliases.page(None, 100), by_agent, aliases.by_agent.values().map(BTreeSet::len).sum::<usize>())
            };
            let one = of(entries);
            prop_assert_eq!(one.2, one.0.len());
            prop_assert_eq!(one, of(shuffled));
        }
    }
}
