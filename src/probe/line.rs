//! One check of one server, with the connection that is kept between two looks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use maitred_core::health::{FailureKind, Report};
use maitred_core::ids::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::xxh3_64;

use super::address::{Addresses, Lookup};
use super::fault::Fault;
use super::http::{Answer, HttpWire};
use super::knock::Knocker;
use super::target::{Ask, Check, HttpAsk};
use super::{ajp, dial, report};

/// A kept connection is renewed after three quarters to the whole of this time, so that a replaced or expired certificate and a
/// moved address are seen. With 1,000 servers this is about four handshakes a second.
pub const KEEP_MAX: Duration = Duration::from_secs(5 * 60);

/// One check and its connection.
pub(super) struct Line {
    /// Shared, so that a look can hold it while it changes the line.
    check: Arc<Check>,
    addresses: Addresses,
    kept: Option<Kept>,
    knocker: Knocker,
    /// When the kept connection is renewed.
    pub(super) keep_max: Duration,
    stage: Stage,
}

struct Kept {
    wire: KeptWire,
    since: Instant,
}

enum KeptWire {
    Http(HttpWire),
    Ajp(TcpStream),
}

/// How far a check has come, to be told when its time is up.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Name,
    Connect,
    Handshake,
    Answer,
    Body { status: u16 },
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "while resolving the name",
            Self::Connect => "while connecting",
            Self::Handshake => "in the TLS handshake",
            Self::Answer => "while waiting for the answer",
            Self::Body { .. } => "while reading the body",
        }
    }
}

impl Line {
    pub(super) fn new(check: Check, server: &ServerName, lookup: &Arc<dyn Lookup>) -> Self {
        let addresses = Addresses::new(check.host.clone(), check.port, lookup.clone());
        Self {
            check: Arc::new(check),
            addresses,
            kept: None,
            knocker: Knocker::default(),
            keep_max: keep_max(server),
            stage: Stage::Name,
        }
    }

    pub(super) fn check(&self) -> &Check {
        &self.check
    }

    /// Takes over another definition of the check. Connection and addresses stay: the caller has compared them.
    pub(super) fn redefine(&mut self, check: Check) {
        self.check = Arc::new(check);
    }

    /// Performs the check. Whatever it takes ends at the deadline, and a connection that did not end well is not kept.
    pub(super) async fn look(&mut self, server: &ServerName, deadline: Instant) -> Result<Report, Fault> {
        self.stage = Stage::Name;
        let outcome = timeout_at(deadline, self.perform(deadline)).await;
        let body = match outcome {
            Ok(body) => body?,
            Err(_) => return Err(self.time_is_up()),
        };
        match report::parse(&body) {
            Ok(None) => Ok(Report::default()),
            Ok(Some(report)) => match &report.server {
                Some(name) if name != server => {
                    Err(Fault::new(FailureKind::WrongName, &format!("the server says that it is {name}")))
                }
                Some(_) | None => Ok(report),
            },
            Err(error) => Err(Fault::new(FailureKind::Body, &error.to_string())),
        }
    }

    /// A wrong status was an answer (R11), also when its body does not end.
    fn time_is_up(&mut self) -> Fault {
        match (self.stage, &self.check.ask) {
            (Stage::Body { status }, Ask::Http(ask)) if !ask.expect.contains(status) => {
                return wrong_status(status, ask);
            }
            (Stage::Name | Stage::Connect, _) => self.addresses.doubt(),
            (Stage::Handshake | Stage::Answer | Stage::Body { .. }, _) => {}
        }
        Fault::new(FailureKind::Timeout, &format!("time is up {}", self.stage.as_str()))
    }

    async fn perform(&mut self, deadline: Instant) -> Result<Vec<u8>, Fault> {
        // Taken out, so that a connection in an unknown state is dropped wherever this ends early.
        let kept = self.kept.take().filter(|kept| kept.since.elapsed() < self.keep_max);
        let check = self.check.clone();
        match &check.ask {
            Ask::Tcp => {
                let mut knocker = std::mem::take(&mut self.knocker);
                self.reach(deadline, async |address| knocker.knock(address).await).await?;
                self.knocker = knocker;
                Ok(Vec::new())
            }
            Ask::Ajp => self.ask_ajp(kept, deadline).await.map(|()| Vec::new()),
            Ask::Http(ask) => self.ask_http(ask, kept, deadline).await,
        }
    }

    async fn ask_ajp(&mut self, kept: Option<Kept>, deadline: Instant) -> Result<(), Fault> {
        self.stage = Stage::Answer;
        if let Some(Kept { wire: KeptWire::Ajp(mut stream), since }) = kept
            && ajp::is_quiet(&stream)
            && ajp::ping(&mut stream).await.is_ok()
        {
            self.kept = Some(Kept { wire: KeptWire::Ajp(stream), since });
            return Ok(());
        }
        let mut stream = self.connect(deadline).await?;
        self.stage = Stage::Answer;
        ajp::ping(&mut stream).await?;
        self.kept = Some(Kept { wire: KeptWire::Ajp(stream), since: Instant::now() });
        Ok(())
    }

    async fn ask_http(&mut self, ask: &HttpAsk, kept: Option<Kept>, deadline: Instant) -> Result<Vec<u8>, Fault> {
        if let Some(Kept { wire: KeptWire::Http(mut wire), since }) = kept {
            // A server may close an idle connection at any moment, also the very one of our request: without a status,
            // only a fresh connection can tell whether that says anything about the server.
            if let Ok(answer) = self.exchange(&mut wire, ask).await {
                return self.judge(answer, ask, wire, since);
            }
        }
        let stream = self.connect(deadline).await?;
        let since = Instant::now();
        let stream = match &ask.tls {
            None => Box::new(stream),
            Some(tls) => {
                self.stage = Stage::Handshake;
                dial::tls(tls, stream).await?
            }
        };
        let mut wire = HttpWire::new(stream).await?;
        let answer = self.exchange(&mut wire, ask).await?;
        self.judge(answer, ask, wire, since)
    }

    async fn exchange(&mut self, wire: &mut HttpWire, ask: &HttpAsk) -> Result<Answer, Fault> {
        self.stage = Stage::Answer;
        wire.exchange(ask, &mut |status| self.stage = Stage::Body { status }).await
    }

    /// A wrong status is told whatever becomes of its body; a connection is kept when the whole body came.
    fn judge(&mut self, answer: Answer, ask: &HttpAsk, wire: HttpWire, since: Instant) -> Result<Vec<u8>, Fault> {
        let Answer { status, body } = answer;
        if body.is_ok() && wire.is_open() {
            self.kept = Some(Kept { wire: KeptWire::Http(wire), since });
        }
        if ask.expect.contains(status) { body } else { Err(wrong_status(status, ask)) }
    }

    /// A connection on which something will be asked.
    async fn connect(&mut self, deadline: Instant) -> Result<TcpStream, Fault> {
        let stream = self.reach(deadline, TcpStream::connect).await?;
        dial::hurry(&stream)?;
        Ok(stream)
    }

    async fn reach<T>(
        &mut self,
        deadline: Instant,
        reach: impl AsyncFnMut(SocketAddr) -> io::Result<T>,
    ) -> Result<T, Fault> {
        self.stage = Stage::Name;
        // A quarter of the time is enough for a name service that works, and leaves enough where old addresses must do.
        let patience = deadline.saturating_duration_since(Instant::now()) / 4;
        let addresses = self.addresses.current(patience).await?;
        self.stage = Stage::Connect;
        match dial::first(addresses, deadline, reach).await {
            Ok((reached, address)) => {
                self.addresses.prefer(address);
                Ok(reached)
            }
            Err(fault) => {
                self.addresses.doubt();
                Err(fault)
            }
        }
    }
}

fn wrong_status(status: u16, ask: &HttpAsk) -> Fault {
    let redirect = if (300..400).contains(&status) { ", redirects are not followed" } else { "" };
    Fault::new(FailureKind::Status, &format!("status {status} instead of {}{redirect}", ask.expect))
}

/// Servers that were first looked at within one interval must not shake hands all at once for ever after.
fn keep_max(server: &ServerName) -> Duration {
    let steps = u32::try_from(xxh3_64(server.as_str().as_bytes()) % 1024).unwrap_or(0);
    KEEP_MAX - KEEP_MAX / 4 * steps / 1024
}
