//! From addresses to a byte stream: TCP, and TLS where it is asked for.

use std::io;
use std::net::SocketAddr;

use maitred_core::health::FailureKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use super::target::TlsAsk;

/// A connection, in clear or over TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Does something with the first address that accepts. Each gets an equal share of the time that is left, so that one that swallows
/// packets does not hide the others. What is told of a total failure is an answer, if any address gave one.
pub(super) async fn first<T>(
    addresses: &[SocketAddr],
    deadline: Instant,
    mut reach: impl AsyncFnMut(SocketAddr) -> io::Result<T>,
) -> Result<(T, SocketAddr), Fault> {
    let mut told: Option<Fault> = None;
    for (position, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let fault = match timeout(share, reach(*address)).await {
            Ok(Ok(reached)) => return Ok((reached, *address)),
            Ok(Err(error)) => Fault::connecting(&error),
            Err(_) => Fault::new(FailureKind::Timeout, "no connection in time"),
        };
        if told.as_ref().is_none_or(|before| before.kind.is_silence() && !fault.kind.is_silence()) {
            told = Some(fault);
        }
    }
    Err(told.unwrap_or_else(|| Fault::new(FailureKind::NoName, "the name has no address")))
}

/// For a connection on which something will be asked: one small write that must not wait to fill a packet.
pub(super) fn hurry(stream: &TcpStream) -> Result<(), Fault> {
    stream.set_nodelay(true).map_err(|error| Fault::connecting(&error))
}

/// Shakes hands and verifies the server's name.
pub(super) async fn tls(ask: &TlsAsk, stream: TcpStream) -> Result<Box<dyn Wire>, Fault> {
    let connector = TlsConnector::from(ask.config.clone());
    let stream = connector.connect(ask.name.clone(), stream).await.map_err(|error| Fault::talking(&error))?;
    Ok(Box::new(stream))
}
