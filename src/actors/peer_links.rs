//! All links of a director: one actor per configured peer, and the acceptor that brings each arriving link to its actor.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::prelude::*;
use maitred_core::ids::DirectorName;
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use super::peer_link::{Arrived, House, Leave, PeerLink, Renew};
use crate::config::Peer;
use crate::peer::open::{OpenError, accept};
use crate::peer::{Bell, Closing};

/// Handshakes under way at once. Whoever comes on top waits in the system's backlog.
const HANDSHAKES_MAX: usize = 64;
/// After the system refused a connection (no file handles).
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// How long links get to say goodbye.
const STOP_MAX: Duration = Duration::from_secs(2);
const STOP_POLL: Duration = Duration::from_millis(10);
/// Time between two looks for dead actors: well below what a peer waits before it takes a link for silent.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The links.
pub struct PeerLinks {
    house: Arc<House>,
    arbiter: ArbiterHandle,
    bell: Arc<Bell>,
    open: Mutex<BTreeMap<DirectorName, OpenLink>>,
}

struct OpenLink {
    peer: Peer,
    actor: Addr<PeerLink>,
    bell: Arc<Notify>,
}

impl PeerLinks {
    /// Starts to listen on the given arbiter; peers are dialled once [`Self::configure`] names them.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, house: House, bell: Arc<Bell>, listener: TcpListener) -> Arc<Self> {
        let links = Arc::new(Self { house: Arc::new(house), arbiter: arbiter.clone(), bell, open: Mutex::default() });
        let acceptor = Arc::clone(&links);
        // False only when the arbiter has ended, with the process.
        let _ = arbiter.spawn(async move { acceptor.listen(listener).await });
        links
    }

    /// Opens and closes links as the configuration says. The director has been given its settings BEFORE.
    pub fn configure(&self, peers: &[Peer]) {
        let mut open = self.open.lock();
        open.retain(|name, link| {
            let stays = peers.iter().any(|peer| peer == &link.peer && peer.name == *name);
            if !stays {
                link.actor.do_send(Leave(Closing::Removed));
            }
            stays
        });
        for peer in peers {
            open.entry(peer.name.clone()).or_insert_with(|| {
                let bell = Arc::new(Notify::new());
                let actor = self.spawn(peer, &bell);
                OpenLink { peer: peer.clone(), actor, bell }
            });
        }
        self.bell.hang(open.values().map(|link| Arc::clone(&link.bell)).collect());
    }

    /// Builds the actors of links anew that have died by a panic, which actix tells nobody. Answers how many were dead.
    pub fn check(&self) -> usize {
        let mut dead = 0;
        for (name, link) in self.open.lock().iter_mut().filter(|(_, link)| !link.actor.connected()) {
            error!(peer = %name, "the actor of a link has died; building it anew");
            // What it held is closed by now; the core must not wait for it.
            self.house.director.handle_link_down(name);
            link.actor = self.spawn(&link.peer, &link.bell);
            counter!("maitred_peer_links_rebuilt_total").increment(1);
            dead += 1;
        }
        dead
    }

    /// Calls [`Self::check`] each second, until the links are gone.
    pub async fn watch(links: Weak<Self>) {
        loop {
            sleep(CHECK_EVERY).await;
            match links.upgrade() {
                Some(links) => drop(links.check()),
                None => return,
            }
        }
    }

    /// Opens all links again, so that both sides see the certificates of now.
    pub fn renew(&self) {
        self.open.lock().values().for_each(|link| link.actor.do_send(Renew));
    }

    /// Says what is left to say, and goodbye.
    pub async fn stop(&self) {
        let links: Vec<_> = std::mem::take(&mut *self.open.lock()).into_values().map(|link| link.actor).collect();
        links.iter().for_each(|link| link.do_send(Leave(Closing::Stopping)));
        let limit = Instant::now() + STOP_MAX;
        while links.iter().any(Addr::connected) && Instant::now() < limit {
            sleep(STOP_POLL).await;
        }
    }

    async fn listen(self: Arc<Self>, listener: TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "the peer listener cannot listen; this director only dials"),
        };
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let links = Arc::clone(&self);
                    drop(tokio::spawn(async move {
                        let (house, by) = (&links.house, stream.peer_addr());
                        match accept(&house.tls, stream, |names| house.who(names)).await {
                            Ok((peer, socket)) => links.arrived(&peer, socket),
                            Err(error) => refuse(&error, by.ok()),
                        }
                        drop(turn);
                    }));
                }
                Err(error) => {
                    debug!(%error, "a peer's connection was not accepted");
                    sleep(REFUSED_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, peer: &Peer, bell: &Arc<Notify>) -> Addr<PeerLink> {
        let link = PeerLink::new(Arc::clone(&self.house), peer.clone(), Arc::clone(bell));
        PeerLink::start_in_arbiter(&self.arbiter, |_| link)
    }

    fn arrived(&self, peer: &DirectorName, socket: crate::peer::Socket) {
        if let Some(link) = self.open.lock().get(peer) {
            link.actor.do_send(Arrived(socket));
        }
    }
}

fn refuse(error: &OpenError, by: Option<std::net::SocketAddr>) {
    counter!("maitred_peer_refused_total", "reason" => error.as_str()).increment(1);
    match error {
        OpenError::Stranger(_) => warn!(?by, %error, "somebody who is no peer was refused"),
        _ => debug!(?by, %error, "no link with whoever came"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use maitred_core::director::Director;
    use maitred_core::session::TableOptions;
    use maitred_core::settings::Settings;

    use super::super::effects::Effects;
    use super::super::peer_link::Die;
    use super::super::testing::until;
    use super::*;
    use crate::certificates::{DevAuthority, Usage};
    use crate::clock::Clock;
    use crate::config::{Origin, PeerListener, Tls, TlsWithClients};
    use crate::peer::PeerTls;

    fn house() -> House {
        let folder = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create().unwrap();
        let client_ca = folder.path().join("ca.pem");
        std::fs::write(&client_ca, authority.pem()).unwrap();
        let issued = authority.issue(&["east-1"], Usage::Both).unwrap();
        let (cert, key) = issued.write(folder.path(), "east-1").unwrap();
        let tls = TlsWithClients { identity: Tls { cert, key }, client_ca };
        let listener = PeerListener { address: ([127, 0, 0, 1], 0).into(), tls };
        let settings = Settings {
            director: "east-1".parse().unwrap(),
            datacenter: "east".parse().unwrap(),
            peers: BTreeMap::from([("east-2".parse().unwrap(), "east".parse().unwrap())]),
            pools: BTreeMap::new(),
        };
        let clock = Arc::new(Clock::new(None));
        let director = Arc::new(Director::new(settings, TableOptions::default(), clock.now()).unwrap());
        let effects = Effects::new(Arc::clone(&director));
        House { director, clock, effects, tls: Arc::new(PeerTls::load(&listener).unwrap()) }
    }

    #[actix_rt::test]
    async fn a_dead_actor_is_built_anew_and_a_stopped_one_is_not() {
        let arbiter = actix::Arbiter::new();
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        // Nobody is there: the actor goes on dialling.
        let url = Origin::parse("https://127.0.0.1:1").unwrap();
        let peer = Peer { name: "east-2".parse().unwrap(), datacenter: "east".parse().unwrap(), url };
        let links = PeerLinks::start(&arbiter.handle(), house(), Arc::default(), socket);
        links.configure(std::slice::from_ref(&peer));
        assert_eq!(links.check(), 0);
        let actor = |links: &PeerLinks| links.open.lock().values().next().map(|link| link.actor.clone());
        let first = actor(&links).unwrap();
        first.do_send(Die);
        until(|| !first.connected()).await;
        assert_eq!(links.check(), 1);
        assert!(actor(&links).unwrap().connected());
        assert_eq!(links.check(), 0);
        links.stop().await;
        assert_eq!(links.check(), 0);
        arbiter.stop();
    }
}
