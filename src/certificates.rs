//! Throw-away certificates for development, the demo and tests: one authority, and leaves for whoever needs one.
//!
//! Writes the files that `example.toml` names. Not for production: the authority's key is forgotten when the process ends, so
//! nothing can be renewed. Knows nothing of how certificates are used; that is [`crate::tls`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use maitred_core::clock::{Time, millis};
use maitred_core::ids::DirectorName;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519,
};
use thiserror::Error;

use crate::credentials::KeyFileError;
use crate::credentials::key_file;
use crate::credentials::secret_file::{SecretFileError, write_secret};

/// How long a development certificate is valid; the longest that every platform still takes from an own authority.
const VALID_FOR: Duration = Duration::from_secs(820 * DAY_SECONDS);
/// How long it is valid already, for machines whose clocks differ.
const VALID_SINCE: Duration = Duration::from_secs(DAY_SECONDS);
const DAY_SECONDS: u64 = 24 * 3600;

/// Why certificates were not made.
#[derive(Debug, Error)]
pub enum DevCertificateError {
    /// Files are in the way.
    #[error("{} exists; nothing was written (use --force to replace the whole set)", path.display())]
    Exists {
        /// The first file in the way.
        path: PathBuf,
    },
    /// A file was not written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A secret file was not written.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The key file was not written.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// A name cannot stand in a certificate, or the system gives no randomness.
    #[error("certificate for {names}: {source}")]
    Make {
        /// The names that were asked for.
        names: String,
        /// What the generator said.
        source: rcgen::Error,
    },
}

/// What a leaf may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A listener or a server.
    Server,
    /// An operator.
    Client,
    /// A director among its peers, or a server that beats: both at once.
    Both,
}

/// A certificate chain and its key, PEM.
#[derive(Clone)]
pub struct DevLeaf {
    /// The certificate.
    pub cert: String,
    /// Its private key, PKCS#8. Secret.
    pub key: String,
}

impl DevLeaf {
    /// Writes `<stem>.pem` and `<stem>.key` (mode 0600) and says where.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<(PathBuf, PathBuf), DevCertificateError> {
        let (cert, key) = (folder.join(format!("{stem}.pem")), folder.join(format!("{stem}.key")));
        write_secret(&key, &self.key)?;
        write_public(&cert, &self.cert)?;
        Ok((cert, key))
    }
}

/// An authority that lives as long as this value.
pub struct DevAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl DevAuthority {
    /// A new authority. Its name carries a few random digits, for browsers confuse two authorities of one name.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create() -> Result<Self, DevCertificateError> {
        let make = || -> Result<Self, rcgen::Error> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            let mark: String = key.public_key_raw().iter().rev().take(3).map(|byte| format!("{byte:02x}")).collect();
            params.distinguished_name.push(DnType::CommonName, format!("maitred development authority {mark}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            (params.not_before, params.not_after) = validity(SystemTime::now());
            let pem = params.self_signed(&key)?.pem();
            Ok(Self { issuer: Issuer::new(params, key), pem })
        };
        make().map_err(|source| DevCertificateError::Make { names: "the authority".to_owned(), source })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A leaf that is valid now for these DNS names and IP addresses (ECDSA P-256).
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue<N: AsRef<str>>(&self, names: &[N], usage: Usage) -> Result<DevLeaf, DevCertificateError> {
        let now = SystemTime::now();
        self.issue_valid(names, usage, now - VALID_SINCE, now + VALID_FOR)
    }

    /// The same with a validity of its own, to try what happens outside of it.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue_valid<N: AsRef<str>>(
        &self,
        names: &[N],
        usage: Usage,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<DevLeaf, DevCertificateError> {
        let names: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
        let make = || -> Result<DevLeaf, rcgen::Error> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(names.clone())?;
            if let Some(first) = names.first() {
                params.distinguished_name.push(DnType::CommonName, first.as_str());
            }
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = match usage {
                Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
                Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
                Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            };
            params.use_authority_key_identifier_extension = true;
            (params.not_before, params.not_after) = (not_before.into(), not_after.into());
            Ok(DevLeaf { cert: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
        };
        make().map_err(|source| DevCertificateError::Make { names: names.join(", "), source })
    }
}

/// For whom certificates are made.
#[derive(Debug, Clone)]
pub struct DevNames {
    /// DNS names and addresses of the public listener.
    pub public: Vec<String>,
    /// Of the internal listener.
    pub internal: Vec<String>,
    /// Of the peer listener: the director's name must be one of them.
    pub peer: Vec<String>,
    /// Directors that are peers: each gets a certificate of its own, `peer-<name>`, with its name, those of `peer`, and no other
    /// director's.
    pub directors: Vec<DirectorName>,
    /// The DNS SAN by which the operator's client certificate is known.
    pub operator: String,
    /// Further server certificates by file stem, for example the agent servers of a test.
    pub servers: Vec<(String, Vec<String>)>,
}

impl Default for DevNames {
    /// Everything on this machine.
    fn default() -> Self {
        let local = || ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        Self {
            public: local(),
            internal: local(),
            peer: local(),
            directors: Vec::new(),
            operator: "operator.maitred.internal".to_owned(),
            servers: Vec::new(),
        }
    }
}

/// A written set of files.
pub struct DevCertificates {
    /// The folder.
    pub folder: PathBuf,
    /// The authority, to issue more while it lives.
    pub authority: DevAuthority,
}

impl DevCertificates {
    /// Writes the whole set: `ca.pem`, `public`, `internal`, `peer` and `operator` (`.pem` and `.key` each), the further servers,
    /// `affinity.keys` and `ticket.pem`. Secrets get mode 0600.
    ///
    /// # Errors
    /// When one of the files exists (then nothing is written), or cannot be written.
    pub fn create(folder: &Path, names: &DevNames) -> Result<Self, DevCertificateError> {
        let in_the_way = Self::files(names).into_iter().map(|file| folder.join(file)).find(|path| path.exists());
        match in_the_way {
            Some(path) => Err(DevCertificateError::Exists { path }),
            None => Self::replace(folder, names),
        }
    }

    /// The same, replacing what is there. Cookies that were sealed before are unknown afterwards.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn replace(folder: &Path, names: &DevNames) -> Result<Self, DevCertificateError> {
        fs::create_dir_all(folder).map_err(|source| DevCertificateError::Write { path: folder.to_owned(), source })?;
        let authority = DevAuthority::create()?;
        write_public(&folder.join("ca.pem"), authority.pem())?;
        authority.issue(&names.public, Usage::Server)?.write(folder, "public")?;
        authority.issue(&names.internal, Usage::Server)?.write(folder, "internal")?;
        authority.issue(&names.peer, Usage::Both)?.write(folder, "peer")?;
        for director in &names.directors {
            let own = std::iter::once(director.as_str()).chain(names.peer.iter().map(String::as_str));
            authority.issue(&own.collect::<Vec<_>>(), Usage::Both)?.write(folder, &peer_stem(director))?;
        }
        authority.issue(&[&names.operator], Usage::Client)?.write(folder, "operator")?;
        for (stem, server_names) in &names.servers {
            authority.issue(server_names, Usage::Both)?.write(folder, stem)?;
        }
        let ticket = KeyPair::generate_for(&PKCS_ED25519)
            .map_err(|source| DevCertificateError::Make { names: "tickets".to_owned(), source })?;
        write_secret(&folder.join("ticket.pem"), &ticket.serialize_pem())?;
        let keys = folder.join("affinity.keys");
        if keys.exists() {
            fs::remove_file(&keys).map_err(|source| DevCertificateError::Write { path: keys.clone(), source })?;
        }
        let wall = Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis));
        key_file::add(&keys, None, Duration::ZERO, wall)?;
        Ok(Self { folder: folder.to_owned(), authority })
    }

    /// A file of the set.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn files(names: &DevNames) -> Vec<String> {
        let stems = ["public", "internal", "peer", "operator"].into_iter().map(str::to_owned);
        let stems = stems.chain(names.directors.iter().map(peer_stem));
        let stems = stems.chain(names.servers.iter().map(|(stem, _)| stem.clone()));
        let pairs = stems.flat_map(|stem| [format!("{stem}.pem"), format!("{stem}.key")]);
        ["ca.pem", "ticket.pem", "affinity.keys"].into_iter().map(str::to_owned).chain(pairs).collect()
    }
}

/// The files of a director's own certificate for its peers.
#[must_use]
pub fn peer_stem(director: &DirectorName) -> String {
    format!("peer-{director}")
}

fn validity<M: From<SystemTime>>(now: SystemTime) -> (M, M) {
    ((now - VALID_SINCE).into(), (now + VALID_FOR).into())
}

fn write_public(path: &Path, text: &str) -> Result<(), DevCertificateError> {
    fs::write(path, text).map_err(|source| DevCertificateError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::TicketAlgorithm;
    use crate::credentials::{Keyring, TicketKeys};
    use crate::tls::Identity;

    #[test]
    fn the_set_is_complete_private_and_never_overwritten_by_accident() {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("certs");
        let names = DevNames {
            servers: vec![("ua1".into(), vec!["ua1.test".into()])],
            directors: ["east-1", "west-1"].map(|name| name.parse().unwrap()).to_vec(),
            ..DevNames::default()
        };
        let set = DevCertificates::create(&certs, &names).unwrap();
        for file in DevCertificates::files(&names) {
            let mode = fs::metadata(set.path(&file)).unwrap().permissions().mode() & 0o777;
            let secret = !file.ends_with(".pem") || file == "ticket.pem";
            assert_eq!(secret, mode == 0o600, "{file} has mode {mode:o}");
        }
        assert_eq!(fs::read_dir(&certs).unwrap().count(), DevCertificates::files(&names).len());
        assert!(Keyring::load(&set.path("affinity.keys")).is_ok());
        assert!(TicketKeys::load(&set.path("ticket.pem"), TicketAlgorithm::EdDsa).is_ok());
        let shown = Identity::load(&set.path("peer-west-1.pem"), &set.path("peer-west-1.key")).unwrap();
        let shown = shown.names();
        assert!(shown.contains(&"west-1".to_owned()) && !shown.contains(&"east-1".to_owned()), "{shown:?}");

        let before = fs::read(set.path("public.pem")).unwrap();
        assert!(matches!(DevCertificates::create(&certs, &names), Err(DevCertificateError::Exists { .. })));
        assert_eq!(fs::read(set.path("public.pem")).unwrap(), before);
        DevCertificates::replace(&certs, &names).unwrap();
        assert_ne!(fs::read(set.path("public.pem")).unwrap(), before);
    }

    #[test]
    fn a_server_may_show_its_certificate_to_a_director_too() {
        let folder = tempfile::tempdir().unwrap();
        let names = DevNames { servers: vec![("ua1".into(), vec!["ua1.test".into()])], ..DevNames::default() };
        let set = DevCertificates::create(folder.path(), &names).unwrap();
        let pem = fs::read(set.path("ua1.pem")).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth, "{usage:?}");
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_certificate_is_named() {
        let refused = DevAuthority::create().unwrap().issue(&["münchen"], Usage::Server).err().unwrap().to_string();
        assert!(refused.contains("münchen"), "{refused}");
    }
}
