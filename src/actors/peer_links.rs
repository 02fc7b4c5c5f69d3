//! All links of a director: one actor per configured peer, and the acceptor that brings each arriving link to its actor.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use maitred_core::ids::DirectorName;
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

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
                let link = PeerLink::new(Arc::clone(&self.house), peer.clone(), Arc::clone(&bell));
                let actor = PeerLink::start_in_arbiter(&self.arbiter, |_| link);
                OpenLink { peer: peer.clone(), actor, bell }
            });
        }
        self.bell.hang(open.values().map(|link| Arc::clone(&link.bell)).collect());
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
