//! What the tests of this module share: one site's settings and plain looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, FailureKind, Look, Outcome, Report};
use crate::clock::{Mono, Now, Time};
use crate::ids::{DatacenterName, DirectorName, PoolName, ServerName};
use crate::settings::{Failback, FailoverSettings, HealthSettings, PoolSettings, ServerSettings, Settings};

/// The defaults of the configuration.
pub(super) fn settings() -> HealthSettings {
    HealthSettings::default()
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
        session_ttl: Duration::from_secs(3600),
        orphan_grace: Duration::from_secs(60),
        beats: true,
        health: settings(),
        failover: FailoverSettings { failback: Failback::Manual, ..FailoverSettings::default() },
        servers: servers.collect(),
        ..PoolSettings::new(pool(), vec![east.clone(), west.clone()])
    };
    Settings {
        director: DirectorName::parse("d1").unwrap(),
        datacenter: east,
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool(), Arc::new(pool_settings))]),
    }
}
