//! What is allowed and will hurt.

use super::*;

fn warned(text: &str) -> Vec<String> {
    let site = Site::new(text);
    let loaded = site.load().unwrap_or_else(|errors| panic!("{:?}", site.said(&errors)));
    site.said(&loaded.warnings)
}

#[test]
fn the_reference_warns_of_minted_keys_only() {
    let said = warned(REFERENCE);
    let line = line_of(REFERENCE, "key = [\"query:agent\"");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(&format!("maitred.toml:{line}: pool.key: minted keys with handover = \"none\"")),
        "{said:?}"
    );
    let handed =
        REFERENCE.replacen("# handover = \"query\"", "handover = \"query\"", 1).replacen("# [ticket]", "[ticket]", 1);
    let handed = handed.replacen("# key_file = \"certs/ticket", "key_file = \"certs/ticket", 1);
    assert_eq!(warned(&handed), [""; 0]);
}

/// A further pool with this line.
fn second_pool(line: &str) -> String {
    format!(
        "[[pool]]\nname = \"cob\"\ndatacenters = [\"east\"]\n{line}\n[[pool.server]]\nname = \"cb1\"\ndatacenter = \"east\"\nurl = \"https://cb1.example.com\"\n"
    )
}

#[test]
fn what_will_hurt_is_told() {
    for (from, to, reason) in [
        (
            "https://ua2-east.example.com",
            "https://ua1-east.example.com:444",
            "pool.server.url: has the host of ua1 at maitred.toml:",
        ),
        ("https://ua2-east.example.com", "http://ua2-east.example.com", "pool.server.url: is http"),
        ("probe = \"https\"", "probe = \"http\"", "pool.health.probe: asks in clear"),
        ("probe = \"https\"", "probe = \"ajp\"", "is probed over ajp at ua1-east.example.com:8009, a guess"),
        ("probe = \"https\"", "probe = \"tcp\"", "pool.health.path: has no meaning for a probe over tcp"),
        ("# min_up = 1", "min_up = 2", "pool.failover.min_up: is 2, but west has 1 servers"),
        (
            "datacenters = [\"east\", \"west\"]",
            "datacenters = [\"east\", \"west\", \"north\"]",
            "no server of this pool stands in north",
        ),
        ("# required_labels = []", "required_labels = [\"media\"]", "no server carries media"),
        ("# jsonp = false", "jsonp = true", "pool.jsonp: is on, but embed names no origin"),
        ("# beats = false", "beats = true", "ticket.key_file: is not set"),
        ("# timeout = \"1s\"", "timeout = \"5s\"", "pool.health.timeout: is longer than interval"),
        (
            "route = [{ host = \"agents.example.com\", path = \"/\" }]",
            "handover = \"query\"\nroute = [{ path = \"/\" }]",
            "pool.route.host: is in no route",
        ),
        ("path = \"/\" }]", "path = \"/maitred/x\" }]", "pool.route.path: lies in maitred's own paths"),
        ("name = \"east-1\"  ", "name = \"eats-1\"  ", "director.name: eats-1 is none of the [[peer]]"),
        (
            "# handover = \"query\"",
            "handover = \"cookie\"\nhandover_domain = \"ua1-east.example.com\" #",
            "lies outside handover_domain",
        ),
        ("key_file = \"certs/affinity.keys\"", "", "affinity.key_file: is not set"),
    ] {
        let text = REFERENCE.replacen(from, to, 1);
        assert_ne!(text, REFERENCE, "{from}");
        let said = warned(&text);
        assert!(said.iter().any(|said| said.contains(reason)), "{to}: {said:#?}");
    }
    let text = format!("{REFERENCE}\n{}", second_pool("route = [{ path = \"/cobrowse\" }]"));
    let said = warned(&text);
    let hidden = "pool.route.path: is not asked under agents.example.com: pool ua names that host, with /";
    assert!(said.iter().any(|said| said.contains(hidden)), "{said:#?}");
    let named =
        second_pool("route = [{ path = \"/cobrowse\" }, { host = \"agents.example.com\", path = \"/cobrowse\" }]");
    let said = warned(&format!("{REFERENCE}\n{named}"));
    assert!(!said.iter().any(|said| said.contains("is not asked")), "{said:#?}");
    let smallest = warned(SMALLEST);
    for key in ["affinity.key_file", "listen.internal", "pool.route", "pool.key"] {
        assert!(smallest.iter().any(|said| said.contains(&format!(": {key}: "))), "{key}: {smallest:?}");
    }
}
