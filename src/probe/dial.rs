//! From addresses to a byte stream: TCP, and TLS where it is asked for.

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

/// Connects to the first address that accepts. Each gets an equal share of the time that is left, so that one that swallows
/// packets does not hide the others. What is told of a total failure is an answer, if any address gave one.
pub(super) async fn tcp(addresses: &[SocketAddr], deadline: Instant) -> Result<(TcpStream, SocketAddr), Fault> {
    let mut told: Option<Fault> = None;
    for (position, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let fault = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
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

/// Ends a connection on which nothing was said, by a reset: a close would leave a socket behind for a minute after each look,
/// and with many servers no port for the next.
pub(super) fn abort(stream: TcpStream) {
    // Refused, it would be closed in the usual way: nothing is lost but the saving.
    let _ = stream.set_zero_linger();
}

/// Shakes hands and verifies the server's name.
pub(super) async fn tls(ask: &TlsAsk, stream: TcpStream) -> Result<Box<dyn Wire>, Fault> {
    let connector = TlsConnector::from(ask.config.clone());
    let stream = connector.connect(ask.name.clone(), stream).await.map_err(|error| Fault::talking(&error))?;
    Ok(Box::new(stream))
}
