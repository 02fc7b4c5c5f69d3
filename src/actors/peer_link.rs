//! One actor per configured peer: holds the link to it, and the timer until it is dialled again.
//!
//! Both sides dial, so that one open direction is enough. Of the two the one with the smaller name uses the first link that
//! stands and closes any other while it does; the other one sends nothing on a link before it is greeted there. A link that is
//! spare costs a frame, and nothing flaps: the one in use ends only by its own fault.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::*;
use maitred_core::director::Director;
use maitred_core::ids::DirectorName;
use maitred_core::wire;
use metrics::counter;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, info, warn};

use super::effects::Effects;
use super::peer_talk::{Ended, greeting, talk};
use crate::clock::Clock;
use crate::config::Peer;
use crate::peer::identity::{Stranger, peer_of};
use crate::peer::open::{OpenError, dial, farewell};
use crate::peer::{Closing, PeerTls, Socket};

/// The first wait before a peer is dialled again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest one.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Links on which a greeting is awaited: one that each side opened, and one more.
const WAITING_MAX: u32 = 3;

/// What all links of a director share.
pub struct House {
    /// Decides.
    pub director: Arc<Director>,
    /// Tells the time.
    pub clock: Arc<Clock>,
    /// Performs what an order or a vote of a peer brings about.
    pub effects: Arc<Effects>,
    /// Certificates.
    pub tls: Arc<PeerTls>,
}

impl House {
    /// Whose certificate it is.
    ///
    /// # Errors
    /// [`Stranger`].
    pub fn who(&self, names: &[String]) -> Result<DirectorName, Stranger> {
        let view = self.director.view();
        peer_of(names, self.director.name(), view.settings().peers.keys())
    }
}

/// The link to one peer.
pub struct PeerLink {
    house: Arc<House>,
    peer: Peer,
    bell: Arc<Notify>,
    /// Of two directors the one with the smaller name.
    chooses: bool,
    used: Option<Used>,
    links: u64,
    waiting: u32,
    dialling: bool,
    failures: u32,
    leaving: bool,
}

struct Used {
    number: u64,
    cut: Option<oneshot::Sender<Closing>>,
}

/// The peer has dialled.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Arrived(pub Socket);

/// The own certificate is another one now: the link is opened again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Renew;

/// End, and say why.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave(pub Closing);

impl PeerLink {
    /// Not started yet. `bell` wakes its link.
    #[must_use]
    pub fn new(house: Arc<House>, peer: Peer, bell: Arc<Notify>) -> Self {
        let chooses = *house.director.name() < peer.name;
        Self {
            house,
            peer,
            bell,
            chooses,
            used: None,
            links: 0,
            waiting: 0,
            dialling: false,
            failures: 0,
            leaving: false,
        }
    }

    fn dial(&mut self, context: &mut Context<Self>) {
        if self.leaving || self.dialling || self.used.is_some() || self.waiting > 0 {
            return;
        }
        self.dialling = true;
        let (house, peer) = (Arc::clone(&self.house), self.peer.clone());
        let dialled = async move { dial(&house.tls, &peer, |names| house.who(names)).await };
        context.spawn(wrap_future::<_, Self>(dialled).map(|dialled, link, context| {
            link.dialling = false;
            match dialled {
                Ok(socket) => link.opened(socket, context),
                Err(error) => link.not_opened(&error, context),
            }
        }));
    }

    fn not_opened(&mut self, error: &OpenError, context: &mut Context<Self>) {
        counter!("maitred_peer_refused_total", "reason" => error.as_str()).increment(1);
        // One line when it begins; the metric and the peer's state tell the rest.
        if self.failures == 0 {
            warn!(peer = %self.peer.name, url = %self.peer.url, %error, "no link; dialling again and again");
        } else {
            debug!(peer = %self.peer.name, %error, "no link");
        }
        self.dial_later(context);
    }

    fn dial_later(&mut self, context: &mut Context<Self>) {
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        context.run_later(jittered(pause), Self::dial);
    }

    fn opened(&mut self, socket: Socket, context: &mut Context<Self>) {
        if self.leaving {
            return;
        }
        if self.chooses {
            match self.used {
                None => self.link_up(socket, None, context),
                Some(_) => dismiss(socket, context),
            }
            return;
        }
        if self.waiting >= WAITING_MAX {
            return dismiss(socket, context);
        }
        self.waiting += 1;
        context.spawn(wrap_future::<_, Self>(greeting(socket)).map(|greeted, link, context| {
            link.waiting -= 1;
            match greeted {
                Some((socket, first)) if !link.leaving => link.link_up(socket, Some(first), context),
                Some(_) => {}
                None if link.used.is_none() => link.dial_later(context),
                None => {}
            }
        }));
    }

    /// This link is used from now on. The peer that greets on another one knows why the former is no good.
    fn link_up(&mut self, socket: Socket, first: Option<wire::Message>, context: &mut Context<Self>) {
        if let Some(mut former) = self.used.take() {
            self.house.director.handle_link_down(&self.peer.name);
            if let Some(cut) = former.cut.take() {
                // It ends at its next turn, before it touches the core again.
                let _ = cut.send(Closing::Spare);
            }
        }
        if self.house.director.handle_link_up(&self.peer.name, self.house.clock.now()).is_err() {
            // Taken out of the configuration this moment.
            return;
        }
        self.links += 1;
        let number = self.links;
        let (cut, is_cut) = oneshot::channel();
        self.used = Some(Used { number, cut: Some(cut) });
        let (house, bell) = (Arc::clone(&self.house), Arc::clone(&self.bell));
        let talking = talk(house, self.peer.name.clone(), socket, first, bell, is_cut);
        context.spawn(
            wrap_future::<_, Self>(talking).map(move |ended, link, context| link.ended(number, &ended, context)),
        );
    }

    fn ended(&mut self, number: u64, ended: &Ended, context: &mut Context<Self>) {
        let Ended { why, introduced } = ended;
        counter!("maitred_peer_links_closed_total", "reason" => why.as_str()).increment(1);
        if self.used.as_ref().is_none_or(|used| used.number != number) {
            debug!(peer = %self.peer.name, %why, "a former link has ended");
            return;
        }
        self.used = None;
        self.house.director.handle_link_down(&self.peer.name);
        if *introduced {
            self.failures = 0;
            counter!("maitred_events_total", "event" => "peer_down").increment(1);
            self.house.director.tell_of_peer(&self.peer.name, false, why.as_str(), self.house.clock.now());
            match why {
                Closing::Stopping | Closing::Removed | Closing::Renewed => {
                    info!(event = "peer_down", peer = %self.peer.name, reason = why.as_str(), "link closed: {why}");
                }
                _ => warn!(event = "peer_down", peer = %self.peer.name, reason = why.as_str(), "link lost: {why}"),
            }
        } else if self.failures == 0 {
            warn!(peer = %self.peer.name, reason = why.as_str(), "no link: {why}");
        } else {
            debug!(peer = %self.peer.name, %why, "no link");
        }
        if self.leaving {
            return context.stop();
        }
        self.dial_later(context);
    }

    fn cut(&mut self, why: Closing) {
        if let Some(cut) = self.used.as_mut().and_then(|used| used.cut.take()) {
            let _ = cut.send(why);
        }
    }
}

impl Actor for PeerLink {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.dial(context);
    }
}

impl Handler<Arrived> for PeerLink {
    type Result = ();

    fn handle(&mut self, Arrived(socket): Arrived, context: &mut Self::Context) {
        self.opened(socket, context);
    }
}

impl Handler<Renew> for PeerLink {
    type Result = ();

    fn handle(&mut self, _: Renew, _: &mut Self::Context) {
        self.cut(Closing::Renewed);
    }
}

impl Handler<Leave> for PeerLink {
    type Result = ();

    fn handle(&mut self, Leave(why): Leave, context: &mut Self::Context) {
        self.leaving = true;
        if self.used.is_none() {
            return context.stop();
        }
        self.cut(why);
    }
}

/// For tests of the watchdog: its handler panics.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Die;

#[cfg(test)]
impl Handler<Die> for PeerLink {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Self::Context) {
        std::panic::panic_any("as the test wished");
    }
}

/// Tells whoever opened it that another link is used.
fn dismiss(socket: Socket, context: &mut Context<PeerLink>) {
    context.spawn(wrap_future(async move { farewell(socket, &Closing::Spare).await }));
}

/// Half of it to all of it, so that directors that lost each other at once do not dial at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without randomness it is three quarters.
    let _ = getrandom::fill(&mut byte);
    pause.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_jittered_within_its_upper_half() {
        for _ in 0..1000 {
            let pause = jittered(PAUSE_MAX);
            assert!(pause >= PAUSE_MAX / 2 && pause <= PAUSE_MAX, "{pause:?}");
        }
    }
}
