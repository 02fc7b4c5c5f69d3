//! Files that are named: there, readable, and secret where they must be.

use super::*;

#[test]
fn a_secret_that_everyone_can_reach_is_refused_with_the_remedy() {
    let text = everything();
    for (file, key) in [
        ("public.key", "listen.public.tls.key"),
        ("internal.key", "listen.internal.tls.key"),
        ("internal.tokens", "listen.internal.token_file"),
        ("peer.key", "listen.peer.tls.key"),
        ("affinity.keys", "affinity.key_file"),
        ("ticket.pem", "ticket.key_file"),
    ] {
        for mode in [0o644, 0o604, 0o602, 0o601] {
            let site = Site::new(&text);
            set_mode(&site.path(&format!("certs/{file}")), mode);
            let said = site.said(&site.load().expect_err(file));
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains(&format!(": {key}: certs/{file}: is a secret")), "{said:?}");
            assert!(said[0].ends_with(&format!("(mode {mode:04o}): chmod 0640 certs/{file}")), "{said:?}");
        }
    }
}

#[test]
fn what_is_public_may_be_read_by_everyone() {
    let site = Site::new(&everything());
    for (file, secret) in FILES {
        set_mode(&site.path(&format!("certs/{file}")), if secret { 0o600 } else { 0o666 });
    }
    assert!(site.load().is_ok());
}

#[test]
fn every_file_is_handed_on_with_its_place() {
    let site = Site::new(&everything());
    let loaded = site.load().unwrap();
    let kinds: BTreeSet<_> = loaded.files.iter().map(|file| file.kind).collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let keys = loaded.files.iter().find(|file| file.key == "affinity.key_file").unwrap();
    let line = line_of(&everything(), "certs/affinity.keys");
    let said = site.said(&[keys.diagnostic("line 3 is no key")]);
    assert_eq!(said, [format!("maitred.toml:{line}: affinity.key_file: certs/affinity.keys: line 3 is no key")]);
}

#[test]
fn a_file_that_cannot_be_used_is_said_so() {
    let site = Site::new(REFERENCE);
    fs::remove_file(site.path("certs/ca.pem")).unwrap();
    let said = site.said(&site.load().unwrap_err());
    assert_eq!(said.len(), 2, "it is named twice: {said:?}");
    assert!(
        said[0].contains("listen.internal.tls.client_ca: certs/ca.pem: cannot be read: no such file or directory"),
        "{said:?}"
    );
    fs::create_dir(site.path("certs/ca.pem")).unwrap();
    assert!(site.said(&site.load().unwrap_err())[0].contains("certs/ca.pem: is no regular file"));
}
