//! The hot path: where does this key sit, and if nowhere usable, where shall it?
//!
//! The cookie is merged first (R7); a session whose server is usable is kept, whatever drain, hold-down, slow start and role say
//! (R14); else placement walks the ladder: active site, servers that are up, then its other usable ones, then the next site.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Director;
use super::decision::{Plan, Seek, Wanted, is_reborn, kept_because};
use crate::clock::{Now, Stamp};
use crate::entry::{ConfirmedEntry, Life, SeatEntry};
use crate::ids::{Generation, Key, ServerName};
use crate::placement::{self, Demand, KeyHash, Placement, PlacementSet};
use crate::seating::{
    ALTERNATES_MAX, Affinity, Alternates, AvoidRefusal, Refusal, RequestKey, Seat, Shown, StartRequest,
};
use crate::session::{Change, Mark, Merged, SeatKey, Seen, Shard, Sitting, admit};
use crate::view::{PoolLoads, PoolView, ServerView, View};

/// A kept start renews the stamp at most this often (R1).
const STAMP_RENEWED_EVERY: Duration = Duration::from_secs(60);
/// Tries to take a place that other threads take at the same moment, before the least bad one is taken.
const RESERVE_TRIES: u32 = 8;
/// Views that may pass by during one start before it goes on with the one it has.
const VIEW_TRIES: u32 = 16;

/// How a start finds its session.
pub(super) enum By<'a> {
    /// By its key, or by the agent whose id the key is.
    Key,
    /// By its key and nothing else.
    KeyAlone,
    /// It is the session of the agent who was asked for.
    Alias(&'a ConfirmedEntry),
}

/// What one way of finding the session led to.
pub(super) enum Found<T> {
    /// The answer.
    Answer(T),
    /// This session is meant, or was and is gone.
    Alias(Box<ConfirmedEntry>),
}

/// A place that is taken: the server's counter already says so.
struct Reserved<'v> {
    server: &'v ServerView,
}

/// What a start came to, before it is put into names.
struct Decided<'v> {
    sitting: Sitting,
    server: &'v ServerView,
    affinity: Affinity,
    reason: &'static str,
    owner: bool,
}

impl Director {
    /// Seats a key. Reads the view without a lock, touches one shard, waits for nobody; a kept seat allocates nothing.
    ///
    /// # Errors
    /// [`Refusal`] says why nobody could be seated.
    pub fn start(&self, request: &StartRequest<'_>, now: Now) -> Result<Seat, Refusal> {
        // A session that is not to be looked for is none.
        self.resolve(request, |request, by| self.start_by(request, by, now)).unwrap_or(Err(Refusal::SessionEnded))
    }

    /// Asks by the key; then, where the key is an agent's id, for the agent's session under the key that it has; and where that
    /// is gone, by the key alone.
    pub(super) fn resolve<T>(
        &self,
        request: &StartRequest<'_>,
        ask: impl Fn(&StartRequest<'_>, &By<'_>) -> Found<T>,
    ) -> Option<T> {
        let of = match ask(request, &By::Key) {
            Found::Answer(answer) => return Some(answer),
            Found::Alias(session) => session,
        };
        let aliased = StartRequest { key: RequestKey::Given(of.key.clone()), ..request.clone() };
        if let Found::Answer(answer) = ask(&aliased, &By::Alias(&of)) {
            return Some(answer);
        }
        match ask(request, &By::KeyAlone) {
            Found::Answer(answer) => Some(answer),
            Found::Alias(_) => None,
        }
    }

    fn start_by(&self, request: &StartRequest<'_>, by: &By<'_>, now: Now) -> Found<Result<Seat, Refusal>> {
        let mut tries = 0;
        loop {
            let view = self.view.load();
            tries += 1;
            let at = match At::new(self, &view, request, now) {
                Ok(at) => at,
                Err(refusal) => return Found::Answer(Err(refusal)),
            };
            // By now the shard is free again: names are copied for nobody who waits for it.
            match at.start(by, tries >= VIEW_TRIES) {
                None => {}
                Some(Found::Answer(decided)) => return Found::Answer(decided.map(|decided| at.seat(&decided))),
                Some(Found::Alias(elsewhere)) => return Found::Alias(elsewhere),
            }
        }
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
        let ttl = pool.settings().session_ttl;
        let entry = self.as_shown(&seat_key, key, shown, ttl, now)?;
        if entry.life != Life::Live || admit(&entry, now.time, ttl).is_err() {
            return None;
        }
        let server = pool.server_named(&entry.server).filter(|server| server.standing.is_usable())?;
        let owner = shown.is_some_and(|shown| shown.owner && shown.seat.session == entry.session);
        Some(Seat {
            affinity: Affinity::Kept,
            reason: "seated",
            owner,
            server: Arc::clone(&server.settings),
            ttl,
            entry,
        })
    }

    /// The key's record as a start would find it after merging what the caller shows (R7), without merging it.
    pub(super) fn as_shown(
        &self,
        seat_key: &SeatKey<'_>,
        key: &Key,
        shown: Option<&Shown>,
        ttl: Duration,
        now: Now,
    ) -> Option<SeatEntry> {
        let known = self.table.lock(seat_key).find(seat_key).map(|record| record.entry_for(key.clone(), &self.names));
        match (known, shown.filter(|shown| admit(&shown.seat, now.time, ttl).is_ok())) {
            (Some(known), Some(shown)) => Some(crate::session::merge(known, shown.seat.clone())),
            (Some(known), None) => Some(known),
            (None, shown) => shown.map(|shown| shown.seat.clone()),
        }
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
            targets
                .extend(order.into_iter().filter_map(|slot| pool.at(slot)).map(|server| Arc::clone(&server.settings)));
            if targets.len() >= ALTERNATES_MAX {
                return targets;
            }
        }
    }
    targets
}

/// One start under one view: what is asked, and where its session is kept.
pub(super) struct At<'a> {
    pub(super) director: &'a Director,
    pub(super) view: &'a View,
    pub(super) pool: &'a PoolView,
    pub(super) request: &'a StartRequest<'a>,
    /// The caller's proof, already checked to be of this pool and key.
    pub(super) shown: Option<&'a Shown>,
    pub(super) seat_key: SeatKey<'a>,
    pub(super) now: Now,
}

impl<'a> At<'a> {
    /// Checks what is asked against the pool, and finds the session's place.
    pub(super) fn new(
        director: &'a Director,
        view: &'a View,
        request: &'a StartRequest<'a>,
        now: Now,
    ) -> Result<Self, Refusal> {
        let pool = view.pool(request.pool).ok_or(Refusal::UnknownPool)?;
        if let Some((name, _)) = request.labels.iter().find(|(name, _)| !pool.settings().labels.contains(name)) {
            return Err(Refusal::UnknownLabel(name.clone()));
        }
        let key = request.key.key();
        let shown = request.shown.as_ref().filter(|shown| shown.seat.pool == *request.pool && shown.seat.key == *key);
        let session = pool.settings().allow_multiple.then(|| shown.map_or(request.session, |shown| shown.seat.session));
        let seat_key = director.table.key(pool.ix(), key, session);
        Ok(Self { director, view, pool, request, shown, seat_key, now })
    }

    /// The start under its view; `None` when the view was replaced meanwhile.
    fn start(&self, by: &By<'_>, last: bool) -> Option<Found<Result<Decided<'a>, Refusal>>> {
        let mut shard = self.director.table.lock(&self.seat_key);
        if self.view.number() != self.director.number.load(Ordering::SeqCst) && !last {
            return None;
        }
        let known = self.known(&mut shard);
        if let Some(elsewhere) = self.alias(known.as_ref(), by) {
            return Some(Found::Alias(elsewhere));
        }
        Some(Found::Answer(self.decide(&mut shard, known)))
    }

    /// The key's record, once what the caller shows is merged.
    fn known(&self, shard: &mut Shard) -> Option<Sitting> {
        if let Some(shown) = self.shown {
            self.director.merge_shown(self.pool, shard, &self.seat_key, shown, self.now);
        }
        self.director.sitting(shard, &self.seat_key, self.pool, self.now)
    }

    /// The session to look at instead: where the key has no live one and is an agent's id; the same again where that session is
    /// gone by now.
    pub(super) fn alias(&self, known: Option<&Sitting>, by: &By<'_>) -> Option<Box<ConfirmedEntry>> {
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

    /// Does what is to be done.
    fn decide(&self, shard: &mut Shard, known: Option<Sitting>) -> Result<Decided<'a>, Refusal> {
        match self.plan(known)? {
            Plan::Keep { sitting, server, .. } => Ok(self.keep(shard, sitting, server)),
            Plan::Follow { holder } => Ok(self.sit(shard, known, holder, "listed")),
            Plan::Seek(seek) => self.seek(shard, known, &seek),
        }
    }

    fn seek(&self, shard: &mut Shard, known: Option<Sitting>, seek: &Seek<'a>) -> Result<Decided<'a>, Refusal> {
        let Some((sitting, server)) = seek.else_keep else { return self.seat_anew(shard, known, seek) };
        // The plan has looked, and only starts of this session count here: they hold the same shard.
        if !self.director.avoided.lock().admit(sitting.session.0, self.now.mono) {
            return Err(Refusal::AvoidRefused(AvoidRefusal::TooOften));
        }
        self.seat_anew(shard, known, seek).or_else(|_| Ok(self.keep(shard, sitting, server)))
    }

    fn keep(&self, shard: &mut Shard, mut sitting: Sitting, server: &'a ServerView) -> Decided<'a> {
        let reborn = is_reborn(&sitting, server);
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
        if self.director.kept_listeners.load(Ordering::Relaxed) > 0 {
            shard.note_kept(&self.seat_key);
        }
        let (reason, owner) = (kept_because(reborn), self.owns(&sitting));
        Decided { sitting, server, affinity: Affinity::Kept, reason, owner }
    }

    /// Places a session that has no server, or cannot have its own any more.
    fn seat_anew(&self, shard: &mut Shard, known: Option<Sitting>, seek: &Seek<'a>) -> Result<Decided<'a>, Refusal> {
        self.pace()?;
        let Reserved { server } = self.place(seek.without)?;
        if let Some((sitting, own)) = seek.stay.filter(|_| server.standing.is_last_resort()) {
            server.load.release();
            return Ok(self.keep(shard, sitting, own));
        }
        Ok(self.settle(shard, known, server, seek.reason))
    }

    /// Seats a session where it is held already: neither load nor drain refuses it, it is there.
    fn sit(
        &self,
        shard: &mut Shard,
        known: Option<Sitting>,
        server: &'a ServerView,
        reason: &'static str,
    ) -> Decided<'a> {
        server.load.reserve();
        self.settle(shard, known, server, reason)
    }

    /// Writes down a place that is reserved.
    fn settle(
        &self,
        shard: &mut Shard,
        known: Option<Sitting>,
        server: &'a ServerView,
        reason: &'static str,
    ) -> Decided<'a> {
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
            Some(change) => self.director.counts.settle(change, server),
            // A minted key is not stored until it is seen again (R10); a table that is full stores nothing new, and the
            // cookie alone carries the seat.
            None => server.load.settle_minted(self.now.time),
        }
        let (affinity, owner) = match live {
            Some(sitting) => (Affinity::Moved, self.owns(&sitting)),
            None => (Affinity::Placed, true),
        };
        Decided { sitting, server, affinity, reason, owner }
    }

    /// After a failover the returning crowd is let in at a rate that the site's directors share. A kept session never waits.
    fn pace(&self) -> Result<(), Refusal> {
        let Some(rate) = self.relogin_rate()? else { return Ok(()) };
        let mut paces = self.director.paces.lock();
        let pace = paces.entry(self.pool.settings().name.clone()).or_default();
        pace.admit(rate, self.now.mono).map_err(|retry_after| Refusal::Paced { retry_after })
    }

    /// Walks the ladder (R14) and takes a place.
    fn place(&self, without: Option<&'a ServerName>) -> Result<Reserved<'a>, Refusal> {
        let eligible = self.eligible(without);
        let mut demand = None;
        self.walk(without, |set| {
            // One turn a start, whatever it has to try: turns that jump would visit the same server over and over.
            let demand = *demand.get_or_insert_with(|| self.demand(self.pool.next_turn()));
            self.reserve(demand, set, eligible)
        })
    }

    /// Chooses within one rung and counts the choice at once, so that two threads cannot both take the last place.
    fn reserve(&self, demand: Demand, set: &PlacementSet, eligible: Wanted<'_>) -> Option<Reserved<'a>> {
        let loads = PoolLoads::new(self.pool, self.now.time);
        for tries in 1.. {
            let Placement { server, limit } = placement::place(demand, set, &loads, eligible)?;
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

    /// What was decided, in names.
    fn seat(&self, decided: &Decided<'_>) -> Seat {
        let Decided { sitting, server, affinity, reason, owner } = *decided;
        let settings = self.pool.settings();
        // The names are at hand, but for a seat that another director wrote.
        let writer = if sitting.writer == self.director.writer {
            self.director.me.clone()
        } else {
            self.director.names.book().writer(sitting.writer).clone()
        };
        let name = server.settings.name.clone();
        let entry = sitting.entry_at(settings.name.clone(), self.request.key.key().clone(), name, writer);
        Seat { entry, affinity, reason, owner, server: Arc::clone(&server.settings), ttl: settings.session_ttl }
    }
}
