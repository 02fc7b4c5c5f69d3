//! The authorities that are believed: from a file, or the system's.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;

use super::identity::{TlsFileError, content, load_certificates};

/// All authorities of a PEM file. Several are usual: during a change of authority the old and the new one stand side by side.
///
/// # Errors
/// When the file cannot be read, holds none, or one of them cannot be used.
pub fn load_roots(path: &Path) -> Result<Arc<RootCertStore>, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in load_certificates(path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| content(path, &format!("certificate {}: {error}", index + 1)))?;
    }
    Ok(Arc::new(roots))
}

/// The authorities that this system believes; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured. Reads the disk: not for a
/// thread that serves.
///
/// # Errors
/// When the system has none.
pub(super) fn system_roots() -> Result<Arc<RootCertStore>, TlsFileError> {
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold certificates that are too old to parse; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsFileError::NoRoots) } else { Ok(Arc::new(roots)) }
}
