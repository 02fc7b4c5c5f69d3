//! What is told of a configuration: summary, JSON, digest, difference, and the manual.

use super::*;
use crate::config::*;

fn config(text: &str) -> Config {
    Site::new(text).load().unwrap().config
}

/// Two loads of one site, so that the paths of its files are the same.
fn changes(text: &str) -> Vec<String> {
    let site = Site::new(REFERENCE);
    let before = site.load().unwrap().config;
    site.write("maitred.toml", text);
    let after = site.load().unwrap().config;
    difference(&before, &after).iter().map(ToString::to_string).collect()
}

#[test]
fn a_reload_says_what_it_changes_and_what_waits_for_a_restart() {
    assert_eq!(changes(REFERENCE), [""; 0]);
    let text = REFERENCE
        .replacen("# weight = 100", "weight = 50", 1)
        .replacen("0.0.0.0:8443", "0.0.0.0:443", 1)
        .replacen("/var/lib/maitred", "/var/lib/other", 1)
        .replacen("name = \"ua9\"", "name = \"ua8\"", 1);
    let said = changes(&text);
    assert!(said.contains(&"pool.ua.server.ua1.weight: 100 -> 50".to_owned()), "{said:#?}");
    assert!(
        said.contains(&"listen.public.address: 0.0.0.0:8443 -> 0.0.0.0:443 (needs a restart)".to_owned()),
        "{said:#?}"
    );
    assert!(
        said.contains(&"director.state_dir: /var/lib/maitred -> /var/lib/other (needs a restart)".to_owned()),
        "{said:#?}"
    );
    assert!(said.iter().any(|said| said.starts_with("pool.ua.server.ua8: - -> ")), "{said:#?}");
    assert!(said.iter().any(|said| said.starts_with("pool.ua.server.ua9: {") && said.ends_with("-> -")), "{said:#?}");
    assert_eq!(said.len(), 5, "{said:#?}");
    let closed = REFERENCE.replacen("[listen.metrics]\naddress = \"0.0.0.0:10052\"", "", 1);
    assert_eq!(changes(&closed), ["listen.metrics: {\"address\":\"0.0.0.0:10052\"} -> - (needs a restart)"]);
}

#[test]
fn only_loopback_may_be_without_tls() {
    let clear = |address: &str| {
        REFERENCE.replacen("0.0.0.0:8443", address, 1).replacen(
            "tls = { cert = \"certs/public.pem\", key = \"certs/public.key\" }",
            "",
            1,
        )
    };
    for address in ["127.0.0.1:8080", "[::1]:8080"] {
        let config = config(&clear(address));
        assert_eq!(config.listen.public.tls, None);
        assert!(summary(&config).to_string().contains(&format!("http://{address}")));
        assert!(
            changes(&clear(address))
                .iter()
                .any(|said| said.starts_with("listen.public.tls: {") && said.ends_with("(needs a restart)"))
        );
    }
    for address in ["0.0.0.0:8080", "[::]:8080", "10.1.0.11:8080"] {
        let said = mistakes(&clear(address));
        assert!(said.iter().any(|said| said.contains("listen.public.tls")), "{address}: {said:?}");
    }
}

#[test]
fn what_is_told_of_a_configuration_holds_no_content_of_its_secrets() {
    let site = Site::new(&everything());
    for (name, _) in FILES {
        let path = site.path(&format!("certs/{name}"));
        fs::write(path, "canary-91b2").unwrap();
    }
    let loaded = site.load().unwrap();
    let told = format!("{}{}{:?}", redacted(&loaded.config), summary(&loaded.config), loaded);
    assert!(!told.contains("canary"));
    assert!(
        redacted(&loaded.config).pointer("/affinity/key_file").unwrap().as_str().unwrap().ends_with("affinity.keys")
    );
}

#[test]
fn the_summary_names_who_where_and_what() {
    let told = summary(&config(REFERENCE)).to_string();
    for part in [
        "director east-1 in east",
        "https://0.0.0.0:8443",
        "peer east-2 in east",
        "pool ua: 3 servers",
        "east: 2 servers",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn the_digest_changes_with_what_is_in_force_and_with_nothing_else() {
    let site = Site::new(REFERENCE);
    let digest = |text: &str| {
        site.write("maitred.toml", text);
        site.load().unwrap().config.digest
    };
    let first = digest(REFERENCE);
    assert_eq!(first.len(), 32);
    assert_eq!(digest(&format!("# a comment\n{REFERENCE}")), first);
    assert_eq!(
        digest(&REFERENCE.replacen("# capacity = 1000", "capacity = 1000", 1)),
        first,
        "the default, said aloud"
    );
    assert_ne!(digest(&REFERENCE.replacen("# capacity = 1000", "capacity = 1001", 1)), first);
}

#[test]
fn the_digest_does_not_depend_on_where_the_file_lies() {
    let digest = |site: &Site| site.load().unwrap().config.digest;
    assert_eq!(digest(&Site::new(&everything())), digest(&Site::new(&everything())));
}

#[test]
fn a_watcher_learns_where_files_may_appear() {
    let site = Site::new(&format!("include = [\"conf.d/*.toml\"]\n{REFERENCE}"));
    let directories = site.load().unwrap().directories;
    let expected: BTreeSet<PathBuf> = ["", "conf.d", "certs"].iter().map(|name| site.0.path().join(name)).collect();
    let plain =
        |paths: &BTreeSet<PathBuf>| paths.iter().map(|path| path.components().collect()).collect::<BTreeSet<PathBuf>>();
    assert_eq!(plain(&directories), plain(&expected));
}

#[test]
fn the_manual_has_every_key_and_no_other() {
    let manual = include_str!("../../../docs/configuration.md");
    // Table rows: | `key` | default | meaning |, below a heading that names the table: ## `[pool.health]`.
    let mut table = String::new();
    let mut written = BTreeSet::new();
    for line in manual.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let name = heading.split('`').nth(1).filter(|name| name.starts_with('['));
            table = name.map(|name| name.trim_matches(['[', ']']).to_owned()).unwrap_or_default();
        } else if let Some(row) = line.strip_prefix("| `") {
            let key = row.split('`').next().unwrap();
            written.insert(super::super::tree::join(&table, key));
        }
    }
    let mut known = Site::new(&everything()).known();
    // Tables have headings or stand as keys of their parent; the test is about what holds a value.
    let tables: BTreeSet<String> =
        known.iter().filter(|key| known.iter().any(|other| other.starts_with(&format!("{key}.")))).cloned().collect();
    known.retain(|key| !tables.contains(key));
    let missing: Vec<_> = known.difference(&written).collect();
    let stale: Vec<_> = written.difference(&known).filter(|key| !tables.contains(*key)).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not in the manual: {missing:?}; not known to the reader: {stale:?}"
    );
    assert!(known.len() > 80, "{}", known.len());
}
