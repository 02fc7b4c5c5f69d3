//! What a configuration needs from files: certificates, keys, targets of probes. Read as a whole before any of it is used, so
//! that a bad file changes nothing.

use std::sync::Arc;

use maitred_core::clock::Time;
use thiserror::Error;
use tracing::warn;

use crate::config::{Config, InternalListener};
use crate::credentials::{KeyFileError, Keyring};
use crate::probe::{Planner, Target, TargetError};
use crate::tls::{Identity, ReloadableServer, TlsFileError};

/// How long before its end a certificate is warned about.
const EXPIRY_WARNING: std::time::Duration = std::time::Duration::from_hours(14 * 24);

/// Why the files of a configuration cannot be used.
#[derive(Debug, Error)]
pub enum MaterialError {
    /// A certificate, key or authority.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// The keys of the affinity cookie.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// A server that cannot be looked at.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// Everything read from files but the listeners' own TLS.
pub(super) struct Material {
    pub(super) keyring: Keyring,
    pub(super) targets: Vec<Arc<Target>>,
}

impl Material {
    /// Reads it. The planner keeps the TLS clients of the probes from one configuration to the next.
    pub(super) fn load(config: &Config, planner: &mut Planner) -> Result<Self, MaterialError> {
        let keyring = match &config.affinity.key_file {
            Some(path) => Keyring::load(path)?,
            None => Keyring::ephemeral()?,
        };
        Ok(Self { keyring, targets: planner.plan(config)? })
    }
}

/// The TLS of the listeners.
pub(super) struct Faces {
    pub(super) public: ReloadableServer,
    pub(super) internal: Option<ReloadableServer>,
}

impl Faces {
    /// Reads the certificates of all listeners.
    pub(super) fn load(config: &Config) -> Result<Self, TlsFileError> {
        let public = &config.listen.public.tls;
        let internal =
            |it: &InternalListener| ReloadableServer::internal(&it.tls.cert, &it.tls.key, it.client_ca.as_deref());
        Ok(Self {
            public: ReloadableServer::public(&public.cert, &public.key)?,
            internal: config.listen.internal.as_ref().map(internal).transpose()?,
        })
    }

    /// Takes over what `fresh` has read. The listeners go on; new connections see the new certificates.
    pub(super) fn take_over(&self, fresh: &Self) {
        self.public.show(&fresh.public);
        if let (Some(own), Some(fresh)) = (&self.internal, &fresh.internal) {
            own.show(fresh);
        }
    }

    /// Says which certificates end soon, or have ended.
    pub(super) fn warn_of_expiry(&self, wall: Time) {
        let internal = self.internal.as_ref().map(|face| ("internal", face.identity()));
        for (listener, identity) in std::iter::once(("public", self.public.identity())).chain(internal) {
            warn_of(listener, &identity, wall);
        }
    }
}

fn warn_of(listener: &str, identity: &Identity, wall: Time) {
    if let Some(warning) = identity.validity_warning(wall, EXPIRY_WARNING) {
        warn!(listener, %warning, "certificate");
    }
}
