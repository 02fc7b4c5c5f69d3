//! What a configuration needs from files: certificates, keys, targets of probes. Read as a whole before any of it is used, so
//! that a bad file changes nothing.

use std::sync::Arc;

use thiserror::Error;

use crate::config::{Config, InternalListener};
use crate::credentials::{KeyFileError, Keyring, TicketKeyError, TicketKeys};
use crate::http::internal::{Access, TokenFileError};
use crate::peer::PeerTls;
use crate::probe::{Planner, Target, TargetError};
use crate::tls::{ReloadableServer, TlsFileError};

/// Why the files of a configuration cannot be used.
#[derive(Debug, Error)]
pub enum MaterialError {
    /// A certificate, key or authority.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// The keys of the affinity cookie.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The bearer tokens of the internal listener.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The keys that sign tickets.
    #[error(transparent)]
    TicketKeys(#[from] TicketKeyError),
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
    /// Who is let in on the internal listener, where there is one.
    pub(super) access: Option<Access>,
    pub(super) ticket_keys: TicketKeys,
    pub(super) targets: Vec<Arc<Target>>,
}

impl Material {
    /// Reads it. The planner keeps the TLS clients of the probes from one configuration to the next.
    pub(super) fn load(config: &Config, planner: &mut Planner) -> Result<Self, MaterialError> {
        let keyring = match &config.affinity.key_file {
            Some(path) => Keyring::load(path)?,
            None => Keyring::ephemeral()?,
        };
        let access = config.listen.internal.as_ref().map(Access::load).transpose()?;
        let algorithm = config.ticket.algorithm;
        let ticket_keys = match &config.ticket.key_file {
            Some(path) => TicketKeys::load(path, algorithm)?,
            None => TicketKeys::ephemeral(algorithm)?,
        };
        Ok(Self { keyring, access, ticket_keys, targets: planner.plan(config)? })
    }
}

/// The TLS of the listeners.
pub(super) struct Faces {
    pub(super) public: Option<ReloadableServer>,
    pub(super) internal: Option<ReloadableServer>,
    pub(super) peer: Option<Arc<PeerTls>>,
}

impl Faces {
    /// Reads the certificates of all listeners.
    pub(super) fn load(config: &Config) -> Result<Self, TlsFileError> {
        let public = config.listen.public.tls.as_ref();
        let internal =
            |it: &InternalListener| ReloadableServer::internal(&it.tls.cert, &it.tls.key, it.client_ca.as_deref());
        Ok(Self {
            public: public.map(|tls| ReloadableServer::public(&tls.cert, &tls.key)).transpose()?,
            internal: config.listen.internal.as_ref().map(internal).transpose()?,
            peer: config.listen.peer.as_ref().map(PeerTls::load).transpose()?.map(Arc::new),
        })
    }

    /// Takes over what `fresh` has read. The listeners go on; new connections see the new certificates. Says whether peers
    /// must be linked anew to see them.
    pub(super) fn take_over(&self, fresh: &Self) -> bool {
        for (own, fresh) in [(&self.public, &fresh.public), (&self.internal, &fresh.internal)] {
            if let (Some(own), Some(fresh)) = (own, fresh) {
                own.show(fresh);
            }
        }
        self.peer.iter().zip(&fresh.peer).any(|(own, fresh)| own.take_over(fresh))
    }

    /// Each with its listener's name.
    pub(super) fn by_listener(&self) -> Vec<(&'static str, ReloadableServer)> {
        let public = self.public.iter().map(|face| ("public", face.clone()));
        let internal = self.internal.iter().map(|face| ("internal", face.clone()));
        let peer = self.peer.iter().map(|face| ("peer", face.server().clone()));
        public.chain(internal).chain(peer).collect()
    }
}
