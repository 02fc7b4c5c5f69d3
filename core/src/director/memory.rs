//! What outlives the process and what is forgotten: entries out to the journal, entries back in, and the sweeper.

use std::sync::Arc;
use std::time::Duration;

use super::Director;
use super::control::Control;
use crate::alias::SessionPlace;
use crate::clock::{Now, Time};
use crate::entry::{ConfirmedEntry, Entry, SeatEntry};
use crate::session::{Cursor, Dropped, Mark, Reader, admit};
use crate::unwritten::Tell;

/// The sweeper comes by this often.
pub(super) const SWEEP_EVERY: Duration = Duration::from_millis(200);
/// Slots that one pass looks at, so that no shard is held for more than some ten microseconds at a time.
const SWEEP_SLOTS: u32 = 1024;
/// Confirms that a snapshot reads at a time.
const CONFIRMS_AT_ONCE: usize = 256;
/// Shards that one pass visits.
const SWEEP_STEPS: u32 = 8;
/// How often the orphans of a reborn server are counted again while there are any.
const RECOUNT_EVERY: Duration = Duration::from_secs(10);

/// An agent's state may be this many times as large as a seat.
const STATE_WEIGHS: usize = 16;

/// Where a snapshot goes on. Begin with the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotPlace {
    /// Among the seats and tombstones.
    Seats(Cursor),
    /// Among the agents' states.
    States(Cursor),
    /// Among the confirmed logins, behind this one.
    Confirms(Option<SessionPlace>),
    /// Orders, verdicts, outages and roles, all at once.
    Registers,
}

impl Default for SnapshotPlace {
    fn default() -> Self {
        Self::Seats(Cursor::default())
    }
}

/// What came of an entry from the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It is remembered again.
    Taken,
    /// It has expired, or claims what no entry can (R2, R18).
    Dropped(Dropped),
    /// Its pool or server is not configured, or there is no room.
    Unknown,
    /// It is the writer's clock.
    Clock(Time),
}

/// How many entries came back, and how many did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoredCounts {
    /// Remembered again.
    pub taken: u64,
    /// Expired or impossible.
    pub dropped: u64,
    /// Of pools or servers that are not configured any more, or without room.
    pub unknown: u64,
}

impl Director {
    /// Takes entries back from the journal, before the first start. Order and repetition do not matter.
    pub fn restore(&self, entries: impl IntoIterator<Item = Entry>, now: Now) -> RestoredCounts {
        let mut counts = RestoredCounts::default();
        for entry in entries {
            match self.restore_one(entry, now) {
                Restored::Taken | Restored::Clock(_) => counts.taken += 1,
                Restored::Dropped(_) => counts.dropped += 1,
                Restored::Unknown => counts.unknown += 1,
            }
        }
        let mut control = self.control.lock();
        self.settle(&mut control, Vec::new(), now);
        counts
    }

    /// Takes one entry back.
    pub fn restore_one(&self, entry: Entry, now: Now) -> Restored {
        match entry {
            Entry::Seat(seat) => self.restore_seat(&seat, now),
            Entry::State(state) => {
                let view = self.view.load();
                let Some(pool) = view.pool(&state.pool) else { return Restored::Unknown };
                let session = pool.settings().allow_multiple.then_some(state.session);
                let key = self.table.key(pool.ix(), &state.key, session);
                match self.table.lock(&key).merge_state(&key, &state, &self.names, Mark::Clean) {
                    Ok(_) => Restored::Taken,
                    Err(_) => Restored::Unknown,
                }
            }
            Entry::ServerOrder(order) => self.restore_control(now, |control| {
                let settings = Arc::clone(&control.settings);
                control.watch.order(&order, &settings, now)
            }),
            Entry::LastVerdict(last) => self.restore_control(now, |control| {
                let settings = Arc::clone(&control.settings);
                control.watch.restore(&last, &settings, now)
            }),
            Entry::RoleOrder(order) => self.restore_control(now, |control| {
                let newer = control
                    .role_orders
                    .get(&order.pool)
                    .is_none_or(|old| (order.stamp, &order.writer) > (old.stamp, &old.writer));
                if newer && let Some(role) = control.roles.get_mut(&order.pool) {
                    role.set_order(order.datacenter.clone());
                    control.role_orders.insert(order.pool.clone(), order);
                }
                Vec::new()
            }),
            Entry::LastRole(last) => self.restore_control(now, |control| {
                if let Some(role) = control.roles.get_mut(&last.pool) {
                    role.restore(&last.active, last.epoch, now.time.since(last.time), now.mono);
                }
                Vec::new()
            }),
            Entry::Clock(time) => Restored::Clock(time),
            Entry::Confirmed(confirmed) => self.restore_confirmed(confirmed, now),
            Entry::Outage(outage) => {
                let mut control = self.control.lock();
                if !control.resets_by(&outage) {
                    return Restored::Unknown;
                }
                control.take_outage(outage, false);
                Restored::Taken
            }
        }
    }

    /// Hands out every seat, agent state, order, verdict and role that changed since the last call. For one caller: the journal.
    /// `sink` runs under a lock: it must neither wait nor call the director.
    pub fn drain_dirty(&self, sink: &mut dyn FnMut(Entry)) {
        let mut take = |entry| {
            sink(entry);
            true
        };
        while self.drain_some(&mut take) {}
    }

    /// The same as long as `sink` asks for more, and a little beyond; says whether there is more. Call it again until there is not:
    /// everything comes in its turn.
    pub fn drain_some(&self, sink: &mut dyn FnMut(Entry) -> bool) -> bool {
        let mut enough = false;
        let mut take = |entry| enough = !sink(entry);
        self.table.unwritten().take();
        let registers = std::mem::take(&mut self.control.lock().unwritten);
        registers.into_values().for_each(&mut take);
        // Only some of them, so that a crowd of logins cannot keep the seats waiting.
        let mut take = |entry| take(Entry::Confirmed(entry));
        let more = self.aliases.write().drain_dirty(Reader::Journal, CONFIRMS_AT_ONCE, &mut take);
        more | (enough || self.table.drain_some(Reader::Journal, &self.names, sink))
    }

    /// Whom to tell when something changed that [`Self::drain_some`] hands out: once after each call of it. Called under a lock: must
    /// neither wait nor call the director.
    pub fn tell_unwritten(&self, tell: Tell) {
        self.table.unwritten().tell(tell);
    }

    /// One page of everything that is remembered, about `limit` seats or as many bytes of other things; where to go on, `None`
    /// at the end. What changes between two pages is handed out by `drain_dirty` anyway.
    pub fn snapshot(
        &self,
        from: &SnapshotPlace,
        limit: usize,
        now: Now,
        sink: &mut dyn FnMut(Entry),
    ) -> Option<SnapshotPlace> {
        match from {
            SnapshotPlace::Seats(from) => {
                let next = self.table.page(*from, limit, &mut |record| sink(Entry::Seat(record.entry(&self.names))));
                Some(next.map_or(SnapshotPlace::States(Cursor::default()), SnapshotPlace::Seats))
            }
            SnapshotPlace::States(from) => {
                let limit = limit.div_ceil(STATE_WEIGHS);
                let next = self.table.state_page(*from, limit, &self.names, &mut |state| sink(Entry::State(state)));
                Some(next.map_or(SnapshotPlace::Confirms(None), SnapshotPlace::States))
            }
            SnapshotPlace::Confirms(after) => {
                let limit = limit.clamp(1, CONFIRMS_AT_ONCE);
                let page = self.aliases.read().page(after.as_ref(), limit);
                let last = page.last().filter(|_| page.len() == limit).map(ConfirmedEntry::place);
                page.into_iter().map(Entry::Confirmed).for_each(sink);
                Some(last.map_or(SnapshotPlace::Registers, |last| SnapshotPlace::Confirms(Some(last))))
            }
            SnapshotPlace::Registers => {
                self.registers(now, sink);
                None
            }
        }
    }

    /// Orders, verdicts, outages and roles: as many as are configured.
    fn registers(&self, now: Now, sink: &mut dyn FnMut(Entry)) {
        let control = self.control.lock();
        for health in control.watch.servers() {
            health.operator().cloned().map(Entry::ServerOrder).into_iter().for_each(&mut *sink);
            health.last_verdict(now.time).map(Entry::LastVerdict).into_iter().for_each(&mut *sink);
        }
        control.role_orders.values().cloned().map(Entry::RoleOrder).for_each(&mut *sink);
        control.outages.values().cloned().map(Entry::Outage).for_each(&mut *sink);
        for (pool, role) in &control.roles {
            if let Some(active) = role.active().cloned() {
                let time = now.time - role.began(now.mono).unwrap_or_default();
                let last = crate::entry::LastRole { pool: pool.clone(), active, epoch: role.epoch(), time };
                sink(Entry::LastRole(last));
            }
        }
    }

    /// Forgets what has expired, a bounded part of the table at a time, and counts orphans past grace out of the loads (R3).
    pub(super) fn sweep(&self, now: Now) {
        let view = self.view.load();
        let ttl_of =
            |ix| view.pools().find(|pool| pool.ix() == ix).map_or(Duration::ZERO, |pool| pool.settings().session_ttl);
        // A state is an agent's, whose session may have another key.
        let kept = |ix, agent: &str| {
            let pool = view.pools().find(|pool| pool.ix() == ix);
            pool.is_some_and(|pool| self.has_session(&pool.settings().name, &crate::ids::Key::trusted(agent)))
        };
        for _ in 0..SWEEP_STEPS {
            self.table.expire_but(now.time, &ttl_of, &kept, SWEEP_SLOTS, &mut |record| {
                if let Some(server) = record.sitting().live_at() {
                    self.counts.of(server).unseated();
                }
            });
        }
        self.sweep_aliases(now);
        self.recount_orphans(now);
    }

    fn recount_orphans(&self, now: Now) {
        let due = {
            let control = self.control.lock();
            control.orphans_due.iter().find(|(_, at)| **at <= now.mono).map(|(server, _)| server.clone())
        };
        let Some(server) = due else { return };
        let view = self.view.load();
        let orphans = view.server(&server).map_or(0, |(_, server)| {
            let mut orphans = 0;
            let present = server.tag();
            self.table.by_server(server.ix, 0, usize::MAX, &mut |record| {
                orphans += u32::from(record.sitting().incarnation.contradicts(present));
            });
            server.load.mark_stale(orphans);
            orphans
        });
        let mut control = self.control.lock();
        // A rebirth in the meantime has set a later moment, which stands.
        if control.orphans_due.get(&server).is_some_and(|at| *at <= now.mono) {
            if orphans == 0 {
                control.orphans_due.remove(&server);
            } else {
                control.orphans_due.insert(server, now.mono + RECOUNT_EVERY);
            }
        }
    }

    fn restore_seat(&self, seat: &SeatEntry, now: Now) -> Restored {
        let view = self.view.load();
        let Some(pool) = view.pool(&seat.pool) else { return Restored::Unknown };
        if let Err(reason) = admit(seat, now.time, pool.settings().session_ttl) {
            return Restored::Dropped(reason);
        }
        let session = pool.settings().allow_multiple.then_some(seat.session);
        let key = self.table.key(pool.ix(), &seat.key, session);
        let merged = self.table.lock(&key).merge(&key, seat, &self.names, Mark::Clean);
        match merged {
            Ok(merged) => {
                self.counts.apply(merged.change());
                Restored::Taken
            }
            Err(_) => Restored::Unknown,
        }
    }

    fn restore_control(&self, now: Now, act: impl FnOnce(&mut Control) -> Vec<crate::health::Change>) -> Restored {
        let mut control = self.control.lock();
        let changes = act(&mut control);
        self.settle(&mut control, changes, now);
        Restored::Taken
    }
}
