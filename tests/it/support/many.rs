//! Very many servers behind one port: every connection is one of them, and all of them are well.

use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificates;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// Opens the port; it is served until the tests end.
pub(crate) fn serve() -> u16 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (listener, tls) =
                (TcpListener::from_std(listener).unwrap(), TlsAcceptor::from(certificates::shared().server_config()));
            while let Ok((stream, _)) = listener.accept().await {
                // An error means that the other side went away, which is its right.
                tokio::spawn(answer(stream, tls.clone()));
            }
        });
    });
    port
}

async fn answer(stream: TcpStream, tls: TlsAcceptor) -> std::io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut bytes = [0; 4096];
    // A probe is one short head and comes in one piece.
    while stream.read(&mut bytes).await? > 0 {
        stream.write_all(ANSWER).await?;
        stream.flush().await?;
    }
    Ok(())
}
