//! The certificates of a director among its peers: shown when it is dialled and when it dials, believed by the same authorities.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::PeerListener;
use crate::tls::{ReloadableServer, TlsFileError, client_config, load_roots};

/// Both sides of `[listen.peer]`. No session is resumed on either: a replaced certificate is seen on the next link.
pub struct PeerTls {
    server: ReloadableServer,
    accepting: Arc<ServerConfig>,
    dialling: ArcSwap<Dialling>,
}

struct Dialling {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

impl PeerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one is refused.
    pub fn load(listener: &PeerListener) -> Result<Self, TlsFileError> {
        let files = &listener.tls;
        let server = ReloadableServer::peer(&files.identity.cert, &files.identity.key, &files.client_ca)?;
        let roots = load_roots(&files.client_ca)?;
        let config = Arc::new(client_config(Arc::clone(&roots), Some(&server.identity()), &[b"http/1.1"])?);
        let accepting = Arc::new(server.config());
        Ok(Self { server, accepting, dialling: ArcSwap::from_pointee(Dialling { config, roots }) })
    }

    /// Shows and believes from now on what `fresh` has read. Says whether that is anything new: then open links must be closed.
    pub fn take_over(&self, fresh: &Self) -> bool {
        let (old, new) = (self.dialling.load(), fresh.dialling.load_full());
        let renewed = old.roots.roots != new.roots.roots || !self.server.identity().is_same(&fresh.server.identity());
        self.server.show(&fresh.server);
        self.dialling.store(new);
        renewed
    }

    /// The listener's side, for the report of certificates.
    #[must_use]
    pub fn server(&self) -> &ReloadableServer {
        &self.server
    }

    pub(super) fn accepting(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.accepting)
    }

    pub(super) fn dialling(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.dialling.load().config)
    }
}
