//! CPing and CPong of AJP 1.3: what mod_jk asks a Tomcat whether it lives.

use maitred_core::health::FailureKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fault::Fault;

/// Magic 0x1234, length 1, CPing (10).
const PING: [u8; 5] = [0x12, 0x34, 0x00, 0x01, 0x0a];
/// "AB", length 1, CPong (9).
const PONG: [u8; 5] = [0x41, 0x42, 0x00, 0x01, 0x09];

/// Asks once. The connection may be kept after a good answer.
pub(super) async fn ping(stream: &mut TcpStream) -> Result<(), Fault> {
    stream.write_all(&PING).await.map_err(|error| Fault::talking(&error))?;
    let mut answer = [0; PONG.len()];
    stream.read_exact(&mut answer).await.map_err(|error| Fault::talking(&error))?;
    if answer == PONG {
        Ok(())
    } else {
        let hex: Vec<_> = answer.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(Fault::new(FailureKind::Protocol, &format!("no CPong but {}", hex.join(" "))))
    }
}

/// Whether an idle connection is still quiet: neither closed nor with bytes that nobody asked for.
pub(super) fn is_quiet(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}
