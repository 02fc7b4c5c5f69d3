//! A connection: how long a client may hold one without asking for anything, and how it ends.
//!
//! Actix limits the head of the FIRST request of an HTTP/1 connection. For later ones its keep-alive timer stops at the first byte
//! and nothing replaces it, and an answer that the client does not read has no limit at all; so two clever bytes would hold a
//! connection for ever. Here one deadline covers all of it, whatever the protocol: the next complete head must arrive in time.
//!
//! ```text
//! connected ──┬── first byte: header_timeout ──┬── a request is being answered: none ──┐
//!   idle      └───────────────◀────────────────┴──────────── answered: idle ◀──────────┘
//!                                                              │ last answer, refusal, stop
//!                                                              ▼
//!                                    closing: our side is closed, theirs is read for a moment
//! ```
//! A socket that is closed with bytes unread resets the connection, and the reset can overtake the last answer; so what a client
//! still sends is read and thrown away for a moment (`LINGER`). Only a client that has said itself that its request is the last one,
//! and of which everything was read, is not waited for. Knows bytes and deadlines; what is asked and answered is others'.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::frames::Frames;
use crate::http::heads::Heads;
use crate::http::socket::Parting;
use crate::http::{first_line, refusal};

/// How long a connection that is being closed waits for the client to close its side: long enough to read the answer.
pub(super) const LINGER: Duration = Duration::from_secs(2);

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
    allowed: Cell<Instant>,
    heard: Cell<bool>,
    end: Cell<Ending>,
    /// The client asks for nothing more, by its own word.
    parted: Cell<bool>,
}

/// Why nothing more is taken from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It goes on.
    None,
    /// Its last answer has been given.
    Answered,
    /// The same, and more was asked behind it, which is not answered.
    Left,
    /// It asks for too little in too many frames.
    Flooded,
}

impl Waiting {
    fn new(patience: Patience) -> Self {
        let now = Instant::now();
        let (deadline, allowed) = (Cell::new(now + patience.idle), Cell::new(now));
        let (requests, heard, end) = (Cell::new(0), Cell::new(false), Cell::new(Ending::None));
        Self { patience, requests, deadline, allowed, heard, end, parted: Cell::new(false) }
    }

    /// A request is complete; while it is being answered there is no deadline here.
    #[must_use]
    pub fn request(self: &Rc<Self>) -> Request {
        self.requests.set(self.requests.get() + 1);
        Request(Rc::clone(self))
    }

    /// An answer that goes on, and its client has taken what there was: so much more time for the next piece.
    pub fn allow(&self, time: Duration) {
        self.allowed.set(Instant::now() + time);
    }

    /// How long nothing may be asked for between two requests.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.patience.idle
    }

    /// The answer that is given now is the last one: what stands behind its request may be no request at all.
    pub fn answer_last(&self) {
        self.end.set(Ending::Answered);
    }

    /// The client has said that it asks for nothing more, and its request had nothing behind its head, or all of that was read.
    pub fn part(&self) {
        self.parted.set(true);
    }

    /// Whether the last answer has been given.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.end.get() != Ending::None
    }

    /// More was asked behind the last answer: the connection is closed when that is written.
    pub fn leave(&self) {
        self.end.set(Ending::Left);
    }

    /// Whether the client has sent too many frames that ask for nothing; nothing more is read then.
    #[must_use]
    pub fn is_flooded(&self) -> bool {
        self.end.get() == Ending::Flooded
    }

    /// When the client will have let its time pass; none while it is being answered.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (self.requests.get() == 0).then(|| self.deadline.get().max(self.allowed.get()))
    }

    /// Bytes came. Only the first ones after an answer extend the deadline: one byte a second must not. True for those.
    fn hear(&self) -> bool {
        let first = !self.heard.replace(true);
        if first {
            self.deadline.set(Instant::now() + self.patience.head);
        }
        first
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

/// A socket that fails when its client lets the deadline pass, and that closes so that the last answer arrives.
pub struct Connection<Io> {
    io: Io,
    waiting: Rc<Waiting>,
    /// Set when the client is first waited for: many are answered at once.
    alarm: Option<Pin<Box<Sleep>>>,
    fresh: bool,
    /// Of HTTP/1 only.
    heads: Heads,
    /// Of HTTP/2 only.
    frames: Option<Frames>,
    /// Bytes wait to be written.
    blocked: bool,
    closing: Closing,
}

/// How far the end of a connection has come.
enum Closing {
    Open,
    /// Our words instead of the parser's are being written.
    Refusing(Bytes),
    /// Everything is written.
    Shutting,
    /// Our side is closed.
    Lingering(Pin<Box<Sleep>>),
    Done,
}

impl<Io> Connection<Io> {
    /// Wraps a socket that speaks HTTP/1.
    #[must_use]
    pub fn new(io: Io, patience: Patience) -> Self {
        let waiting = Rc::new(Waiting::new(patience));
        let (blocked, closing) = (false, Closing::Open);
        Self { io, waiting, alarm: None, fresh: true, heads: Heads::default(), frames: None, blocked, closing }
    }

    /// Wraps a socket that speaks HTTP/2.
    #[must_use]
    pub fn of_frames(io: Io, patience: Patience) -> Self {
        Self { frames: Some(Frames::new(Instant::now())), ..Self::new(io, patience) }
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

    /// Registers for the deadline; an error when it has passed. It may have come nearer since the alarm was set: a head that begins has
    /// less time than a rest between two, or more.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting = &self.waiting;
        let look = |now| waiting.deadline().unwrap_or_else(|| now + waiting.patience.head.min(waiting.patience.idle));
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(look(Instant::now()))));
        if let Some(deadline) = waiting.deadline().filter(|deadline| *deadline < alarm.deadline()) {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let next = look(now);
            if next <= now {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            alarm.as_mut().reset(next);
        }
        Poll::Pending
    }

    /// Looks at what was read before the protocol does.
    fn inspect(&mut self, bytes: &mut [u8]) {
        let first = self.waiting.hear();
        if let Some(frames) = &mut self.frames {
            if !frames.take(bytes, Instant::now()) {
                self.waiting.end.set(Ending::Flooded);
            }
            return;
        }
        if std::mem::take(&mut self.fresh) {
            first_line::admit_check_without_host(bytes);
        }
        if first {
            first_line::refuse_fragment(bytes);
        }
        self.heads.inspect(first, bytes);
    }
}

impl<Io: AsyncRead + AsyncWrite + Parting + Unpin> Connection<Io> {
    /// Closes our side and reads theirs for a moment. Errors end it like everything else.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.closing {
                Closing::Open => self.closing = Closing::Shutting,
                Closing::Refusing(words) => {
                    match Pin::new(&mut self.io).poll_write(context, words) {
                        Poll::Ready(Ok(written)) if written > 0 && written < words.len() => {
                            let _ = words.split_to(written);
                        }
                        Poll::Ready(_) => self.closing = Closing::Shutting,
                        // Who does not read is not waited for any longer than others.
                        Poll::Pending => {
                            let _ = ready!(self.poll_deadline(context));
                            self.closing = Closing::Done;
                        }
                    }
                }
                Closing::Shutting => {
                    if self.waiting.parted.get() && self.io.is_drained() {
                        // To close the socket says all that closing one side would.
                        self.closing = Closing::Done;
                    } else if Pin::new(&mut self.io).poll_shutdown(context).is_pending() {
                        // TLS says goodbye, which may have to wait for room like any write.
                        let _ = ready!(self.poll_deadline(context));
                        self.closing = Closing::Done;
                    } else {
                        self.closing = Closing::Lingering(Box::pin(sleep_until(Instant::now() + LINGER)));
                    }
                }
                Closing::Lingering(alarm) => {
                    let mut thrown_away = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut thrown_away);
                    // The moment is over for a client that sends without end, too.
                    let over = alarm.as_mut().poll(context).is_ready();
                    match Pin::new(&mut self.io).poll_read(context, &mut buffer) {
                        Poll::Ready(Ok(())) if !over && !buffer.filled().is_empty() => {}
                        Poll::Pending if !over => return Poll::Pending,
                        _ => self.closing = Closing::Done,
                    }
                }
                Closing::Done => return Poll::Ready(()),
            }
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Parting + Unpin> AsyncRead for Connection<Io> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.waiting.end.get() {
            Ending::Left if !this.blocked => {
                ready!(this.poll_close(context));
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            Ending::Flooded => return Poll::Pending,
            Ending::None | Ending::Answered | Ending::Left => {}
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        if read.is_pending() {
            return if this.io.asks_again() { Poll::Pending } else { this.poll_deadline(context) };
        }
        let bytes = &mut buffer.filled_mut()[before..];
        if !bytes.is_empty() {
            this.inspect(bytes);
        }
        read
    }
}

impl<Io: AsyncRead + AsyncWrite + Parting + Unpin> AsyncWrite for Connection<Io> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !matches!(this.closing, Closing::Open) {
            // Whatever comes now comes too late.
            return this.poll_close(context).map(|()| Ok(bytes.len()));
        }
        let mut ours = bytes;
        if this.frames.is_none()
            && let Some(refusal) = refusal::find(bytes)
        {
            if refusal == 0 {
                // One request has one answer: the parser's word about what stands behind the last one is not said.
                if !this.waiting.is_ending() {
                    this.closing = Closing::Refusing(refusal::in_our_words(bytes, this.heads.has_long_line()));
                }
                return this.poll_close(context).map(|()| Ok(bytes.len()));
            }
            ours = &bytes[..refusal];
        }
        if this.waiting.parted.get() && this.waiting.is_ending() {
            this.io.part();
        }
        let written = Pin::new(&mut this.io).poll_write(context, ours);
        this.blocked = written.is_pending();
        if this.blocked {
            // Whoever does not read its answers is not read from either, so the deadline is looked at here as well.
            return this.poll_deadline(context).map_ok(|()| 0);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    impl Parting for tokio::io::DuplexStream {}

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
    async fn a_deadline_that_comes_nearer_is_kept() {
        for (idle, head) in [(60, 4), (4, 60)] {
            let patience = Patience { idle: Duration::from_secs(idle), head: Duration::from_secs(head) };
            let (mut client, server) = duplex(64);
            let mut connection = Connection::new(server, patience);
            for _ in 0..2 {
                // Bytes without a head, and a wait for more of them: what is waited for is the head now.
                client.write_all(b"GET /").await.unwrap();
                assert_eq!(read(&mut connection).await.unwrap(), 5);
                let wait = tokio::time::timeout(Duration::from_secs(3), read(&mut connection));
                assert!(wait.await.is_err(), "not cut");
                // It is answered: what is waited for is the next one.
                drop(connection.waiting().request());
                let wait = tokio::time::timeout(Duration::from_secs(3), read(&mut connection));
                assert!(wait.await.is_err(), "not cut");
            }
            if head < idle {
                client.write_all(b"GET /").await.unwrap();
                assert_eq!(read(&mut connection).await.unwrap(), 5);
            }
            let started = Instant::now();
            let waited = if head < idle { 0 } else { 3 };
            assert_eq!(cut_after(started, &read(&mut connection).await), 4 - waited, "idle {idle}, head {head}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_its_answers_is_cut() {
        let (_client, server) = duplex(64);
        let (started, mut connection) = (Instant::now(), Connection::new(server, PATIENCE));
        let result = connection.write_all(&[0; 100]).await.map(|()| 0);
        assert_eq!(cut_after(started, &result), 10);
    }
}
