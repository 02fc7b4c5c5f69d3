//! Binds the listeners' sockets, all of them before anything is served, so that a taken port ends the start at once.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted. A crowd that comes back after a failover opens thousands at once; the system caps this
/// at its own limit (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A process that was killed may hold its port for some moments more; a restart at once waits for it this long.
const TAKEN_FOR_MAX: Duration = Duration::from_secs(2);
const TRY_EVERY: Duration = Duration::from_millis(50);

/// A bound, listening socket. Blocks for up to two seconds while the address is taken.
///
/// # Errors
/// The address is taken, is none of this machine's, or may not be used.
pub(super) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let since = Instant::now();
    loop {
        match bind_now(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && since.elapsed() < TAKEN_FOR_MAX => {
                std::thread::sleep(TRY_EVERY);
            }
            outcome => return outcome,
        }
    }
}

fn bind_now(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before it to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
