//! TLS: who we are, whom we believe, and how both change without dropping a connection.
//!
//! Owns certificate files, the server configurations of the listeners, the client configuration of the probes, and the words
//! for what went wrong in a handshake. Refuses to know what is said over a connection and what a name may do.
//!
//! ```text
//! identity (chain + key) ─┐
//! authority (client_ca) ──┴─> server::ReloadableServer ──> ServerConfig of a listener
//! roots (ca, or the system's) ──> client::client_config ──> ClientConfig of a probe ──> fault::TlsFault
//! ```

pub mod authority;
pub mod client;
pub mod fault;
pub mod identity;
pub mod names;
pub mod server;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

pub use authority::load_roots;
pub use client::{Roots, client_config};
pub use fault::{TlsFailure, TlsFault};
pub use identity::{Identity, TlsFileError};
pub use names::{client_identities, client_names, dns_names};
pub use server::{ClientCertificates, ReloadableServer, ServerFiles};

/// The one cryptography of the process: ring. Given explicitly everywhere, so that nothing depends on who installed what first.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}
