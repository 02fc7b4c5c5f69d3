//! The hot path: where does this key sit, and if nowhere usable, where shall it?
//!
//! The cookie is merged first (R7); a session whose server is usable is kept, whatever drain, hold-down, slow start and role say
//! (R14); else placement walks the ladder: active site, servers that are up, then its other usable ones, then the next site.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Director;
use super::pace::PACED_FOR;
use crate::clock::{Now, Stamp};
use crate::entry::{ConfirmedEntry, Life, SeatEntry};
use crate::ids::{Generation, Key, ServerName};
use crate::placement::{self, KeyHash, Placement, PlacementSet, ServerSlot};
use crate::seating::{
    ALTERNATES_MAX, Affinity, Alternates, AvoidRefusal, Refusal, RequestKey, Seat, Shortage, Shown, StartRequest,
};
use crate::session::{Change, Mark, Merged, SeatKey, Seen, Shard, Sitting, admit};
use crate::settings::{Overflow, Passive};
use crate::view::{PoolLoads, PoolView, ServerView, View};

/// A kept start renews the stamp at most this often (R1).
const STAMP_RENEWED_EVERY: Duration = Duration::from_secs(60);
/// Tries to take a place that other threads take at the same moment, before the least bad one is taken.
const RESERVE_TRIES: u32 = 8;
/// Views that may pass by during one start before it goes on with the one it has.
const VIEW_TRIES: u32 = 16;

/// How a start finds its session.
enum By<'a> {
    /// By its key, or by the agent whose id the key is.
    Key,
    /// By its key and nothing else.
    KeyAlone,
    /// It is the session of the agent who was asked for.
    Alias(&'a ConfirmedEntry),
}

enum Decided {
    Answer(Result<Seat, Refusal>),
    /// This session is meant, or was and is gone.
    Alias(Box<ConfirmedEntry>),
}

/// A place that is taken: the server's counter already says so.
struct Reserved<'v> {
    server: &'v ServerView,
}

impl Director {
    /// Seats a key. Reads the view without a lock, touches one shard, waits for nobody; a kept seat allocates nothing.
    ///
    /// # Errors
    /// [`Refusal`] says why nobody could be seated.
    pub fn start(&self, request: &StartRequest<'_>, now: Now) -> Result<Seat, Refusal> {
        let of = match self.start_by(request, &By::Key, now) {
            Decided::Answer(answer) => return answer,
            Decided::Alias(session) => session,
        };
        // The key is an agent's id: the agent's session is meant, under the key that it has.
        let aliased = StartRequest { key: RequestKey::Given(of.key.clone()), ..request.clone() };
        if let Decided::Answer(answer) = self.start_by(&aliased, &By::Alias(&of), now) {
            return answer;
        }
        match self.start_by(request, &By::KeyAlone, now) {
            Decided::Answer(answer) => answer,
            // It was not to be looked for.
            Decided::Alias(_) => Err(Refusal::SessionEnded),
        }
    }

    fn start_by(&self, request: &StartRequest<'_>, by: &By<'_>, now: Now) -> Decided {
        let mut tries = 0;
        loop {
            let view = self.view.load();
            tries += 1;
            if let Some(decided) = self.start_in(&view, request, by, now, tries >= VIEW_TRIES) {
                return decided;
            }
        }
    }

    /// The start under one view; `None` when the view was replaced meanwhile.
    fn start_in(&self, view: &View, request: &StartRequest<'_>, by: &By<'_>, now: Now, last: bool) -> Option<Decided> {
        let Some(pool) = view.pool(request.pool) else { return Some(Decided::Answer(Err(Refusal::UnknownPool))) };
        if let Some((name, _)) = request.labels.iter().find(|(name, _)| !pool.settings().labels.contains(name)) {
            return Some(Decided::Answer(Err(Refusal::UnknownLabel(name.clone()))));
        }
        let key = request.key.key();
        let shown = request.shown.as_ref().filter(|shown| shown.seat.pool == *request.pool && shown.seat.key == *key);
        let session = pool.settings().allow_multiple.then(|| shown.map_or(request.session, |shown| shown.seat.session));
        let seat_key = self.table.key(pool.ix(), key, session);
        let mut shard = self.table.lock(&seat_key);
        if view.number() != self.number.load(Ordering::SeqCst) && !last {
            return None;
        }
        let at = At { director: self, view, pool, request, shown, seat_key, now };
        let known = at.known(&mut shard);
        if let Some(elsewhere) = at.alias(known.as_ref(), by) {
            return Some(Decided::Alias(elsewhere));
        }
        Some(Decided::Answer(at.decide(&mut shard, known)))
    }

    /// R7: a valid cookie or token is merged as a seat, with its seat's stamp, before the decision. What is not admitted is
    /// treated as absent.
    pub(super) fn merge_shown(
        &self,
        pool: &PoolView,
        shard: &mut Shard,
        seat_key: &SeatKey<'_>,
        shown: &Shown,
        now: Now,
    ) {
        if admit(&shown.seat, now.time, pool.settings().session_ttl).is_err() {
            return;
        }
        let Ok(merged) = shard.merge(seat_key, &shown.seat, &self.names, Mark::Dirty) else { return };
        if let (Merged::New(Change { after: Some(server), .. }), true) = (merged, shown.seat.minted) {
            self.counts.of(server).minted_seen(shown.seat.stamp.time());
        }
        self.counts.apply(merged.change());
    }

    /// The seat that the caller already has at a usable server; creates and changes nothing (HEAD, prefetch, checks).
    #[must_use]
    pub fn seated(
        &self,
        pool: &crate::ids::PoolName,
        key: Option<&Key>,
        shown: Option<&Shown>,
        now: Now,
    ) -> Option<Seat> {
        self.seated_at(pool, key, shown, now).or_else(|| {
            // The key may be an agent's id.
            let of = self.alias(pool, key?)?;
            self.seated_at(pool, Some(&of.key), shown, now).filter(|seat| of.is_of(&seat.entry))
        })
    }

    fn seated_at(
        &self,
        pool: &crate::ids::PoolName,
        key: Option<&Key>,
        shown: Option<&Shown>,
        now: Now,
    ) -> Option<Seat> {
        let view = self.view.load();
        let pool = view.pool(pool)?;
        let shown = shown.filter(|shown| shown.seat.pool == pool.settings().name);
        let key = key.or_else(|| shown.map(|shown| &shown.seat.key))?;
        let shown = shown.filter(|shown| shown.seat.key == *key);
        let session = if pool.settings().allow_multiple { Some(shown?.seat.session) } else { None };
        let seat_key = self.table.key(pool.ix(), key, session);
        let known = self.table.lock(&seat_key).find(&seat_key).map(|record| record.entry_for(key.clone(), &self.names));
        let ttl = pool.settings().session_ttl;
        let entry = match (known, shown.filter(|shown| admit(&shown.seat, now.time, ttl).is_ok())) {
            (Some(known), Some(shown)) => crate::session::merge(known, shown.seat.clone()),
            (Some(known), None) => known,
            (None, shown) => shown?.seat.clone(),
        };
        if entry.life != Life::Live || admit(&entry, now.time, ttl).is_err() {
            return None;
        }
        let server = pool.server_named(&entry.server).filter(|server| server.standing.is_usable())?;
        let owner = shown.is_some_and(|shown| shown.owner && shown.seat.session == entry.session);
        Some(Seat { affinity: Affinity::Kept, reason: "seated", owner, server: server.target(), ttl, entry })
    }

    /// Other servers that could take this session, in failover order: at most 16, rotated per key, so that the sessions of one
    /// dead server do not all try the same next one.
    #[must_use]
    pub fn alternates(&self, seat: &Seat) -> Alternates {
        let view = self.view.load();
        let key = KeyHash::of(&seat.entry.key);
        view.pool(&seat.entry.pool)
            .map_or_else(Alternates::new, |pool| failover_order(pool, key, Some(&seat.server.name)))
    }

    /// A pool's servers in failover order, rotated by `rotation`; `None` for an unknown pool.
    #[must_use]
    pub fn servers(&self, pool: &crate::ids::PoolName, rotation: KeyHash) -> Option<Alternates> {
        self.view.load().pool(pool).map(|pool| failover_order(pool, rotation, None))
    }
}

fn failover_order(pool: &PoolView, key: KeyHash, without: Option<&ServerName>) -> Alternates {
    let mut targets = Alternates::new();
    for site in pool.sites() {
        for set in [&site.first, &site.last] {
            let wanted = |slot| pool.at(slot).is_some_and(|server| Some(&server.settings.name) != without);
            let order = placement::order(set, key, ALTERNATES_MAX - targets.len(), wanted);
            targets.extend(order.into_iter().filter_map(|slot| pool.at(slot)).map(ServerView::target));
            if targets.len() >= ALTERNATES_MAX {
                return targets;
            }
        }
    }
    targets
}

/// One start under one view and one shard's lock.
pub(super) struct At<'a> {
    pub(super) director: &'a Director,
    view: &'a View,
    pub(super) pool: &'a PoolView,
    pub(super) request: &'a StartRequest<'a>,
    /// The caller's proof, already checked to be of this pool and key.
    shown: Option<&'a Shown>,
    seat_key: SeatKey<'a>,
    now: Now,
}

impl At<'_> {
    /// The key's record, once what the caller shows is merged.
    fn known(&self, shard: &mut Shard) -> Option<Sitting> {
        if let Some(shown) = self.shown {
            self.director.merge_shown(self.pool, shard, &self.seat_key, shown, self.now);
        }
        self.director.sitting(shard, &self.seat_key, self.pool, self.now)
    }

    /// The session to look at instead: where the key has no live one and is an agent's id; the same again where that session is
    /// gone by now.
    fn alias(&self, known: Option<&Sitting>, by: &By<'_>) -> Option<Box<ConfirmedEntry>> {
        let live = known.filter(|sitting| sitting.life == Life::Live);
        match by {
            By::KeyAlone => None,
            By::Key => match (&self.request.key, live) {
                (RequestKey::Given(key), None) => self.director.alias(self.request.pool, key).map(Box::new),
                _ => None,
            },
            By::Alias(of) => {
                let seat = live.map(|it| self.director.entry_of(it, self.pool, self.request.key.key()));
                (!seat.is_some_and(|seat| of.is_of(&seat))).then(|| Box::new(ConfirmedEntry::clone(of)))
            }
        }
    }

    fn decide(&self, shard: &mut Shard, known: Option<Sitting>) -> Result<Seat, Refusal> {
        let live = known.filter(|sitting| sitting.life == Life::Live);
        let Some(sitting) = live else {
            // A cookie whose session has ended is treated as absent: its key begins nothing, the edge mints another one.
            if matches!(self.request.key, RequestKey::Shown(_)) {
                return Err(Refusal::SessionEnded);
            }
            return self.seat_anew(shard, known, None, "new");
        };
        match self.pool.server(sitting.server) {
            Some(server) if server.standing.is_usable() => match self.avoids(server, &sitting)? {
                false => match self.holder_instead(&sitting, server) {
                    None => Ok(self.keep(shard, sitting, server)),
                    Some(holder) => Ok(self.sit(shard, known, holder, "listed")),
                },
                // Nobody is stranded: where there is no other server, the one that is avoided is still there.
                true => self
                    .seat_anew(shard, known, Some(&server.settings.name), "avoid")
                    .or_else(|_| Ok(self.keep(shard, sitting, server))),
            },
            Some(server) => self.seat_elsewhere(shard, sitting, server.standing.input.as_str()),
            None => self.seat_elsewhere(shard, sitting, "removed"),
        }
    }

    /// Its server cannot have it any more: first to one that holds it already (R5), else by the ladder.
    fn seat_elsewhere(&self, shard: &mut Shard, sitting: Sitting, reason: &'static str) -> Result<Seat, Refusal> {
        match self.holder(&sitting, None) {
            Some(holder) => Ok(self.sit(shard, Some(sitting), holder, "listed")),
            None => self.seat_anew(shard, Some(sitting), None, reason),
        }
    }

    fn avoids(&self, server: &ServerView, sitting: &Sitting) -> Result<bool, Refusal> {
        if self.request.avoid != Some(&server.settings.name) {
            return Ok(false);
        }
        if !self.owns(sitting) {
            return Err(Refusal::AvoidRefused(AvoidRefusal::NotOwner));
        }
        if !self.director.avoided.lock().admit(sitting.session.0, self.now.mono) {
            return Err(Refusal::AvoidRefused(AvoidRefusal::TooOften));
        }
        Ok(true)
    }

    fn owns(&self, sitting: &Sitting) -> bool {
        self.shown.is_some_and(|shown| shown.owner && shown.seat.session == sitting.session)
    }

    fn keep(&self, shard: &mut Shard, mut sitting: Sitting, server: &ServerView) -> Seat {
        let reborn = sitting.incarnation.contradicts(server.tag());
        if reborn || self.now.time.since(sitting.stamp.time()) >= STAMP_RENEWED_EVERY {
            sitting.stamp = Stamp::next(self.now.time, Some(sitting.stamp));
            sitting.writer = self.director.writer;
            sitting.seen = sitting.seen.max(Seen::at(self.now.time));
            if server.incarnation.is_some() {
                sitting.incarnation = server.tag();
            }
            // In place: the key is there, so the table cannot be too full for it.
            if let Ok(change) = shard.put(&self.seat_key, sitting) {
                self.director.counts.apply(change);
            }
        }
        let reason = if reborn { "reborn" } else { "usable" };
        self.seat(&sitting, server, Affinity::Kept, reason, self.owns(&sitting))
    }

    /// Places a session that has no server, or cannot have its own any more.
    fn seat_anew(
        &self,
        shard: &mut Shard,
        known: Option<Sitting>,
        without: Option<&ServerName>,
        reason: &'static str,
    ) -> Result<Seat, Refusal> {
        self.pace()?;
        let Reserved { server } = self.place(without)?;
        Ok(self.settle(shard, known, server, reason))
    }

    /// Seats a session where it is held already: neither load nor drain refuses it, it is there.
    fn sit(&self, shard: &mut Shard, known: Option<Sitting>, server: &ServerView, reason: &'static str) -> Seat {
        server.load.reserve();
        self.settle(shard, known, server, reason)
    }

    /// Writes down a place that is reserved.
    fn settle(&self, shard: &mut Shard, known: Option<Sitting>, server: &ServerView, reason: &'static str) -> Seat {
        let live = known.filter(|sitting| sitting.life == Life::Live);
        let sitting = Sitting {
            session: live.map_or(self.request.session, |sitting| sitting.session),
            incarnation: server.tag(),
            stamp: Stamp::next(self.now.time, known.map(|sitting| sitting.stamp)),
            generation: known.map_or(Generation::FIRST, |sitting| sitting.generation.next()),
            seen: Seen::at(self.now.time),
            server: server.ix,
            writer: self.director.writer,
            life: Life::Live,
            minted: matches!(self.request.key, RequestKey::Minted(_)) || live.is_some_and(|sitting| sitting.minted),
        };
        let unseen = known.is_none() && matches!(self.request.key, RequestKey::Minted(_));
        match if unseen { None } else { shard.put(&self.seat_key, sitting).ok() } {
            Some(change) => {
                self.director.counts.apply(change);
                server.load.settle();
            }
            // A minted key is not stored until it is seen again (R10); a table that is full stores nothing new, and the
            // cookie alone carries the seat.
            None => server.load.settle_minted(self.now.time),
        }
        let (affinity, owner) = match live {
            Some(sitting) => (Affinity::Moved, self.owns(&sitting)),
            None => (Affinity::Placed, true),
        };
        self.seat(&sitting, server, affinity, reason, owner)
    }

    /// After a failover the returning crowd is let in at a rate that the site's directors share. A kept session never waits.
    fn pace(&self) -> Result<(), Refusal> {
        let (role, failover) = (self.pool.role(), &self.pool.settings().failover);
        if role.held {
            return Err(Refusal::Isolated);
        }
        let paced = role.left.is_some_and(|left| self.now.mono.since(left) < PACED_FOR);
        if failover.relogin_rate == 0 || !paced {
            return Ok(());
        }
        let rate = (failover.relogin_rate / role.directors.max(1)).max(1);
        let mut paces = self.director.paces.lock();
        let pace = paces.entry(self.pool.settings().name.clone()).or_default();
        pace.admit(rate, self.now.mono).map_err(|retry_after| Refusal::Paced { retry_after })
    }

    /// Walks the ladder (R14) and takes a place.
    fn place(&self, without: Option<&ServerName>) -> Result<Reserved<'_>, Refusal> {
        let settings = self.pool.settings();
        let active = &self.pool.role().active;
        let here = &self.view.settings().datacenter;
        let refuses = settings.failover.passive == Passive::Refuse && here != active;
        if refuses && self.pool.can_seat_in(active) {
            return Err(Refusal::Passive { active: active.clone() });
        }
        let eligible = |slot: ServerSlot| {
            self.pool.at(slot).is_some_and(|server| {
                Some(&server.settings.name) != without && server.offers(settings, self.request.labels)
            })
        };
        let key = KeyHash::of(self.request.key.key());
        // One turn a start, whatever it has to try: turns that jump would visit the same server over and over.
        let turn = self.pool.next_turn();
        for site in self.pool.sites() {
            for set in [&site.first, &site.last] {
                if let Some(reserved) = self.reserve(set, key, turn, eligible) {
                    return Ok(reserved);
                }
            }
            let full = || [&site.first, &site.last].iter().any(|set| set.slots().any(eligible));
            if site.datacenter == *active && settings.failover.overflow == Overflow::Refuse && full() {
                break;
            }
        }
        Err(Refusal::NoServer(self.shortage(without)))
    }

    /// Chooses within one rung and counts the choice at once, so that two threads cannot both take the last place.
    fn reserve(
        &self,
        set: &PlacementSet,
        key: KeyHash,
        turn: u64,
        eligible: impl Fn(ServerSlot) -> bool + Copy,
    ) -> Option<Reserved<'_>> {
        let settings = self.pool.settings();
        let loads = PoolLoads::new(self.pool, self.now.time);
        for tries in 1.. {
            let Placement { server, limit } =
                placement::place(settings.placement, set, key, &loads, eligible, settings.load_bound_permille, turn)?;
            let server = self.pool.at(server)?;
            server.load.reserve();
            let limit = if tries < RESERVE_TRIES { limit } else { server.load.capacity() };
            if server.load.load(self.now.time) <= limit {
                return Some(Reserved { server });
            }
            server.load.release();
            if tries >= 2 * RESERVE_TRIES {
                return None;
            }
        }
        None
    }

    fn shortage(&self, without: Option<&ServerName>) -> Shortage {
        use crate::health::Input;
        let mut shortage = Shortage::default();
        for server in self.pool.servers() {
            shortage.servers += 1;
            let count = match server.standing.input {
                Input::Maint => &mut shortage.maint,
                Input::Down | Input::LastKnownDown => &mut shortage.down,
                Input::Drain | Input::Draining => &mut shortage.drain,
                _ if Some(&server.settings.name) == without => &mut shortage.avoided,
                _ if !server.offers(self.pool.settings(), self.request.labels) => &mut shortage.labels,
                _ if server.load.load(self.now.time) >= server.load.capacity() => &mut shortage.full,
                _ => &mut shortage.elsewhere,
            };
            *count += 1;
        }
        shortage
    }

    fn seat(
        &self,
        sitting: &Sitting,
        server: &ServerView,
        affinity: Affinity,
        reason: &'static str,
        owner: bool,
    ) -> Seat {
        let entry = SeatEntry {
            pool: self.pool.settings().name.clone(),
            key: self.request.key.key().clone(),
            session: sitting.session,
            server: server.settings.name.clone(),
            incarnation: sitting.incarnation,
            generation: sitting.generation,
            stamp: sitting.stamp,
            writer: self.director.names.book().writer(sitting.writer).clone(),
            life: sitting.life,
            seen: sitting.seen.time(),
            minted: sitting.minted,
        };
        Seat { entry, affinity, reason, owner, server: server.target(), ttl: self.pool.settings().session_ttl }
    }
}
