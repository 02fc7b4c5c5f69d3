//! A socket as it was accepted, which the runtime hears of only when it has to wait for it.
//!
//! Most starts come whole with their connection and are answered at once. Such a connection needs no place in the runtime's set of
//! awaited sockets. Actix reads until there is nothing more BEFORE it answers; so a read that took less than it had room for, which says
//! that nothing is left, is not followed by another one that would only say so again and begin to wait: the answer comes first.

use std::io::{self, ErrorKind, Read as _};
use std::net::{Shutdown, TcpStream as Plain};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What one read takes before the runtime awaits a socket: a browser's head. A plain read needs room that is written before, so the
/// 8 KiB that actix offers would all be.
const HEAD_BYTES: usize = 2048;

/// What a stream can do about its end beyond what every stream can.
pub trait Parting {
    /// Whether everything that has come was read: then closing resets nothing. Who cannot tell says no.
    fn is_drained(&mut self) -> bool {
        false
    }

    /// Whether whoever was told to wait for bytes has been woken already and looks again at once: nothing is waited for yet.
    fn asks_again(&self) -> bool {
        false
    }

    /// What is written from now on is the last, and the end of the stream follows it at once: both may leave together.
    fn part(&mut self) {}
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Socket {
    stage: Stage,
    /// How the system sends what is written.
    send: SendFlags,
}

#[derive(Debug)]
enum Stage {
    /// Not awaited yet; does not block.
    Fresh(Plain, Left),
    /// Awaited by the runtime.
    Awaited(TcpStream),
    /// The runtime refused it.
    Lost,
}

/// What a socket that is not awaited yet is known to have unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Not known.
    Unknown,
    /// Nothing, by the last read.
    Nothing,
    /// The same, and the reader has been told.
    NothingTold,
}

impl Socket {
    /// As it was accepted; does not block.
    pub(super) fn fresh(socket: Plain) -> Self {
        Self { stage: Stage::Fresh(socket, Left::Unknown), send: SendFlags::NOSIGNAL }
    }

    /// As a stream of the runtime.
    ///
    /// # Errors
    /// When the runtime can await no more.
    pub(super) fn into_awaited(self) -> io::Result<TcpStream> {
        self.stage.into_awaited()
    }

    /// What a socket that is not awaited yet can do at once; `None`: it must be awaited.
    fn at_once<T>(&mut self, mut act: impl FnMut(&mut Plain) -> io::Result<T>) -> Option<io::Result<T>> {
        let Stage::Fresh(socket, _) = &mut self.stage else { return None };
        loop {
            match act(socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                done => return Some(done),
            }
        }
    }

    /// The stream of the runtime, which hears of the socket now if it did not before.
    fn awaited(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if let Stage::Fresh(..) = self.stage {
            let fresh = std::mem::replace(&mut self.stage, Stage::Lost);
            self.stage = Stage::Awaited(fresh.into_awaited()?);
        }
        match &mut self.stage {
            Stage::Awaited(stream) => Ok(Pin::new(stream)),
            Stage::Fresh(..) | Stage::Lost => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl Stage {
    fn into_awaited(self) -> io::Result<TcpStream> {
        match self {
            Self::Fresh(socket, _) => TcpStream::from_std(socket),
            Self::Awaited(stream) => Ok(stream),
            Self::Lost => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl Parting for Socket {
    fn is_drained(&mut self) -> bool {
        let empty = |looked: io::Result<usize>| looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        match &self.stage {
            Stage::Fresh(_, Left::Nothing | Left::NothingTold) => true,
            Stage::Fresh(socket, Left::Unknown) => empty(socket.peek(&mut [0])),
            // A byte that is taken here is thrown away like all that come after the last answer.
            Stage::Awaited(stream) => empty(stream.try_read(&mut [0])),
            Stage::Lost => false,
        }
    }

    fn asks_again(&self) -> bool {
        matches!(self.stage, Stage::Fresh(_, Left::NothingTold))
    }

    /// One packet instead of two, and one wake of the client: the system holds an answer back for its end, 200 ms at most.
    fn part(&mut self) {
        self.send |= SendFlags::MORE;
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Stage::Fresh(_, left @ Left::Nothing) = &mut this.stage {
            *left = Left::NothingTold;
            // Whoever is still there after the answer asks again at once, and waits then.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = buffer.remaining().min(HEAD_BYTES);
        match this.at_once(|socket| socket.read(buffer.initialize_unfilled_to(room))) {
            Some(read) => Poll::Ready(read.map(|bytes| {
                buffer.advance(bytes);
                if let Stage::Fresh(_, left) = &mut this.stage {
                    // None at all is the client's end, which is no rest between two requests.
                    *left = if (1..room).contains(&bytes) { Left::Nothing } else { Left::Unknown };
                }
            })),
            None => this.awaited()?.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let flags = this.send;
        if let Some(written) = this.at_once(|socket| Ok(send(socket, bytes, flags)?)) {
            return Poll::Ready(written);
        }
        let stream = this.awaited()?;
        // The runtime does not know yet that a socket has room that it began to await this moment, and an answer that is put off
        // may be cut off by what the client sent behind its request.
        match send(&*stream, bytes, flags).map_err(io::Error::from) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                stream.poll_write(context, bytes)
            }
            done => Poll::Ready(done),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket keeps nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.at_once(|socket| socket.shutdown(Shutdown::Write)) {
            Some(shut) => Poll::Ready(shut),
            None => this.awaited()?.poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pair() -> (Plain, Socket) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = Plain::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (client, Socket::fresh(server))
    }

    #[tokio::test]
    async fn what_has_come_is_read_and_answered_without_the_runtime() {
        let (mut client, mut server) = pair();
        assert!(server.is_drained());
        client.write_all(b"request").unwrap();
        let mut bytes = [0; 64];
        while server.is_drained() {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.read(&mut bytes).await.unwrap(), 7);
        server.write_all(b"answer").await.unwrap();
        assert!(server.is_drained() && matches!(server.stage, Stage::Fresh(..)));
        server.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn nothing_is_awaited_before_the_answer_and_the_rest_afterwards() {
        let (mut client, mut server) = pair();
        client.write_all(b"request").unwrap();
        while server.is_drained() {
            tokio::task::yield_now().await;
        }
        let mut bytes = [0; 64];
        let mut read = async |server: &mut Socket| server.read(&mut bytes).await.unwrap();
        assert_eq!(read(&mut server).await, 7);
        {
            // As actix reads: until there is nothing more.
            let mut more = [0; 64];
            let mut more = ReadBuf::new(&mut more);
            let mut told = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut server).poll_read(&mut told, &mut more).is_pending());
        }
        assert!(matches!(server.stage, Stage::Fresh(..)), "the answer comes first");
        client.write_all(b"more").unwrap();
        assert_eq!(read(&mut server).await, 4, "and what comes behind it is read");
        let mut exact = [0; 3];
        client.write_all(b"full").unwrap();
        assert_eq!(server.read(&mut exact).await.unwrap(), 3);
        assert!(!server.is_drained(), "a read that had no room says nothing of what is left");
    }

    #[tokio::test]
    async fn the_last_answer_leaves_with_the_end() {
        let mut came = [0; 64];
        // Held back for 200 ms at most; a machine that had no time for us is asked again.
        for _ in 0..100 {
            let (client, mut server) = pair();
            server.part();
            server.write_all(b"last").await.unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            client.set_nonblocking(true).unwrap();
            let held = client.peek(&mut came).is_err();
            drop(server);
            client.set_nonblocking(false).unwrap();
            let mut all = String::new();
            (&client).read_to_string(&mut all).unwrap();
            assert_eq!(all, "last");
            if held {
                return;
            }
        }
        panic!("it left before the end");
    }

    #[tokio::test]
    async fn what_has_not_come_is_awaited() {
        let (mut client, mut server) = pair();
        let mut bytes = [0; 64];
        let writing = tokio::task::spawn_blocking(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            client.write_all(b"late").unwrap();
            client
        });
        assert_eq!(server.read(&mut bytes).await.unwrap(), 4);
        assert!(matches!(server.stage, Stage::Awaited(_)));
        drop(writing.await.unwrap());
        assert_eq!(server.read(&mut bytes).await.unwrap(), 0);
        assert!(!server.is_drained());
    }
}
