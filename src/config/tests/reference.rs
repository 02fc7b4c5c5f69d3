//! `conf/reference.toml` is what it says it is, comments included.

use super::*;
use crate::config::*;
use maitred_core::ids::{DatacenterName, PoolName, ServerName};

fn pool(loaded: &Loaded) -> &Pool {
    &loaded.config.pools[&PoolName::parse("ua").unwrap()]
}

#[test]
fn the_reference_file_loads_and_says_what_it_says() {
    let site = Site::new(REFERENCE);
    let loaded = site.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.settings.director.as_str(), "east-1");
    assert_eq!(config.director.state_dir.as_deref(), Some(Path::new("/var/lib/maitred")));
    assert_eq!(config.listen.public.address.to_string(), "0.0.0.0:8443");
    assert_eq!(config.listen.public.tls.as_ref().unwrap().cert, site.path("certs/public.pem"));
    let peers: Vec<_> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(peers, ["east-2", "west-1"], "oneself is skipped");
    assert_eq!(config.settings.peers.len(), 2);
    let keys: Vec<_> = pool(&loaded).key.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["query:agent", "header:x-agent-id", "cookie"]);
    assert_eq!(pool(&loaded).routes[0].host.as_ref().unwrap().as_str(), "agents.example.com");
    let settings = &config.settings.pools[&PoolName::parse("ua").unwrap()];
    assert_eq!(settings.servers.len(), 3);
    let ua9 = &settings.servers[&ServerName::parse("ua9").unwrap()];
    assert_eq!((&*ua9.origin, ua9.position, ua9.weight), ("https://ua9-west.example.com", 2, 100));
    assert_eq!(loaded.servers.len(), 3);
    assert_eq!(config.sources, [site.path("maitred.toml")]);
}

#[test]
fn the_same_file_serves_every_director() {
    let site = Site::new(REFERENCE);
    let mut digests = BTreeSet::new();
    for (name, datacenter) in [("east-1", "east"), ("east-2", "east"), ("west-1", "west")] {
        let config = site.load_with(&[("MAITRED__DIRECTOR__NAME", name)]).unwrap().config;
        assert_eq!(config.settings.director.as_str(), name);
        assert_eq!(config.settings.datacenter, DatacenterName::parse(datacenter).unwrap());
        assert_eq!(config.peers.len(), 2);
        assert!(config.peers.iter().all(|peer| peer.name.as_str() != name));
        digests.insert(config.digest);
    }
    assert_eq!(digests.len(), 1, "one file, one digest");
    let other = Site::new(&REFERENCE.replace("name = \"ua9\"", "name = \"ua8\"")).load().unwrap().config.digest;
    assert!(!digests.contains(&other));
}

#[test]
fn every_key_of_the_reference_works_when_it_is_uncommented_alone() {
    let mut header = String::new();
    let mut tried = 0;
    for (index, line) in REFERENCE.lines().enumerate() {
        let Some(rest) = line.strip_prefix("# ") else { continue };
        if rest.starts_with('[') {
            rest.trim_end().clone_into(&mut header);
            continue;
        }
        if rest.split_once(" = ").is_none_or(|(key, _)| key.contains(' ')) {
            continue;
        }
        let mut lines: Vec<&str> = REFERENCE.lines().collect();
        lines[index] = rest;
        // Keys of tables that stand in comments themselves are tried together, below.
        let above = lines[..index].iter().rev().find(|line| line.starts_with('[') || line.starts_with("# ["));
        if above.is_some_and(|above| above.starts_with("# [")) {
            continue;
        }
        tried += 1;
        let site = Site::new(&lines.join("\n"));
        if let Err(errors) = site.load() {
            panic!("{rest}: {:?}", site.said(&errors));
        }
    }
    assert!(tried > 25, "{tried}");
}

#[test]
fn every_key_of_the_reference_works_when_all_are_uncommented() {
    let site = Site::new(&everything());
    let loaded = site.load().unwrap_or_else(|errors| panic!("{:?}", site.said(&errors)));
    let config = &loaded.config;
    let internal = config.listen.internal.as_ref().unwrap();
    assert_eq!(internal.identities.len(), 1);
    assert_eq!(internal.identities[0].role, Role::Server(ServerName::parse("ua1").unwrap()));
    assert!(internal.token_file.is_some());
    let pool = pool(&loaded);
    assert_eq!(pool.checks.len(), 2);
    assert_eq!(pool.checks[1].name.as_deref(), Some("live-session-api"));
    assert_eq!(pool.handover, Handover::Query);
    assert_eq!(pool.labels.len(), 2);
    assert_eq!(pool.servers[&ServerName::parse("ua1").unwrap()].probe_url.as_ref().unwrap().port(), 8443);
    assert!(config.ticket.key_file.is_some());
}

#[test]
fn what_is_commented_out_is_the_default() {
    let site = Site::new(REFERENCE);
    let plain = redacted(&site.load().unwrap().config);
    // Examples that are no defaults: files, labels, a further check, a dependency, an identity, handover, a probe_url.
    let examples = ["token_file", "key_file", "labels", "ca", "check", "depends", "identity", "handover", "probe_url"];
    let full = Site::new(&everything());
    let mut full = redacted(&full.load().unwrap().config);
    let mut plain = plain;
    for value in [&mut plain, &mut full] {
        forget(value, &examples);
    }
    let text = |value: &serde_json::Value| {
        let text = serde_json::to_string_pretty(value).unwrap();
        text.lines().filter(|line| !line.contains("/certs/")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(text(&plain), text(&full));
}

fn forget(value: &mut serde_json::Value, keys: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        for key in keys {
            object.remove(*key);
        }
        object.values_mut().for_each(|value| forget(value, keys));
    }
}
