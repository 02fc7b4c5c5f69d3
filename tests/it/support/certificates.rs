//! One authority for all tests of a run, and who gets which certificate from it.
//!
//! Names end in `.test` (RFC 6761: never in the DNS); clients of the tests dial loopback for all of them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use maitred::certificates::{DevCertificates, DevNames, Usage};
use maitred::tls;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::talking::TALKING;

/// The name under which agents know the directors.
pub(crate) const FRONT: &str = "front.test";

/// A site (registrable name) of its own, for tests where servers and directors are of one site and a page that embeds them is of another.
pub(crate) const SITE: &str = "desk.test";

/// The name of the directors in that site.
pub(crate) const SITE_FRONT: &str = "agents.desk.test";

/// The files in a folder that lives as long as this value.
pub(crate) struct Certificates {
    set: DevCertificates,
    _folder: TempDir,
}

/// The set that tests share. A test that changes its files makes its own.
pub(crate) fn shared() -> Arc<Certificates> {
    static SHARED: LazyLock<Arc<Certificates>> = LazyLock::new(|| Arc::new(Certificates::create()));
    Arc::clone(&SHARED)
}

impl Certificates {
    /// A new authority with the whole set: one certificate for the servers `ua1.test` to `ua20.test`.
    pub(crate) fn create() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = ["localhost", "127.0.0.1", FRONT, SITE_FRONT].map(str::to_owned).to_vec();
        // One by one, for no verifier takes `*.test`: a wildcard needs two labels to its right.
        let server_names = (1..=20)
            .map(|number| format!("ua{number}.test"))
            .chain((1..=3).map(|number| format!("ua{number}.{SITE}")))
            .chain(["embedding.test".to_owned()])
            .collect();
        let names = DevNames {
            public: local.clone(),
            internal: local,
            servers: vec![("server".to_owned(), server_names)],
            ..DevNames::default()
        };
        let set = DevCertificates::create(&folder.path().join("certs"), &names).unwrap();
        for number in 1..=TALKING {
            let leaf = set.authority.issue(&[format!("ua{number}.test")], Usage::Client).unwrap();
            leaf.write(&set.folder, &format!("client-ua{number}")).unwrap();
        }
        Self { set, _folder: folder }
    }

    /// A file of the set: `ca.pem`, `public.pem`, `server.key`, `operator.pem`, `affinity.keys` …
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.set.path(file)
    }

    /// What a server shows that was issued this certificate; the validity is in days around now.
    pub(crate) fn server_with(&self, names: &[&str], days: Range<i64>) -> Arc<rustls::ServerConfig> {
        let moment = |day: i64| {
            let distance = Duration::from_secs(day.unsigned_abs() * 24 * 3600);
            if day < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
        };
        let leaf = self.set.authority.issue_valid(names, Usage::Server, moment(days.start), moment(days.end)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = leaf.write(folder.path(), "leaf").unwrap();
        server_config(&cert, &key)
    }

    /// Another certificate with its key, in a folder of the caller's.
    pub(crate) fn issue(&self, folder: &Path, stem: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        self.set.authority.issue(names, Usage::Server).unwrap().write(folder, stem).unwrap()
    }

    /// Issues a director's certificate among peers into a folder.
    pub(crate) fn issue_peer(&self, folder: &Path, stem: &str, names: &[&str]) {
        self.set.authority.issue(names, Usage::Both).unwrap().write(folder, stem).unwrap();
    }

    /// What a server of the tests shows, with its key.
    pub(crate) fn server_config(&self) -> Arc<rustls::ServerConfig> {
        server_config(&self.path("server.pem"), &self.path("server.key"))
    }

    /// A client that trusts this authority only, with a certificate of its own or without.
    pub(crate) fn client_config(&self, identity: Option<&str>) -> Arc<ClientConfig> {
        let roots = tls::load_roots(&self.path("ca.pem")).unwrap();
        let builder =
            ClientConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(stem) => {
                let (chain, key) = load(&self.path(&format!("{stem}.pem")), &self.path(&format!("{stem}.key")));
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

/// What a server shows that has these files.
pub(crate) fn server_config(cert: &Path, key: &Path) -> Arc<rustls::ServerConfig> {
    let (chain, key) = load(cert, key);
    let builder =
        rustls::ServerConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn load(cert: &Path, key: &Path) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(cert).unwrap().map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(key).unwrap())
}
