//! What one start costs in the core: kept at several sizes of the table, placed at several sizes of the pool.
//!
//! `cargo bench -p maitred-core --bench decisions`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use divan::Bencher;
use maitred_core::clock::{Mono, Now, Time};
use maitred_core::director::Director;
use maitred_core::health::{Look, Outcome, Report};
use maitred_core::ids::{DatacenterName, DirectorName, Key, PoolName, ServerName, SessionId};
use maitred_core::seating::{RequestKey, StartRequest};
use maitred_core::session::TableOptions;
use maitred_core::settings::*;

fn main() {
    divan::main();
}

const NOW: Now = Now { mono: Mono(1_000), time: Time(1_700_000_000_000) };

fn settings(servers: u32) -> Settings {
    let datacenter = DatacenterName::parse("east").unwrap();
    let server = |number: u32| {
        let name = ServerName::parse(&format!("ua{number}")).unwrap();
        let settings = ServerSettings {
            name: name.clone(),
            datacenter: datacenter.clone(),
            origin: format!("https://ua{number}.example.com").into(),
            position: number,
            weight: 100,
            labels: BTreeMap::new(),
        };
        (name, Arc::new(settings))
    };
    let pool = PoolSettings {
        name: PoolName::parse("ua").unwrap(),
        datacenters: vec![datacenter.clone()],
        placement: Policy::Rendezvous,
        load_bound_permille: 1250,
        capacity: u32::MAX / 2,
        session_ttl: Duration::from_hours(24),
        orphan_grace: Duration::from_mins(10),
        allow_multiple: false,
        beats: false,
        required_labels: BTreeSet::new(),
        labels: BTreeSet::new(),
        health: HealthSettings {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            fast: Duration::from_millis(500),
            slow_start: Duration::from_secs(30),
            suspect_above_percent: 50,
        },
        depends: BTreeMap::new(),
        failover: FailoverSettings {
            after: Duration::from_secs(15),
            failback: Failback::After(Duration::from_mins(5)),
            min_up: MinUp::Servers(1),
            overflow: Overflow::Refuse,
            passive: Passive::Redirect,
            isolated: Isolated::Serve,
            relogin_rate: 0,
        },
        servers: (0..servers).map(server).collect(),
    };
    Settings {
        director: DirectorName::parse("east-1").unwrap(),
        datacenter,
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
    }
}

fn director(servers: u32) -> Director {
    let settings = settings(servers);
    let names: Vec<ServerName> = settings.pools.values().flat_map(|pool| pool.servers.keys().cloned()).collect();
    let director = Director::new(settings, TableOptions::default(), NOW).unwrap();
    for server in names {
        let look = Look { took: Duration::from_millis(1), outcome: Outcome::Good(Report::default()) };
        director.handle_look(&server, &look, NOW);
    }
    director
}

/// A key of 36 bytes, as UUIDs are.
fn key(number: usize) -> Key {
    Key::parse(&format!("{:08x}-0000-4000-8000-{number:012x}", number.wrapping_mul(0x9e37_79b9) as u32)).unwrap()
}

fn start(director: &Director, pool: &PoolName, key: &Key, number: usize) -> bool {
    let session = SessionId((number as u128).to_be_bytes());
    let key = RequestKey::Given(key.clone());
    director.start(&StartRequest { pool, key, shown: None, labels: &[], avoid: None, session }, NOW).is_ok()
}

#[divan::bench(args = [1_000, 10_000, 100_000, 1_000_000])]
fn kept(bencher: Bencher<'_, '_>, sessions: usize) {
    let director = director(16);
    let pool = PoolName::parse("ua").unwrap();
    let keys: Vec<Key> = (0..sessions).map(key).collect();
    for (number, key) in keys.iter().enumerate() {
        assert!(start(&director, &pool, key, number));
    }
    let next = AtomicUsize::new(0);
    bencher.bench(|| {
        // A stride that visits all keys, in an order that no cache line foresees.
        let at = next.fetch_add(7919, Ordering::Relaxed) % sessions;
        start(&director, &pool, &keys[at], at)
    });
}

#[divan::bench(args = [2, 16, 100, 1_000])]
fn placed(bencher: Bencher<'_, '_>, servers: u32) {
    let director = director(servers);
    let pool = PoolName::parse("ua").unwrap();
    let next = AtomicUsize::new(0);
    bencher
        .with_inputs(|| next.fetch_add(1, Ordering::Relaxed))
        .bench_values(|number| start(&director, &pool, &key(number), number));
}

#[divan::bench(args = [16, 100, 1_000], sample_count = 50)]
fn view_rebuilt(bencher: Bencher<'_, '_>, servers: u32) {
    let director = director(servers);
    let settings = settings(servers);
    bencher.with_inputs(|| settings.clone()).bench_values(|settings| director.handle_settings(settings, NOW));
}
