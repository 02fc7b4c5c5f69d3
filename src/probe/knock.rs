//! A knock: whether somebody listens at an address, and no more.
//!
//! ```text
//! question ──▶ ◀── somebody listens ── reset ──▶        three packets, of which no application hears
//! ```
//! The reset spares a socket that would be left behind for a minute after each look; with many servers there would be no port for
//! the next. It goes out in place of the acknowledgement, which waits for company, so that the server's system has nothing
//! to hand to the application: half of what a look cost both sides, and no bare connection in anybody's log.
//!
//! The socket is kept between two knocks, because to make one and to throw it away is a third of what the system does for a knock. The
//! runtime hears of it only when the answer does not come at once, as it does from the same machine.

use std::io;
use std::net::{SocketAddr, TcpStream as Plain};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, connect, connect_unspec, getpeername, ipproto, socket_with, sockopt,
};
use tokio::net::TcpStream;

/// A socket that knocks again and again.
#[derive(Debug, Default)]
pub(super) struct Knocker(Option<(AddressFamily, Plain)>);

impl Knocker {
    /// Returns when somebody listens there.
    pub(super) async fn knock(&mut self, address: SocketAddr) -> io::Result<()> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        // Taken out: a socket that does not come to its end here is thrown away.
        let socket = match self.0.take() {
            Some((kept, socket)) if kept == family => socket,
            Some(_) | None => fresh(family)?,
        };
        // Each time: the end of a connection sets it back. A system that does not know it knocks in the usual way.
        let _ = sockopt::set_tcp_quickack(&socket, false);
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = if getpeername(&socket).is_ok() { socket } else { answered(socket).await? };
        // The reset. Where the system cannot do that, closing does.
        if connect_unspec(&socket).is_ok() {
            self.0 = Some((family, socket));
        }
        Ok(())
    }
}

fn fresh(family: AddressFamily) -> io::Result<Plain> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // Closing resets, too.
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    Ok(socket.into())
}

/// Waits for the answer to a question that is on its way.
async fn answered(socket: Plain) -> io::Result<Plain> {
    let socket = TcpStream::from_std(socket)?;
    socket.writable().await?;
    match socket.take_error()? {
        Some(error) => Err(error),
        None => socket.into_std(),
    }
}
