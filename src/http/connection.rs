//! A connection's patience: how long a client may hold one without asking for anything.
//!
//! Actix limits the head of the FIRST request of an HTTP/1 connection. For later ones its keep-alive timer stops at the first byte
//! and nothing replaces it, and an answer that the client does not read has no limit at all; so two clever bytes would hold a
//! connection for ever. Here one deadline covers all of it, whatever the protocol: the next complete head must arrive in time.
//!
//! ```text
//! connected ──┬── first byte: header_timeout ──┬── a request is being answered: none ──┐
//!   idle      └───────────────◀────────────────┴──────────── answered: idle ◀──────────┘
//! ```

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long one connection is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without a byte between two requests.
    pub idle: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
}

/// What the socket and the service both know of one connection. One thread serves a connection, so cells suffice.
#[derive(Debug)]
pub struct Waiting {
    patience: Patience,
    requests: Cell<u32>,
    deadline: Cell<Instant>,
    heard: Cell<bool>,
}

impl Waiting {
    fn new(patience: Patience) -> Self {
        let deadline = Instant::now() + patience.idle;
        Self { patience, requests: Cell::new(0), deadline: Cell::new(deadline), heard: Cell::new(false) }
    }

    /// A request is complete; while it is being answered there is no deadline here.
    #[must_use]
    pub fn request(self: &Rc<Self>) -> Request {
        self.requests.set(self.requests.get() + 1);
        Request(Rc::clone(self))
    }

    /// Bytes came. Only the first ones after an answer extend the deadline: one byte a second must not.
    fn hear(&self) {
        if !self.heard.replace(true) {
            self.deadline.set(Instant::now() + self.patience.head);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        (self.requests.get() == 0).then(|| self.deadline.get())
    }
}

/// A request that is being answered; dropped when it is.
#[derive(Debug)]
pub struct Request(Rc<Waiting>);

impl Drop for Request {
    fn drop(&mut self) {
        let Self(waiting) = self;
        waiting.requests.set(waiting.requests.get().saturating_sub(1));
        waiting.deadline.set(Instant::now() + waiting.patience.idle);
        waiting.heard.set(false);
    }
}

/// A socket that fails when its client lets the deadline pass.
pub struct Connection<Io> {
    io: Io,
    waiting: Rc<Waiting>,
    alarm: Pin<Box<Sleep>>,
    fresh: bool,
}

impl<Io> Connection<Io> {
    /// Wraps a socket.
    #[must_use]
    pub fn new(io: Io, patience: Patience) -> Self {
        let waiting = Rc::new(Waiting::new(patience));
        let alarm = Box::pin(sleep_until(waiting.deadline.get().min(Instant::now() + patience.head)));
        Self { io, waiting, alarm, fresh: true }
    }

    /// The socket itself, for what its handshake told.
    #[must_use]
    pub fn inner(&self) -> &Io {
        &self.io
    }

    /// What the service needs to say when requests begin and end.
    #[must_use]
    pub fn waiting(&self) -> Rc<Waiting> {
        Rc::clone(&self.waiting)
    }

    /// Registers for the deadline; an error when it has passed. The alarm may ring early, never late: deadlines only move on.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.alarm.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let next = match self.waiting.deadline() {
                Some(deadline) if deadline <= now => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Some(deadline) => deadline,
                None => now + self.waiting.patience.head.min(self.waiting.patience.idle),
            };
            self.alarm.as_mut().reset(next);
        }
        Poll::Pending
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Connection<Io> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        if read.is_pending() {
            return this.poll_deadline(context);
        }
        let bytes = &mut buffer.filled_mut()[before..];
        if !bytes.is_empty() {
            this.waiting.hear();
            if std::mem::take(&mut this.fresh) {
                admit_check_without_host(bytes);
            }
        }
        read
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Connection<Io> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        if written.is_pending() {
            // Whoever does not read its answers is not read from either, so the deadline is looked at here as well.
            return this.poll_deadline(context).map_ok(|()| 0);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

/// Balancers that are told "HTTP/1.1" and no more send their health check without a Host (HAProxy's `option httpchk` does), and
/// actix refuses that before anybody can look at it. Such a check, whole and first on its connection, is read as HTTP/1.0,
/// which needs no Host and closes; nothing else is touched.
fn admit_check_without_host(bytes: &mut [u8]) {
    let check =
        [&b"GET /health/"[..], b"HEAD /health/", b"OPTIONS /health/"].iter().any(|start| bytes.starts_with(start));
    if !check || !bytes.ends_with(b"\r\n\r\n") {
        return;
    }
    let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return };
    let is_host = |line: &[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
    let mut lines = bytes[line..].split(|byte| *byte == b'\n');
    if bytes[..line].ends_with(b" HTTP/1.1") && !lines.any(is_host) {
        bytes[line - 1] = b'0';
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const PATIENCE: Patience = Patience { idle: Duration::from_secs(10), head: Duration::from_secs(4) };

    async fn read(connection: &mut Connection<tokio::io::DuplexStream>) -> io::Result<usize> {
        connection.read(&mut [0; 64]).await
    }

    fn cut_after(started: Instant, result: &io::Result<usize>) -> u64 {
        assert_eq!(result.as_ref().map_err(io::Error::kind), Err(io::ErrorKind::TimedOut));
        started.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_cut_after_the_idle_time() {
        let (_client, server) = duplex(64);
        let (started, mut connection) = (Instant::now(), Connection::new(server, PATIENCE));
        assert_eq!(cut_after(started, &read(&mut connection).await), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_does_not_extend_the_deadline() {
        let (mut client, server) = duplex(64);
        let (started, mut connection) = (Instant::now(), Connection::new(server, PATIENCE));
        tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        let result = loop {
            match read(&mut connection).await {
                Ok(_) => {}
                failed => break failed,
            }
        };
        assert_eq!(cut_after(started, &result), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_has_no_deadline_and_its_answer_sets_one() {
        let (_client, server) = duplex(64);
        let mut connection = Connection::new(server, PATIENCE);
        let request = connection.waiting().request();
        let started = Instant::now();
        assert!(tokio::time::timeout(Duration::from_secs(60), read(&mut connection)).await.is_err(), "not cut");
        assert_eq!(started.elapsed().as_secs(), 60);
        drop(request);
        assert_eq!(cut_after(started, &read(&mut connection).await), 70);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_the_next_request_must_become_a_head_in_time() {
        let (mut client, server) = duplex(64);
        let mut connection = Connection::new(server, PATIENCE);
        drop(connection.waiting().request());
        tokio::time::sleep(Duration::from_secs(9)).await;
        client.write_all(b"GET /").await.unwrap();
        let started = Instant::now();
        assert_eq!(read(&mut connection).await.unwrap(), 5);
        assert_eq!(cut_after(started, &read(&mut connection).await), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_its_answers_is_cut() {
        let (_client, server) = duplex(64);
        let (started, mut connection) = (Instant::now(), Connection::new(server, PATIENCE));
        let result = connection.write_all(&[0; 100]).await.map(|()| 0);
        assert_eq!(cut_after(started, &result), 10);
    }

    #[test]
    fn only_a_whole_check_without_host_is_read_as_the_older_version() {
        let read_as = |head: &str| {
            let mut bytes = head.as_bytes().to_vec();
            admit_check_without_host(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(read_as("GET /health/live HTTP/1.1\r\n\r\n"), "GET /health/live HTTP/1.0\r\n\r\n");
        assert_eq!(read_as("OPTIONS /health/x HTTP/1.1\r\nA: b\r\n\r\n"), "OPTIONS /health/x HTTP/1.0\r\nA: b\r\n\r\n");
        for untouched in [
            "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /health/live HTTP/1.1\r\nA: b\r\nhOST: a\r\n\r\n",
            "GET /health/live HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET /health/live HTTP/1.0\r\n\r\n",
            "POST /health/live HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(read_as(untouched), untouched);
        }
    }
}
