//! The table against a plain map: random operations leave the same content, lists, counts and dirty marks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::laws::{life, seat};
use super::*;
use crate::clock::{Stamp, Time};
use crate::entry::{Entry, Life, SeatEntry, StateEntry};
use crate::ids::{DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

const TTL: Duration = Duration::from_secs(60);
/// Long and short ones; few, so that they meet again.
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "a key that is longer than what fits in place, by far"];

#[derive(Debug, Clone)]
enum Operation {
    Put(SeatEntry),
    Merge(SeatEntry, Mark),
    Touch(SeatEntry, u64),
    Remove(SeatEntry),
    Expire(u64, u32),
    Drain(usize),
}

/// Every entry of an `allow_multiple` pool is keyed by its session too.
fn entries() -> impl Strategy<Value = SeatEntry> {
    let drawn = (0..KEYS.len(), any::<bool>(), seat("k"), 0_u64..100, life());
    drawn.prop_map(|(key, multiple, entry, seconds, life)| SeatEntry {
        key: Key::parse(KEYS[key]).unwrap(),
        pool: PoolName::parse(if multiple { "cobrowse" } else { "agents" }).unwrap(),
        stamp: Stamp::at(Time(seconds * 1000)),
        seen: Time(seconds * 1000 + entry.seen.0),
        life,
        ..entry
    })
}

fn operations() -> impl Strategy<Value = Operation> {
    let mark = prop_oneof![Just(Mark::Dirty), Just(Mark::Clean)];
    prop_oneof![
        4 => entries().prop_map(Operation::Put),
        4 => (entries(), mark).prop_map(|(entry, mark)| Operation::Merge(entry, mark)),
        2 => (entries(), 0_u64..120).prop_map(|(entry, seen)| Operation::Touch(entry, seen)),
        1 => entries().prop_map(Operation::Remove),
        1 => (0_u64..160, 1_u32..40).prop_map(|(now, budget)| Operation::Expire(now, budget)),
        1 => (1_usize..10).prop_map(Operation::Drain),
    ]
}

type Place = (PoolName, Key, Option<SessionId>);

fn place(entry: &SeatEntry) -> Place {
    let multiple = entry.pool.as_str() == "cobrowse";
    (entry.pool.clone(), entry.key.clone(), multiple.then_some(entry.session))
}

fn floored(entry: SeatEntry) -> SeatEntry {
    SeatEntry { seen: Seen::at(entry.seen).time(), ..entry }
}

fn gone(entry: &SeatEntry, now: Time) -> bool {
    expires(entry.life, entry.stamp, Seen::at(entry.seen), TTL) <= now
}

struct Pair {
    table: Table,
    names: Names,
    model: BTreeMap<Place, SeatEntry>,
    dirty: BTreeSet<Place>,
    counts: BTreeMap<ServerName, i64>,
}

impl Pair {
    fn new() -> Self {
        // One shard, so that a round of the sweeper is one pass.
        let table = Table::new(TableOptions { shards: 1, seed: 42, records_max: 1000 });
        Self { table, names: Names::default(), model: BTreeMap::new(), dirty: BTreeSet::new(), counts: BTreeMap::new() }
    }

    fn count(&mut self, change: Change) {
        for (server, by) in [(change.before, -1), (change.after, 1)] {
            if let Some(server) = server {
                *self.counts.entry(self.names.book().server(server).clone()).or_default() += by;
            }
        }
    }

    fn with<T>(&self, entry: &SeatEntry, act: impl FnOnce(&mut Shard, &SeatKey<'_>) -> T) -> T {
        let session = place(entry).2;
        let key = self.table.key(self.names.pool(&entry.pool).unwrap(), &entry.key, session);
        act(&mut self.table.lock(&key), &key)
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Put(entry) => self.put(floored(entry)),
            Operation::Merge(entry, mark) => self.merge(&floored(entry), mark),
            Operation::Touch(entry, seen) => self.touch(&entry, Time(seen * 1000)),
            Operation::Remove(entry) => {
                let place = place(&entry);
                let removed = self.with(&entry, |shard, key| shard.remove(key).map(|record| record.entry(&self.names)));
                assert_eq!(removed, self.model.remove(&place));
                self.dirty.remove(&place);
                self.recount();
            }
            Operation::Expire(now, budget) => self.expire(Time(now * 1000), budget),
            Operation::Drain(limit) => self.drain(limit),
        }
        self.check();
    }

    fn put(&mut self, mut entry: SeatEntry) {
        let place = place(&entry);
        if let Some(old) = self.model.get(&place) {
            entry.stamp = Stamp::next(entry.stamp.time(), Some(old.stamp));
            entry.seen = entry.seen.max(old.seen);
        }
        let sitting = Sitting::of(&entry, &self.names).unwrap();
        let change = self.with(&entry, |shard, key| shard.put(key, sitting)).unwrap();
        self.count(change);
        self.model.insert(place.clone(), entry);
        self.dirty.insert(place);
    }

    fn merge(&mut self, entry: &SeatEntry, mark: Mark) {
        let place = place(entry);
        let merged = self.with(entry, |shard, key| shard.merge(key, entry, &self.names, mark)).unwrap();
        self.count(merged.change());
        let old = self.model.get(&place).cloned();
        let new = old.clone().map_or_else(|| entry.clone(), |old| merge(old, entry.clone()));
        let kind = match (&old, &new) {
            (None, _) => "new",
            (Some(old), new) if old == new => "kept",
            (Some(old), new) if SeatEntry { seen: new.seen, ..old.clone() } == *new => "seen",
            _ => "replaced",
        };
        let told = match merged {
            Merged::New(_) => "new",
            Merged::Replaced(_) => "replaced",
            Merged::Seen => "seen",
            Merged::Kept => "kept",
        };
        assert_eq!(told, kind);
        if mark == Mark::Dirty && kind != "kept" {
            self.dirty.insert(place.clone());
        }
        self.model.insert(place, new);
    }

    fn touch(&mut self, entry: &SeatEntry, seen: Time) {
        let place = place(entry);
        let step = Duration::from_secs(5);
        let raised = self.with(entry, |shard, key| shard.touch_seen(key, seen, step));
        let expected = self.model.get(&place).is_some_and(|old| seen >= old.seen + step);
        assert_eq!(raised, expected);
        if raised {
            self.model.get_mut(&place).unwrap().seen = seen;
            self.dirty.insert(place);
        }
    }

    fn expire(&mut self, now: Time, budget: u32) {
        let mut removed = Vec::new();
        // A round that was begun by an earlier step ends first; the next one sees everything.
        let mut rounds = 0;
        while rounds < 2 {
            let swept = self.table.expire(now, &|_| TTL, budget, &mut |record| removed.push(record.entry(&self.names)));
            rounds += u32::from(swept.round_done);
        }
        let over: Vec<Place> =
            self.model.iter().filter(|(_, e)| gone(e, now)).map(|(place, _)| place.clone()).collect();
        let told: BTreeSet<Place> = removed.iter().map(place).collect();
        assert_eq!(told.len(), removed.len(), "each goes once");
        assert_eq!(told, over.iter().cloned().collect());
        for place in over {
            self.model.remove(&place);
            self.dirty.remove(&place);
        }
        self.recount();
    }

    fn drain(&mut self, limit: usize) {
        let mut drained = Vec::new();
        let more = self.table.lock_any().drain_dirty(Reader::Journal, limit, &mut |dirty| {
            if let Dirty::Seat(record) = dirty {
                drained.push(record.entry(&self.names));
            }
        });
        assert_eq!(drained.len(), limit.min(self.dirty.len()));
        for entry in drained {
            let place = place(&entry);
            assert!(self.dirty.remove(&place), "drained without a change, or twice: {entry:?}");
            assert_eq!(self.model.get(&place), Some(&entry));
        }
        assert_eq!(more, !self.dirty.is_empty());
    }

    /// After removals, whose counts the caller takes from the records.
    fn recount(&mut self) {
        self.counts.clear();
        for entry in self.model.values().filter(|entry| entry.life == Life::Live) {
            *self.counts.entry(entry.server.clone()).or_default() += 1;
        }
    }

    fn check(&self) {
        let mut content = BTreeMap::new();
        let mut from = Some(Cursor::default());
        while let Some(cursor) = from {
            from = self.table.page(cursor, 3, &mut |record| {
                let entry = record.entry(&self.names);
                assert!(content.insert(place(&entry), entry).is_none(), "met twice");
            });
        }
        assert_eq!(content, self.model);
        assert_eq!(self.table.len(), self.model.len());
        for number in 0..3 {
            let name = ServerName::parse(&format!("ua{number}")).unwrap();
            let Some(server) = self.names.book().server_ix(&name) else { continue };
            let mut listed = BTreeSet::new();
            let rest = self.table.by_server(server, 0, usize::MAX, &mut |record| {
                assert!(listed.insert(place(&record.entry(&self.names))), "listed twice");
            });
            assert_eq!(rest, None);
            let live = |(place, entry): (&Place, &SeatEntry)| {
                (entry.life == Life::Live && entry.server == name).then(|| place.clone())
            };
            let expected: BTreeSet<Place> = self.model.iter().filter_map(live).collect();
            assert_eq!(listed, expected);
            let counted = self.counts.get(&name).copied().unwrap_or_default();
            assert_eq!(counted, i64::try_from(expected.len()).unwrap());
        }
        for entry in self.model.values() {
            let found = self.with(entry, |shard, key| shard.find(key).map(|record| record.entry(&self.names)));
            assert_eq!(found.as_ref(), Some(entry));
        }
    }
}

impl Table {
    /// The one shard of a table that has one.
    fn lock_any(&self) -> ShardGuard<'_> {
        let name = PoolName::parse("any").unwrap();
        let key = Key::parse("any").unwrap();
        self.lock(&self.key(Names::default().pool(&name).unwrap(), &key, None))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_table_is_a_map_with_exact_lists_counts_and_dirty_marks(
        operations in prop::collection::vec(operations(), 1..80),
    ) {
        let mut pair = Pair::new();
        for operation in operations {
            pair.apply(operation);
        }
        pair.drain(usize::MAX);
        pair.expire(Time(1_000_000_000), 7);
        pair.check();
        prop_assert!(pair.model.is_empty() && pair.table.is_empty());
    }
}

fn agents(names: &Names) -> PoolIx {
    names.pool(&PoolName::parse("agents").unwrap()).unwrap()
}

fn sitting(names: &Names, server: &str, seconds: u64) -> Sitting {
    Sitting {
        session: SessionId([1; 16]),
        incarnation: IncarnationTag::UNKNOWN,
        stamp: Stamp::at(Time(seconds * 1000)),
        generation: Generation::FIRST,
        seen: Seen::at(Time(seconds * 1000)),
        server: names.server(&ServerName::parse(server).unwrap()).unwrap(),
        writer: names.writer(&DirectorName::parse("d1").unwrap()).unwrap(),
        life: Life::Live,
        minted: false,
    }
}

fn state(stamp: u64, version: u64, bytes: &[u8]) -> StateEntry {
    StateEntry {
        pool: PoolName::parse("agents").unwrap(),
        key: Key::parse("a").unwrap(),
        session: SessionId([1; 16]),
        stamp: Stamp::at(Time(stamp * 1000)),
        version,
        writer: DirectorName::parse("d1").unwrap(),
        bytes: bytes.to_vec(),
    }
}

/// Sweeps everything once, from wherever the sweeper stands.
fn sweep(table: &Table, now: Time) -> usize {
    let (mut rounds, mut gone) = (0, 0);
    while rounds <= table.shards() {
        let swept = table.expire(now, &|_| TTL, 100, &mut |_| {});
        rounds += usize::from(swept.round_done);
        gone += swept.records + swept.states;
    }
    gone
}

#[test]
fn seats_that_change_all_the_time_do_not_keep_others_from_the_journal() {
    let (table, names) = (Table::new(TableOptions { shards: 4, ..TableOptions::default() }), Names::default());
    let pool = agents(&names);
    let texts: Vec<Key> = (0..5000).map(|n| Key::parse(&format!("agent-{n}")).unwrap()).collect();
    let touch = |texts: &[Key], seconds: u64| {
        for text in texts {
            let key = table.key(pool, text, None);
            let _ = table.lock(&key).put(&key, sitting(&names, "ua1", seconds)).unwrap();
        }
    };
    touch(&texts, 1);
    let (mut seen, mut calls) = (BTreeSet::new(), 0);
    while seen.len() < 5000 {
        calls += 1;
        assert!(calls < 200, "{} of 5000 came", seen.len());
        touch(&texts[..1000], 1 + calls);
        let mut room = 50;
        let more = table.drain_some(Reader::Journal, &names, &mut |entry| {
            let Entry::Seat(seat) = entry else { panic!("no state was put") };
            seen.insert(seat.key);
            room -= 1;
            room > 0
        });
        assert!(more && room > -256, "cut short, and not much later than asked: {room}");
    }
}

#[test]
fn a_large_table_comes_and_goes_through_all_shards() {
    let (table, names) = (Table::new(TableOptions { shards: 5, ..TableOptions::default() }), Names::default());
    assert_eq!(table.shards(), 8);
    let pool = agents(&names);
    let texts: Vec<Key> = (0..5000).map(|n| Key::parse(&format!("agent-{n}")).unwrap()).collect();
    for (seconds, text) in texts.iter().enumerate() {
        let key = table.key(pool, text, None);
        let _ = table.lock(&key).put(&key, sitting(&names, "ua1", seconds as u64 % 100)).unwrap();
    }
    assert_eq!(table.len(), 5000);
    let mut journal = BTreeSet::new();
    table.drain_dirty(Reader::Journal, &names, &mut |entry| {
        if let Entry::Seat(seat) = entry {
            assert!(journal.insert(seat.key));
        }
    });
    assert_eq!(journal, texts.iter().cloned().collect());
    table.drain_dirty(Reader::Journal, &names, &mut |entry| panic!("nothing changed since: {entry:?}"));

    let server = names.book().server_ix(&ServerName::parse("ua1").unwrap()).unwrap();
    let (mut from, mut listed) = (Some(0), 0);
    while let Some(shard) = from {
        from = table.by_server(server, shard, 100, &mut |_| listed += 1);
    }
    assert_eq!(listed, 5000);
    let (mut from, mut pages, mut snapshot) = (Some(Cursor::default()), 0, 0);
    while let Some(cursor) = from {
        from = table.page(cursor, 100, &mut |_| snapshot += 1);
        pages += 1;
    }
    assert_eq!((snapshot, pages), (5000, 51));

    assert_eq!(sweep(&table, Time(110_000)), 51 * 50, "stamps 0 to 50 are over at 110 s with a TTL of 60 s");
    assert_eq!(sweep(&table, Time(1_000_000)), 49 * 50);
    assert!(table.is_empty());
}

#[test]
fn a_full_table_refuses_new_keys_and_still_changes_known_ones() {
    let (table, names) = (Table::new(TableOptions { shards: 1, seed: 1, records_max: 2 }), Names::default());
    let keys = ["a", "b", "c"].map(|text| Key::parse(text).unwrap());
    let pool = agents(&names);
    let put = |key: &Key, seconds| {
        let key = table.key(pool, key, None);
        table.lock(&key).put(&key, sitting(&names, "ua1", seconds))
    };
    assert!(put(&keys[0], 1).is_ok() && put(&keys[1], 1).is_ok());
    assert_eq!(put(&keys[2], 1), Err(Full::Records));
    assert!(put(&keys[0], 2).is_ok());
    assert_eq!(table.len(), 2);
    assert_eq!(sweep(&table, Time(61_000)), 1);
    assert!(put(&keys[2], 61).is_ok());
}

#[test]
fn the_same_seed_gives_the_same_table_and_another_one_the_same_answers() {
    let walk = |seed| {
        let (table, names) = (Table::new(TableOptions { shards: 4, seed, records_max: 10_000 }), Names::default());
        for number in 0..1000 {
            let text = Key::parse(&format!("agent-{number}")).unwrap();
            let key = table.key(agents(&names), &text, None);
            let _ = table.lock(&key).put(&key, sitting(&names, "ua1", 1)).unwrap();
        }
        let mut order = Vec::new();
        assert_eq!(table.page(Cursor::default(), 2000, &mut |record| order.push(record.key_text().to_owned())), None);
        order
    };
    let (one, same, mut other) = (walk(7), walk(7), walk(8));
    assert_eq!(one, same);
    assert_ne!(one, other);
    let mut one = one;
    one.sort();
    other.sort();
    assert_eq!(one, other);
}

#[test]
fn threads_that_change_the_same_keys_leave_exact_counts() {
    let (table, names) = (Table::new(TableOptions { shards: 4, ..TableOptions::default() }), Names::default());
    let totals: Vec<[i64; 3]> = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let (table, names) = (&table, &names);
            move || {
                let mut totals = [0_i64; 3];
                for number in 0..3000_u64 {
                    let text = Key::parse(&format!("agent-{}", number * 7 % 50)).unwrap();
                    let key = table.key(agents(names), &text, None);
                    let mut shard = table.lock(&key);
                    let old = shard.find(&key).map(|record| record.sitting().stamp);
                    let mut next = sitting(names, &format!("ua{}", (number + thread) % 3), 0);
                    next.stamp = Stamp::next(Time(0), old);
                    let change = shard.put(&key, next).unwrap();
                    change.before.iter().for_each(|server| totals[server.index()] -= 1);
                    change.after.iter().for_each(|server| totals[server.index()] += 1);
                }
                totals
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for number in 0..3 {
        let name = ServerName::parse(&format!("ua{number}")).unwrap();
        let server = names.book().server_ix(&name).unwrap();
        let mut listed = 0;
        table.by_server(server, 0, usize::MAX, &mut |_| listed += 1);
        assert_eq!(totals.iter().map(|counts| counts[server.index()]).sum::<i64>(), listed);
    }
    assert_eq!(table.len(), 50);
}

#[test]
fn r9_a_state_survives_its_lost_seat_and_expires_by_itself() {
    let (table, names) = (Table::new(TableOptions { shards: 1, ..TableOptions::default() }), Names::default());
    let text = Key::parse("a").unwrap();
    let key = table.key(agents(&names), &text, None);
    let _ = table.lock(&key).put(&key, sitting(&names, "ua1", 10)).unwrap();
    let merged = table.lock(&key).merge_state(&key, &state(10, 1, b"one"), &names, Mark::Dirty);
    assert_eq!(merged, Ok(StateMerged::New));
    assert_eq!(table.lock(&key).merge_state(&key, &state(10, 1, b"one"), &names, Mark::Dirty), Ok(StateMerged::Kept));
    assert_eq!(
        table.lock(&key).merge_state(&key, &state(10, 2, b"two"), &names, Mark::Dirty),
        Ok(StateMerged::Replaced)
    );
    assert_eq!(table.lock(&key).merge_state(&key, &state(9, 7, b"old"), &names, Mark::Dirty), Ok(StateMerged::Kept));
    let mut handed_out = Vec::new();
    table.drain_dirty(Reader::Journal, &names, &mut |entry| handed_out.push(entry));
    assert_eq!(handed_out.len(), 2);
    assert_eq!(handed_out[1], Entry::State(state(10, 2, b"two")));

    // The seat is seen again: the state stays as long as it does, though its own stamp is over.
    assert!(table.lock(&key).touch_seen(&key, Time(50_000), Duration::ZERO));
    assert_eq!(sweep(&table, Time(75_000)), 0);
    assert_eq!(sweep(&table, Time(110_000)), 2);
    assert_eq!((table.len(), table.states()), (0, 0));

    // Without any seat: its own TTL.
    table.lock(&key).merge_state(&key, &state(200, 1, b"x"), &names, Mark::Dirty).unwrap();
    assert_eq!(sweep(&table, Time(259_000)), 0);
    assert_eq!(table.lock(&key).state(&key).map(|state| state.bytes().to_vec()), Some(b"x".to_vec()));
    assert_eq!(sweep(&table, Time(260_000)), 1);
}

#[test]
fn a_state_is_at_most_4_kib() {
    let (table, names) = (Table::new(TableOptions::default()), Names::default());
    let text = Key::parse("a").unwrap();
    let key = table.key(agents(&names), &text, None);
    let mut shard = table.lock(&key);
    let large = state(1, 1, &[7; AGENT_STATE_BYTES_MAX + 1]);
    assert_eq!(shard.merge_state(&key, &large, &names, Mark::Dirty), Err(Full::StateBytes));
    assert!(shard.merge_state(&key, &state(1, 1, &[7; AGENT_STATE_BYTES_MAX]), &names, Mark::Dirty).is_ok());
}
