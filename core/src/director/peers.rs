//! The other directors: links, messages, and the table as replication sees it.
//!
//! Owns which module takes which message. Locks: control, then peers, then a shard; nothing waits for a peer.

use std::sync::Arc;
use std::time::Duration;

use super::Director;
use super::control::Control;
use crate::clock::{Mono, Now};
use crate::entry::{ConfirmedEntry, Entry, SeatEntry, StateEntry};
use crate::fault::{Fault, planted};
use crate::ids::{DirectorName, PoolName};
use crate::replication::{Page, PeerStatus, Peers, Store, Taken, Violation};
use crate::session::{
    AGENT_STATE_BYTES_MAX, Change, Cursor, Mark, Merged, Reader, STAMP_AHEAD_MAX, StateMerged, admit,
};
use crate::settings::Settings;
use crate::view::View;
use crate::wire::{Message, VERSION_OF_EVENTS, VERSION_OF_LISTS, VERSION_OF_SAID, WORDS_MAX};

/// Records that one page of a walk looks at.
const PAGE: usize = 256;
/// Confirms that one page looks at: each page counts again to where it begins.
const CONFIRMS_PAGE: usize = 1024;

/// The table at one moment, for replication.
struct Shelf<'a> {
    director: &'a Director,
    view: Arc<View>,
    now: Now,
    /// How a seat from a peer is taken: as news, or while this director catches up.
    heard: Mark,
}

impl Store for Shelf<'_> {
    fn collect(&self, sink: &mut dyn FnMut(Entry)) {
        self.director.collect_changes(self.now, sink);
        self.director
            .aliases
            .write()
            .drain_dirty(Reader::Peers, usize::MAX, &mut |entry| sink(Entry::Confirmed(entry)));
    }

    fn pass_over(&self) {
        self.director.pass_over_changes(self.now);
        self.director.aliases.write().drain_dirty(Reader::Peers, usize::MAX, &mut |_| ());
    }

    fn merge(&self, entry: &Entry) -> Taken {
        match entry {
            Entry::Seat(seat) => self.merge_seat(seat),
            Entry::State(state) => self.merge_state(state),
            Entry::Confirmed(confirmed) => self.merge_confirmed(confirmed),
            Entry::ServerOrder(_)
            | Entry::RoleOrder(_)
            | Entry::LastVerdict(_)
            | Entry::LastRole(_)
            | Entry::Clock(_)
            | Entry::Outage(_) => Taken::Dropped("kind"),
        }
    }

    fn page(&self, from: Page, sink: &mut dyn FnMut(Entry)) -> Option<Page> {
        let Director { table, names, .. } = self.director;
        let seats = |from: Cursor, sink: &mut dyn FnMut(Entry)| {
            let next = table.page(from, PAGE, &mut |record| sink(Entry::Seat(record.entry(names))));
            Some(next.map_or(Page::States(0), |cursor| Page::Seats(cursor.to_bits())))
        };
        match from {
            Page::Start => seats(Cursor::default(), sink),
            Page::Seats(bits) => seats(Cursor::from_bits(bits), sink),
            Page::States(shard) => match table.states_of(shard, names, &mut |state| sink(Entry::State(state))) {
                Some(()) => Some(Page::States(shard + 1)),
                None => Some(Page::Confirms(0)),
            },
            Page::Confirms(from) => {
                // One that is missed because another went is found by the next comparison.
                let confirms = self.director.aliases.read().slice(from, CONFIRMS_PAGE);
                let next = (confirms.len() == CONFIRMS_PAGE).then(|| Page::Confirms(from + CONFIRMS_PAGE));
                confirms.into_iter().map(Entry::Confirmed).for_each(sink);
                next
            }
        }
    }

    fn ttl(&self, pool: &PoolName) -> Option<Duration> {
        self.view.pool(pool).map(|pool| pool.settings().session_ttl)
    }
}

impl Shelf<'_> {
    fn merge_seat(&self, seat: &SeatEntry) -> Taken {
        let clamped;
        let mut seat = seat;
        if planted(Fault::ClampOnRead) && seat.stamp.time() > self.now.time {
            clamped = SeatEntry { stamp: crate::clock::Stamp::at(self.now.time), ..seat.clone() };
            seat = &clamped;
        }
        let Some(pool) = self.view.pool(&seat.pool) else { return Taken::Dropped("pool") };
        if let Err(reason) = admit(seat, self.now.time, pool.settings().session_ttl) {
            return Taken::Dropped(reason.as_str());
        }
        let Director { table, names, counts, me, .. } = self.director;
        let session = pool.settings().allow_multiple.then_some(seat.session);
        let key = table.key(pool.ix(), &seat.key, session);
        let merged = table.lock(&key).merge(&key, seat, names, self.heard);
        let Ok(merged) = merged else { return Taken::Dropped("full") };
        if let (Merged::New(Change { after: Some(server), .. }), true) = (merged, seat.minted && seat.writer == *me) {
            counts.of(server).minted_seen(seat.stamp.time());
        }
        counts.apply(merged.change());
        match merged {
            Merged::New(_) | Merged::Replaced(_) | Merged::Seen => Taken::Changed,
            Merged::Kept => Taken::Same,
        }
    }

    fn merge_confirmed(&self, confirmed: &ConfirmedEntry) -> Taken {
        let Some(pool) = self.view.pool(&confirmed.pool) else { return Taken::Dropped("pool") };
        if pool.settings().allow_multiple != confirmed.by_session {
            return Taken::Dropped("confirm_kind");
        }
        if confirmed.stamp.time() > self.now.time + STAMP_AHEAD_MAX {
            return Taken::Dropped("stamp_ahead");
        }
        match self.director.aliases.write().take(confirmed.clone(), Mark::Heard) {
            Ok(true) => Taken::Changed,
            Ok(false) => Taken::Same,
            Err(_) => Taken::Dropped("full"),
        }
    }

    fn merge_state(&self, state: &StateEntry) -> Taken {
        let Some(pool) = self.view.pool(&state.pool) else { return Taken::Dropped("pool") };
        if state.stamp.time() > self.now.time + STAMP_AHEAD_MAX {
            return Taken::Dropped("stamp_ahead");
        }
        if state.bytes.len() > AGENT_STATE_BYTES_MAX {
            return Taken::Dropped("state_bytes");
        }
        let session = pool.settings().allow_multiple.then_some(state.session);
        let key = self.director.table.key(pool.ix(), &state.key, session);
        let mut shard = self.director.table.lock(&key);
        // R18, R9: it has expired, unless a live seat keeps it.
        let over = state.stamp.time() + pool.settings().session_ttl <= self.now.time;
        let seated = shard.find(&key).is_some_and(|record| record.sitting().live_at().is_some());
        if over && !seated && !self.director.has_session(&state.pool, &state.key) {
            return Taken::Dropped("expired");
        }
        match shard.merge_state(&key, state, &self.director.names, Mark::Heard) {
            Ok(StateMerged::New | StateMerged::Replaced) => Taken::Changed,
            Ok(StateMerged::Kept) => Taken::Same,
            Err(_) => Taken::Dropped("full"),
        }
    }
}

impl Director {
    /// A link to a peer stands. Ask [`Self::next_message`] afterwards.
    ///
    /// # Errors
    /// [`Violation::Unknown`]: it is not configured.
    pub fn handle_link_up(&self, peer: &DirectorName, now: Now) -> Result<(), Violation> {
        // Else it would be taken for one that stood meanwhile.
        self.wake(now);
        self.control.lock().hearsay.begin(peer);
        self.lists.told.begin(peer);
        self.peers.lock().link_up(peer, now)
    }

    /// A link is gone. Votes that came over it grow old by themselves.
    pub fn handle_link_down(&self, peer: &DirectorName) {
        self.peers.lock().link_down(peer);
        self.asked.lock().gone(peer);
        self.news.lock().link_down(peer);
    }

    /// Takes a message from a peer.
    ///
    /// # Errors
    /// [`Violation`]: close the link and say why.
    pub fn handle_message(&self, peer: &DirectorName, message: Message, now: Now) -> Result<(), Violation> {
        self.wake(now);
        let shelf = self.shelf(now);
        match message {
            Message::Orders(_) | Message::Votes(_) | Message::Roles(_) | Message::Lists(_) | Message::Said(_) => {
                let way = {
                    let mut peers = self.peers.lock();
                    peers.check(peer, &message)?;
                    // Half the way there and back, rather too long than too short: a vote may look older than it is.
                    peers.round_trip(peer).unwrap_or_default() / 2
                };
                self.handle_words(message, way, now);
                Ok(())
            }
            Message::EventsKnown(_) | Message::Events { .. } => {
                self.peers.lock().check(peer, &message)?;
                let heard = self.news.lock().hear(peer, message, now);
                if let Err(reason) = heard {
                    self.peers.lock().count_dropped(reason);
                }
                Ok(())
            }
            Message::Ask { pool, key, session } => {
                let mut peers = self.peers.lock();
                peers.check(peer, &Message::Pong { sent: 0 })?;
                let entries = self.told_of(&pool, &key, session, now);
                peers.say(peer, [Message::Told { pool, key, entries }]);
                Ok(())
            }
            Message::Told { ref pool, ref key, ref entries } => {
                self.peers.lock().check(peer, &message)?;
                // It is merged as any record; whoever asked looks again.
                for entry in entries {
                    let _ = shelf.merge(entry);
                }
                self.asked.lock().answered(peer, pool, key);
                Ok(())
            }
            Message::Hello(_)
            | Message::Ping { .. }
            | Message::Pong { .. }
            | Message::Ack { .. }
            | Message::Digests { .. }
            | Message::Want { .. }
            | Message::Bulk { .. }
            | Message::Synced(_)
            | Message::Changes { .. } => {
                let records = self.peers.lock().handle(peer, message, &shelf, now)?;
                if let Some(records) = records {
                    let merged = records.merge(&shelf);
                    self.peers.lock().merged(peer, merged, now);
                }
                Ok(())
            }
        }
    }

    /// The next message for a peer: words before sessions, within the window. Call until `None`, after each input, when a start
    /// may have changed something, and at [`Self::next_peer_deadline`].
    #[must_use]
    pub fn next_message(&self, peer: &DirectorName, now: Now) -> Option<Message> {
        self.wake(now);
        {
            let mut control = self.control.lock();
            let mut peers = self.peers.lock();
            if peers.has_room_for_words(peer) {
                let words = control.words_for(peer, peers.run(), now);
                peers.say(peer, words);
                if peers.speaks(peer, VERSION_OF_SAID) {
                    let said = control.sayings_for(peer, peers.run(), now);
                    peers.say(peer, said);
                }
                if peers.speaks(peer, VERSION_OF_LISTS) {
                    let lists = self.lists.told.words_for(peer, &self.me, peers.run(), now.mono);
                    peers.say(peer, lists);
                }
            }
        }
        let shelf = self.shelf(now);
        let mut peers = self.peers.lock();
        peers.collect(&shelf, now);
        // Collected and said under one lock: an event goes out before the record that says the same.
        if peers.has_room_for_words(peer) && peers.speaks(peer, VERSION_OF_EVENTS) {
            let events = self.news.lock().words_for(peer, now);
            peers.say(peer, events);
        }
        peers.next(peer, &shelf, now)
    }

    /// When [`Self::next_message`] may have something to say to this peer without any input; now, while a walk through the
    /// table is under way.
    #[must_use]
    pub fn next_peer_deadline(&self, peer: &DirectorName, now: Now) -> Option<Mono> {
        self.peers.lock().next_deadline(peer, now.mono)
    }

    /// Synchronised since the start, or since it lost time, with every director that it is linked to, or nobody to wait for, or 5 s
    /// have passed.
    #[must_use]
    pub fn is_warm(&self, now: Now) -> bool {
        let peers = self.peers.lock();
        peers.is_warm(now.mono) && (peers.is_alone() || !self.has_lost_time(now))
    }

    /// All configured peers, for status and metrics.
    #[must_use]
    pub fn peers(&self, now: Now) -> Vec<PeerStatus> {
        self.peers.lock().status(now.mono)
    }

    /// What came from peers and was not believed, by reason.
    #[must_use]
    pub fn dropped_from_peers(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.peers.lock().dropped().clone()
    }

    /// By how much the shell's clock must move forward now (R2); told once.
    #[must_use]
    pub fn take_clock_behind(&self) -> Option<Duration> {
        self.peers.lock().take_clock_behind()
    }

    fn shelf(&self, now: Now) -> Shelf<'_> {
        // What a director hears before it is warm has long happened: those who know have told it.
        let heard = if self.is_warm(now) { Mark::Heard } else { Mark::CaughtUp };
        Shelf { director: self, view: self.view.load_full(), now, heard }
    }

    fn handle_words(&self, message: Message, way: Duration, now: Now) {
        let mut control = self.control.lock();
        let control = &mut *control;
        let settings = Arc::clone(&control.settings);
        let (mut changes, mut dropped) = (Vec::new(), Vec::new());
        match message {
            Message::Orders(entries) => {
                for entry in entries {
                    match control.hear_order(entry, &settings, now) {
                        Ok(mut found) => changes.append(&mut found),
                        Err(reason) => dropped.push(reason),
                    }
                }
            }
            Message::Votes(words) => {
                for word in words {
                    match control.hearsay.vote(word, way, &settings, now) {
                        Ok(Some((server, director, vote))) => {
                            changes.append(&mut control.watch.hear(&server, director, vote, &settings, now));
                        }
                        Ok(None) => {}
                        Err(reason) => dropped.push(reason),
                    }
                }
            }
            Message::Roles(words) => {
                for word in words {
                    if let Err(reason) = control.hearsay.role(word, way, &settings, now) {
                        dropped.push(reason);
                    }
                }
            }
            Message::Lists(words) => {
                let (lives, not_believed) = self.lists.told.hear(words, way, &settings, now);
                dropped = not_believed;
                for (server, life) in lives {
                    if let Some((_, server)) = control.view.server(&server) {
                        self.lists.note_life(server.ix, life);
                    }
                }
            }
            Message::Said(words) => {
                let run = self.peers.lock().run();
                for word in words {
                    match self.hear_saying(control, word, (way, run), now) {
                        Ok(mut found) => changes.append(&mut found),
                        Err(reason) => dropped.push(reason),
                    }
                }
            }
            _ => {}
        }
        self.settle(control, changes, now);
        if !dropped.is_empty() {
            let mut peers = self.peers.lock();
            dropped.into_iter().for_each(|reason| peers.count_dropped(reason));
        }
    }
}

/// Peers by the settings, before any link.
pub(super) fn peers_of(settings: &Settings, now: Now) -> Peers {
    let (me, home) = (settings.director.clone(), settings.datacenter.clone());
    Peers::new(me, home, settings.peers.clone(), config_digest(settings), now)
}

/// A number that is the same where pools, servers and datacenters are configured alike. It reports drift and decides nothing.
pub(super) fn config_digest(settings: &Settings) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{:?}", settings.pools).as_bytes())
}

impl Control {
    /// What a peer is to be told now: orders in full when any changed, votes and roles at their pace.
    fn words_for(&mut self, peer: &DirectorName, run: u64, now: Now) -> Vec<Message> {
        let mut words = Vec::new();
        if self.hearsay.orders_are_due(peer) {
            let servers = self.watch.servers().filter_map(|health| health.operator().cloned());
            let orders: Vec<Entry> = servers
                .map(Entry::ServerOrder)
                .chain(self.role_orders.values().cloned().map(Entry::RoleOrder))
                .chain(self.outages.values().cloned().map(Entry::Outage))
                .collect();
            words.extend(orders.chunks(WORDS_MAX).map(|part| Message::Orders(part.to_vec())));
        }
        let settings = Arc::clone(&self.settings);
        words.extend(self.hearsay.roles_for(peer, run, &self.roles, &settings, now.mono));
        words.extend(self.hearsay.votes_for(peer, run, &self.watch, &settings, now.mono));
        words
    }
}
