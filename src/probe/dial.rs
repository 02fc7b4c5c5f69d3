//! From addresses to a byte stream: TCP, and TLS where it is asked for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use maitred_core::health::FailureKind;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use super::target::TlsAsk;

/// A connection, in clear or over TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Something will be said on it.
    Talk,
    /// To see whether somebody listens, and no more.
    Knock,
}

/// Connects to the first address that accepts. Each gets an equal share of the time that is left, so that one that swallows
/// packets does not hide the others. What is told of a total failure is an answer, if any address gave one.
pub(super) async fn tcp(
    addresses: &[SocketAddr],
    purpose: Purpose,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Fault> {
    let mut told: Option<Fault> = None;
    for (position, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - position).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let fault = match timeout(share, connect(*address, purpose)).await {
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

async fn connect(address: SocketAddr, purpose: Purpose) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if purpose == Purpose::Knock {
        soften(&SockRef::from(&socket));
    }
    socket.connect(address).await
}

/// Lets a knock be three packets that no application hears of: the question, the answer that somebody listens, and a reset.
///
/// The reset spares a socket that would be left behind for a minute after each look; with many servers there would be no port for
/// the next. It goes out in place of the acknowledgement, which waits for company, so that the server's system has nothing
/// to hand to the application: half of what a look cost both sides, and no bare connection in anybody's log. A system that does not
/// know these options opens and closes in the usual way: nothing is lost but the saving.
fn soften(socket: &SockRef<'_>) {
    let _ = socket.set_linger(Some(Duration::ZERO));
    let _ = socket.set_tcp_quickack(false);
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
