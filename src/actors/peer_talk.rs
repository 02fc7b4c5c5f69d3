//! One link while it stands: frames in, frames out, until something ends it.
//!
//! Writes only what the core gives it, and asks for the next message when the socket has taken the one before: what waits for a
//! slow peer is the core's window and one frame. Wakes for the bell, for the core's deadline and at [`POLL`]; never spins.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use maitred_core::ids::DirectorName;
use maitred_core::wire::{Lane, Message};
use metrics::{Counter, counter};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::Message as Frame;

use super::peer_link::House;
use crate::peer::open::farewell;
use crate::peer::{Closing, Socket, frame};

/// Each side pings once a second; a link on which nothing was heard for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// A frame that the socket does not take for so long: the peer is stuck.
const STUCK_MAX: Duration = Duration::from_secs(5);
/// What comes due without a bell (votes at their pace, seats that were only seen again) waits at most so long.
const POLL: Duration = Duration::from_millis(100);
/// Changes closer together than this share a frame. One that comes alone does not wait, and neither does a question or its answer.
const GAP: Duration = Duration::from_millis(1);
/// Steps of a walk through the table between two pauses, so that a resynchronisation is neither slow nor alone on its thread.
const STEPS: u32 = 32;
/// Messages that a stopping director still hands over.
const LAST_WORDS_MAX: usize = 256;

/// How a link ended.
pub(super) struct Ended {
    pub(super) why: Closing,
    /// Both had introduced themselves.
    pub(super) introduced: bool,
}

/// What one link knows of itself.
struct Talk {
    house: Arc<House>,
    peer: DirectorName,
    bell: Arc<Notify>,
    introduced: Cell<bool>,
    counts: Counts,
}

/// The core must have been told of the link before ([`maitred_core::director::Director::handle_link_up`]). `first` was read
/// already. Does not touch the core any more once it is cut.
pub(super) async fn talk(
    house: Arc<House>,
    peer: DirectorName,
    socket: Socket,
    first: Option<Message>,
    bell: Arc<Notify>,
    mut cut: oneshot::Receiver<Closing>,
) -> Ended {
    let counts = Counts::of(&peer);
    let talk = Talk { house, peer, bell, introduced: Cell::new(false), counts };
    let (mut sink, mut stream) = socket.split();
    let why = tokio::select! {
        biased;
        why = &mut cut => why.unwrap_or(Closing::Stopping),
        why = talk.read(&mut stream, first) => why,
        why = talk.write(&mut sink) => why,
    };
    if matches!(why, Closing::Stopping) {
        talk.last_words(&mut sink).await;
    }
    if let Ok(socket) = stream.reunite(sink) {
        farewell(socket, &why).await;
    }
    Ended { why, introduced: talk.introduced.get() }
}

impl Talk {
    async fn read(&self, stream: &mut SplitStream<Socket>, first: Option<Message>) -> Closing {
        if let Some(message) = first
            && let Err(why) = self.take(message)
        {
            return why;
        }
        loop {
            match next_message(stream, SILENCE_MAX).await {
                Ok((message, bytes)) => {
                    self.counts.received.increment(1);
                    self.counts.received_bytes.increment(bytes as u64);
                    let data = message.lane() == Lane::Data;
                    if let Err(why) = self.take(message) {
                        return why;
                    }
                    if data {
                        // Between two of them whatever waits may be said: a question about a start must not wait until a whole
                        // window has been read.
                        tokio::task::yield_now().await;
                    }
                }
                Err(why) => return why,
            }
        }
    }

    fn take(&self, message: Message) -> Result<(), Closing> {
        let House { director, clock, effects, .. } = &*self.house;
        let (ping, words) = (
            matches!(message, Message::Ping { .. }),
            matches!(message, Message::Orders(_) | Message::Votes(_) | Message::Roles(_)),
        );
        director.handle_message(&self.peer, message, clock.now())?;
        if words {
            effects.perform();
        }
        // R2: a clock far behind everybody's follows.
        if ping && let Some(behind) = director.take_clock_behind() {
            clock.move_forward(clock.now().time + behind);
            tracing::warn!(seconds = behind.as_secs_f64(), "the clock was behind every peer's and moved forward");
        }
        if !self.introduced.replace(true) {
            counter!("maitred_events_total", "event" => "peer_up").increment(1);
            director.tell_of_peer(&self.peer, true, "linked", clock.now());
            tracing::info!(event = "peer_up", peer = %self.peer, "linked");
        }
        // There may be something to answer.
        self.bell.notify_one();
        Ok(())
    }

    async fn write(&self, sink: &mut SplitSink<Socket, Frame>) -> Closing {
        let House { director, clock, .. } = &*self.house;
        let mut steps = 0;
        loop {
            let (began, mut changes) = (Instant::now(), false);
            while let Some(message) = director.next_message(&self.peer, clock.now()) {
                changes |= matches!(message, Message::Changes { .. });
                if let Err(why) = self.send(sink, &message).await {
                    return why;
                }
            }
            let now = clock.now();
            let due = director.next_peer_deadline(&self.peer, now).map_or(POLL, |at| at.since(now.mono)).min(POLL);
            if due.is_zero() && steps < STEPS {
                steps += 1;
                tokio::task::yield_now().await;
                continue;
            }
            steps = 0;
            tokio::select! {
                () = self.bell.notified() => {}
                () = sleep(due.max(GAP)) => {}
            }
            if changes {
                sleep_until(began + GAP).await;
            }
        }
    }

    async fn send(&self, sink: &mut SplitSink<Socket, Frame>, message: &Message) -> Result<(), Closing> {
        let bytes = frame::encode(message)?;
        self.counts.sent.increment(1);
        self.counts.sent_bytes.increment(bytes.len() as u64);
        match timeout(STUCK_MAX, sink.send(Frame::Binary(bytes))).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Closing::Stuck),
        }
    }

    /// What a stopping director has not said yet, as far as the window goes.
    async fn last_words(&self, sink: &mut SplitSink<Socket, Frame>) {
        let House { director, clock, .. } = &*self.house;
        for _ in 0..LAST_WORDS_MAX {
            let Some(message) = director.next_message(&self.peer, clock.now()) else { return };
            if self.send(sink, &message).await.is_err() {
                return;
            }
        }
    }
}

/// The first message of a peer that chooses the link.
pub(super) async fn greeting(mut socket: Socket) -> Option<(Socket, Message)> {
    match next_message(&mut socket, SILENCE_MAX).await {
        Ok((message, _)) => Some((socket, message)),
        Err(why) => {
            tracing::debug!(%why, "no greeting");
            farewell(socket, &why).await;
            None
        }
    }
}

/// The next message and its bytes. Whatever is none ends the link.
async fn next_message<S>(stream: &mut S, within: Duration) -> Result<(Message, usize), Closing>
where
    S: futures_util::Stream<Item = Result<Frame, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    let next = async {
        loop {
            return match stream.next().await {
                None => Err(Closing::Broken("the connection ended".to_owned())),
                Some(Err(error)) => Err(error.into()),
                Some(Ok(Frame::Binary(bytes))) => Ok((frame::decode(&bytes)?, bytes.len())),
                Some(Ok(Frame::Text(_))) => Err(Closing::Text),
                Some(Ok(Frame::Close(said))) => Err(Closing::told(said)),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => continue,
            };
        }
    };
    timeout(within, next).await.unwrap_or(Err(Closing::Silent))
}

/// Counted per peer.
struct Counts {
    sent: Counter,
    sent_bytes: Counter,
    received: Counter,
    received_bytes: Counter,
}

impl Counts {
    fn of(peer: &DirectorName) -> Self {
        let messages = |way| counter!("maitred_peer_messages_total", "peer" => peer.to_string(), "direction" => way);
        let bytes = |way| counter!("maitred_peer_bytes_total", "peer" => peer.to_string(), "direction" => way);
        Self {
            sent: messages("sent"),
            sent_bytes: bytes("sent"),
            received: messages("received"),
            received_bytes: bytes("received"),
        }
    }
}
