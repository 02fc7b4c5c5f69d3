//! From what this director decides to the events that it tells: turns of seats, changes of servers and roles, and how many were lost
//! at once.
//!
//! Called whenever somebody is about to read events or to hand them on, and as time passes; nothing of it is on the path of a start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::Director;
use super::resets::ResetOrder;
use crate::clock::{Now, Time};
use crate::entry::{Entry, OperatorWord, SeatEntry};
use crate::event::{Event, SessionEvent, SessionNews};
use crate::events::{Feed, OfSession, Place, Reading, ServerTurn, SessionTurn, Told, What};
use crate::ids::{DirectorName, Generation, PoolName, ServerName, SessionId};
use crate::session::Reader;
use crate::view::View;
use crate::wire::Message;

/// Changes that one shard keeps until they are collected: a storm of 20,000 starts between two collections, spread over 64 shards,
/// is a tenth of it.
pub(super) const CHANGES_MAX: usize = 4096;
/// Most servers that one session is said to have seen.
const SERVERS_SEEN_MAX: usize = 16;
/// A server with at most so many sessions: what happens to it is told for each of them. With more it is an incident.
const ONE_BY_ONE_MAX: u32 = 16;

/// The feed, and what is counted towards an incident.
#[derive(Debug)]
pub(super) struct News {
    feed: Feed,
    /// Servers that this director told to be down: when they are back, what they hold is restored.
    down: BTreeSet<ServerName>,
}

impl News {
    pub(super) fn new(me: DirectorName, time: Time) -> Self {
        Self { feed: Feed::new(me, time), down: BTreeSet::new() }
    }

    pub(super) fn hear(&mut self, peer: &DirectorName, message: Message, now: Now) -> Result<(), &'static str> {
        match message {
            Message::EventsKnown(known) => self.feed.hear_known(peer, known),
            Message::Events { director, run, after, upto, notices } => {
                self.feed.hear(&director, run, (after, upto), notices, now)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What is kept of sessions' turns, the oldest first.
    pub(super) fn turns(&self) -> impl DoubleEndedIterator<Item = &OfSession> {
        self.feed.turns()
    }

    pub(super) fn words_for(&mut self, peer: &DirectorName, now: Now) -> Vec<Message> {
        self.feed.words_for(peer, now.mono)
    }

    pub(super) fn link_down(&mut self, peer: &DirectorName) {
        self.feed.link_down(peer);
    }

    /// Tells what happened to a session.
    fn tell_session(&mut self, event: SessionEvent, now: Now) {
        let reason = match &event.news {
            SessionNews::Placed => "new",
            SessionNews::Moved { .. } => "moved",
            SessionNews::Revived => "later_start",
            SessionNews::Kept => "usable",
            SessionNews::Over(_) => event.reason(),
        };
        let (turn, from) = match event.news {
            SessionNews::Placed => (SessionTurn::Placed, None),
            SessionNews::Moved { from } => (SessionTurn::Moved, from),
            SessionNews::Revived => (SessionTurn::Restored, None),
            SessionNews::Kept => (SessionTurn::Kept, None),
            SessionNews::Over(_) => (SessionTurn::Ended, None),
        };
        let SessionEvent { pool, key, session, generation, server, .. } = event;
        // A server's word has no time of its own, and an end by expiry has that of the start before.
        let dated = event.time > Time::default() && reason != "expired" && turn != SessionTurn::Kept;
        let time = if dated { event.time } else { now.time };
        let of = OfSession { turn, pool, key, session, generation, server, from };
        self.feed.tell(time, What::Session(of), reason, now);
    }
}

impl Director {
    /// Turns what happened since the last call into events. Call before reading, and as time passes.
    pub fn collect_events(&self, now: Now) {
        let ended = {
            let untold = self.control.lock().take_untold();
            let view = self.view.load();
            let mut news = self.news.lock();
            let news = &mut *news;
            let lost = self.table.drain_news(&self.names, &mut |event| news.tell_session(event, now));
            news.feed.lose(lost);
            for event in untold {
                self.tell(news, &view, &event, now);
            }
            news.feed.take_ended()
        };
        if !ended.is_empty() {
            let mut control = self.control.lock();
            for (pool, count) in ended {
                control.ended(&pool, count, None, now);
            }
        }
    }

    /// A reader of events, from now on or behind the place where it was, here or at another director.
    #[must_use]
    pub fn read_events(&self, place: Option<Place>, now: Now) -> Reading {
        self.collect_events(now);
        self.news.lock().feed.read_from(place, now.mono)
    }

    /// What a reader is told next; nothing: wait. A director that is cold tells nobody anything, because it may not know yet
    /// where readers of its former run stand.
    pub fn next_events(&self, reading: &mut Reading, most: usize, now: Now) -> Vec<Told> {
        if !self.is_warm(now) {
            reading.waited |= reading.is_from_now();
            return Vec::new();
        }
        if std::mem::take(&mut reading.waited) {
            // What peers have told meanwhile is the past.
            *reading = self.read_events(None, now);
        }
        self.collect_events(now);
        self.news.lock().feed.read(reading, most, now.mono)
    }

    /// The servers at which a session was, the first one first, as far as the kept events reach; the one of the seat is the last.
    #[must_use]
    pub fn servers_seen(&self, seat: &SeatEntry, now: Now) -> Vec<ServerName> {
        self.collect_events(now);
        let mut seen: Vec<ServerName> = Vec::new();
        let news = self.news.lock();
        let own = |of: &&OfSession| of.session == seat.session && of.pool == seat.pool && of.key == seat.key;
        for of in news.turns().filter(own) {
            // Two directors may tell of one turn; only another server is news.
            for server in of.from.iter().chain([&of.server]) {
                seen.retain(|known| known != server);
                seen.push(server.clone());
            }
        }
        seen.retain(|known| *known != seat.server);
        let most = SERVERS_SEEN_MAX - 1;
        seen.drain(..seen.len().saturating_sub(most));
        seen.push(seat.server.clone());
        seen
    }

    /// Somebody listens for kept starts, or no longer does; while nobody does, they cost nothing.
    pub fn listen_for_kept(&self, listens: bool) {
        if listens {
            self.kept_listeners.fetch_add(1, Ordering::Relaxed);
        } else {
            self.kept_listeners.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A link to a peer was won or lost, as the shell that holds it says.
    pub fn tell_of_peer(&self, peer: &DirectorName, up: bool, reason: &str, now: Now) {
        self.news.lock().feed.tell(now.time, What::Peer { up, peer: peer.clone() }, reason, now);
    }

    /// Events that are kept, and how many were lost before anybody could read them.
    #[must_use]
    pub fn events_kept(&self) -> (usize, u64) {
        let news = self.news.lock();
        (news.feed.len(), news.feed.dropped())
    }

    /// Hands out changed records for the peers, and tells what became of seats before the record that says so.
    pub(super) fn collect_changes(&self, now: Now, sink: &mut dyn FnMut(Entry)) {
        let mut news = self.news.lock();
        let lost = self.table.drain_with_news(&self.names, &mut |event| news.tell_session(event, now), sink);
        news.feed.lose(lost);
    }

    /// The same where no record needs to be handed out.
    pub(super) fn pass_over_changes(&self, now: Now) {
        let mut news = self.news.lock();
        let lost = self.table.pass_over(Reader::Peers, &self.names, &mut |event| news.tell_session(event, now));
        news.feed.lose(lost);
    }

    pub(super) fn tell_of_confirm(&self, seat: &SeatEntry, now: Now) {
        let of = of_seat(seat, SessionTurn::Confirmed);
        self.news.lock().feed.tell(now.time, What::Session(of), "server", now);
    }

    pub(super) fn tell_of_resets(&self, server: &ServerName, orders: &[ResetOrder], now: Now) {
        for order in orders.iter().filter(|order| order.first) {
            let of = OfSession {
                turn: SessionTurn::Reset,
                pool: order.pool.clone(),
                key: order.key.clone(),
                session: order.session.unwrap_or(SessionId([0; 16])),
                generation: order.generation.unwrap_or(Generation::FIRST),
                server: server.clone(),
                from: None,
            };
            self.news.lock().feed.tell(now.time, What::Session(of), order.reason.as_str(), now);
        }
    }

    fn tell(&self, news: &mut News, view: &View, event: &Event, now: Now) {
        let at = |turn, pool: &PoolName, server: &ServerName| What::Server {
            turn,
            pool: pool.clone(),
            server: server.clone(),
        };
        let (what, reason) = match event {
            Event::ServerUp { pool, server } => {
                if news.down.remove(server) {
                    self.tell_of_seats(news, view, server, SessionTurn::Restored, "server_up", now);
                }
                (at(ServerTurn::Up, pool, server), "")
            }
            Event::ServerDown { pool, server, kind, .. } => {
                news.feed.tell(now.time, at(ServerTurn::Down, pool, server), kind.as_str(), now);
                if news.down.insert(server.clone()) {
                    self.tell_of_seats(news, view, server, SessionTurn::Orphaned, "server_down", now);
                }
                return;
            }
            Event::ServerReborn { pool, server, incarnation } => {
                news.feed.tell(now.time, at(ServerTurn::Reborn, pool, server), incarnation.as_str(), now);
                self.tell_of_seats(news, view, server, SessionTurn::Orphaned, "server_reborn", now);
                return;
            }
            Event::ServerDegraded { pool, server, dependency, degraded } => {
                let turn = if *degraded { ServerTurn::Degraded } else { ServerTurn::Recovered };
                (at(turn, pool, server), dependency.as_str())
            }
            Event::ServerOrdered { pool, server, after, reason, .. } => {
                let turn = match after {
                    OperatorWord::Ready => ServerTurn::Ready,
                    OperatorWord::Drain => ServerTurn::Drain,
                    OperatorWord::Maint => ServerTurn::Maint,
                };
                (at(turn, pool, server), reason.as_str())
            }
            Event::RoleMoved { pool, from, to, epoch, cause } => {
                for (active, datacenter) in [(false, from), (true, to)] {
                    let (pool, datacenter) = (pool.clone(), datacenter.clone());
                    let what = What::Site { active, pool, datacenter, epoch: *epoch };
                    news.feed.tell(now.time, what, cause.as_str(), now);
                }
                return;
            }
            // Its own matter, for its log: who reads the feed is told nothing that is not so elsewhere.
            Event::TimeLost { .. } => return,
            Event::Suspect { pool, abstains, .. } => (What::Suspect { pool: pool.clone(), abstains: *abstains }, ""),
            Event::OrderSuperseded { pool, server, lost, director, holds } => {
                let (lost, holds) = (lost.as_str().into(), holds.as_str().into());
                let (pool, server, by) = (pool.clone(), server.clone(), director.clone());
                (What::OrderSuperseded { pool, server, lost, by, holds }, "given_apart")
            }
            Event::MassLogout { pool, incident } => {
                let reason = if incident.panic { "panic" } else { "crowd" };
                (What::MassLogout { pool: pool.clone(), incident: *incident }, reason)
            }
        };
        news.feed.tell(now.time, what, reason, now);
    }

    /// A server with a few sessions: one event for each. With more, they are part of an incident, which is one event.
    fn tell_of_seats(
        &self,
        news: &mut News,
        view: &View,
        server: &ServerName,
        turn: SessionTurn,
        reason: &str,
        now: Now,
    ) {
        let Some((_, at)) = view.server(server) else { return };
        if at.load.seats() > ONE_BY_ONE_MAX {
            return;
        }
        let mut seated = BTreeMap::new();
        self.table.by_server(at.ix, 0, usize::MAX, &mut |record| {
            if seated.len() <= ONE_BY_ONE_MAX as usize {
                let seat = record.entry(&self.names);
                seated.insert((seat.key.clone(), seat.session), seat);
            }
        });
        for seat in seated.into_values() {
            news.feed.tell(now.time, What::Session(of_seat(&seat, turn)), reason, now);
        }
    }
}

fn of_seat(seat: &SeatEntry, turn: SessionTurn) -> OfSession {
    OfSession {
        turn,
        pool: seat.pool.clone(),
        key: seat.key.clone(),
        session: seat.session,
        generation: seat.generation,
        server: seat.server.clone(),
        from: None,
    }
}
