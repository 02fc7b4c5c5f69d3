//! A certificate chain with its private key, as listeners show it and clients present it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use maitred_core::clock::Time;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::subject_names;
use super::provider;
use crate::credentials::secret_file::{SecretFileError, read_secret};

/// Longest certificate file that is read, in bytes: a system's whole bundle has about 250 KiB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why certificate files were refused.
#[derive(Debug, Error)]
pub enum TlsFileError {
    /// A file could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file could not be read, or is open to every user.
    #[error(transparent)]
    Key(#[from] SecretFileError),
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Certificate and key are not a pair: often one of them was replaced and the other not yet.
    #[error("{} and {} are not a pair: the key belongs to another certificate", cert.display(), key.display())]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// No authority to believe.
    #[error("no authority is known: this system has no certificates of its own; name one with ca")]
    NoRoots,
    /// The parts do not make a configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// A certificate chain, its private key, and what the leaf says of itself.
pub struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: Time,
    not_after: Time,
}

impl Identity {
    /// Loads a pair of PEM files: the chain, leaf first, and the key (PKCS#8, SEC1 or PKCS#1).
    ///
    /// # Errors
    /// When a file cannot be read or parsed, the key is open to every user, or the two are not a pair.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let chain = load_certificates(cert)?;
        let key_pem = read_secret(key)?.text;
        let key_der = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|_| content(key, "holds no private key in PEM (PKCS#8, SEC1 or PKCS#1)"))?;
        let leaf = chain.first().ok_or_else(|| content(cert, "holds no certificate"))?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|_| content(cert, "its first certificate is malformed"))?;
        let names = subject_names(&parsed);
        let moment = |time: x509_parser::time::ASN1Time| Time(u64::try_from(time.timestamp()).unwrap_or(0) * 1000);
        let (not_before, not_after) = (moment(parsed.validity().not_before), moment(parsed.validity().not_after));
        let certified = CertifiedKey::from_der(chain, key_der, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsFileError::Mismatch { cert: cert.to_owned(), key: key.to_owned() },
            other => content(key, &format!("cannot be used: {other}")),
        })?;
        Ok(Self { certified: Arc::new(certified), names, not_before, not_after })
    }

    /// Whether the other one shows the same chain.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// DNS names and addresses of the leaf, as `check` shows them.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a client that asks for this host name or address will accept the leaf.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let (Ok(name), Some(leaf)) = (ServerName::try_from(host), self.certified.cert.first()) else { return false };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, &name).is_ok())
    }

    /// When the leaf becomes valid.
    #[must_use]
    pub fn not_before(&self) -> Time {
        self.not_before
    }

    /// When the leaf expires.
    #[must_use]
    pub fn not_after(&self) -> Time {
        self.not_after
    }

    /// A reason to warn about the leaf's validity at `wall` (the machine's clock, not the director's own), if there is one.
    #[must_use]
    pub fn validity_warning(&self, wall: Time, ahead: Duration) -> Option<ValidityWarning> {
        match () {
            () if wall < self.not_before => Some(ValidityWarning::NotYetValid),
            () if wall > self.not_after => Some(ValidityWarning::Expired),
            () if wall + ahead > self.not_after => Some(ValidityWarning::ExpiresIn(self.not_after.since(wall))),
            () => None,
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a leaf's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidityWarning {
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// Its time is over soon.
    ExpiresIn(Duration),
}

impl fmt::Display for ValidityWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYetValid => f.write_str("is not valid yet"),
            Self::Expired => f.write_str("has expired"),
            Self::ExpiresIn(left) => write!(f, "expires in {} days", left.as_secs() / (24 * 3600)),
        }
    }
}

/// All certificates of a PEM file, at least one.
pub(super) fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read_error = |source| TlsFileError::Read { path: path.to_owned(), source };
    let mut pem = Vec::new();
    File::open(path).map_err(read_error)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut pem).map_err(read_error)?;
    if pem.len() as u64 > FILE_BYTES_MAX {
        return Err(content(path, "is longer than 4 MiB; is this the right file?"));
    }
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| content(path, &format!("is not PEM: {error}")))?;
    if certificates.is_empty() { Err(content(path, "holds no certificate in PEM")) } else { Ok(certificates) }
}

pub(super) fn content(path: &Path, problem: &str) -> TlsFileError {
    TlsFileError::Content { path: path.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certificates::{DevAuthority, Usage};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_pair_tells_its_names_and_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let leaf =
            DevAuthority::create().unwrap().issue(&["*.agents.test", "10.1.0.11", "::1"], Usage::Server).unwrap();
        let (cert, key) = leaf.write(folder.path(), "public").unwrap();
        let identity = Identity::load(&cert, &key).unwrap();
        assert_eq!(identity.names(), ["*.agents.test", "10.1.0.11", "::1"]);
        for (host, covered) in [
            ("ua1.agents.test", true),
            ("a.b.agents.test", false),
            ("agents.test", false),
            ("10.1.0.11", true),
            ("[::1]", true),
            ("10.1.0.12", false),
            ("no name", false),
        ] {
            assert_eq!(identity.covers(host), covered, "{host}");
        }
        let (from, to) = (identity.not_before(), identity.not_after());
        assert_eq!(identity.validity_warning(from + DAY, DAY), None);
        assert_eq!(identity.validity_warning(from - DAY, DAY), Some(ValidityWarning::NotYetValid));
        assert_eq!(identity.validity_warning(to + DAY, DAY), Some(ValidityWarning::Expired));
        assert_eq!(identity.validity_warning(to - DAY, DAY * 14), Some(ValidityWarning::ExpiresIn(DAY)));
    }

    #[test]
    fn what_is_no_pair_is_refused_and_both_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create().unwrap();
        let (cert, _) = authority.issue(&["a.test"], Usage::Server).unwrap().write(folder.path(), "a").unwrap();
        let (_, key) = authority.issue(&["b.test"], Usage::Server).unwrap().write(folder.path(), "b").unwrap();
        let refused = Identity::load(&cert, &key).unwrap_err().to_string();
        assert!(refused.contains("a.pem") && refused.contains("b.key") && refused.contains("not a pair"), "{refused}");
    }

    #[test]
    fn bad_files_are_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let leaf = DevAuthority::create().unwrap().issue(&["a.test"], Usage::Server).unwrap();
        let (cert, key) = leaf.write(folder.path(), "a").unwrap();
        let refusal = |cert: &Path, key: &Path| Identity::load(cert, key).unwrap_err().to_string();

        assert!(refusal(&folder.path().join("none.pem"), &key).contains("none.pem: cannot be read"));
        assert!(refusal(&key, &key).contains("a.key: holds no certificate"));
        assert!(refusal(&cert, &cert).contains("chmod 600"), "a world-readable key is refused whatever it holds");
        let half = folder.path().join("half.pem");
        fs::write(&half, &leaf.cert[..leaf.cert.len() / 2]).unwrap();
        assert!(refusal(&half, &key).contains("half.pem: is not PEM"), "{}", refusal(&half, &key));
        fs::write(&half, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refusal(&half, &key).contains("malformed"));
        fs::set_permissions(&half, fs::Permissions::from_mode(0o600)).unwrap();
        let refused = refusal(&cert, &half);
        assert!(refused.contains("half.pem: holds no private key"), "{refused}");
    }
}
