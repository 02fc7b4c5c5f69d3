//! `MAITRED__` variables laid over the file.

use std::time::Duration;

use super::*;

#[test]
fn a_variable_sets_a_key_whether_the_file_does_or_not() {
    let site = Site::new(REFERENCE);
    let environment = [
        ("MAITRED__DIRECTOR__STOP_DELAY", "3s"),
        ("MAITRED__LISTEN__PUBLIC__ADDRESS", "127.0.0.1:1234"),
        ("MAITRED__LIMITS__JSON_DEPTH", "16"),
        ("MAITRED__LISTEN__PUBLIC__TLS__CERT", "certs/internal.pem"),
        ("MAITRED_CONFIG", "of another tool"),
        ("HOME", "/root"),
    ];
    let config = site.load_with(&environment).unwrap().config;
    assert_eq!(config.director.stop_delay, Duration::from_secs(3));
    assert_eq!(config.listen.public.address.port(), 1234);
    assert_eq!(config.limits.json_depth, 16);
    assert_eq!(config.listen.public.tls.as_ref().unwrap().cert, site.path("certs/internal.pem"));
    assert_eq!(config.listen.public.tls.as_ref().unwrap().key, site.path("certs/public.key"));
}

#[test]
fn a_name_may_look_like_a_number() {
    let name = |value| {
        let text = SMALLEST.replacen("name = \"east-1\"\n", "", 1);
        Site::new(&text)
            .load_with(&[("MAITRED__DIRECTOR__NAME", value)])
            .map(|loaded| loaded.config.settings.director.to_string())
    };
    assert_eq!(name("7").as_deref(), Ok("7"));
    assert_eq!(name("true").as_deref(), Ok("true"));
    assert_eq!(name("\"quoted\"").as_deref(), Ok("quoted"));
    assert_eq!(name("east-9").as_deref(), Ok("east-9"));
    assert!(name("").is_err());
}

#[test]
fn a_wrong_variable_is_named() {
    let site = Site::new(REFERENCE);
    for (variable, value, reason) in [
        ("MAITRED__DIRECTOR__NAM", "x", "director.nam: unknown key (nearest: name)"),
        ("MAITRED__DIRECTER__NAME", "x", "directer: unknown key (nearest: director)"),
        ("MAITRED__LOG__FORMAT", "xml", "log.format: must be one of"),
        ("MAITRED__LISTEN__PUBLIC__ADDRESS", "here", "listen.public.address: must be an address"),
        ("MAITRED__POOL__0__NAME", "x", "pool.0.name: cannot be set by a variable: pool is a list of tables"),
        ("MAITRED__POOL", "x", "pool: must be a list of tables"),
        ("MAITRED__DIRECTOR__NAME__X", "x", "director.name.x: names no key: director.name is no table"),
        ("MAITRED__INCLUDE", "[]", "include: can only be set in the file"),
        ("MAITRED__", "x", "names no key"),
        ("MAITRED__DIRECTOR____NAME", "x", "names no key"),
        ("MAITRED__AFFINITY__KEY_FILE", "certs/none", "affinity.key_file: "),
    ] {
        let said = site.said(&site.load_with(&[(variable, value)]).expect_err(variable));
        assert!(said.len() == 1 && said[0].starts_with(&format!("{variable}: ")), "{variable}: {said:?}");
        assert!(said[0].contains(reason), "{variable}: {said:?}");
    }
}

#[test]
fn a_value_that_may_be_a_secret_is_not_repeated() {
    let site = Site::new(REFERENCE);
    for variable in ["MAITRED__LOG__FORMAT", "MAITRED__DIRECTOR__STOP_DELAY", "MAITRED__LIMITS__BODY", "MAITRED__POOL"]
    {
        let said = site.said(&site.load_with(&[(variable, "canary-7f3a")]).expect_err(variable));
        assert!(said.iter().all(|said| !said.contains("canary")), "{said:?}");
    }
}
