//! Each kind of mistake, told at its line with what would be right.

use super::*;

/// The reference with one line replaced, and what is said about that line.
fn said_about(from: &str, to: &str) -> String {
    let text = REFERENCE.replacen(from, to, 1);
    assert_ne!(text, REFERENCE, "{from}");
    // Several lines may be put in: the last one that says "!", else the first, is what is wrong.
    let wrong = to.lines().rev().find(|line| line.ends_with('!')).or(to.lines().next()).unwrap();
    let line = line_of(&text, wrong);
    let said = mistakes(&text);
    let prefix = format!("maitred.toml:{line}: ");
    said.iter().find(|said| said.starts_with(&prefix)).cloned().unwrap_or_else(|| panic!("{to}: {said:?}"))
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    assert!(
        said_about("datacenters = [", "datacentres = [")
            .contains("pool.datacentres: unknown key (nearest: datacenters)")
    );
    assert!(said_about("state_dir", "statedir").contains("director.statedir: unknown key (nearest: state_dir)"));
    assert!(said_about("[affinity]", "[afinity]").contains("afinity: unknown key (nearest: affinity)"));
    assert!(said_about("[listen.peer]", "[listen.pear]").contains("listen.pear: unknown key (nearest: peer)"));
    assert!(
        said_about("path = \"/ua/health\"", "pth = \"/ua/health\"")
            .contains("pool.health.pth: unknown key (nearest: path)")
    );
    let far = said_about("state_dir = ", "frobnicate = ");
    assert!(far.contains("unknown key (known: datacenter, name, state_dir, stop_delay)"), "{far}");
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    for (from, to, reason) in [
        ("name = \"east-1\"", "name = 1", "must be a string, not an integer"),
        ("name = \"east-1\"", "name = \"east 1\"", "may only hold"),
        ("address = \"0.0.0.0:8443\"", "address = \"localhost:8443\"", "must be an address and a port"),
        ("address = \"0.0.0.0:8443\"", "address = \"0.0.0.0:99999\"", "must be an address and a port"),
        ("# prefix = \"/maitred\"", "prefix = \"/\"", "must not be '/'"),
        ("# format = \"text\"", "[log]\nformat = \"jsn\" # !", "(nearest: \"json\")"),
        ("# stop_delay = \"10s\"", "stop_delay = 10", "needs a unit"),
        ("# stop_delay = \"10s\"", "stop_delay = \"10 parsecs\"", "is no duration"),
        ("url = \"https://ua1-east.example.com\"", "url = \"https://ua1-east.example.com/ua\"", "it has no path"),
        ("url = \"https://ua1-east.example.com\"", "url = \"https://ua1-east.example.com?x\"", "it has no path"),
        ("url = \"https://ua1-east.example.com\"", "url = \"https://a@b.example.com\"", "must not name a user"),
        ("url = \"https://ua1-east.example.com\"", "url = \"ftp://b.example.com\"", "must begin with https://"),
        ("url = \"https://ua1-east.example.com\"", "url = \"https://b.example.com:0\"", "port"),
        ("url = \"https://10.1.0.12:7443\"", "url = \"http://10.1.0.12:7443\"", "must begin with https://"),
        ("# weight = 100", "weight = 99999999999999999999999999", "must be 0 to 10000"),
        ("# weight = 100", "weight = 9223372036854775807", "must be 0 to 10000"),
        ("# weight = 100", "weight = -1", "must be 0 to 10000"),
        ("# capacity = 1000", "capacity = 0", "must be 1 to"),
        ("# load_bound = 1.25", "load_bound = 1e300", "must be a number from 1.0 to 1000.0"),
        ("# load_bound = 1.25", "load_bound = nan", "must be a number from 1.0"),
        ("# session_ttl = \"24h\"", "session_ttl = \"9999999999999999999y\"", "is no duration"),
        ("# placement = \"rendezvous\"", "placement = \"rendevous\"", "nearest: \"rendezvous\""),
        ("# handover = \"query\"", "handover = \"cookie\"", "needs handover_domain"),
        ("# jsonp = false", "jsonp = \"no\"", "must be true or false, not a string"),
        ("# embed = []", "embed = [\"https://a.example.com/x\"]", "it has no path"),
        ("# home = \"/\"", "home = \"//evil.example\"", "exactly one '/'"),
        ("# required_labels = []", "required_labels = \"media\"", "must be a list, not a string"),
        ("key = [\"query:agent\"", "key = [\"querry:agent\"", "is none of query:<name>"),
        ("key = [\"query:agent\"", "key = [\"path:0\"", "counts from 1"),
        ("path = \"/\" }]", "pth = \"/\" }]", "unknown key (nearest: path)"),
        ("probe = \"https\"", "probe = \"htps\"", "nearest: \"https\""),
        ("# expect = \"2xx\"", "expect = \"fine\"", "is no status"),
        ("# suspect_above = \"50%\"", "suspect_above = 50", "needs a unit"),
        ("# fast = \"500ms\"", "fast = \"5s\"", "must not be longer than interval"),
        ("# min_up = 1", "min_up = \"150%\"", "must be a number of servers"),
        ("# failback = \"5m\"", "failback = \"never\"", "or \"manual\""),
        ("# overflow = \"refuse\"", "overflow = \"next\"", "must be one of"),
        ("# probe_url = ", "probe_url = \"ajp://10.1.0.21:8009\" # ", "no check of this pool is over ajp"),
        ("[[pool.server]]", "[pool.server]", "must be a list of tables ([[pool.server]])"),
    ] {
        let said = said_about(from, to);
        assert!(said.contains(reason), "{to}: {said}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (gone, key) in [
        ("name = \"east-1\"                        # unique among all directors", "director.name"),
        ("[[pool]]\nname = \"ua\"", "pool.name"),
        ("datacenters = [\"east\", \"west\"]", "pool.datacenters"),
        ("url = \"https://ua9-west.example.com\"", "pool.server.url"),
        ("tls = { cert = \"certs/public.pem\", key = \"certs/public.key\" }", "listen.public.tls"),
        (", key = \"certs/public.key\"", "listen.public.tls.key"),
        (", client_ca = \"certs/ca.pem\" }\n\n[listen.metrics]", "listen.peer.tls.client_ca"),
    ] {
        let kept = match gone {
            "[[pool]]\nname = \"ua\"" => "[[pool]]",
            ", client_ca = \"certs/ca.pem\" }\n\n[listen.metrics]" => " }\n\n[listen.metrics]",
            _ => "",
        };
        let text = REFERENCE.replacen(gone, kept, 1);
        assert_ne!(text, REFERENCE, "{gone}");
        let said = mistakes(&text);
        assert!(said.iter().any(|said| said.contains(&format!(": {key}: is missing"))), "{key}: {said:?}");
    }
}

#[test]
fn names_and_routes_are_unique() {
    let twice = "name = \"ua2\"";
    assert!(said_about(twice, "name = \"ua1\" # again").contains("pool.server.name: ua1 is already a server at"));
    assert!(
        said_about("name = \"west-1\"", "name = \"east-2\" # again").contains("peer.name: east-2 is already a peer at")
    );
    let more = "\n[[pool]]\nname = \"ua\" # again\nroute = [{ host = \"AGENTS.example.com\" }]\ndatacenters = [\"east\"]\n\
        [[pool.server]]\nname = \"x\"\ndatacenter = \"east\"\nurl = \"https://x.example.com\"\n";
    let text = format!("{REFERENCE}{more}");
    let said = mistakes(&text);
    let line = line_of(&text, "name = \"ua\" # again");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with(&format!("maitred.toml:{line}: pool.name: ua is already a pool at")), "{said:?}");
    assert!(said[1].contains("pool.route.path: the same host and path already lead to a pool at"), "{said:?}");
}

#[test]
fn references_must_exist() {
    let said =
        said_about("datacenter = \"west\"\nurl = \"https://ua9", "datacenter = \"wset\" # !\nurl = \"https://ua9");
    assert!(said.contains("pool.server.datacenter: wset is none of this pool's datacenters (nearest: west)"), "{said}");
    let said = said_about(
        "[listen.peer]",
        "[[listen.internal.identity]]\nsan = \"a\"\nrole = \"server\"\nserver = \"ua11\" # !\n[listen.peer]",
    );
    assert!(said.contains("listen.internal.identity"), "{said}");
}

#[test]
fn an_identity_is_one_server_or_none() {
    let identity = |more: &str| format!("[[listen.internal.identity]]\nsan = \"a.example.com\"\n{more}\n[listen.peer]");
    for (more, reason) in [
        ("role = \"server\"", "server: is missing"),
        ("role = \"server\"\nserver = \"ua7\"", "ua7 is no server of any pool"),
        ("role = \"viewer\"\nserver = \"ua1\"", "belongs to role = \"server\""),
        ("role = \"root\"", "must be one of"),
    ] {
        let text = REFERENCE.replacen("[listen.peer]", &identity(more), 1);
        let said = mistakes(&text);
        assert!(said.len() == 1 && said[0].contains(reason), "{more}: {said:?}");
    }
}

#[test]
fn somebody_must_be_let_in() {
    let text = REFERENCE.replacen(
        "key = \"certs/internal.key\", client_ca = \"certs/ca.pem\"",
        "key = \"certs/internal.key\"",
        1,
    );
    let said = mistakes(&text);
    assert!(said.len() == 1 && said[0].contains("nobody could be let in"), "{said:?}");
    let with_tokens = text.replacen("# token_file", "token_file", 1);
    assert!(Site::new(&with_tokens).load().is_ok());
}

#[test]
fn listeners_do_not_meet() {
    let said = said_about("address = \"0.0.0.0:10052\"", "address = \"127.0.0.1:8443\"");
    assert!(said.contains("listen.metrics.address: meets the listener at maitred.toml:"), "{said}");
    let free = REFERENCE.replace("0.0.0.0:8443", "127.0.0.1:0").replace("0.0.0.0:10052", "127.0.0.1:0");
    assert!(Site::new(&free).load().is_ok(), "port 0 is a free one each time");
}

#[test]
fn one_stands_where_ones_peer_says() {
    let text = REFERENCE.replacen("datacenter = \"east\"\nstate_dir", "datacenter = \"west\" # !\nstate_dir", 1);
    let said = mistakes(&text);
    assert!(
        said.len() == 1 && said[0].contains("director.datacenter: west is not east, where the [[peer]] east-1"),
        "{said:?}"
    );
    let left_out = REFERENCE.replacen("datacenter = \"east\"\nstate_dir", "state_dir", 1);
    assert_eq!(Site::new(&left_out).load().unwrap().config.settings.datacenter.as_str(), "east");
}

#[test]
fn a_list_whose_elements_are_wrong_is_not_called_empty() {
    let text = REFERENCE.replacen("\"query:agent\", \"header:x-agent-id\", \"cookie\"", "\"path:0\"", 1);
    let said = mistakes(&text);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("path:<n> counts from 1"), "{said:#?}");
    assert!(mistakes(&text.replacen("\"path:0\"", "", 1))[0].contains("is empty"));
}

#[test]
fn all_mistakes_come_at_once_in_order_of_place() {
    let text = REFERENCE
        .replacen("name = \"east-1\"", "name = 1", 1)
        .replacen("state_dir", "state_dri", 1)
        .replacen("certs/public.pem", "certs/nothing.pem", 1)
        .replacen("probe = \"https\"", "probe = \"smoke\"", 1)
        .replacen("datacenter = \"west\"\nurl = \"https://ua9", "datacenter = \"north\"\nurl = \"https://ua9", 1)
        .replacen("name = \"ua2\"", "name = \"ua1\"", 1);
    let said = mistakes(&text);
    assert_eq!(said.len(), 6, "{said:#?}");
    let lines: Vec<u32> = said.iter().map(|said| said.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted(), "{said:#?}");
    assert!(said[2].contains("certs/nothing.pem: cannot be read: no such file or directory"), "{said:#?}");
}

#[test]
fn a_syntax_error_does_not_hide_other_mistakes_and_invents_none() {
    let text =
        REFERENCE.replacen("name = \"east-1\"", "name = ", 1).replacen("probe = \"https\"", "probe = \"smoke\"", 1);
    let said = mistakes(&text);
    assert_eq!(said.len(), 2, "{said:#?}");
    let line = line_of(&text, "name = ");
    assert!(said[0].starts_with(&format!("maitred.toml:{line}: director.name: ")), "{said:#?}");
    let twice = REFERENCE.replacen("[director]\n", "[director]\nname = \"x\"\n", 1);
    let said = mistakes(&twice);
    assert!(said.len() == 1 && said[0].contains(": director.name: duplicate key"), "{said:#?}");
}

#[test]
fn what_is_not_closed_is_told_where_it_begins() {
    for (open, key) in
        [("datacenters = [\"east\", \"west\"", "datacenters"), ("tls = { cert = \"certs/peer.pem\"", "tls")]
    {
        let end = REFERENCE.find(open).unwrap() + open.len();
        let rest = REFERENCE[end..].find('\n').unwrap() + end;
        let text = format!("{}{}", &REFERENCE[..end], &REFERENCE[rest..]);
        let said = mistakes(&text);
        let line = line_of(&text, open);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with(&format!("maitred.toml:{line}: "))
                && said[0].contains(&format!("{key}: is not closed")),
            "{said:?}"
        );
    }
}

#[test]
fn a_million_servers_are_refused_by_name_and_at_once() {
    let server = "[[pool.server]]\nname = \"u1\"\ndatacenter = \"east\"\nurl = \"https://u1.example.com\"\n";
    let started = std::time::Instant::now();
    let text = format!("{REFERENCE}\n{}", server.repeat(1_000_000));
    let site = Site::new(&text);
    let said = site.said(&site.load().unwrap_err());
    let first = REFERENCE.lines().count() + 2;
    // Three servers are in the reference already; the one after the limit is named.
    let line = first + (super::super::SERVERS_MAX - 3) * 4;
    assert_eq!(said, [format!("maitred.toml:{line}: pool.server: more than 10000 servers")]);
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "it hangs");
    let inline =
        REFERENCE.replacen("[[pool.server]]", &format!("server = [{}]\n[[pool.server]]", "1,".repeat(5 << 20)), 1);
    assert!(mistakes(&inline)[0].contains("file: is larger than 8 MiB"));
}

#[test]
fn as_many_servers_as_may_be_load() {
    let mut text = SMALLEST.to_owned();
    for number in 2..=super::super::SERVERS_MAX {
        use std::fmt::Write as _;
        let server = "[[pool.server]]\nname = \"u";
        write!(text, "{server}{number}\"\ndatacenter = \"east\"\nurl = \"https://u{number}.example.com\"\n").unwrap();
    }
    let config = Site::new(&text).load().unwrap().config;
    assert_eq!(config.servers().count(), super::super::SERVERS_MAX);
}

#[test]
fn foreign_text_is_shown_printable() {
    let said = mistakes(&format!("{SMALLEST}\n[\"\\u001b[2J\\u202e\"]\nx = 1\n"));
    assert!(said.iter().all(|said| !said.chars().any(char::is_control) && !said.contains('\u{202e}')), "{said:?}");
    assert!(said[0].contains("\\u{1b}[2J"), "{said:?}");
}

#[test]
fn what_is_no_configuration_at_all_is_said_in_one_line() {
    let site = Site::new("");
    fs::remove_file(site.path("maitred.toml")).unwrap();
    assert!(site.said(&site.load().unwrap_err())[0].contains("maitred.toml:1: file: "));
    fs::create_dir(site.path("maitred.toml")).unwrap();
    assert!(site.said(&site.load().unwrap_err())[0].contains("is no regular file"));
    let site = Site::new("");
    fs::write(site.path("maitred.toml"), b"a = 1\n\xff\n").unwrap();
    assert!(site.said(&site.load().unwrap_err())[0].contains("is not UTF-8 text (line 2)"));
    let empty = mistakes("");
    for key in ["director.name", "director.datacenter", "listen.public", "pool"] {
        assert!(empty.iter().any(|said| said.contains(&format!(": {key}: is missing"))), "{key}: {empty:?}");
    }
}
