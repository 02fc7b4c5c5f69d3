//! The pool, the director and the keys of the benchmarks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maitred_core::clock::{Mono, Now, Time};
use maitred_core::director::Director;
use maitred_core::health::{Look, Outcome, Report};
use maitred_core::ids::{DatacenterName, DirectorName, Key, PoolName, ServerName, SessionId};
use maitred_core::seating::{RequestKey, StartRequest};
use maitred_core::session::TableOptions;
use maitred_core::settings::*;

pub(crate) const NOW: Now = Now { mono: Mono(1_000), time: Time(1_700_000_000_000) };

pub(crate) fn settings(servers: u32) -> Settings {
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
        capacity: u32::MAX / 2,
        servers: (0..servers).map(server).collect(),
        ..PoolSettings::new(PoolName::parse("ua").unwrap(), vec![datacenter.clone()])
    };
    Settings {
        director: DirectorName::parse("east-1").unwrap(),
        datacenter,
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
    }
}

pub(crate) fn director(servers: u32) -> Director {
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
pub(crate) fn key(number: usize) -> Key {
    Key::parse(&format!("{:08x}-0000-4000-8000-{number:012x}", number.wrapping_mul(0x9e37_79b9) as u32)).unwrap()
}

pub(crate) fn start(director: &Director, pool: &PoolName, key: &Key, number: usize) -> bool {
    let session = SessionId((number as u128).to_be_bytes());
    let key = RequestKey::Given(key.clone());
    director.start(&StartRequest { pool, key, shown: None, labels: &[], avoid: None, session }, NOW).is_ok()
}

/// The pool that everybody asks for.
pub(crate) fn pool() -> PoolName {
    PoolName::parse("ua").unwrap()
}

/// A director of 16 servers with this many sessions, and their keys.
pub(crate) fn seated(sessions: usize) -> (Director, Vec<Key>) {
    let director = director(16);
    let (pool, keys) = (pool(), (0..sessions).map(key).collect::<Vec<_>>());
    for (number, key) in keys.iter().enumerate() {
        assert!(start(&director, &pool, key, number));
    }
    (director, keys)
}
