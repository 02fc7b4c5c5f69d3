//! What `maitred check` answers: the report, its exit code, its JSON.

use super::*;
use crate::config::{CheckReport, Findings, Loaded, check, redacted};

fn checked(
    site: &Site,
    look_inside: impl FnOnce(&Loaded) -> Findings,
    running: Option<&serde_json::Value>,
) -> CheckReport {
    check(&site.path("maitred.toml"), Vec::new(), look_inside, running)
}

fn nothing_inside(_: &Loaded) -> Findings {
    Findings::default()
}

#[test]
fn a_valid_file_says_what_would_run() {
    let report = checked(&Site::new(REFERENCE), nothing_inside, None);
    assert!(report.is_valid(), "warnings refuse nothing");
    let told = report.to_string();
    assert!(told.contains(": pool.key: warning: minted keys") && told.ends_with("valid\n"), "{told}");
    assert!(!told.contains("running director"), "{told}");
    let json = report.to_json();
    assert_eq!(json["valid"], true);
    assert_eq!(json["config"]["pool"]["ua"]["server"]["ua1"]["url"], "https://ua1-east.example.com");
    assert_eq!(json["warnings"][0]["key"], "pool.key");
}

#[test]
fn a_refused_file_says_why() {
    let site = Site::new(&REFERENCE.replacen("state_dir", "statedir", 1));
    let report = checked(&site, |_| panic!("nobody looks inside the files of what is refused"), None);
    assert!(!report.is_valid());
    let said = site.said(&report.errors);
    assert!(report.to_string().ends_with("refused: 1 mistake\n"));
    assert!(said[0].starts_with("maitred.toml:10: director.statedir: unknown key"), "{said:?}");
    assert_eq!(report.to_json()["errors"][0]["line"], 10);
}

#[test]
fn what_is_wrong_inside_a_file_refuses_too() {
    let site = Site::new(REFERENCE);
    let inside = |loaded: &Loaded| Findings {
        errors: loaded
            .files
            .iter()
            .filter(|file| file.key.ends_with("key_file"))
            .map(|file| file.diagnostic("no key in it"))
            .collect(),
        warnings: Vec::new(),
    };
    let report = checked(&site, inside, None);
    assert!(!report.is_valid());
    assert!(report.config.is_none());
    let said = site.said(&report.errors);
    assert!(said[0].ends_with(": affinity.key_file: certs/affinity.keys: no key in it"), "{said:?}");
}

#[test]
fn what_differs_from_what_runs_is_told() {
    let site = Site::new(REFERENCE);
    let running = redacted(&site.load().unwrap().config);
    let same = checked(&site, nothing_inside, Some(&running));
    assert!(same.to_string().contains("the running director has the same configuration"));
    site.write("maitred.toml", &REFERENCE.replacen("# weight = 100", "weight = 7", 1));
    let other = checked(&site, nothing_inside, Some(&running));
    assert!(other.to_string().contains("  pool.ua.server.ua1.weight: 100 -> 7\n"), "{other}");
    assert_eq!(other.to_json()["changes"][0]["needs_restart"], false);
}
