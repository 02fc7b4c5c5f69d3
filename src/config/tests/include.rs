//! Several files as one configuration.

use super::*;

const POOL: &str = "\n[[pool]]\nname = \"two\"\ndatacenters = [\"east\"]\n[[pool.server]]\nname = \"two1\"\n\
    datacenter = \"east\"\nurl = \"https://two1.example.com\"\n";

fn including(patterns: &str) -> Site {
    Site::new(&format!("include = {patterns}\n{SMALLEST}"))
}

#[test]
fn included_files_add_tables_and_elements_in_order_of_name() {
    let site = including("[\"conf.d/*.toml\"]");
    site.write("conf.d/20-pool.toml", POOL);
    site.write("conf.d/10-log.toml", "[log]\nformat = \"json\"\n[listen.metrics]\n");
    site.write("conf.d/.hidden.toml", "rubbish");
    site.write("conf.d/readme.txt", "rubbish");
    let config = site.load().unwrap().config;
    assert_eq!(config.pools.len(), 2);
    assert!(config.listen.metrics.is_some());
    let names = ["maitred.toml", "conf.d/10-log.toml", "conf.d/20-pool.toml"].map(|name| site.path(name));
    assert_eq!(config.sources, names);
}

#[test]
fn a_pattern_may_match_nothing_a_name_may_not() {
    assert!(including("[\"conf.d/*.toml\"]").load().is_ok());
    let site = including("[\"conf.d/pools.toml\"]");
    let said = site.said(&site.load().unwrap_err());
    assert!(said[0].starts_with("maitred.toml:1: include: conf.d/pools.toml: cannot be read"), "{said:?}");
}

#[test]
fn what_is_said_twice_is_refused_with_both_places() {
    let site = including("[\"conf.d/*.toml\"]");
    site.write("conf.d/a.toml", "[director]\nname = \"east-2\"\n");
    let said = site.said(&site.load().unwrap_err());
    assert_eq!(said, ["conf.d/a.toml:2: director.name: is already set at maitred.toml:4"]);
    site.write("conf.d/a.toml", "pool = 1\n");
    let said = site.said(&site.load().unwrap_err());
    assert_eq!(said, ["conf.d/a.toml:1: pool: is already set at maitred.toml:8"]);
}

#[test]
fn mistakes_name_the_file_that_they_are_in() {
    let site = including("[\"conf.d/*.toml\"]");
    site.write("conf.d/a.toml", &POOL.replace("url", "uri"));
    site.write("conf.d/b.toml", "x = \n");
    let said = site.said(&site.load().unwrap_err());
    assert!(
        said.iter().any(|said| said.starts_with("conf.d/a.toml:8: pool.server.uri: unknown key (nearest: url)")),
        "{said:?}"
    );
    assert!(said.iter().any(|said| said.starts_with("conf.d/b.toml:1: x: ")), "{said:?}");
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let site = including("[\"conf.d/*.toml\"]");
    site.write("conf.d/a.toml", "[affinity]\nkey_file = \"my.keys\"\n");
    site.write("conf.d/my.keys", "x");
    set_mode(&site.path("conf.d/my.keys"), 0o600);
    assert_eq!(site.load().unwrap().config.affinity.key_file, Some(site.path("conf.d/my.keys")));
}

#[test]
fn including_ends() {
    let site = including("[\"conf.d/*.toml\", \"conf.d/a.toml\"]");
    site.write("conf.d/a.toml", "include = [\"*.toml\"]\n");
    let said = site.said(&site.load().unwrap_err());
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().any(|said| said.contains("an included file cannot include others")), "{said:?}");
    assert!(said.iter().any(|said| said.contains("conf.d/a.toml twice")), "{said:?}");
    for (patterns, reason) in [
        ("[\"*/x.toml\"]", "wildcards in the file's name only"),
        ("\"a.toml\"", "must be a list of file patterns"),
        ("[1]", "must be a file pattern"),
        ("[\"..\"]", "names no file"),
        ("[\"maitred.toml\"]", "twice"),
    ] {
        let site = including(patterns);
        let said = site.said(&site.load().unwrap_err());
        assert!(said[0].starts_with("maitred.toml:1: include: ") && said[0].contains(reason), "{patterns}: {said:?}");
    }
    let many = including("[\"conf.d/*.toml\"]");
    for number in 0..300 {
        many.write(&format!("conf.d/{number}.toml"), "");
    }
    let said = many.said(&many.load().unwrap_err());
    assert_eq!(said, ["maitred.toml:1: include: brings in more than 256 files"]);
}
