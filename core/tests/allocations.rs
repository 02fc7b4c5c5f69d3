//! A start that finds its session allocates nothing in the core, however its caller is known. The allocator counts.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use maitred_core::clock::{Mono, Now, Time};
use maitred_core::director::Director;
use maitred_core::ids::{DatacenterName, DirectorName, Key, PoolName, ServerName, SessionId};
use maitred_core::seating::{Affinity, RequestKey, Seat, Shown, StartRequest};
use maitred_core::session::TableOptions;
use maitred_core::settings::{PoolSettings, ServerSettings, Settings};

const NOW: Now = Now { mono: Mono(1_000), time: Time(1_700_000_000_000) };

fn pool() -> PoolName {
    PoolName::parse("ua").unwrap()
}

fn director() -> Director {
    let datacenter = DatacenterName::parse("east").unwrap();
    let server = |position: u32| {
        let name = ServerName::parse(&format!("ua{position}")).unwrap();
        let (origin, labels) = (format!("https://ua{position}.east.example.com").into(), BTreeMap::new());
        let datacenter = datacenter.clone();
        let settings = ServerSettings { name: name.clone(), datacenter, origin, position, weight: 100, labels };
        (name, Arc::new(settings))
    };
    let pool =
        PoolSettings { servers: (0..4).map(server).collect(), ..PoolSettings::new(pool(), vec![datacenter.clone()]) };
    let settings = Settings {
        director: DirectorName::parse("east-1").unwrap(),
        datacenter,
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
    };
    Director::new(settings, TableOptions::default(), NOW).unwrap()
}

fn request<'a>(pool: &'a PoolName, key: &str, shown: Option<&Seat>) -> StartRequest<'a> {
    let key = RequestKey::Given(Key::parse(key).unwrap());
    let shown = shown.map(|seat| Shown { seat: seat.entry.clone(), owner: true });
    StartRequest { pool, key, shown, labels: &[], avoid: None, session: SessionId([7; 16]) }
}

/// How many blocks a start takes, with what it answers.
fn counted(director: &Director, request: &StartRequest<'_>, now: Now) -> (u64, Seat) {
    let mut answer = None;
    let counted = measure(|| answer = Some(director.start(request, now)));
    (counted.count_total, answer.unwrap().unwrap())
}

#[test]
fn a_kept_start_allocates_nothing() {
    let (pool, director) = (pool(), director());
    let key = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let first = director.start(&request(&pool, key, None), NOW).unwrap();
    // A thread's first look at a picture that others may replace makes a note of its own, once.
    director.start(&request(&pool, key, None), NOW).unwrap();
    let later = Now { mono: NOW.mono + Duration::from_mins(2), time: NOW.time + Duration::from_mins(2) };
    for (shown, now) in [(None, NOW), (Some(&first), NOW), (None, later), (Some(&first), later)] {
        let (blocks, seat) = counted(&director, &request(&pool, key, shown), now);
        assert_eq!((seat.affinity, blocks), (Affinity::Kept, 0), "shown: {}, later: {}", shown.is_some(), now == later);
    }
}

#[test]
fn the_allocator_does_count() {
    let (pool, director) = (pool(), director());
    let (blocks, seat) = counted(&director, &request(&pool, "agent-1001", None), NOW);
    assert_eq!(seat.affinity, Affinity::Placed);
    assert!(blocks > 0, "a new session needs room");
}
