//! `[pool.health]` and `[[pool.health.check]]`: what is asked of a server, how often, and when an answer counts.

use std::time::Duration;

use maitred_core::ids::LabelName;
use maitred_core::settings::HealthSettings;

use super::files::FileKind;
use super::model::Check;
use super::reader::{Section, integer, one_of, parsed};
use super::values::{duration, percent};
use super::words::{LocalPath, ProbeKind, StatusSet};

/// Most further checks of one server: each is a connection of its own.
const CHECKS_MAX: usize = 8;
/// An interval below that is an attack on the server, above it no watch.
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3600);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
const SLOW_START_MAX: Duration = Duration::from_secs(86_400);

/// The health of a pool; the main check is the first one.
pub(super) struct ReadHealth {
    pub(super) settings: HealthSettings,
    pub(super) checks: Vec<Check>,
}

pub(super) fn health(pool: &Section<'_>) -> ReadHealth {
    let section = pool.table_or_empty("health");
    let main = check(&section, None);
    let usual = HealthSettings::default();
    let interval = section.or("interval", usual.interval, duration(INTERVAL));
    let settings = HealthSettings {
        interval,
        timeout: section.or("timeout", usual.timeout, duration(TIMEOUT)),
        fall: section.or("fall", usual.fall, integer(1..=100)),
        rise: section.or("rise", usual.rise, integer(1..=100)),
        // Left out, it is never slower than the usual pace.
        fast: section.or("fast", interval.min(usual.fast), duration(INTERVAL)),
        slow_start: section.or("slow_start", usual.slow_start, duration(Duration::ZERO..=SLOW_START_MAX)),
        suspect_above_percent: section.or("suspect_above", usual.suspect_above_percent, percent(1..=100)),
    };
    if settings.fast > settings.interval {
        section.refuse("fast", "must not be longer than interval");
    }
    if section.has("timeout") && settings.timeout > settings.interval {
        section.warn(
            "timeout",
            "is longer than interval: looks at a hung server follow each other at the pace of timeout",
        );
    }
    let mut checks = vec![main];
    for further in section.tables("check", CHECKS_MAX) {
        let name = further.required("name", parsed(LabelName::parse)).map(|name| name.as_str().to_owned());
        let mut one = check(&further, name);
        if one.ca.is_none() && !further.has("ca") {
            one.ca.clone_from(&checks[0].ca);
        }
        further.finish();
        if one.name.is_some() && checks.iter().any(|other| other.name == one.name) {
            further.refuse("name", "is the name of another check of this pool");
        }
        checks.push(one);
    }
    section.finish();
    ReadHealth { settings, checks }
}

fn check(section: &Section<'_>, name: Option<String>) -> Check {
    let probe = section.or("probe", ProbeKind::Https, one_of(&ProbeKind::WORDS));
    let check = Check {
        name,
        probe,
        path: section.or("path", LocalPath::default(), parsed(LocalPath::parse)),
        expect: section.or("expect", StatusSet::default(), parsed(StatusSet::parse)),
        ca: section.file("ca", FileKind::Authorities),
    };
    for (key, has_meaning) in
        [("path", probe.is_http()), ("expect", probe.is_http()), ("ca", probe == ProbeKind::Https)]
    {
        if section.has(key) && !has_meaning {
            section.warn(key, format!("has no meaning for a probe over {}", probe.as_str()));
        }
    }
    if probe == ProbeKind::Http {
        section.warn("probe", "asks in clear: whoever is on the path can answer for the server");
    }
    check
}
