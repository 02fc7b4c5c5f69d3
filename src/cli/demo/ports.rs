//! Ports of loopback for what may die and come back.
//!
//! Below those that the system gives to outgoing connections: one of these could take a port while its owner is dead.

use std::io;
use std::net::TcpListener;

/// Linux gives 32768 and above to outgoing connections, unless it is told otherwise.
const FROM: u16 = 12_000;
const COUNT: u16 = 20_000;
/// So many are tried; half of them taken would still leave no chance to fail.
const TRIES_MAX: u32 = 100;

/// A free port, held by its listener until that is dropped.
///
/// # Errors
/// When none was free.
pub(super) fn hold() -> io::Result<TcpListener> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..TRIES_MAX {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        match TcpListener::bind(("127.0.0.1", FROM + u16::from_le_bytes(bytes) % COUNT)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}
