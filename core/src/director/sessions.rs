//! Sessions as owners, servers and operators name them: find, list, end, move. Each change names the seat that it means (R4).

use std::collections::BTreeMap;

use thiserror::Error;

use super::Director;
use crate::clock::{Now, Stamp};
use crate::entry::{EndReason, Life, SeatEntry};
use crate::held::Place as Listed;
use crate::ids::{Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};
use crate::seating::Shown;
use crate::session::{Cursor, Seen, admit};
use crate::view::View;

/// Records looked at while a shard is held, when the whole table is walked.
const PAGE: usize = 256;

/// The end of a session, by whoever may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By its client or an operator, who name session and generation.
    Session {
        /// The session.
        session: SessionId,
        /// The generation that is meant.
        generation: Generation,
        /// Who ends it.
        reason: EndReason,
    },
    /// By the server that holds it, which names itself.
    Server {
        /// The server.
        server: ServerName,
        /// The life of its process.
        incarnation: IncarnationTag,
        /// The generation that is meant.
        generation: Generation,
    },
}

impl End {
    /// Whether this seat is the one that is meant (R4).
    #[must_use]
    pub fn names(&self, seat: &SeatEntry) -> bool {
        match self {
            Self::Session { session, generation, .. } => *session == seat.session && *generation == seat.generation,
            Self::Server { server, incarnation, generation } => {
                *server == seat.server && !incarnation.contradicts(seat.incarnation) && *generation == seat.generation
            }
        }
    }

    /// Who ends it.
    #[must_use]
    pub fn reason(&self) -> EndReason {
        match self {
            Self::Session { reason, .. } => *reason,
            Self::Server { .. } => EndReason::Server,
        }
    }
}

/// Why nothing was ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndRefusal {
    /// There is no such session.
    #[error("no such session")]
    Unknown,
    /// It names a seat that is not the current one, which is shown.
    #[error("this names a seat that is not the current one")]
    Stale(Box<SeatEntry>),
}

/// A session that an operator moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reseated {
    /// Where it sat.
    pub before: SeatEntry,
    /// Where it sits; the same when nothing changed.
    pub after: SeatEntry,
}

/// Why a session was not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReseatRefusal {
    /// There is no such session.
    #[error("no such session")]
    UnknownSession,
    /// The pool has no such server.
    #[error("the pool has no such server")]
    UnknownServer,
    /// The server is down or in maint.
    #[error("the server is down or in maint")]
    Unusable,
    /// The key has several sessions (`allow_multiple`): say which.
    #[error("the key may have several sessions: name one")]
    Ambiguous,
}

/// A session's state as everybody derives it from the seat and the view (R3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionState {
    /// Its server is usable.
    Seated,
    /// Its server is usable, and has confirmed this seat or lists it.
    Confirmed,
    /// Its server is another process than the one that was given the session, and lists it all the same.
    Restored,
    /// Its server is down, in maint, not configured, or another process than the one that held it.
    Orphaned,
    /// A tombstone.
    Ended,
}

impl SessionState {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seated => "seated",
            Self::Confirmed => "confirmed",
            Self::Restored => "restored",
            Self::Orphaned => "orphaned",
            Self::Ended => "ended",
        }
    }

    /// The state of a seat under a view alone; [`Director::session_state`] also knows what servers say.
    #[must_use]
    pub fn of(entry: &SeatEntry, view: &View) -> Self {
        if entry.life != Life::Live {
            return Self::Ended;
        }
        let server = view.pool(&entry.pool).and_then(|pool| pool.server_named(&entry.server));
        match server {
            Some(server) if server.standing.is_usable() && !entry.incarnation.contradicts(server.tag()) => Self::Seated,
            _ => Self::Orphaned,
        }
    }
}

/// Which sessions to list: live ones that match all that is given.
#[derive(Debug, Clone, Default)]
pub struct SessionsFilter {
    /// Of this pool.
    pub pool: Option<PoolName>,
    /// At this server.
    pub server: Option<ServerName>,
    /// With this key.
    pub key: Option<Key>,
    /// Where this agent is logged in, as the server confirmed.
    pub agent: Option<Key>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPage {
    /// In order of pool, key and session.
    pub sessions: Vec<SeatEntry>,
    /// There are more behind the last one.
    pub more: bool,
}

type Place = (PoolName, Key, SessionId);

impl Director {
    /// The record of a key, seat or tombstone; `session` where the pool allows several of one key.
    #[must_use]
    pub fn find(&self, pool: &PoolName, key: &Key, session: Option<SessionId>, now: Now) -> Option<SeatEntry> {
        let view = self.view.load();
        let pool = view.pool(pool)?;
        let session = if pool.settings().allow_multiple { Some(session?) } else { None };
        let seat_key = self.table.key(pool.ix(), key, session);
        let record =
            self.table.lock(&seat_key).find(&seat_key).map(|record| record.entry_for(key.clone(), &self.names));
        record.filter(|entry| admit(entry, now.time, pool.settings().session_ttl).is_ok())
    }

    /// The state of a seat, by the view and by what its server has confirmed and lists.
    #[must_use]
    pub fn session_state(&self, seat: &SeatEntry) -> SessionState {
        let view = self.view.load();
        let derived = SessionState::of(seat, &view);
        let pool = view.pool(&seat.pool).filter(|_| derived != SessionState::Ended);
        let Some((pool, server)) = pool.and_then(|pool| Some((pool, pool.server_named(&seat.server)?))) else {
            return derived;
        };
        let session = pool.settings().allow_multiple.then_some(seat.session);
        let list = self.lists.of(server.ix).filter(|list| !list.incarnation().contradicts(server.tag()));
        let listed = list.is_some_and(|list| list.find(&Listed::new(seat.key.clone(), session)).is_some());
        match derived {
            SessionState::Seated if listed => SessionState::Confirmed,
            SessionState::Seated if self.confirmed(seat).is_some_and(|entry| entry.holds(seat)) => {
                SessionState::Confirmed
            }
            SessionState::Orphaned if listed && server.standing.is_usable() => SessionState::Restored,
            derived => derived,
        }
    }

    /// Ends a session: the seat becomes a tombstone that outlives every copy of it.
    ///
    /// # Errors
    /// [`EndRefusal`]: unknown, or another seat than the one that is named (R4).
    pub fn end(
        &self,
        pool: &PoolName,
        key: &Key,
        session: Option<SessionId>,
        end: &End,
        now: Now,
    ) -> Result<SeatEntry, EndRefusal> {
        let view = self.view.load();
        let pool = view.pool(pool).ok_or(EndRefusal::Unknown)?;
        let session = match (pool.settings().allow_multiple, end) {
            (false, _) => None,
            (true, End::Session { session, .. }) => Some(*session),
            (true, End::Server { .. }) => Some(session.ok_or(EndRefusal::Unknown)?),
        };
        let seat_key = self.table.key(pool.ix(), key, session);
        let mut shard = self.table.lock(&seat_key);
        let current =
            shard.find(&seat_key).map(|record| (*record.sitting(), record.entry_for(key.clone(), &self.names)));
        let Some((sitting, entry)) = current else { return Err(EndRefusal::Unknown) };
        if sitting.expires(pool.settings().session_ttl) <= now.time {
            return Err(EndRefusal::Unknown);
        }
        let (named, reason) = (end.names(&entry), end.reason());
        match sitting.life {
            // Ended once is ended: a repeated end of the same seat is a success, and never moves the tombstone.
            Life::Ended(_) if named => return Ok(entry),
            Life::Ended(_) => return Err(EndRefusal::Unknown),
            Life::Live if !named => return Err(EndRefusal::Stale(Box::new(entry))),
            Life::Live => {}
        }
        let stamp = Stamp::next(now.time, Some(sitting.stamp));
        let ended = crate::session::Sitting { life: Life::Ended(reason), stamp, writer: self.writer, ..sitting };
        // In place: the key is there, so the table cannot be too full for it.
        if let Ok(change) = shard.put(&seat_key, ended) {
            self.counts.apply(change);
        }
        Ok(SeatEntry { life: Life::Ended(reason), stamp, writer: self.me.clone(), ..entry })
    }

    /// Ends the session whose cookie or token its client shows. What is shown is merged first (R7): a minted seat that nobody
    /// has seen again is not stored, and its end must be, or its cookie would bring it back.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub fn end_shown(&self, shown: &Shown, now: Now) -> Result<SeatEntry, EndRefusal> {
        let seat = &shown.seat;
        let view = self.view.load();
        let pool = view.pool(&seat.pool).ok_or(EndRefusal::Unknown)?;
        let session = pool.settings().allow_multiple.then_some(seat.session);
        let seat_key = self.table.key(pool.ix(), &seat.key, session);
        self.merge_shown(pool, &mut self.table.lock(&seat_key), &seat_key, shown, now);
        let end = End::Session { session: seat.session, generation: seat.generation, reason: EndReason::Client };
        self.end(&seat.pool, &seat.key, session, &end, now)
    }

    /// Moves a session to another server at an operator's word. Moving it to where it sits changes nothing.
    ///
    /// # Errors
    /// [`ReseatRefusal`].
    pub fn reseat(
        &self,
        pool: &PoolName,
        key: &Key,
        session: Option<SessionId>,
        to: &ServerName,
        now: Now,
    ) -> Result<Reseated, ReseatRefusal> {
        let view = self.view.load();
        let pool = view.pool(pool).ok_or(ReseatRefusal::UnknownSession)?;
        let server = pool.server_named(to).ok_or(ReseatRefusal::UnknownServer)?;
        if !server.standing.is_usable() {
            return Err(ReseatRefusal::Unusable);
        }
        let session = match (pool.settings().allow_multiple, session) {
            (false, _) => None,
            (true, Some(session)) => Some(session),
            (true, None) => return Err(ReseatRefusal::Ambiguous),
        };
        let seat_key = self.table.key(pool.ix(), key, session);
        let mut shard = self.table.lock(&seat_key);
        let current =
            shard.find(&seat_key).map(|record| (*record.sitting(), record.entry_for(key.clone(), &self.names)));
        let live = current.filter(|(sitting, _)| {
            sitting.life == Life::Live && sitting.expires(pool.settings().session_ttl) > now.time
        });
        let Some((sitting, before)) = live else { return Err(ReseatRefusal::UnknownSession) };
        if sitting.server == server.ix {
            return Ok(Reseated { after: before.clone(), before });
        }
        let moved = crate::session::Sitting {
            server: server.ix,
            incarnation: server.tag(),
            generation: sitting.generation.next(),
            stamp: Stamp::next(now.time, Some(sitting.stamp)),
            seen: sitting.seen.max(Seen::at(now.time)),
            writer: self.writer,
            ..sitting
        };
        if let Ok(change) = shard.put(&seat_key, moved) {
            self.counts.apply(change);
        }
        let after = SeatEntry {
            server: to.clone(),
            incarnation: moved.incarnation,
            generation: moved.generation,
            stamp: moved.stamp,
            seen: moved.seen.time(),
            writer: self.me.clone(),
            ..before.clone()
        };
        Ok(Reseated { before, after })
    }

    /// Live sessions in order of pool, key and session: at most `limit` behind `after`. Walks the whole table in small steps and
    /// keeps one page, so its memory does not grow with the table. Not for a thread that serves starts.
    #[must_use]
    pub fn list(&self, filter: &SessionsFilter, after: Option<&Place>, limit: usize, now: Now) -> SessionPage {
        if let Some(agent) = &filter.agent {
            return self.list_of_agent(agent, filter, after, limit, now);
        }
        let view = self.view.load();
        let book = self.names.book();
        let pool = filter.pool.as_ref().map(|name| book.pool_ix(name));
        let server = filter.server.as_ref().map(|name| book.server_ix(name));
        // A name that nobody has ever had matches nothing.
        if pool == Some(None) || server == Some(None) {
            return SessionPage { sessions: Vec::new(), more: false };
        }
        let mut page: BTreeMap<Place, SeatEntry> = BTreeMap::new();
        let mut more = false;
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            cursor = self.table.page(from, PAGE, &mut |record| {
                let sitting = record.sitting();
                let wanted = sitting.life == Life::Live
                    && pool.flatten().is_none_or(|ix| record.pool() == ix)
                    && server.flatten().is_none_or(|ix| sitting.server == ix)
                    && filter.key.as_ref().is_none_or(|key| record.key_text() == key.as_str());
                if !wanted {
                    return;
                }
                let entry = record.entry(&self.names);
                let known = view.pool(&entry.pool);
                if known.is_none_or(|pool| sitting.expires(pool.settings().session_ttl) <= now.time) {
                    return;
                }
                let place = (entry.pool.clone(), entry.key.clone(), entry.session);
                if after.is_some_and(|after| place <= *after) {
                    return;
                }
                page.insert(place, entry);
                if page.len() > limit.max(1) {
                    page.pop_last();
                    more = true;
                }
            });
        }
        SessionPage { sessions: page.into_values().collect(), more }
    }

    /// The same for one agent, whose few sessions are known without a walk.
    fn list_of_agent(
        &self,
        agent: &Key,
        filter: &SessionsFilter,
        after: Option<&Place>,
        limit: usize,
        now: Now,
    ) -> SessionPage {
        let view = self.view.load();
        let pools = view.pools().map(|pool| &pool.settings().name);
        let pools = pools.filter(|pool| filter.pool.as_ref().is_none_or(|wanted| wanted == *pool));
        let found = pools.flat_map(|pool| self.sessions_of_agent(pool, agent, now)).filter(|seat| {
            filter.server.as_ref().is_none_or(|server| *server == seat.server)
                && filter.key.as_ref().is_none_or(|key| *key == seat.key)
        });
        let placed = found.map(|seat| ((seat.pool.clone(), seat.key.clone(), seat.session), seat));
        let mut page: BTreeMap<Place, SeatEntry> =
            placed.filter(|(place, _)| after.is_none_or(|after| place > after)).collect();
        let more = page.len() > limit.max(1);
        while page.len() > limit.max(1) {
            page.pop_last();
        }
        SessionPage { sessions: page.into_values().collect(), more }
    }
}
