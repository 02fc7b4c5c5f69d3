//! How a probe, a command or a peer link speaks TLS to somebody else.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

use super::authority::{load_roots, system_roots};
use super::identity::{Identity, TlsFileError};
use super::provider;

/// Which authorities are believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Roots {
    /// Those of this PEM file, and no others.
    File(PathBuf),
    /// Those that the system believes.
    System,
}

impl Roots {
    /// Reads them. Reads the disk: load once per configuration, not per connection.
    ///
    /// # Errors
    /// When the file is refused, or the system has none.
    pub fn load(&self) -> Result<Arc<RootCertStore>, TlsFileError> {
        match self {
            Self::File(path) => load_roots(path),
            Self::System => system_roots(),
        }
    }
}

/// A client's configuration: TLS 1.2 and 1.3, names verified, `identity` shown when the other side asks.
///
/// Without resumption: a resumed connection keeps the identity of the first one, and a certificate that was replaced or has
/// expired would not be seen. `alpn` in order of preference, for example `[b"http/1.1"]`.
///
/// # Errors
/// When the parts do not make a configuration.
pub fn client_config(
    roots: Arc<RootCertStore>,
    identity: Option<&Identity>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, TlsFileError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFileError::Setup(error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(&identity.certified)))),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}
