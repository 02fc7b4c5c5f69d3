//! What the tests of this module share: one site's settings and plain looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, FailureKind, Look, Outcome, Report};
use crate::clock::{Mono, Now, Time};
use crate::ids::{DatacenterName, DirectorName, PoolName, ServerName};
use crate::settings::{
    Failback, FailoverSettings, HealthSettings, Isolated, MinUp, Overflow, Passive, Policy, PoolSettings,
    ServerSettings, Settings,
};

/// The defaults of the configuration.
pub(super) fn settings() -> HealthSettings {
    HealthSettings {
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        fall: 3,
        rise: 2,
        fast: Duration::from_millis(500),
        slow_start: Duration::from_secs(30),
        suspect_above_percent: 50,
    }
}

pub(super) fn good() -> Look {
    says(Report::default())
}

pub(super) fn says(report: Report) -> Look {
    Look { took: Duration::from_millis(3), outcome: Outcome::Good(report) }
}

pub(super) fn bad(kind: FailureKind) -> Look {
    let failure = Failure { kind, check: None, detail: kind.as_str().to_owned() };
    Look { took: Duration::from_millis(3), outcome: Outcome::Bad(failure) }
}

pub(super) fn server(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

pub(super) fn pool() -> PoolName {
    PoolName::parse("agents").unwrap()
}

/// A moment; the wall clock runs an hour ahead.
pub(super) fn at(millis: u64) -> Now {
    Now { mono: Mono(millis), time: Time(millis + 3_600_000) }
}

/// One pool `agents` in site `east`, with `e1` to `e<own>` there and `w1` to `w<other>` in `west`; the director stands in `east`.
pub(super) fn site(own: u32, other: u32) -> Settings {
    let east = DatacenterName::parse("east").unwrap();
    let west = DatacenterName::parse("west").unwrap();
    let names = (1..=own).map(|n| (format!("e{n}"), &east)).chain((1..=other).map(|n| (format!("w{n}"), &west)));
    let servers = names.enumerate().map(|(position, (name, datacenter))| {
        let settings = ServerSettings {
            name: server(&name),
            datacenter: datacenter.clone(),
            origin: Arc::from(format!("https://{name}.example")),
            position: u32::try_from(position).unwrap(),
            weight: 100,
            labels: BTreeMap::new(),
        };
        (server(&name), Arc::new(settings))
    });
    let pool_settings = PoolSettings {
        name: pool(),
        datacenters: vec![east.clone(), west.clone()],
        placement: Policy::Rendezvous,
        load_bound_permille: 1250,
        capacity: 1000,
        session_ttl: Duration::from_secs(3600),
        orphan_grace: Duration::from_secs(60),
        allow_multiple: false,
        beats: true,
        required_labels: BTreeSet::new(),
        labels: BTreeSet::new(),
        health: settings(),
        depends: BTreeMap::new(),
        failover: FailoverSettings {
            after: Duration::from_secs(15),
            failback: Failback::Manual,
            min_up: MinUp::Servers(1),
            overflow: Overflow::Refuse,
            passive: Passive::Redirect,
            isolated: Isolated::Serve,
            relogin_rate: 0,
        },
        servers: servers.collect(),
    };
    Settings {
        director: DirectorName::parse("d1").unwrap(),
        datacenter: east,
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool(), Arc::new(pool_settings))]),
    }
}
