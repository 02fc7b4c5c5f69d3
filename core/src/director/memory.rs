//! What outlives the process and what is forgotten: entries out to the journal, entries back in, and the sweeper.

use std::sync::Arc;
use std::time::Duration;

use super::Director;
use super::control::Control;
use crate::clock::{Now, Time};
use crate::entry::{ConfirmedEntry, Entry, SeatEntry};
use crate::session::{Dropped, Mark, Reader, admit};

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
        let registers = std::mem::take(&mut self.control.lock().unwritten);
        registers.into_values().for_each(&mut *sink);
        self.table.drain_dirty(Reader::Journal, &self.names, sink);
        self.aliases.write().drain_dirty(Reader::Journal, &mut |entry| sink(Entry::Confirmed(entry)));
    }

    /// One part of everything that is remembered, for a snapshot; parts count from 0, `None` is the end.
    pub fn snapshot(&self, part: usize, now: Now, sink: &mut dyn FnMut(Entry)) -> Option<()> {
        if part < self.table.shards() {
            return self.table.snapshot(part, &self.names, sink);
        }
        if part > self.table.shards() {
            return None;
        }
        let mut after = None;
        loop {
            let page = self.aliases.read().page(after.as_ref(), CONFIRMS_AT_ONCE);
            after = page.last().map(ConfirmedEntry::place);
            let more = page.len() == CONFIRMS_AT_ONCE;
            page.into_iter().map(Entry::Confirmed).for_each(&mut *sink);
            if !more {
                break;
            }
        }
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
        Some(())
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
