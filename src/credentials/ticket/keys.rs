//! The keys that sign tickets: read from a PEM file, newest first, or made at start.
//!
//! A key brings its algorithm along: Ed25519 signs EdDSA, P-256 signs ES256. The first key signs and must be of the configured
//! algorithm; all of them verify, so that a file may hold both kinds while one replaces the other.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey, VerificationAlgorithm,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde::Serialize;
use thiserror::Error;

use super::SignError;
use crate::config::TicketAlgorithm;
use crate::credentials::secret_file::{SecretFileError, read_secret};

/// Most keys in a file: a rotation needs two, for as long as a ticket lives.
const KEYS_MAX: usize = 16;

/// Why a key file cannot be used. Never holds a part of a key.
#[derive(Debug, Error)]
pub enum TicketKeyError {
    /// The file cannot be read or is open to every user.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// No key in PKCS#8 PEM.
    #[error(
        "{}: holds no private key in PKCS#8 PEM; make one: openssl genpkey -algorithm {} -out {}",
        path.display(), openssl_name(*algorithm), path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
        /// What would be needed.
        algorithm: TicketAlgorithm,
    },
    /// One section of the file is no such key.
    #[error("{}: section {number}: {fault}", path.display())]
    Section {
        /// The file.
        path: PathBuf,
        /// Which section, from 1.
        number: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The key that would sign is of the other kind.
    #[error(
        "{}: the first key signs, and is for {}; ticket.algorithm says {}",
        path.display(), name_of(*found), name_of(*wanted)
    )]
    Algorithm {
        /// The file.
        path: PathBuf,
        /// What the key signs.
        found: TicketAlgorithm,
        /// What is configured.
        wanted: TicketAlgorithm,
    },
    /// No key could be made.
    #[error("the system gives no randomness for a ticket key")]
    Random,
}

/// What `openssl genpkey -algorithm` is given.
fn openssl_name(algorithm: TicketAlgorithm) -> &'static str {
    match algorithm {
        TicketAlgorithm::EdDsa => "ed25519",
        TicketAlgorithm::Es256 => "EC -pkeyopt ec_paramgen_curve:P-256",
    }
}

/// The algorithm as RFC 7518 and RFC 8037 name it.
fn name_of(algorithm: TicketAlgorithm) -> &'static str {
    match algorithm {
        TicketAlgorithm::EdDsa => "EdDSA",
        TicketAlgorithm::Es256 => "ES256",
    }
}

/// The keys in force and the document that servers verify with.
pub struct TicketKeys {
    /// Never empty; the first one signs.
    keys: Vec<TicketKey>,
    jwks: Bytes,
}

impl TicketKeys {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`TicketKeyError`] names the file and the section.
    pub fn load(path: &Path, algorithm: TicketAlgorithm) -> Result<Self, TicketKeyError> {
        Self::parse(path, read_secret(path)?.text.as_bytes(), algorithm)
    }

    /// Reads the text of a key file; `path` is for messages.
    ///
    /// # Errors
    /// See [`Self::load`].
    pub fn parse(path: &Path, text: &[u8], algorithm: TicketAlgorithm) -> Result<Self, TicketKeyError> {
        let mut keys: Vec<TicketKey> = Vec::new();
        for (section, number) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text).zip(1..) {
            let fault = |fault| TicketKeyError::Section { path: path.to_owned(), number, fault };
            let (kind, der) = section.map_err(|_| fault("is no PEM"))?;
            match kind {
                SectionKind::PrivateKey => {}
                SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey => {
                    return Err(fault("is not PKCS#8; convert it: openssl pkcs8 -topk8 -nocrypt"));
                }
                // A certificate or public key beside its key is harmless.
                _ => continue,
            }
            let pair = Pair::from_pkcs8(&der).ok_or_else(|| fault("is neither an Ed25519 nor a P-256 key"))?;
            let key = TicketKey::new(pair).ok_or_else(|| fault("cannot be written as a JWK"))?;
            if keys.iter().any(|known| known.kid == key.kid) {
                return Err(fault("repeats a key that stands before it"));
            }
            if keys.len() == KEYS_MAX {
                return Err(fault("is one key too many"));
            }
            keys.push(key);
        }
        match keys.first().map(TicketKey::algorithm) {
            None => Err(TicketKeyError::Empty { path: path.to_owned(), algorithm }),
            Some(found) if found != algorithm => {
                Err(TicketKeyError::Algorithm { path: path.to_owned(), found, wanted: algorithm })
            }
            Some(_) => Ok(Self::of(keys)),
        }
    }

    /// One key, made now. Its tickets are worth nothing to a server that fetched another director's keys.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn ephemeral(algorithm: TicketAlgorithm) -> Result<Self, TicketKeyError> {
        let random = SystemRandom::new();
        let document = match algorithm {
            TicketAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
            TicketAlgorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        };
        let document = document.map_err(|_| TicketKeyError::Random)?;
        let key = Pair::from_pkcs8(document.as_ref()).and_then(TicketKey::new).ok_or(TicketKeyError::Random)?;
        Ok(Self::of(vec![key]))
    }

    fn of(keys: Vec<TicketKey>) -> Self {
        let set = Jwks { keys: keys.iter().map(|key| &key.jwk).collect() };
        let jwks = serde_json::to_vec(&set).map(Bytes::from).unwrap_or_else(|_| Bytes::from_static(b"{\"keys\":[]}"));
        Self { keys, jwks }
    }

    /// The key that signs.
    pub(super) fn signing(&self) -> &TicketKey {
        &self.keys[0]
    }

    /// The key of this name.
    pub(super) fn find(&self, kid: &str) -> Option<&TicketKey> {
        self.keys.iter().find(|key| &*key.kid == kid)
    }

    /// What the first key signs.
    #[must_use]
    pub fn algorithm(&self) -> TicketAlgorithm {
        self.signing().algorithm()
    }

    /// The names of the keys, the one that signs first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &*key.kid)
    }

    /// The public halves of all keys (RFC 7517).
    pub(super) fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// One key with everything that does not depend on the ticket.
pub(super) struct TicketKey {
    kid: Box<str>,
    pair: Pair,
    /// The encoded header and its dot: the same for every ticket of this key.
    head: Box<str>,
    jwk: Jwk,
}

impl TicketKey {
    fn new(pair: Pair) -> Option<Self> {
        let (thumbprint, mut jwk) = pair.jwk()?;
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, thumbprint.as_bytes()));
        let alg = name_of(pair.algorithm());
        jwk.kid.clone_from(&kid);
        let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#));
        Some(Self { kid: kid.into(), pair, head: format!("{head}.").into(), jwk })
    }

    pub(super) fn head(&self) -> &str {
        &self.head
    }

    pub(super) fn algorithm(&self) -> TicketAlgorithm {
        self.pair.algorithm()
    }

    /// The value of `alg` that a ticket of this key must have.
    pub(super) fn algorithm_name(&self) -> &'static str {
        name_of(self.algorithm())
    }

    pub(super) fn sign(&self, message: &[u8], random: &SystemRandom) -> Result<[u8; 64], SignError> {
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message),
            Pair::P256(pair) => pair.sign(random, message).map_err(|_| SignError)?,
        };
        // Both kinds are two numbers of 32 bytes.
        signature.as_ref().try_into().map_err(|_| SignError)
    }

    pub(super) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        let (algorithm, public): (&'static dyn VerificationAlgorithm, &[u8]) = match &self.pair {
            Pair::Ed25519(pair) => (&ED25519, pair.public_key().as_ref()),
            Pair::P256(pair) => (&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()),
        };
        UnparsedPublicKey::new(algorithm, public).verify(message, signature).is_ok()
    }
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Pair {
    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // OpenSSL writes Ed25519 keys without their public half, which is then computed; one that is there is checked.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Some(Self::Ed25519(pair));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new()).ok().map(Self::P256)
    }

    fn algorithm(&self) -> TicketAlgorithm {
        match self {
            Self::Ed25519(_) => TicketAlgorithm::EdDsa,
            Self::P256(_) => TicketAlgorithm::Es256,
        }
    }

    /// What RFC 7638 hashes (required members in order of name, no blanks), and the JWK without its name.
    fn jwk(&self) -> Option<(String, Jwk)> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = |kty, crv, alg, x, y| Jwk { kty, crv, x, y, kid: String::new(), alg, usage: "sig" };
        match self {
            Self::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                Some((thumbprint, jwk("OKP", "Ed25519", name_of(TicketAlgorithm::EdDsa), x, None)))
            }
            Self::P256(pair) => {
                // SEC 1: 4, then x and y of 32 bytes each.
                let (x, y) = pair.public_key().as_ref().strip_prefix(&[4])?.split_at_checked(32)?;
                let (x, y) = (encode(x), encode(y));
                let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                Some((thumbprint, jwk("EC", "P-256", name_of(TicketAlgorithm::Es256), x, Some(y))))
            }
        }
    }
}

#[derive(Serialize)]
struct Jwks<'a> {
    keys: Vec<&'a Jwk>,
}

/// A public key as RFC 7517, 7518 and 8037 write it.
#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
}
