//! What is looked at: one server's checks, with everything prepared that is the same for each look.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use maitred_core::ids::{PoolName, ServerName};
use rustls::ClientConfig;
use thiserror::Error;

use crate::config::{self, Host, ProbeKind, ServerEdge, StatusSet};
use crate::tls::TlsFileError;

/// One server and what is asked of it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The pool, for metrics.
    pub pool: PoolName,
    /// The server. A report that names another one is a failure.
    pub server: ServerName,
    /// Time between two looks in normal times; the first look of each server falls somewhere within it.
    pub interval: Duration,
    /// The deadline of one look: name, connection, TLS, headers and body together.
    pub timeout: Duration,
    /// All must pass. In the order of the configuration, the main one first.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone)]
pub struct Check {
    /// `None` is the main one.
    pub name: Option<String>,
    /// The host to dial.
    pub host: Host,
    /// The port to dial.
    pub port: u16,
    /// What is asked there.
    pub ask: Ask,
}

/// What a check asks.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Nothing: a connection that is accepted is good.
    Tcp,
    /// CPing, to be answered by CPong.
    Ajp,
    /// GET, and a status that is expected.
    Http(Box<HttpAsk>),
}

/// A GET.
#[derive(Debug, Clone)]
pub struct HttpAsk {
    /// Path and query.
    pub uri: Uri,
    /// The Host header: that of the server's `url`, whatever is dialled.
    pub host: HeaderValue,
    /// Statuses that are good.
    pub expect: StatusSet,
    /// Over TLS.
    pub tls: Option<TlsAsk>,
}

/// TLS of a check.
#[derive(Debug, Clone)]
pub struct TlsAsk {
    /// Shared by all servers with the same authorities. Must not resume sessions: a resumed one repeats the certificate that
    /// the server had before.
    pub config: Arc<ClientConfig>,
    /// SNI and the name that the certificate must cover: the host of the server's `url`.
    pub name: rustls_pki_types::ServerName<'static>,
}

/// Gives the TLS client for a file of authorities, or for the default ones.
pub type Clients<'a> = dyn FnMut(Option<&Path>) -> Result<Arc<ClientConfig>, TlsFileError> + 'a;

/// A server of the configuration that cannot be looked at.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The path is no request-target.
    #[error("the path of a check of server {0} cannot be asked for")]
    Path(ServerName),
    /// The host is no name that a certificate could cover.
    #[error("the host of server {0} can be neither a Host header nor a certificate's name")]
    Host(ServerName),
    /// The authorities that a check believes cannot be read.
    #[error(transparent)]
    Authorities(#[from] TlsFileError),
}

impl Target {
    /// From the configuration. `tls` is asked once per https check and should answer the same `Arc` for the same
    /// file.
    ///
    /// # Errors
    /// When `tls` fails, or a path or host cannot be sent; a checked configuration holds none of the latter.
    pub fn new(
        pool: &PoolName,
        server: &ServerName,
        edge: &ServerEdge,
        checks: &[config::Check],
        (interval, timeout): (Duration, Duration),
        tls: &mut Clients<'_>,
    ) -> Result<Self, TargetError> {
        let prepare = |check: &config::Check| -> Result<Check, TargetError> {
            let dialled = edge.target(check.probe);
            let ask = match check.probe {
                ProbeKind::Tcp => Ask::Tcp,
                ProbeKind::Ajp => Ask::Ajp,
                ProbeKind::Http | ProbeKind::Https => {
                    let wrong_host = |_| TargetError::Host(server.clone());
                    let name = edge.url.host().as_str().to_owned();
                    Ask::Http(Box::new(HttpAsk {
                        uri: check.path.as_str().parse().map_err(|_| TargetError::Path(server.clone()))?,
                        host: HeaderValue::try_from(edge.url.authority())
                            .map_err(|_| TargetError::Host(server.clone()))?,
                        expect: check.expect.clone(),
                        tls: match check.probe {
                            ProbeKind::Https => Some(TlsAsk {
                                config: tls(check.ca.as_deref())?,
                                name: name.try_into().map_err(wrong_host)?,
                            }),
                            ProbeKind::Http | ProbeKind::Tcp | ProbeKind::Ajp => None,
                        },
                    }))
                }
            };
            Ok(Check { name: check.name.clone(), host: dialled.host.clone(), port: dialled.port, ask })
        };
        let checks = checks.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { pool: pool.clone(), server: server.clone(), interval, timeout, checks })
    }
}

impl Check {
    /// Whether a connection that was made for `other` serves this check too: the same peer, verified in the same way.
    #[must_use]
    pub fn shares_wire_with(&self, other: &Self) -> bool {
        let same_ask = match (&self.ask, &other.ask) {
            (Ask::Tcp, Ask::Tcp) | (Ask::Ajp, Ask::Ajp) => true,
            (Ask::Http(one), Ask::Http(two)) => match (&one.tls, &two.tls) {
                (None, None) => true,
                (Some(one), Some(two)) => one.name == two.name && Arc::ptr_eq(&one.config, &two.config),
                (None, Some(_)) | (Some(_), None) => false,
            },
            (Ask::Tcp | Ask::Ajp | Ask::Http(_), _) => false,
        };
        same_ask && self.host == other.host && self.port == other.port
    }
}
