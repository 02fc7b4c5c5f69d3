//! Dependencies with effect `reset`: when one breaks, each session of its server is reset once and confirmed again there.
//!
//! An outage is numbered by a register that every director keeps: it counts the dependency's turns, down and up, and merges to
//! the highest. Directors that saw the same turns, or heard of them, count alike, so the number is a cause that gives the same
//! order everywhere. Directors that look at a dependency that flaps within one interval may count a turn more than others; that
//! costs a reset more, never one less. A first word is no turn: what was never known to be up did not break.

use std::collections::BTreeMap;

use super::control::{Control, Register};
use super::resets::{At, OrderId, ResetOrder, ResetReason};
use crate::clock::{Now, Time};
use crate::entry::{Entry, OutageEntry};
use crate::health::{Report, ServerHealth};
use crate::held::{Item, List, Place};
use crate::ids::{Incarnation, IncarnationTag, ServerName};
use crate::settings::DependencyEffect;

impl OutageEntry {
    /// Outages so far.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.count.div_ceil(2)
    }

    /// It is down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.count % 2 == 1
    }

    fn order(&self) -> (u64, bool) {
        (self.count, self.finished)
    }
}

impl Control {
    /// A dependency with effect `reset` went down or came back, and was known to have been otherwise.
    pub(super) fn turn(&mut self, server: &ServerName, dependency: &str, up: bool, now: Now) {
        let known = self.outages.get(&(server.clone(), dependency.to_owned()));
        let down = known.is_some_and(OutageEntry::is_down);
        if down != up {
            return;
        }
        let incarnation = self.watch.server(server).and_then(ServerHealth::incarnation).map(Incarnation::tag);
        let before = known.cloned();
        let entry = OutageEntry {
            server: server.clone(),
            dependency: dependency.to_owned(),
            incarnation: match &before {
                Some(before) if up => before.incarnation,
                _ => incarnation.unwrap_or_default(),
            },
            count: before.as_ref().map_or(1, |before| before.count.saturating_add(1)),
            began: before.as_ref().filter(|_| up).map_or(now.time, |before| before.began),
            finished: up && before.is_some_and(|before| before.finished),
        };
        self.take_outage(entry, true);
    }

    /// After a restart the first word that it is up is no turn for `health`, but ends the outage that the journal knows. Only what
    /// the server says in this report counts: an earlier word may be older than the outage, of which another director told.
    pub(super) fn mend_outages(&mut self, server: &ServerName, report: &Report, now: Now) {
        let mended: Vec<String> = self
            .outages_of(server)
            .filter(|entry| entry.is_down() && report.depends.get(&entry.dependency) == Some(&true))
            .map(|entry| entry.dependency.clone())
            .collect();
        for dependency in mended {
            self.turn(server, &dependency, true, now);
        }
    }

    /// Takes a register, if it is higher than the known one.
    pub(super) fn take_outage(&mut self, entry: OutageEntry, write: bool) {
        let place = (entry.server.clone(), entry.dependency.clone());
        if self.outages.get(&place).is_some_and(|known| known.order() >= entry.order()) {
            return;
        }
        if write {
            let register = Register::Outage(entry.server.clone(), entry.dependency.clone());
            self.write(register, Entry::Outage(entry.clone()));
            self.hearsay.orders += 1;
        }
        self.outages.insert(place, entry);
    }

    /// The outages of one server that the configuration knows.
    pub(super) fn outages_of(&self, server: &ServerName) -> impl Iterator<Item = &OutageEntry> {
        let from = (server.clone(), String::new());
        let mine = self.outages.range(from..).take_while(move |((name, _), _)| name == server);
        mine.map(|(_, entry)| entry).filter(|entry| self.resets_by(entry))
    }

    /// Whether the configuration says that this dependency resets, so that what is kept stays bounded by it.
    pub(super) fn resets_by(&self, entry: &OutageEntry) -> bool {
        let pool = super::orders::pool_of(&self.settings, &entry.server);
        let pool = pool.and_then(|pool| self.settings.pools.get(pool));
        pool.is_some_and(|pool| pool.depends.get(&entry.dependency) == Some(&DependencyEffect::Reset))
    }
}

/// The resets that one server's broken dependencies ask for.
#[derive(Debug, Default)]
pub(super) struct Outages {
    incarnation: IncarnationTag,
    by_dependency: BTreeMap<String, Outage>,
}

#[derive(Debug, Default)]
struct Outage {
    /// Outages whose sessions have been found.
    handled: u64,
    /// At most one per listed session; only ever fewer.
    pending: BTreeMap<Place, ResetOrder>,
}

impl Outages {
    /// Finds the sessions that new outages affect: those of the first valid list after it, without those that are known to have
    /// logged in since. Forgets those that the server does not hold any more.
    pub(super) fn meet(
        &mut self,
        at: At<'_>,
        told: &[OutageEntry],
        list: &List,
        logged_in_since: impl Fn(&Item, Time) -> bool,
    ) {
        if self.incarnation != at.incarnation {
            *self = Self { incarnation: at.incarnation, ..Self::default() };
        }
        for entry in told {
            let outage = self.by_dependency.entry(entry.dependency.clone()).or_insert_with(|| {
                // Another life's outage, or one that is dealt with, concerns nobody here.
                let open = !entry.finished && !entry.incarnation.contradicts(at.incarnation);
                Outage { handled: entry.number() - u64::from(open), ..Outage::default() }
            });
            if entry.number() > outage.handled && list.is_valid() {
                outage.handled = entry.number();
                let affected = list.items().iter().filter(|item| !logged_in_since(item, entry.began));
                let order = |item| {
                    let reason = ResetReason::Dependency(entry.dependency.clone());
                    at.order(item, reason, Some(entry.number()))
                };
                outage.pending = affected.map(|item| (item.place.clone(), order(item))).collect();
            }
            if list.is_valid() {
                outage.pending.retain(|place, _| list.find(place).is_some());
            }
        }
        self.by_dependency.retain(|dependency, _| told.iter().any(|entry| entry.dependency == *dependency));
    }

    /// The server has carried out these orders.
    pub(super) fn done(&mut self, ids: &[OrderId]) {
        for outage in self.by_dependency.values_mut() {
            outage.pending.retain(|_, order| !ids.contains(&order.id));
        }
    }

    /// Orders that are open.
    pub(super) fn orders(&self) -> impl Iterator<Item = (&Place, &ResetOrder)> {
        self.by_dependency.values().flat_map(|outage| &outage.pending)
    }

    /// Those of the told outages that are dealt with and do not say so yet.
    pub(super) fn finished<'a>(&'a self, told: &'a [OutageEntry]) -> impl Iterator<Item = OutageEntry> + 'a {
        let dealt_with = |entry: &&OutageEntry| {
            let outage = self.by_dependency.get(&entry.dependency);
            !entry.finished && outage.is_some_and(|it| it.handled == entry.number() && it.pending.is_empty())
        };
        told.iter().filter(dealt_with).map(|entry| OutageEntry { finished: true, ..entry.clone() })
    }
}
