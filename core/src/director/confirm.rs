//! A server confirms who is logged in at a session: the agent's newest session is the one that counts, the others end (R5).
//!
//! A confirm moves no seat's stamp (R1). It writes a register of its own, from which the alias (pool, agent) → session follows:
//! a start with the agent's id, where that key has no live session itself, is the start of the agent's session.

use std::time::Duration;

use super::Director;
use super::fence::{FenceRefusal, ServerFence};
use crate::alias::SessionPlace;
use crate::clock::{Now, Stamp};
use crate::entry::{ConfirmedEntry, EndReason, Life, SeatEntry};
use crate::fault::{Fault, planted};
use crate::held::Item;
use crate::ids::{Key, PoolName, SessionId};
use crate::session::{Mark, STAMP_AHEAD_MAX, Sitting, admit};
use crate::view::PoolView;

/// A repeated confirm is written down at most this often.
const RENEWED_EVERY: Duration = Duration::from_secs(60);
/// Registers that the sweeper asks about at a time.
const SWEEP_STEP: usize = 64;

/// What a server says of one of its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// Which seat it means.
    pub fence: ServerFence,
    /// Who is logged in; without one, the key is the agent.
    pub agent: Option<Key>,
}

/// A confirm that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// The session's seat.
    pub seat: SeatEntry,
    /// Who is logged in.
    pub agent: Key,
    /// Whether anything changed; a server may repeat itself.
    pub changed: bool,
    /// The agent's sessions that ended by it, each once.
    pub superseded: Vec<SeatEntry>,
}

impl Director {
    /// Takes a server's word about who is logged in at its session. `session` tells sessions of one key apart where the pool
    /// allows several, and is worth giving elsewhere too: a walk-in gets that id.
    ///
    /// # Errors
    /// [`FenceRefusal`]; nothing changes then.
    pub fn confirm(
        &self,
        pool: &PoolName,
        key: &Key,
        session: Option<SessionId>,
        confirm: &Confirm,
        now: Now,
    ) -> Result<Confirmed, FenceRefusal> {
        let view = self.view.load();
        let named = self.named(&view, pool, key, session, &confirm.fence)?;
        let agent = confirm.agent.clone().unwrap_or_else(|| key.clone());
        let seat_key = self.table.key(named.pool.ix(), key, named.session);
        let mut shard = self.table.lock(&seat_key);
        let mut sitting = self.fenced(&mut shard, &seat_key, key, session, &named, &confirm.fence, now)?;
        if planted(Fault::ConfirmStamps) {
            sitting = Sitting { stamp: Stamp::next(now.time, Some(sitting.stamp)), writer: self.writer, ..sitting };
            let _ = shard.put(&seat_key, sitting);
        }
        let seat = self.entry_of(&sitting, named.pool, key);
        // Under the shard's lock, so that an end comes either before or after, and never between.
        let (changed, left) = self.register(&seat, &agent, named.session, confirm, now)?;
        drop(shard);
        if changed {
            self.tell_of_confirm(&seat, now);
        }
        let place = (pool.clone(), key.clone(), named.session);
        let superseded = left.iter().filter_map(|old| self.supersede(named.pool, old, &place, &agent, now)).collect();
        Ok(Confirmed { seat, agent, changed, superseded })
    }

    /// The live sessions at which a server confirmed this agent, the newest confirm last.
    #[must_use]
    pub fn sessions_of_agent(&self, pool: &PoolName, agent: &Key, now: Now) -> Vec<SeatEntry> {
        let known: Vec<ConfirmedEntry> = self.aliases.read().of_agent(pool, agent).cloned().collect();
        let live = |entry: &ConfirmedEntry| {
            let session = entry.by_session.then_some(entry.session);
            self.find(pool, &entry.key, session, now).filter(|seat| seat.life == Life::Live && entry.is_of(seat))
        };
        known.iter().filter_map(live).collect()
    }

    /// Who is logged in at a session, as its server confirmed.
    #[must_use]
    pub fn agent_of(&self, seat: &SeatEntry) -> Option<Key> {
        self.confirmed(seat).filter(|entry| entry.is_of(seat)).map(|entry| entry.agent)
    }

    /// Whether a server has confirmed the agent anywhere, so that the agent's state is still of use.
    pub(super) fn has_session(&self, pool: &PoolName, agent: &Key) -> bool {
        self.aliases.read().newest(pool, agent).is_some()
    }

    /// Where a start with this key shall look instead: the agent's session, when the key is an agent's id.
    pub(super) fn alias(&self, pool: &PoolName, agent: &Key) -> Option<ConfirmedEntry> {
        let aliases = self.aliases.read();
        if aliases.is_empty() {
            return None;
        }
        aliases.newest(pool, agent).filter(|entry| entry.key != *agent && !entry.by_session).cloned()
    }

    /// What was confirmed about a seat's key, perhaps for an earlier session of it.
    pub(super) fn confirmed(&self, seat: &SeatEntry) -> Option<ConfirmedEntry> {
        let multiple = self.view.load().pool(&seat.pool).is_some_and(|pool| pool.settings().allow_multiple);
        let place = (seat.pool.clone(), seat.key.clone(), multiple.then_some(seat.session));
        self.aliases.read().of(&place).cloned()
    }

    pub(super) fn entry_of(&self, sitting: &Sitting, pool: &PoolView, key: &Key) -> SeatEntry {
        sitting.entry(pool.settings().name.clone(), key.clone(), &self.names.book())
    }

    /// Writes the register; says whether it is new, and which other sessions the agent leaves.
    fn register(
        &self,
        seat: &SeatEntry,
        agent: &Key,
        session: Option<SessionId>,
        confirm: &Confirm,
        now: Now,
    ) -> Result<(bool, Vec<ConfirmedEntry>), FenceRefusal> {
        let place = (seat.pool.clone(), seat.key.clone(), session);
        let mut aliases = self.aliases.write();
        let known = aliases.of(&place);
        let newest = aliases.newest(&seat.pool, agent);
        let repeated = known.is_some_and(|known| {
            let stands = session.is_some() || newest.is_some_and(|newest| newest.place() == place);
            known.agent == *agent && known.session == seat.session && known.holds(seat) && stands
        });
        let renewed = known.is_some_and(|known| now.time.since(known.stamp.time()) < RENEWED_EVERY);
        if repeated && renewed {
            return Ok((false, Vec::new()));
        }
        let above = known.map(|known| known.stamp).max(newest.map(|newest| newest.stamp));
        let entry = ConfirmedEntry {
            pool: seat.pool.clone(),
            key: seat.key.clone(),
            session: seat.session,
            by_session: session.is_some(),
            server: seat.server.clone(),
            incarnation: confirm.fence.incarnation,
            generation: seat.generation,
            agent: agent.clone(),
            stamp: Stamp::next(now.time, above),
            writer: self.me.clone(),
        };
        aliases.take(entry, Mark::Dirty).map_err(|_| FenceRefusal::Full)?;
        // Several sessions of one key are several of one agent too.
        let left = aliases.of_agent(&seat.pool, agent).filter(|old| session.is_none() && old.place() != place);
        Ok((!repeated, left.cloned().collect()))
    }

    /// Ends a session that its agent has left, unless the agent has come back to it meanwhile.
    fn supersede(
        &self,
        pool: &PoolView,
        old: &ConfirmedEntry,
        by: &SessionPlace,
        agent: &Key,
        now: Now,
    ) -> Option<SeatEntry> {
        let seat_key = self.table.key(pool.ix(), &old.key, None);
        let mut shard = self.table.lock(&seat_key);
        if self.aliases.read().newest(&old.pool, agent).is_none_or(|newest| newest.place() != *by) {
            return None;
        }
        let sitting = self.sitting(&shard, &seat_key, pool, now);
        let live = sitting.filter(|it| it.life == Life::Live && old.is_of(&self.entry_of(it, pool, &old.key)));
        let ended = live.map(|sitting| Sitting {
            life: Life::Ended(EndReason::Superseded),
            // Above what the server was told, so that it is reset at once (R6) and nothing that it still says is current (R4).
            generation: sitting.generation.next(),
            stamp: Stamp::next(now.time, Some(sitting.stamp)),
            writer: self.writer,
            ..sitting
        });
        // In place: the key is there, so the table cannot be too full for it.
        if let Some(ended) = ended
            && let Ok(change) = shard.put(&seat_key, ended)
        {
            self.counts.apply(change);
        }
        // The register stays until the sweeper takes it: a peer that has it still would send it back, for ever.
        ended.map(|sitting| self.entry_of(&sitting, pool, &old.key))
    }

    /// Ends a listed session that its agent left by a confirm at another director, which could not know of it.
    pub(super) fn leave(&self, pool: &PoolView, item: &Item, now: Now) {
        let name = &pool.settings().name;
        let (left, newest) = {
            let aliases = self.aliases.read();
            if aliases.is_empty() || item.place.session.is_some() {
                return;
            }
            let Some(own) = aliases.of(&(name.clone(), item.held.key.clone(), None)) else { return };
            let Some(newest) = aliases.newest(name, &own.agent).filter(|it| it.key != own.key) else { return };
            (own.clone(), newest.clone())
        };
        let there = self.find(name, &newest.key, None, now);
        if there.is_some_and(|seat| seat.life == Life::Live && newest.is_of(&seat)) {
            self.supersede(pool, &left, &newest.place(), &left.agent, now);
        }
    }

    /// Takes a register from the journal.
    pub(super) fn restore_confirmed(&self, entry: ConfirmedEntry, now: Now) -> super::Restored {
        let view = self.view.load();
        let known = view.pool(&entry.pool).filter(|pool| pool.settings().allow_multiple == entry.by_session);
        if known.is_none() {
            return super::Restored::Unknown;
        }
        if entry.stamp.time() > now.time + STAMP_AHEAD_MAX {
            return super::Restored::Dropped(crate::session::Dropped::StampAhead);
        }
        match self.aliases.write().take(entry, Mark::Clean) {
            Ok(_) => super::Restored::Taken,
            Err(_) => super::Restored::Unknown,
        }
    }

    /// Forgets a few registers whose sessions are forgotten: a register lives as long as its session's record, and at least as
    /// long as its own stamp would.
    pub(super) fn sweep_aliases(&self, now: Now) {
        if self.aliases.read().is_empty() {
            return;
        }
        let view = self.view.load();
        let step = self.aliases.write().sweep(SWEEP_STEP);
        for entry in step {
            let Some(pool) = view.pool(&entry.pool) else {
                self.aliases.write().forget(&entry);
                continue;
            };
            let ttl = pool.settings().session_ttl;
            if entry.stamp.time() + ttl > now.time {
                continue;
            }
            let session = entry.by_session.then_some(entry.session);
            let seat_key = self.table.key(pool.ix(), &entry.key, session);
            let shard = self.table.lock(&seat_key);
            let record = shard.find(&seat_key).map(|record| record.entry_for(entry.key.clone(), &self.names));
            if record.is_none_or(|seat| {
                seat.life != Life::Live || !entry.is_of(&seat) || admit(&seat, now.time, ttl).is_err()
            }) {
                self.aliases.write().forget(&entry);
            }
        }
    }
}
