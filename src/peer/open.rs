//! Opens a link from either side: TCP, TLS with certificates on both sides, WebSocket. Nothing about sessions is said before.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use maitred_core::ids::DirectorName;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::Message as Frame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use super::closing::Closing;
use super::frame::{PATH, limits};
use super::identity::Stranger;
use super::tls::PeerTls;
use crate::config::Peer;
use crate::tls::{client_names, dns_names};

/// From the first packet to the WebSocket.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// How long the other side gets to read why it is closed.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// A link, opened by either side.
pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Why no link was opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It took too long.
    #[error("no link within {} s", OPEN_MAX.as_secs())]
    Late,
    /// No connection, or no TLS on it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// No WebSocket.
    #[error("WebSocket: {0}")]
    WebSocket(String),
    /// A certificate that stands for nobody here.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// The peer's name cannot stand in a certificate.
    #[error("the name cannot be a DNS name in a certificate")]
    Name,
}

impl OpenError {
    /// One word for metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Io(_) => "tls",
            Self::WebSocket(_) => "websocket",
            Self::Stranger(_) => "stranger",
            Self::Name => "name",
        }
    }
}

/// Dials a peer. Where is told by its URL, who it must be by its name.
///
/// # Errors
/// [`OpenError`].
pub async fn dial(
    tls: &PeerTls,
    peer: &Peer,
    who: impl Fn(&[String]) -> Result<DirectorName, Stranger>,
) -> Result<Socket, OpenError> {
    let name = ServerName::try_from(peer.name.as_str().to_owned()).map_err(|_| OpenError::Name)?;
    let opening = async {
        let stream = TcpStream::connect((peer.url.host().as_str(), peer.url.port())).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(tls.dialling()).connect(name, stream).await?;
        // The handshake takes a wildcard, and a certificate for several peers; a peer is one exact name.
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        match who(&certificate.map(dns_names).unwrap_or_default())? {
            shown if shown == peer.name => {}
            shown => return Err(Stranger::Another(shown).into()),
        }
        let url = format!("wss://{}{PATH}", peer.url.authority());
        let opened = client_async_with_config(url, TlsStream::Client(stream), Some(limits())).await;
        opened.map(|(socket, _)| socket).map_err(|error| OpenError::WebSocket(error.to_string()))
    };
    timeout(OPEN_MAX, opening).await.map_err(|_| OpenError::Late)?
}

/// Takes a connection of somebody who dialled, and says who it is. A stranger is told so and let go.
///
/// # Errors
/// [`OpenError`].
pub async fn accept(
    tls: &PeerTls,
    stream: TcpStream,
    who: impl Fn(&[String]) -> Result<DirectorName, Stranger>,
) -> Result<(DirectorName, Socket), OpenError> {
    let opening = async {
        stream.set_nodelay(true)?;
        let stream = TlsAcceptor::from(tls.accepting()).accept(stream).await?;
        let shown = who(&client_names(stream.get_ref().1).unwrap_or_default());
        let opened = accept_hdr_async_with_config(TlsStream::Server(stream), right_path, Some(limits())).await;
        let socket = opened.map_err(|error| OpenError::WebSocket(error.to_string()))?;
        Ok::<_, OpenError>((shown, socket))
    };
    let (shown, socket) = timeout(OPEN_MAX, opening).await.map_err(|_| OpenError::Late)??;
    match shown {
        Ok(peer) => Ok((peer, socket)),
        Err(stranger) => {
            farewell(socket, &Closing::Stranger(stranger.clone())).await;
            Err(stranger.into())
        }
    }
}

/// Closes a link and says why. Waits a moment for the other side, so that the reason is not lost with the connection.
pub async fn farewell(mut socket: Socket, why: &Closing) {
    let Some(frame) = why.frame() else { return };
    let closing = async {
        if socket.send(Frame::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(FAREWELL_MAX, closing).await;
}

#[allow(clippy::result_large_err, reason = "the type is the library's")]
fn right_path(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() == PATH {
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = StatusCode::NOT_FOUND;
    Err(refusal)
}
