//! What is left out has the value that the manual promises.

use std::time::Duration;

use super::*;
use crate::config::*;
use maitred_core::ids::{PoolName, ServerName};
use maitred_core::settings::{Failback, Isolated, MinUp, Overflow, Passive, Policy};

#[test]
fn what_is_left_out_has_the_documented_value() {
    let config = Site::new(SMALLEST).load().unwrap().config;
    assert_eq!(config.director, DirectorSettings { state_dir: None, stop_delay: Duration::from_secs(10) });
    assert_eq!(config.log, LogSettings { format: LogFormat::Text, starts: StartLog::All, keys: KeyLog::Hash });
    assert_eq!(config.listen.public.address.to_string(), "0.0.0.0:8443");
    assert_eq!(config.listen.public.prefix.to_string(), "/maitred");
    assert_eq!((config.listen.internal, config.listen.peer, config.listen.metrics), (None, None, None));
    assert_eq!(config.affinity.key_file, None);
    assert_eq!(config.ticket, TicketSettings { algorithm: TicketAlgorithm::EdDsa, key_file: None });
    let limits = config.limits;
    assert_eq!((limits.header_block, limits.url, limits.body, limits.beat), (16384, 8192, 65536, 1_048_576));
    assert_eq!((limits.json_depth, limits.idle), (32, Duration::from_secs(10)));

    let name = PoolName::parse("ua").unwrap();
    let settings = &config.settings.pools[&name];
    assert_eq!(settings.placement, Policy::Rendezvous);
    assert_eq!((settings.load_bound_permille, settings.capacity), (1250, 1000));
    assert_eq!((settings.session_ttl, settings.orphan_grace), (Duration::from_secs(86_400), Duration::from_secs(600)));
    assert!(!settings.allow_multiple && !settings.beats);
    let health = &settings.health;
    assert_eq!((health.interval, health.timeout), (Duration::from_secs(2), Duration::from_secs(1)));
    assert_eq!((health.fall, health.rise, health.fast), (3, 2, Duration::from_millis(500)));
    assert_eq!((health.slow_start, health.suspect_above_percent), (Duration::from_secs(30), 50));
    let failover = &settings.failover;
    assert_eq!(
        (failover.after, failover.failback),
        (Duration::from_secs(15), Failback::After(Duration::from_secs(300)))
    );
    assert_eq!((failover.min_up, failover.overflow), (MinUp::Servers(1), Overflow::Refuse));
    assert_eq!((failover.passive, failover.isolated, failover.relogin_rate), (Passive::Redirect, Isolated::Serve, 0));

    let pool = &config.pools[&name];
    assert_eq!(pool.key, [KeySource::Affinity]);
    assert_eq!((pool.home.as_str(), pool.after_logout.to_string().as_str()), ("/", "/"));
    assert_eq!((pool.handover.clone(), pool.jsonp, pool.is_embedded()), (Handover::None, false, false));
    assert_eq!(pool.checks.len(), 1);
    assert_eq!((pool.checks[0].probe, pool.checks[0].path.as_str()), (ProbeKind::Https, "/"));
    assert_eq!(pool.checks[0].expect.to_string(), "2xx");
    assert_eq!(settings.servers[&ServerName::parse("ua1").unwrap()].weight, 100);
}

#[test]
fn listeners_have_their_ports() {
    let text = format!(
        "{SMALLEST}
[listen.internal]
tls = {{ cert = \"certs/internal.pem\", key = \"certs/internal.key\", client_ca = \"certs/ca.pem\" }}
[listen.peer]
tls = {{ cert = \"certs/peer.pem\", key = \"certs/peer.key\", client_ca = \"certs/ca.pem\" }}
[listen.metrics]
"
    );
    let listen = Site::new(&text).load().unwrap().config.listen;
    assert_eq!(listen.internal.unwrap().address.to_string(), "127.0.0.1:9443");
    assert_eq!(listen.peer.unwrap().address.to_string(), "0.0.0.0:7443");
    assert_eq!(listen.metrics.unwrap().address.to_string(), "0.0.0.0:10052");
}

#[test]
fn beats_bring_the_ticket_in_the_url_unless_said_otherwise() {
    let handover = |more: &str| {
        let text = SMALLEST.replace("datacenters =", &format!("{more}\ndatacenters ="));
        let config = Site::new(&text).load().unwrap().config;
        config.pools.into_values().next().unwrap().handover
    };
    assert_eq!(handover("beats = true"), Handover::Query);
    assert_eq!(handover("beats = true\nhandover = \"none\""), Handover::None);
    assert_eq!(handover("handover = \"query\""), Handover::Query);
    let domain = Host::parse("example.com").unwrap();
    assert_eq!(handover("handover = \"cookie\"\nhandover_domain = \".example.com\""), Handover::Cookie { domain });
}

#[test]
fn a_fast_pace_is_never_slower_than_the_usual_one() {
    let text = format!("{SMALLEST}\n[pool.health]\ninterval = \"200ms\"\n");
    // The header names the table of the last [[pool]].
    let config = Site::new(&text).load().unwrap().config;
    let health = &config.settings.pools[&PoolName::parse("ua").unwrap()].health;
    assert_eq!(health.fast, Duration::from_millis(200));
}

#[test]
fn a_further_check_trusts_whom_the_main_one_trusts() {
    let text = format!(
        "{SMALLEST}\n[pool.health]\nca = \"certs/ca.pem\"\n[[pool.health.check]]\nname = \"api\"\npath = \"/api\"\nexpect = \"200,301-303\"\n"
    );
    let site = Site::new(&text);
    let config = site.load().unwrap().config;
    let checks = &config.pools.into_values().next().unwrap().checks;
    assert_eq!(checks[1].ca, Some(site.path("certs/ca.pem")));
    assert!(checks[1].expect.contains(302) && !checks[1].expect.contains(204));
}
