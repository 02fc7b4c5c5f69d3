//! What a peer has, what it lacks, and how it gets it: one state machine per link.
//!
//! ```text
//! own changes ──▶ Log.own ────┐ tail, or digests and what differs     ┌─▶ merge ─ changed? ─▶ Log.relayed ─▶ other links
//! peers' changes ▶ Log.relayed┴──────────── Link ═══════ wire ═══════ Link
//! ```
//! Owns positions, windows, digests and the order of messages. The merge alone judges a record: positions only say where to
//! resume (R16), so whatever is lost, doubled or late here costs bytes and never a wrong seat. Refuses to know sockets, frames,
//! certificates, health and roles; words about those pass through as they are.
//!
//! Call order: [`Peers::link_up`], then [`Peers::handle`] for each message that comes and [`Peers::next`] until `None`, again
//! after each input and at [`Peers::next_deadline`]; [`Peers::merged`] for the records that a message brought, before anything else of
//! that link; [`Peers::link_down`] at the end.

mod compare;
mod digest;
mod greeting;
mod link;
mod log;
mod records;
mod status;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::clock::{Mono, Now, Time};
use crate::entry::Entry;
use crate::ids::{DatacenterName, DirectorName, PoolName};
use crate::wire::{Change, Hello, Lane, Message, POSITIONS_MAX, Position, VERSION, VERSION_MIN};
use link::Link;
use log::Log;
pub use records::{Merged, Records};
pub use status::PeerStatus;

/// Each side says so often that it is there.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// Links that are in step compare their tables so often.
pub const DIGEST_EVERY: Duration = Duration::from_secs(60);
/// What a third has is handed on when the peer has not got it itself by then: a ping and a half.
pub const RELAY_AFTER: Duration = Duration::from_millis(1500);
/// A director that could not synchronise by then serves with what it has.
pub const COLD_MAX: Duration = Duration::from_secs(5);
/// Data on its way to one peer at most, in bytes: what a slow peer costs.
pub const WINDOW_BYTES: usize = 1 << 20;
/// Data messages on their way to one peer at most.
pub const WINDOW_MESSAGES: usize = 64;
/// A clock that is this much behind every linked director's moves forward (R2).
const CLOCK_BEHIND: Duration = Duration::from_secs(60);

/// What came of an entry from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The own table is another one now: hand it on.
    Changed,
    /// Nothing new.
    Same,
    /// Not believed, expired, unknown or without room; counted under this word.
    Dropped(&'static str),
}

/// The table, as replication sees it.
pub trait Store {
    /// Hands out what this director changed since the last call.
    fn collect(&self, sink: &mut dyn FnMut(Entry));
    /// Nobody can ask for what changed until now: it is in the table and will be compared.
    fn pass_over(&self);
    /// Merges what a peer sent.
    fn merge(&self, entry: &Entry) -> Taken;
    /// Some more of all seats and states, from a place on; the place to go on at.
    fn page(&self, from: Page, sink: &mut dyn FnMut(Entry)) -> Option<Page>;
    /// How long a pool's sessions are remembered; `None` for an unknown pool.
    fn ttl(&self, pool: &PoolName) -> Option<Duration>;
}

/// Where a walk through all seats and states goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// At the beginning.
    #[default]
    Start,
    /// In the seats, at a cursor of the table.
    Seats(u64),
    /// In the states, at a shard.
    States(usize),
    /// In the confirms, behind so many.
    Confirms(usize),
}

/// Why a link must be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// Nobody of that name is configured, or its link is not up.
    #[error("is not a configured peer with a link")]
    Unknown,
    /// It introduced itself as somebody else.
    #[error("says that it is {0}")]
    Name(DirectorName),
    /// No protocol version in common.
    #[error("speaks versions {0} to {1}, this director {VERSION_MIN} to {VERSION}")]
    Version(u16, u16),
    /// It spoke before it introduced itself, or introduced itself twice.
    #[error("spoke out of turn")]
    Turn,
    /// More than a message may hold.
    #[error("sent a message beyond its limits")]
    Limit,
    /// What comes over this link lay in buffers while this director lost time.
    #[error("may say what is long past: this director was stopped meanwhile")]
    Past,
}

/// Replication with all peers.
#[derive(Debug)]
pub struct Peers {
    me: DirectorName,
    datacenter: DatacenterName,
    config: u64,
    log: Log,
    /// Somebody has been linked in this run and may come back to where it stood. Until then nobody can, and no change is kept.
    known: bool,
    configured: BTreeMap<DirectorName, DatacenterName>,
    links: BTreeMap<DirectorName, Link>,
    /// What this director has of each peer; outlives the link.
    have: BTreeMap<DirectorName, Position>,
    /// When it started, or noticed that it had lost time.
    cold_since: Mono,
    dropped: BTreeMap<&'static str, u64>,
    /// For [`Fault::DropBySequence`] only.
    highest: BTreeMap<DirectorName, u64>,
}

impl Peers {
    /// No link yet. The run begins as the time of the start and rises when a peer has seen a higher one.
    #[must_use]
    pub fn new(
        me: DirectorName,
        datacenter: DatacenterName,
        configured: BTreeMap<DirectorName, DatacenterName>,
        config: u64,
        now: Now,
    ) -> Self {
        Self {
            me,
            datacenter,
            config,
            log: Log::new(now.time.0.max(1)),
            known: false,
            configured,
            links: BTreeMap::new(),
            have: BTreeMap::new(),
            cold_since: now.mono,
            dropped: BTreeMap::new(),
            highest: BTreeMap::new(),
        }
    }

    /// Follows the configuration: links to directors that are no longer in it are forgotten; the shell closes them.
    pub fn configure(&mut self, configured: BTreeMap<DirectorName, DatacenterName>, config: u64) {
        self.links.retain(|name, _| configured.contains_key(name));
        self.have.retain(|name, _| configured.contains_key(name));
        self.configured = configured;
        self.config = config;
    }

    /// A link stands. Of two directors the one with the smaller name speaks first, on the link that it chooses.
    ///
    /// # Errors
    /// [`Violation::Unknown`].
    pub fn link_up(&mut self, peer: &DirectorName, now: Now) -> Result<(), Violation> {
        if !self.configured.contains_key(peer) {
            return Err(Violation::Unknown);
        }
        self.links.insert(peer.clone(), Link::new(self.me < *peer, now.mono));
        Ok(())
    }

    /// A link is gone. What is known of the peer's positions stays.
    pub fn link_down(&mut self, peer: &DirectorName) {
        self.links.remove(peer);
    }

    /// Takes a message about links and sessions; records that it brings are for the caller to merge ([`Records::merge`]) and to bring
    /// back ([`Self::merged`]). Orders, votes, roles and questions are not for here and change nothing.
    ///
    /// # Errors
    /// [`Violation`]: close the link and say why.
    pub fn handle(
        &mut self,
        peer: &DirectorName,
        message: Message,
        store: &dyn Store,
        now: Now,
    ) -> Result<Option<Records>, Violation> {
        if let Message::Hello(hello) = message {
            return self.handle_hello(peer, hello, store, now).map(|()| None);
        }
        self.check(peer, &message)?;
        let lane = message.lane();
        let link = self.links.get_mut(peer).ok_or(Violation::Unknown)?;
        match message {
            Message::Hello(_)
            | Message::Orders(_)
            | Message::Votes(_)
            | Message::Roles(_)
            | Message::Ask { .. }
            | Message::Told { .. }
            | Message::EventsKnown(_)
            | Message::Events { .. }
            | Message::Lists(_)
            | Message::Said(_) => {}
            Message::Ping { sent, time, warm, have } => {
                link.pinged(sent, warm, have, ahead(time, now.time));
            }
            Message::Pong { sent } => link.ponged(sent, now.mono),
            Message::Ack { messages } => link.window.acked(messages)?,
            Message::Digests { routine, as_of, buckets } => link.begin_comparison(routine, as_of, buckets),
            Message::Want { buckets } => link.begin_sending(buckets),
            Message::Bulk { at, entries } => return Ok(Some(self.bulk(peer, at, entries))),
            Message::Changes { upto, changes } => return Ok(Some(self.changes(peer, upto, changes))),
            Message::Synced(position) => self.advance(peer, position, true),
        }
        if lane == Lane::Data
            && let Some(link) = self.links.get_mut(peer)
        {
            link.took();
        }
        Ok(None)
    }

    /// Whether a message is in turn and within its limits: for words that are taken elsewhere.
    ///
    /// # Errors
    /// [`Violation`]: close the link and say why.
    pub fn check(&mut self, peer: &DirectorName, message: &Message) -> Result<(), Violation> {
        self.links.get_mut(peer).ok_or(Violation::Unknown)?.check(message)
    }

    /// The next message for a peer, words before sessions; `None` when there is nothing to say or the window is full. Collects
    /// nothing itself ([`Self::collect`]): what is said about a change must be able to come before it.
    pub fn next(&mut self, peer: &DirectorName, store: &dyn Store, now: Now) -> Option<Message> {
        let link = self.links.get_mut(peer)?;
        if link.must_greet() {
            link.greeted();
            return Some(Message::Hello(Hello {
                name: self.me.clone(),
                datacenter: self.datacenter.clone(),
                run: self.log.run,
                version_min: VERSION_MIN,
                version: VERSION,
                config: self.config,
                have: positions(&self.have),
            }));
        }
        let warm = is_warm(&self.links, &self.configured, self.cold_since, now.mono);
        let link = self.links.get_mut(peer).filter(|link| link.is_linked())?;
        if let Some(pong) = link.next_pong() {
            return Some(pong);
        }
        if link.ping_is_due(now.mono) {
            let have = positions(&self.have);
            return Some(Message::Ping { sent: now.mono.0, time: now.time, warm, have });
        }
        link.next_word().or_else(|| link.next_data(peer, &self.log, store, now))
    }

    /// Puts words (orders, votes, roles, questions, answers) behind those that wait for a peer. Whoever refreshes them asks
    /// [`Self::has_room_for_words`] first, so that a slow peer costs a bounded number.
    pub fn say(&mut self, peer: &DirectorName, words: impl IntoIterator<Item = Message>) {
        if let Some(link) = self.links.get_mut(peer) {
            link.say(words);
        }
    }

    /// Whether all words so far have gone out.
    #[must_use]
    pub fn has_room_for_words(&self, peer: &DirectorName) -> bool {
        self.links.get(peer).is_some_and(|link| link.is_linked() && link.words_are_out())
    }

    /// Whether a linked peer's protocol has what came with this version of it.
    #[must_use]
    pub fn speaks(&self, peer: &DirectorName, version: u16) -> bool {
        self.links.get(peer).is_some_and(|link| link.is_linked() && link.version >= version)
    }

    /// Peers with a link on which both have introduced themselves.
    pub fn linked(&self) -> impl Iterator<Item = &DirectorName> {
        self.links.iter().filter(|(_, link)| link.is_linked()).map(|(name, _)| name)
    }

    /// Round trip of the latest ping.
    #[must_use]
    pub fn round_trip(&self, peer: &DirectorName) -> Option<Duration> {
        self.links.get(peer).and_then(|link| link.round_trip)
    }

    /// Synchronised since the start with every director that it is linked to, or nobody to wait for, or waited long enough.
    #[must_use]
    pub fn is_warm(&self, now: Mono) -> bool {
        is_warm(&self.links, &self.configured, self.cold_since, now)
    }

    /// Nobody else is configured.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.configured.is_empty()
    }

    /// Time was lost: what the links that stand will say is past, and this director is cold again.
    pub fn lapse(&mut self, now: Mono) {
        self.links.values_mut().for_each(|link| link.is_past = true);
        self.cold_since = now;
    }

    /// This start's number.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.log.run
    }

    /// By how much the own clock must move forward: it is more than 60 s behind every linked director's, and goes to the
    /// earliest of theirs (R2). Told once: what is known of the others' clocks is by the moved one from then on.
    pub fn take_clock_behind(&mut self) -> Option<Duration> {
        let linked = self.links.values().filter(|link| link.is_linked());
        let ahead = linked.map(|link| link.clock_ahead_ms.unwrap_or(0)).min()?;
        let behind = u64::try_from(ahead).ok().map(Duration::from_millis).filter(|ahead| *ahead > CLOCK_BEHIND)?;
        self.links.values_mut().filter_map(|link| link.clock_ahead_ms.as_mut()).for_each(|theirs| *theirs -= ahead);
        Some(behind)
    }

    /// When [`Self::next`] may have something to say to this peer without any input; now, while a walk is under way.
    #[must_use]
    pub fn next_deadline(&self, peer: &DirectorName, now: Mono) -> Option<Mono> {
        self.links.get(peer).and_then(|link| link.deadline(&self.log, now))
    }

    /// What was dropped at the door, by reason.
    #[must_use]
    pub fn dropped(&self) -> &BTreeMap<&'static str, u64> {
        &self.dropped
    }

    /// Counts something that was not believed.
    pub fn count_dropped(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    /// Takes what this director changed since the last call.
    pub fn collect(&mut self, store: &dyn Store, now: Now) {
        if self.known {
            let row = &mut self.log.own;
            store.collect(&mut |entry| row.push(Change { origin: None, entry }, now.mono));
        }
    }

    /// The peer has sent everything up to there: that is known of it, once this director is in step with it.
    fn advance(&mut self, peer: &DirectorName, position: Position, in_step: bool) {
        let Some(link) = self.links.get_mut(peer) else { return };
        link.in_step |= in_step;
        if position.run != link.run {
            // Its run has just risen (another peer had seen a higher one): what comes now begins anew.
            link.run = position.run.max(link.run);
        }
        if link.in_step && position.run == link.run {
            self.have.insert(peer.clone(), position);
        }
    }
}

fn is_warm(
    links: &BTreeMap<DirectorName, Link>,
    configured: &BTreeMap<DirectorName, DatacenterName>,
    cold_since: Mono,
    now: Mono,
) -> bool {
    let mut linked = links.values().filter(|link| link.is_linked() && !link.is_past).peekable();
    let in_step = linked.peek().is_some() && linked.all(|link| link.in_step || link.was_in_step);
    configured.is_empty() || in_step || now.since(cold_since) >= COLD_MAX
}

fn positions(have: &BTreeMap<DirectorName, Position>) -> Vec<(DirectorName, Position)> {
    have.iter().take(POSITIONS_MAX).map(|(name, position)| (name.clone(), *position)).collect()
}

fn ahead(theirs: Time, mine: Time) -> i64 {
    let distance = |a: Time, b: Time| i64::try_from(a.since(b).as_millis()).unwrap_or(i64::MAX);
    distance(theirs, mine) - distance(mine, theirs)
}
