//! A director that speaks an older protocol: the present core at the other end of a real link, which is told and tells only what that
//! protocol has.
//!
//! What came to the protocol later would be a frame without meaning to a real elder, which closes the link: here it fails the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use maitred::peer::frame;
use maitred_core::clock::{Mono, Now, Time};
use maitred_core::director::Director as Core;
use maitred_core::ids::DirectorName;
use maitred_core::session::TableOptions;
use maitred_core::settings::Settings;
use maitred_core::wire::{Hello, Message, VERSION_OF_EVENTS, VERSION_OF_LISTS, VERSION_OF_SAID};
use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::mesh::{Knock, Mesh};

/// How long it waits for a frame before it looks what it has to say itself.
const TURN: Duration = Duration::from_millis(10);

/// The elder. It hangs up when it is dropped.
pub(crate) struct Elder {
    core: Arc<Core>,
    began: (Instant, Time),
    heard: Arc<Mutex<Vec<&'static str>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Elder {
    /// Dials a director of the mesh as the one that these settings name.
    pub(crate) fn dial(mesh: &Mesh, at: &'static str, settings: Settings, version: u16) -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let began = (Instant::now(), Time(u64::try_from(wall.as_millis()).unwrap()));
        let me = settings.director.to_string();
        let core = Arc::new(Core::new(settings, TableOptions::default(), now(began)).unwrap());
        let (heard, stop) = (Arc::<Mutex<Vec<&'static str>>>::default(), Arc::<AtomicBool>::default());
        let talk =
            Talk { core: Arc::clone(&core), peer: at.parse().unwrap(), version, began, heard: Arc::clone(&heard) };
        let (knock, until) = (mesh.knocker(at, &me), Arc::clone(&stop));
        let thread = thread::spawn(move || talk.until(&knock, &until));
        Self { core, began, heard, stop, thread: Some(thread) }
    }

    /// What it decides with, and when it is.
    pub(crate) fn core(&self) -> (&Core, Now) {
        (&self.core, now(self.began))
    }

    /// Kinds of messages that it was sent so far.
    pub(crate) fn heard(&self, kind: &str) -> bool {
        self.heard.lock().contains(&kind)
    }

    /// Hangs up, and says how the link was.
    pub(crate) fn hang_up(mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Elder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn now((instant, time): (Instant, Time)) -> Now {
    let elapsed = instant.elapsed();
    Now { mono: Mono(u64::try_from(elapsed.as_millis()).unwrap() + 1), time: time + elapsed }
}

struct Talk {
    core: Arc<Core>,
    peer: DirectorName,
    version: u16,
    began: (Instant, Time),
    heard: Arc<Mutex<Vec<&'static str>>>,
}

impl Talk {
    fn until(&self, knock: &Knock, stop: &AtomicBool) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut socket = knock.open().await;
            self.core.handle_link_up(&self.peer, now(self.began)).map_err(|error| error.to_string())?;
            while !stop.load(Ordering::SeqCst) {
                self.core.handle_timeout(now(self.began));
                while let Some(message) = self.core.next_message(&self.peer, now(self.began)) {
                    let bytes = frame::encode(&self.told(message)).map_err(|error| error.to_string())?;
                    socket.send(Frame::Binary(bytes)).await.map_err(|error| error.to_string())?;
                }
                let Ok(frame) = tokio::time::timeout(TURN, socket.next()).await else { continue };
                match frame {
                    Some(Ok(Frame::Binary(bytes))) => {
                        let message = frame::decode(&bytes).map_err(|error| error.to_string())?;
                        let message = self.understood(message)?;
                        let taken = self.core.handle_message(&self.peer, message, now(self.began));
                        taken.map_err(|error| error.to_string())?;
                    }
                    Some(Ok(Frame::Close(said))) => return Err(format!("closed: {said:?}")),
                    Some(Ok(_)) => {}
                    other => return Err(format!("the link ended: {other:?}")),
                }
            }
            Ok(())
        })
    }

    /// As its protocol says it.
    fn told(&self, message: Message) -> Message {
        match message {
            Message::Hello(hello) => Message::Hello(Hello { version: self.version, ..hello }),
            other => other,
        }
    }

    /// As its protocol understands it. It takes the other one for no younger than itself.
    fn understood(&self, message: Message) -> Result<Message, String> {
        let (kind, since) = match &message {
            Message::EventsKnown(_) | Message::Events { .. } => ("events", VERSION_OF_EVENTS),
            Message::Lists(_) => ("lists", VERSION_OF_LISTS),
            Message::Said(_) => ("said", VERSION_OF_SAID),
            Message::Votes(_) => ("votes", 1),
            Message::Roles(_) => ("roles", 1),
            Message::Orders(_) => ("orders", 1),
            _ => ("other", 1),
        };
        self.heard.lock().push(kind);
        match message {
            _ if since > self.version => Err(format!("it was sent {kind}, and speaks version {}", self.version)),
            Message::Hello(hello) => Ok(Message::Hello(Hello { version: hello.version.min(self.version), ..hello })),
            other => Ok(other),
        }
    }
}
