//! The laws of seats as property tests: R1, R2, R5, R9, R10 and R18 of `rules.md`.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::clock::{Stamp, Time};
use crate::entry::{EndReason, Life, SeatEntry, StateEntry};
use crate::ids::{DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

const DAY: Duration = Duration::from_secs(24 * 3600);
const TTL: Duration = Duration::from_secs(12 * 3600);

pub(super) fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        3 => Just(Life::Live),
        1 => Just(Life::Ended(EndReason::Client)),
        1 => Just(Life::Ended(EndReason::Server)),
        1 => Just(Life::Ended(EndReason::Operator)),
        1 => Just(Life::Ended(EndReason::Superseded)),
    ]
}

/// Entries of few values, so that ties in every field are common.
pub(super) fn seat(key: &'static str) -> impl Strategy<Value = SeatEntry> {
    let decided = (0_u64..4, 1_u64..4, 0_u8..3, life());
    let rest = (0_u8..3, 0_u8..3, 0_u64..3, 0_u64..5000, any::<bool>());
    (decided, rest).prop_map(
        move |((stamp, generation, writer, life), (server, session, incarnation, seen, minted))| SeatEntry {
            pool: PoolName::parse("agents").unwrap(),
            key: Key::parse(key).unwrap(),
            session: SessionId([session; 16]),
            server: ServerName::parse(&format!("ua{server}")).unwrap(),
            incarnation: IncarnationTag::from_bits(incarnation),
            generation: Generation::parse(generation).unwrap(),
            stamp: Stamp::from_bits(stamp),
            // Numbers are given in order of first sight, names must decide: sight and name run against each other.
            writer: DirectorName::parse(&format!("d{}", 9 - writer)).unwrap(),
            life,
            seen: Time(seen),
            minted,
        },
    )
}

fn example(stamp: Time, life: Life) -> SeatEntry {
    SeatEntry {
        pool: PoolName::parse("agents").unwrap(),
        key: Key::parse("agent-1001").unwrap(),
        session: SessionId([1; 16]),
        server: ServerName::parse("ua1").unwrap(),
        incarnation: IncarnationTag::UNKNOWN,
        generation: Generation::FIRST,
        stamp: Stamp::at(stamp),
        writer: DirectorName::parse("d1").unwrap(),
        life,
        seen: stamp,
        minted: false,
    }
}

fn whole_seconds(entry: SeatEntry) -> SeatEntry {
    SeatEntry { seen: Seen::at(entry.seen).time(), ..entry }
}

/// What a table holds after merging entries of one key in this order.
fn merged_by_table(entries: &[SeatEntry]) -> Option<SeatEntry> {
    let (table, names) = (Table::new(TableOptions { shards: 2, ..TableOptions::default() }), Names::default());
    for entry in entries {
        let key = table.key(names.pool(&entry.pool).unwrap(), &entry.key, None);
        let _ = table.lock(&key).merge(&key, entry, &names, Mark::Dirty).unwrap();
    }
    let first = entries.first()?;
    let key = table.key(names.pool(&first.pool).unwrap(), &first.key, None);
    table.lock(&key).find(&key).map(|record| record.entry(&names))
}

proptest! {
    #[test]
    fn r1_the_merge_is_commutative_associative_and_idempotent(
        a in seat("k"), b in seat("k"), c in seat("k"),
    ) {
        prop_assert_eq!(merge(a.clone(), b.clone()), merge(b.clone(), a.clone()));
        let left = merge(merge(a.clone(), b.clone()), c.clone());
        prop_assert_eq!(&left, &merge(a.clone(), merge(b, c)));
        prop_assert_eq!(&merge(left.clone(), a.clone()), &left);
        prop_assert_eq!(merge(a.clone(), a.clone()), a);
    }

    #[test]
    fn r1_only_the_same_seat_has_the_same_rank(a in seat("k"), b in seat("k")) {
        let same = SeatEntry { seen: b.seen, ..a.clone() } == b;
        prop_assert_eq!(rank(&a) == rank(&b), same);
    }

    #[test]
    fn r1_the_order_is_stamp_then_generation_then_writer_then_ended_before_live(a in seat("k"), b in seat("k")) {
        let first_fields = |e: &SeatEntry| (e.stamp, e.generation, e.writer.clone(), e.life == Life::Live);
        let (one, other) = (first_fields(&a), first_fields(&b));
        if one != other {
            prop_assert_eq!(rank(&a).cmp(&rank(&b)), one.cmp(&other));
        }
    }

    #[test]
    fn r2_a_merge_makes_nothing_up(a in seat("k"), b in seat("k")) {
        let merged = merge(a.clone(), b.clone());
        prop_assert_eq!(merged.seen, a.seen.max(b.seen));
        let but_seen = |e: &SeatEntry| SeatEntry { seen: Time(0), ..e.clone() };
        prop_assert!(but_seen(&merged) == but_seen(&a) || but_seen(&merged) == but_seen(&b));
    }

    #[test]
    fn r1_the_table_gives_the_same_for_any_order_duplication_and_grouping(
        entries in prop::collection::vec(seat("k"), 1..8),
        repeats in prop::collection::vec(any::<Index>(), 0..8),
        cut in any::<Index>(),
        order in any::<u64>(),
    ) {
        let pure = entries.iter().cloned().reduce(merge).map(whole_seconds);
        prop_assert_eq!(&merged_by_table(&entries), &pure);

        let mut shuffled = entries.clone();
        shuffled.extend(repeats.iter().map(|at| at.get(&entries).clone()));
        shuffled.sort_by_key(|e| xxhash_rust::xxh3::xxh3_64_with_seed(format!("{e:?}").as_bytes(), order));
        prop_assert_eq!(&merged_by_table(&shuffled), &pure);

        // Two tables that saw one part each and then exchange what they hold.
        let (here, there) = shuffled.split_at(cut.index(shuffled.len()));
        let exchanged: Vec<SeatEntry> = merged_by_table(there).into_iter().chain(merged_by_table(here)).collect();
        prop_assert_eq!(&merged_by_table(&exchanged), &pure);
    }

    #[test]
    fn r1_a_tombstone_beats_every_older_seat_and_loses_to_a_later_start(mut seat in seat("k"), mut end in seat("k")) {
        end.life = Life::Ended(EndReason::Client);
        end.stamp = Stamp::next(Time(0), Some(seat.stamp));
        prop_assert_eq!(merge(seat.clone(), end.clone()).life, end.life);
        seat.life = Life::Live;
        seat.stamp = Stamp::next(Time(0), Some(end.stamp));
        prop_assert_eq!(merge(seat.clone(), end).life, Life::Live);
    }

    #[test]
    fn r5_a_servers_word_fills_a_gap_and_loses_to_every_start_and_tombstone(mut word in seat("k"), mut other in seat("k")) {
        word.stamp = Stamp::ZERO;
        other.stamp = Stamp::next(Time(0), Some(other.stamp));
        prop_assert_eq!(merged_by_table(std::slice::from_ref(&word)), Some(whole_seconds(word.clone())));
        let merged = merged_by_table(&[other.clone(), word.clone()]);
        prop_assert_eq!(merged.map(|e| (e.stamp, e.life, e.server)), Some((other.stamp, other.life, other.server)));
    }

    #[test]
    fn r18_a_tombstone_outlives_every_copy_of_the_seat_it_ended(
        stamp in 0_u64..1 << 40, seen in 0_u64..1 << 40, later in 0_u64..1 << 20, ttl in 0_u64..1 << 30,
    ) {
        let ttl = Duration::from_millis(ttl);
        let seat = expires(Life::Live, Stamp::at(Time(stamp)), Seen::at(Time(seen)), ttl);
        // The end comes after the last sighting; clocks of the two directors may differ by half an hour.
        let ended = Time((stamp.max(seen) + later).saturating_sub(1_800_000));
        let tombstone = expires(Life::Ended(EndReason::Client), Stamp::at(ended), Seen::at(Time(seen)), ttl);
        prop_assert!(tombstone > seat);
    }

    #[test]
    fn r18_what_is_let_in_is_what_the_sweeper_keeps(entry in seat("k"), now in 0_u64..10_000, ttl in 0_u64..5000) {
        let ttl = Duration::from_millis(ttl);
        let names = Names::default();
        let kept = Sitting::of(&entry, &names).unwrap().expires(ttl) > Time(now);
        prop_assert_eq!(admit(&entry, Time(now), ttl).is_ok(), kept);
    }

    #[test]
    fn r9_states_merge_to_the_same_in_any_order(
        states in prop::collection::vec((0_u64..3, 0_u64..3, 0_u8..3, 0_u8..3, 0_u8..2), 1..7), turn in any::<Index>(),
    ) {
        let entry = |&(stamp, version, writer, byte, session): &(u64, u64, u8, u8, u8)| StateEntry {
            pool: PoolName::parse("agents").unwrap(),
            key: Key::parse("k").unwrap(),
            session: SessionId([session; 16]),
            stamp: Stamp::from_bits(stamp),
            version,
            writer: DirectorName::parse(&format!("d{}", 9 - writer)).unwrap(),
            bytes: vec![byte; 3],
        };
        let of = |states: &[(u64, u64, u8, u8, u8)]| {
            let (table, names) = (Table::new(TableOptions::default()), Names::default());
            let text = Key::parse("k").unwrap();
            let key = table.key(names.pool(&PoolName::parse("agents").unwrap()).unwrap(), &text, None);
            let mut shard = table.lock(&key);
            for state in states {
                shard.merge_state(&key, &entry(state), &names, Mark::Dirty).unwrap();
            }
            shard.state(&key).map(|state| state.entry(&names))
        };
        let mut turned = states.clone();
        turned.rotate_left(turn.index(states.len()));
        turned.extend(states.iter().rev().copied());
        prop_assert_eq!(of(&states), of(&turned));
        let highest = states.iter().map(|s| (s.0, s.1)).max();
        prop_assert_eq!(of(&states).map(|e| (e.stamp.to_bits(), e.version)), highest);
    }
}

#[test]
fn r2_the_door_drops_what_lies_too_far_ahead_and_mends_nothing() {
    let now = Time(1_700_000_000_000);
    let ahead = now + 7 * DAY;
    assert_eq!(admit(&example(ahead, Life::Live), now, TTL), Ok(()));
    let beyond = Time(ahead.0 + 1);
    assert_eq!(admit(&example(beyond, Life::Live), now, TTL), Err(Dropped::StampAhead));
    let immortal = SeatEntry { seen: beyond, ..example(now, Life::Live) };
    assert_eq!(admit(&immortal, now, TTL), Err(Dropped::SeenAhead));
}

#[test]
fn r18_the_door_drops_a_seat_at_its_ttl_and_a_tombstone_an_hour_later() {
    let stamp = Time(1_700_000_000_000);
    let ended = Life::Ended(EndReason::Client);
    let just_before = |time: Time| Time(time.0 - 1);
    for (life, expiry) in [(Life::Live, stamp + TTL), (ended, stamp + TTL + TOMBSTONE_EXTRA)] {
        assert_eq!(admit(&example(stamp, life), just_before(expiry), TTL), Ok(()));
        assert_eq!(admit(&example(stamp, life), expiry, TTL), Err(Dropped::Expired));
    }
    let seen_since = SeatEntry { seen: stamp + TTL, ..example(stamp, Life::Live) };
    assert_eq!(admit(&seen_since, stamp + TTL, TTL), Ok(()));
    let seen_since = SeatEntry { life: ended, ..seen_since };
    assert_eq!(
        admit(&seen_since, stamp + TTL + TOMBSTONE_EXTRA, TTL),
        Err(Dropped::Expired),
        "no sighting renews an end"
    );
}

#[test]
fn r10_sessions_of_one_key_are_apart_where_the_pool_allows_several() {
    let (table, names) = (Table::new(TableOptions::default()), Names::default());
    let entry = example(Time(1000), Life::Live);
    let pool = names.pool(&entry.pool).unwrap();
    let sitting = Sitting::of(&entry, &names).unwrap();
    let (one, two) = (SessionId([1; 16]), SessionId([2; 16]));
    for session in [None, Some(one), Some(two)] {
        let key = table.key(pool, &entry.key, session);
        let _ = table.lock(&key).put(&key, sitting).unwrap();
    }
    assert_eq!(table.len(), 3);
    let key = table.key(pool, &entry.key, Some(two));
    assert_eq!(table.lock(&key).find(&key).map(|record| record.sitting().session), Some(two));
    assert_eq!(table.find_session(two, &names).map(|e| e.session), Some(two));
    assert_eq!(table.find_session(SessionId([9; 16]), &names), None);
}
