//! What Prometheus gets to see, and that the page in `docs/metrics.md` says the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use maitred_core::clock::{Now, Time};
use maitred_core::director::Director;
use maitred_core::ids::{DatacenterName, DirectorName, PoolName, ServerName};
use maitred_core::session::TableOptions;
use maitred_core::settings::{Failback, FailoverSettings, HealthSettings, PoolSettings, ServerSettings, Settings};

use super::*;
use crate::clock::Clock;
use crate::vitals::Vitals;

/// One server in the east and one in the west.
fn settings() -> Settings {
    let site = |name: &str| DatacenterName::parse(name).unwrap();
    let server = |name: &str, datacenter: &str| {
        let name = ServerName::parse(name).unwrap();
        let settings = ServerSettings {
            name: name.clone(),
            datacenter: site(datacenter),
            origin: format!("https://{name}.example.com").into(),
            position: 0,
            weight: 100,
            labels: BTreeMap::new(),
        };
        (name, Arc::new(settings))
    };
    let pool = PoolSettings {
        health: HealthSettings { slow_start: Duration::ZERO, ..HealthSettings::default() },
        failover: FailoverSettings { failback: Failback::Manual, ..FailoverSettings::default() },
        servers: [server("ua1", "east"), server("ub1", "west")].into(),
        ..PoolSettings::new(PoolName::parse("ua").unwrap(), vec![site("east"), site("west")])
    };
    Settings {
        director: DirectorName::parse("east-1").unwrap(),
        datacenter: site("east"),
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
    }
}

fn page(metrics: &Metrics) -> String {
    let settings = settings();
    let director = Director::new(settings, TableOptions::default(), Now::default()).unwrap();
    let clock = Clock::new(None);
    let vitals = Vitals::new(Time(1_700_000_000_000), None, Vec::new());
    metrics.render(&Sources { director: &director, clock: &clock, vitals: &vitals, digest: "0a1b", stopping: false })
}

/// The numbers of one metric by what stands before them.
fn values<'p>(page: &'p str, name: &str) -> BTreeMap<&'p str, f64> {
    let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    page.lines()
        .filter(of_it)
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(key, value)| (key, value.parse().unwrap()))
        .collect()
}

/// A recorder in which every counted metric has been counted once.
fn counted() -> Metrics {
    let metrics = Metrics::new();
    metrics::with_local_recorder(metrics.recorder(), || {
        for metric in METRICS {
            let labels: Vec<(&'static str, &'static str)> = metric.labels.iter().map(|label| (*label, "ua")).collect();
            match metric.kind {
                Kind::Counter => metrics::counter!(metric.name, &labels).increment(1),
                Kind::Gauge => metrics::gauge!(metric.name, &labels).set(1.0),
                Kind::Histogram(_) => metrics::histogram!(metric.name, &labels).record(0.001),
                Kind::Sampled | Kind::Tallied => {}
            }
        }
    });
    metrics
}

#[test]
fn every_metric_is_shown_with_its_type_and_meaning() {
    let page = page(&counted());
    for metric in METRICS {
        if metric.name == "maitred_certificate_not_after_seconds" {
            continue; // This director has no listener.
        }
        assert!(page.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
        assert!(
            page.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())),
            "{}\n{page}",
            metric.name
        );
    }
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(line.starts_with("maitred_"), "{line}");
    }
}

#[test]
fn servers_and_roles_are_read_from_the_view() {
    let page = page(&Metrics::new());
    assert_eq!(values(&page, "maitred_server_up").len(), 2);
    let unconfirmed = "maitred_servers{pool=\"ua\",datacenter=\"east\",state=\"unconfirmed\"}";
    assert_eq!(values(&page, "maitred_servers")[unconfirmed], 1.0);
    assert_eq!(values(&page, "maitred_servers").values().sum::<f64>(), 2.0);
    let active = values(&page, "maitred_datacenter_active");
    assert_eq!(active["maitred_datacenter_active{pool=\"ua\",datacenter=\"east\"}"], 1.0);
    assert_eq!(active["maitred_datacenter_active{pool=\"ua\",datacenter=\"west\"}"], 0.0);
    assert_eq!(values(&page, "maitred_start_time_seconds")["maitred_start_time_seconds"], 1_700_000_000.0);
}

#[test]
fn starts_are_a_histogram_with_the_buckets_of_the_table() {
    let metrics = Metrics::new();
    metrics::with_local_recorder(metrics.recorder(), || {
        metrics::histogram!("maitred_start_duration_seconds", "pool" => "ua").record(Duration::from_micros(80));
    });
    let page = page(&metrics);
    let buckets = values(&page, "maitred_start_duration_seconds_bucket");
    assert_eq!(buckets.len(), START_BUCKETS.len() + 1);
    assert_eq!(buckets["maitred_start_duration_seconds_bucket{pool=\"ua\",le=\"0.0001\"}"], 1.0);
    assert_eq!(buckets["maitred_start_duration_seconds_bucket{pool=\"ua\",le=\"0.00005\"}"], 0.0);
}

#[test]
fn names_are_in_order_and_buckets_rise() {
    assert!(METRICS.is_sorted_by(|a, b| a.name < b.name));
    for metric in METRICS {
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(!bounds.is_empty() && bounds.is_sorted_by(|a, b| a < b), "{}", metric.name);
        }
        assert_eq!(
            matches!(metric.kind, Kind::Counter | Kind::Tallied),
            metric.name.ends_with("_total"),
            "{}",
            metric.name
        );
        assert!(!metric.help.ends_with('.') && !metric.help.is_empty());
    }
}

#[test]
fn whatever_the_code_counts_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let quoted = text.split('"').skip(1).step_by(1).filter(|word| {
                word.starts_with("maitred_") && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            });
            for name in quoted.filter(|name| !NO_METRIC.contains(name)) {
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                assert!(
                    METRICS.iter().any(|metric| metric.name == base),
                    "{name} in {} is not in METRICS",
                    path.display()
                );
                found += 1;
            }
        }
    }
    assert!(found > METRICS.len(), "the search finds what the code counts");
}

/// What begins like a metric and is none: the parameter and cookie of a handover.
const NO_METRIC: [&str; 4] = ["maitred_", "maitred_ticket", "maitred_core", "maitred_start"];

#[test]
fn the_page_of_metrics_is_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(path).unwrap();
    let table = page.split("\n## ").next().unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `maitred_")).collect();
    let wanted: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", metric.name, metric.kind.as_str(), labels.join(", "), metric.help)
        })
        .collect();
    for (at, wanted) in wanted.iter().enumerate() {
        assert_eq!(rows.get(at), Some(&wanted.as_str()), "row {at} of docs/metrics.md");
    }
    assert_eq!(rows.len(), wanted.len());
}

#[test]
fn promtool_finds_nothing_to_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("target/parts/promtool");
    let promtool = if own.exists() { own } else { "promtool".into() };
    let child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("promtool does not start ({error}); install it: tests/run"));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), page(&counted()).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_recorder_is_shared_by_its_clones() {
    let metrics = Metrics::new();
    let clone = metrics.clone();
    metrics::with_local_recorder(metrics.recorder(), || metrics::counter!("maitred_starts_total").increment(1));
    assert!(page(&clone).contains("maitred_starts_total 1"));
    assert!(Arc::ptr_eq(&metrics.recorder, &clone.recorder));
}
