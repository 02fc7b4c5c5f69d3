//! What is inside the files that a configuration names: do certificates and keys belong together, cover their names, and last.
//!
//! A file that a listener would refuse is a mistake; what clients would stumble over later is a warning.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use maitred_core::clock::Time;

use crate::config::{Config, FileKind, FileUse, Findings, Loaded, Tls};
use crate::credentials::{Keyring, TicketKeys};
use crate::http::internal::Access;
use crate::tls::{Identity, load_roots};

/// A certificate with less time left is worth a word.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// Looks into every file. `wall` is the machine's clock.
pub(super) fn look(loaded: &Loaded, wall: Time) -> Findings {
    let mut found = Findings::default();
    let config = &loaded.config;
    let listen = &config.listen;
    if let Some(tls) = &listen.public.tls
        && let Some(identity) = pair(loaded, tls, wall, &mut found)
    {
        public_names(loaded, tls, &identity, &mut found);
    }
    if let Some(internal) = &listen.internal {
        pair(loaded, &internal.tls, wall, &mut found);
    }
    if let Some(peer) = &listen.peer
        && let Some(identity) = pair(loaded, &peer.tls.identity, wall, &mut found)
    {
        peer_name(loaded, &peer.tls.identity, &identity, &mut found);
    }
    for file in &loaded.files {
        let refused = match file.kind {
            FileKind::Authorities => load_roots(&file.path).err().map(|error| error.to_string()),
            FileKind::AffinityKeys => Keyring::load(&file.path).err().map(|error| error.to_string()),
            FileKind::TicketKeys => {
                TicketKeys::load(&file.path, config.ticket.algorithm).err().map(|error| error.to_string())
            }
            FileKind::Tokens => {
                let access = listen.internal.as_ref().map(Access::load);
                access.and_then(Result::err).map(|error| error.to_string())
            }
            // Pairs were looked at above.
            FileKind::Certificate | FileKind::PrivateKey => None,
        };
        if let Some(reason) = refused {
            found.errors.push(file.diagnostic(without_path(&file.path, &reason)));
        }
    }
    found
}

/// The pair, unless a listener would refuse it; tells how long it lasts.
fn pair(loaded: &Loaded, tls: &Tls, wall: Time, found: &mut Findings) -> Option<Identity> {
    let used = used(loaded, &tls.cert, FileKind::Certificate)?;
    match Identity::load(&tls.cert, &tls.key) {
        Ok(identity) => {
            if let Some(warning) = identity.validity_warning(wall, EXPIRES_SOON) {
                found.warnings.push(used.diagnostic(&warning.to_string()));
            }
            Some(identity)
        }
        Err(error) => {
            found.errors.push(used.diagnostic(without_path(&used.path, &error.to_string())));
            None
        }
    }
}

/// Browsers come by the hosts of the routes. A server whose host the same certificate covers is no matter; a host that it does
/// not cover is a page that no browser shows.
fn public_names(loaded: &Loaded, tls: &Tls, identity: &Identity, found: &mut Findings) {
    let Some(used) = used(loaded, &tls.cert, FileKind::Certificate) else { return };
    let hosts = route_hosts(&loaded.config);
    for host in hosts.iter().filter(|host| !identity.covers(host)) {
        let names = identity.names().join(", ");
        found.warnings.push(used.diagnostic(&format!("does not cover {host}, which a route names; it covers {names}")));
    }
}

fn route_hosts(config: &Config) -> BTreeSet<String> {
    let routes = config.pools.values().flat_map(|pool| &pool.routes);
    routes.filter_map(|route| route.host.as_ref()).map(|host| host.as_str().to_owned()).collect()
}

/// Peers believe a certificate only by the director's name in it.
fn peer_name(loaded: &Loaded, tls: &Tls, identity: &Identity, found: &mut Findings) {
    let Some(used) = used(loaded, &tls.cert, FileKind::Certificate) else { return };
    let name = loaded.config.settings.director.as_str();
    if !identity.names().iter().any(|one| one.eq_ignore_ascii_case(name)) {
        let names = identity.names().join(", ");
        found.warnings.push(used.diagnostic(&format!(
            "does not carry {name} as a DNS name, so no peer will believe it; it carries {names}"
        )));
    }
}

fn used<'l>(loaded: &'l Loaded, path: &Path, kind: FileKind) -> Option<&'l FileUse> {
    loaded.files.iter().find(|file| file.path == path && file.kind == kind)
}

/// The reason alone: the diagnostic names the file already.
fn without_path<'r>(path: &Path, reason: &'r str) -> &'r str {
    let named = path.to_string_lossy();
    reason.strip_prefix(&*named).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;
    use crate::certificates::{DevAuthority, DevCertificates, DevNames, Usage};
    use crate::config::Diagnostic;

    const CONFIG: &str = r#"
[director]
name = "east-1"
datacenter = "east"
[listen.public]
tls = { cert = "certs/public.pem", key = "certs/public.key" }
[listen.peer]
tls = { cert = "certs/peer.pem", key = "certs/peer.key", client_ca = "certs/ca.pem" }
[affinity]
key_file = "certs/affinity.keys"
[[pool]]
name = "ua"
datacenters = ["east"]
route = [{ host = "agents.test", path = "/" }]
[[pool.server]]
name = "ua1"
datacenter = "east"
url = "https://ua1.test"
"#;

    struct Site(tempfile::TempDir);

    impl Site {
        fn new(names: &DevNames) -> Self {
            let site = Self(tempfile::tempdir().unwrap());
            DevCertificates::create(&site.certs(), names).unwrap();
            fs::write(site.0.path().join("maitred.toml"), CONFIG).unwrap();
            site
        }

        fn certs(&self) -> std::path::PathBuf {
            self.0.path().join("certs")
        }

        fn look(&self) -> (Vec<String>, Vec<String>) {
            let loaded = crate::config::load(&self.0.path().join("maitred.toml"), Vec::new()).unwrap();
            let wall = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let found = look(&loaded, Time(maitred_core::clock::millis(wall)));
            let shown = |all: Vec<Diagnostic>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
            (shown(found.errors), shown(found.warnings))
        }
    }

    fn fitting() -> DevNames {
        DevNames { public: vec!["agents.test".into()], peer: vec!["east-1".into()], ..DevNames::default() }
    }

    #[test]
    fn a_fitting_set_leaves_nothing_to_say() {
        assert_eq!(Site::new(&fitting()).look(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn names_that_are_not_covered_are_warned_of_where_the_certificate_is_named() {
        let (mistakes, warnings) = Site::new(&DevNames::default()).look();
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("maitred.toml:6: listen.public.tls"), "{}", warnings[0]);
        assert!(warnings[0].contains("does not cover agents.test") && warnings[0].contains("localhost"));
        assert!(warnings[1].contains("maitred.toml:8:") && warnings[1].contains("does not carry east-1"));
    }

    #[test]
    fn a_certificate_near_its_end_is_warned_of() {
        let site = Site::new(&fitting());
        let now = SystemTime::now();
        let day = Duration::from_secs(24 * 3600);
        let leaf =
            DevAuthority::create().unwrap().issue_valid(&["agents.test"], Usage::Server, now - day, now + day * 7);
        leaf.unwrap().write(&site.certs(), "public").unwrap();
        let (mistakes, warnings) = site.look();
        assert!(mistakes.is_empty() && warnings.len() == 1, "{mistakes:?} {warnings:?}");
        assert!(warnings[0].contains("expires in"), "{}", warnings[0]);
    }

    #[test]
    fn a_token_file_with_a_wrong_line_is_a_mistake() {
        let site = Site::new(&fitting());
        let text = CONFIG.replace(
            "[affinity]",
            "[listen.internal]\ntls = { cert = \"certs/internal.pem\", key = \"certs/internal.key\" }\n\
             token_file = \"certs/internal.tokens\"\n[affinity]",
        );
        fs::write(site.0.path().join("maitred.toml"), text).unwrap();
        let tokens = site.certs().join("internal.tokens");
        fs::copy(site.certs().join("internal.key"), &tokens).unwrap();
        fs::write(&tokens, "prometheus metrics 12\n").unwrap();
        let (mistakes, _) = site.look();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].contains("maitred.toml:11: listen.internal.token_file"), "{}", mistakes[0]);
    }

    #[test]
    fn what_a_director_could_not_use_is_a_mistake() {
        let site = Site::new(&fitting());
        let other = DevAuthority::create().unwrap().issue(&["agents.test"], Usage::Server).unwrap();
        fs::write(site.certs().join("public.pem"), other.cert).unwrap();
        fs::write(site.certs().join("ca.pem"), "no certificate").unwrap();
        fs::write(site.certs().join("affinity.keys"), "k1 short\n").unwrap();
        let (mistakes, _) = site.look();
        assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
        assert!(mistakes.iter().any(|mistake| mistake.contains("not a pair")));
        assert!(mistakes.iter().all(|mistake| mistake.contains("maitred.toml:")));
        assert!(mistakes.iter().all(|mistake| !mistake.contains("short")), "a key is never repeated");
    }
}
