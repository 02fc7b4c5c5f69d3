//! The pool, the director and the keys of the benchmarks.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
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

/// A director: how many servers and sessions it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) servers: u32,
    pub(crate) sessions: usize,
}

impl World {
    pub(crate) const fn of(servers: u32, sessions: usize) -> Self {
        Self { servers, sessions }
    }

    /// The director with its sessions, those of the first keys.
    pub(crate) fn director(self) -> Director {
        let director = director(self.servers);
        seat(&director, 0..self.sessions());
        director
    }

    /// How many sessions it has: few where the benchmarks are only tried, once each.
    pub(crate) fn sessions(self) -> usize {
        if std::env::args().any(|word| word == "--bench") { self.sessions } else { self.sessions.min(1_000) }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.servers, self.sessions)
    }
}

pub(crate) fn server(number: u32) -> ServerName {
    ServerName::parse(&format!("ua{number}")).unwrap()
}

pub(crate) fn settings(servers: u32) -> Settings {
    let datacenter = DatacenterName::parse("east").unwrap();
    let server = |number: u32| {
        let name = server(number);
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
        ..PoolSettings::new(pool(), vec![datacenter.clone()])
    };
    Settings {
        director: DirectorName::parse("east-1").unwrap(),
        datacenter,
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
    }
}

/// A director whose servers are all up.
pub(crate) fn director(servers: u32) -> Director {
    let director = Director::new(settings(servers), TableOptions::default(), NOW).unwrap();
    for number in 0..servers {
        let look = Look { took: Duration::from_millis(1), outcome: Outcome::Good(Report::default()) };
        director.handle_look(&server(number), &look, NOW);
    }
    director
}

/// Seats the sessions of these keys.
pub(crate) fn seat(director: &Director, numbers: Range<usize>) {
    let pool = pool();
    for number in numbers {
        assert!(director.start(&request(&pool, number), NOW).is_ok());
        if number.is_multiple_of(1_000) {
            keepers(director);
        }
    }
    keepers(director);
}

/// Takes away what journal, peers and readers of events take, as their keepers do every few milliseconds.
pub(crate) fn keepers(director: &Director) {
    director.drain_dirty(&mut |_| ());
    director.collect_events(NOW);
}

/// The pool that everybody asks for.
pub(crate) fn pool() -> PoolName {
    PoolName::parse("ua").unwrap()
}

/// A key of 36 bytes, as UUIDs are.
pub(crate) fn key(number: usize) -> Key {
    Key::parse(&format!("{:08x}-0000-4000-8000-{number:012x}", number.wrapping_mul(0x9e37_79b9) as u32)).unwrap()
}

pub(crate) fn session(number: usize) -> SessionId {
    SessionId((number as u128).to_be_bytes())
}

pub(crate) fn request(pool: &PoolName, number: usize) -> StartRequest<'_> {
    let key = RequestKey::Given(key(number));
    StartRequest { pool, key, shown: None, labels: &[], avoid: None, session: session(number) }
}
