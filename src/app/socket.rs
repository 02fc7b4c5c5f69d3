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
    listen(bound(address, Sharing::None)?)
}

/// Listening sockets of one address, among which the system spreads connections. Blocks like [`bind`].
///
/// # Errors
/// The same.
pub(super) fn bind_shared(address: SocketAddr, count: usize) -> std::io::Result<Vec<TcpListener>> {
    if count <= 1 {
        return Ok(vec![bind(address)?]);
    }
    // Sockets that share an address would share it with those of another process of the same user, and take half of its
    // connections away: so it is asked for alone first.
    let alone = bound(address, Sharing::None)?;
    let address = alone.local_addr()?.as_socket().unwrap_or(address);
    drop(alone);
    (0..count).map(|_| listen(bound(address, Sharing::Port)?)).collect()
}

/// Whether other sockets may listen at the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    None,
    Port,
}

fn bound(address: SocketAddr, sharing: Sharing) -> std::io::Result<Socket> {
    let since = Instant::now();
    loop {
        match bind_now(address, sharing) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && since.elapsed() < TAKEN_FOR_MAX => {
                std::thread::sleep(TRY_EVERY);
            }
            outcome => return outcome,
        }
    }
}

fn bind_now(address: SocketAddr, sharing: Sharing) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before it to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> std::io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
