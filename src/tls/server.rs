//! The TLS side of a listener, whose certificate and authorities change while it listens.
//!
//! The `ServerConfig` is made once and handed to the listener; certificate and client authorities are looked up for each
//! handshake behind one swap. Connections that stand are not touched.
//!
//! Resumption would defeat that: a client with a ticket keeps the identity of its first handshake, on both sides. So the
//! internal and peer listeners have none (no session storage, no tickets). The public one asks for no client certificate; its
//! clients may resume, which spares agents a full handshake.
//!
//! An actix listener puts `h2` and `http/1.1` before the ALPN list that it is given; what is set here is for everybody else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, ServerSessionMemoryCache,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, SupportedProtocolVersion};

use super::authority::load_roots;
use super::identity::{Identity, TlsFileError};
use super::provider;

/// TLS 1.2 sessions that the public listener remembers; older ones make a full handshake.
const SESSIONS_REMEMBERED: usize = 10_000;
/// One ticket per handshake: browsers use one, and each costs a signature's worth of work.
const TICKETS: usize = 1;

/// The files of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who must show a certificate, and of which authorities.
    pub clients: ClientCertificates,
}

/// What a listener asks of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate is asked for: the public listener, or bearer tokens only.
    None,
    /// A certificate of these authorities is verified; without one the client may still come, with a bearer token.
    Optional(PathBuf),
    /// Nobody comes without a certificate of these authorities: peers.
    Required(PathBuf),
}

impl ClientCertificates {
    fn authorities(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}

/// A listener's TLS, shared by the listener and whoever reloads it.
#[derive(Debug, Clone)]
pub struct ReloadableServer {
    face: Arc<ArcSwap<Face>>,
    config: Arc<ServerConfig>,
}

impl ReloadableServer {
    /// For browsers and API clients: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, resumption, no client certificates.
    ///
    /// # Errors
    /// When the files are refused.
    pub fn public(cert: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let files = ServerFiles { cert: cert.to_owned(), key: key.to_owned(), clients: ClientCertificates::None };
        let mut server = Self::new(files, rustls::ALL_VERSIONS, &[b"h2", b"http/1.1"])?;
        let config = Arc::make_mut(&mut server.config);
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_REMEMBERED);
        config.ticketer =
            rustls::crypto::ring::Ticketer::new().map_err(|error| TlsFileError::Setup(error.to_string()))?;
        config.send_tls13_tickets = TICKETS;
        Ok(server)
    }

    /// For servers and operators: TLS 1.2 and 1.3, a client certificate of `client_ca` is verified but not demanded.
    ///
    /// # Errors
    /// When the files are refused.
    pub fn internal(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, TlsFileError> {
        let clients = client_ca.map_or(ClientCertificates::None, |ca| ClientCertificates::Optional(ca.to_owned()));
        let files = ServerFiles { cert: cert.to_owned(), key: key.to_owned(), clients };
        Self::new(files, rustls::ALL_VERSIONS, &[b"h2", b"http/1.1"])
    }

    /// For directors: TLS 1.3, a client certificate of `client_ca` is demanded; HTTP/1.1, which WebSocket needs.
    ///
    /// # Errors
    /// When the files are refused.
    pub fn peer(cert: &Path, key: &Path, client_ca: &Path) -> Result<Self, TlsFileError> {
        let clients = ClientCertificates::Required(client_ca.to_owned());
        let files = ServerFiles { cert: cert.to_owned(), key: key.to_owned(), clients };
        Self::new(files, &[&rustls::version::TLS13], &[b"http/1.1"])
    }

    fn new(
        files: ServerFiles,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> Result<Self, TlsFileError> {
        let face = Arc::new(ArcSwap::from_pointee(Face::load(files)?));
        let current = Arc::new(CurrentFace(Arc::clone(&face)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| TlsFileError::Setup(error.to_string()))?
            .with_client_cert_verifier(Arc::clone(&current) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(current);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { face, config: Arc::new(config) })
    }

    /// The configuration for the listener; stays good over every reload.
    #[must_use]
    pub fn config(&self) -> ServerConfig {
        ServerConfig::clone(&self.config)
    }

    /// Reads the same files again.
    ///
    /// # Errors
    /// When they are refused; nothing has changed then.
    pub fn reload(&self) -> Result<(), TlsFileError> {
        self.reload_from(self.face.load().files.clone())
    }

    /// Reads other files: the configuration names others now. What a listener demands of clients stays as strict as it was
    /// made: a peer listener keeps demanding certificates.
    ///
    /// # Errors
    /// When they are refused; nothing has changed then.
    pub fn reload_from(&self, files: ServerFiles) -> Result<(), TlsFileError> {
        let old = self.face.load();
        if old.demands_certificate() && !matches!(files.clients, ClientCertificates::Required(_)) {
            return Err(TlsFileError::Setup("a peer listener cannot stop demanding certificates".to_owned()));
        }
        self.face.store(Arc::new(Face::load(files)?));
        Ok(())
    }

    /// Shows from now on what `fresh` has read, to new connections.
    pub fn show(&self, fresh: &Self) {
        self.face.store(fresh.face.load_full());
    }

    /// The identity that is shown now.
    #[must_use]
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.face.load().identity)
    }
}

/// What a handshake needs, replaced as a whole.
#[derive(Debug)]
struct Face {
    files: ServerFiles,
    identity: Arc<Identity>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Face {
    fn load(files: ServerFiles) -> Result<Self, TlsFileError> {
        let identity = Arc::new(Identity::load(&files.cert, &files.key)?);
        let clients = files.clients.authorities().map(verifier).transpose()?;
        Ok(Self { files, identity, clients })
    }

    fn demands_certificate(&self) -> bool {
        matches!(self.files.clients, ClientCertificates::Required(_))
    }
}

fn verifier(authorities: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsFileError> {
    WebPkiClientVerifier::builder_with_provider(load_roots(authorities)?, provider())
        .build()
        .map_err(|error| TlsFileError::Setup(error.to_string()))
}

/// Asks the face that is current at each step of a handshake. A reload in the middle of one may be seen between two steps;
/// then the newer authorities decide, which is what a reload is for.
#[derive(Debug)]
struct CurrentFace(Arc<ArcSwap<Face>>);

impl ResolvesServerCert for CurrentFace {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Every name gets the one certificate: there is no other tenant whose it could be.
        Some(Arc::clone(&self.0.load().identity.certified))
    }
}

impl ClientCertVerifier for CurrentFace {
    fn offer_client_auth(&self) -> bool {
        self.0.load().clients.is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.load().demands_certificate()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Hints would have to be borrowed from what a reload replaces. Without them a client offers the certificate it has.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.0.load().clients {
            Some(clients) => clients.verify_client_cert(end_entity, intermediates, now),
            None => Err(Error::General("client certificates are not accepted here".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
