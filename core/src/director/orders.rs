//! Operators' orders: registers that are taken once, remembered, and say before and after (R15).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use thiserror::Error;

use super::Director;
use super::control::{Control, Register};
use crate::clock::{Now, Stamp, Time};
use crate::entry::{Entry, OperatorWord, RoleOrder, ServerOrder};
use crate::health::{Change, ServerHealth};
use crate::ids::{DatacenterName, DirectorName, PoolName, ServerName};
use crate::settings::Settings;

/// Orders that gave way and are remembered, of each register.
const GAVE_WAY_MAX: usize = 8;

/// An order that was taken, or was in force already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered<T> {
    /// What held.
    pub before: T,
    /// What holds.
    pub after: T,
    /// Whether anything changed; repeating an order is a success that changes nothing.
    pub changed: bool,
}

/// What an operator says about a server. What a repeated word leaves out stays as it was said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerWord {
    /// The word.
    pub word: OperatorWord,
    /// Why, for other operators; empty takes the reason away.
    pub reason: Option<String>,
    /// How long it holds.
    pub deadline: Deadline,
}

/// How long an operator's word holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deadline {
    /// Not said: as long as the word that is repeated, else until another word.
    #[default]
    Unsaid,
    /// Until another word.
    Open,
    /// Until then.
    At(Time),
}

impl ServerWord {
    /// A word without a reason and a deadline.
    #[must_use]
    pub fn new(word: OperatorWord) -> Self {
        Self { word, reason: None, deadline: Deadline::Unsaid }
    }

    /// The word with a reason.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }

    /// The word until then.
    #[must_use]
    pub fn until(self, deadline: Time) -> Self {
        Self { deadline: Deadline::At(deadline), ..self }
    }

    /// Reason and deadline in full, and whether all of it holds already.
    fn over(&self, old: Option<&ServerOrder>, before: OperatorWord) -> (String, Option<Time>, bool) {
        let same = old.filter(|old| old.word == self.word && before == self.word);
        let reason = self.reason.clone().or_else(|| same.map(|old| old.reason.clone())).unwrap_or_default();
        let deadline = match self.deadline {
            Deadline::Unsaid => same.and_then(|old| old.deadline),
            Deadline::Open => None,
            Deadline::At(time) => Some(time),
        };
        let holds = match old {
            None => self.word == OperatorWord::Ready,
            Some(_) => same.is_some_and(|old| old.reason == reason && old.deadline == deadline),
        };
        (reason, deadline, holds)
    }
}

/// What an order about a server would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// What holds.
    pub before: OperatorWord,
    /// What would hold.
    pub after: OperatorWord,
    /// With this reason; empty for none.
    pub reason: String,
    /// Until then.
    pub deadline: Option<Time>,
    /// Whether anything of it would be new.
    pub changed: bool,
    /// Live sessions at the server: maint strands them, drain lets them finish.
    pub sessions: u32,
    /// Servers of the same datacenter and pool that would still take new sessions.
    pub placeable_left: u32,
    /// Load of those as a share of their capacity afterwards, in percent, were the sessions to move there.
    pub load_percent: u32,
}

/// No such server is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no such server is configured")]
pub struct UnknownServer;

/// Why an order about the active role was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RoleRefusal {
    /// No such pool is configured.
    #[error("no such pool is configured")]
    UnknownPool,
    /// The pool does not stand in that datacenter.
    #[error("the pool has no such datacenter")]
    UnknownDatacenter,
}

impl Director {
    /// Takes an operator's word about a server. When it returns, no start that began before can still place there against it.
    ///
    /// # Errors
    /// [`UnknownServer`].
    pub fn handle_server_order(
        &self,
        server: &ServerName,
        said: &ServerWord,
        now: Now,
    ) -> Result<Ordered<OperatorWord>, UnknownServer> {
        let mut control = self.control.lock();
        let settings = Arc::clone(&control.settings);
        let health = control.watch.server(server).ok_or(UnknownServer)?;
        let before = health.operator_word(now.time);
        let old = health.operator();
        let (word, (reason, deadline, same)) = (said.word, said.over(old, before));
        // Also a repeated order is written: it is acknowledged, so it holds, also against an earlier one that another director
        // took and this one has not heard of.
        let stamp = Stamp::next(now.time, old.map(|old| old.stamp));
        let order = ServerOrder { server: server.clone(), word, reason, deadline, stamp, writer: self.me.clone() };
        let changes = control.take_server_order(order, &settings, now);
        self.settle(&mut control, changes, now);
        Ok(Ordered { before, after: word, changed: !same })
    }

    /// What that order would do; changes nothing.
    ///
    /// # Errors
    /// [`UnknownServer`].
    pub fn preview_server_order(
        &self,
        server: &ServerName,
        said: &ServerWord,
        now: Now,
    ) -> Result<Preview, UnknownServer> {
        let word = said.word;
        let (before, (reason, deadline, holds)) = {
            let control = self.control.lock();
            let health = control.watch.server(server).ok_or(UnknownServer)?;
            let before = health.operator_word(now.time);
            (before, said.over(health.operator(), before))
        };
        let view = self.view.load();
        let (pool, target) = view.server(server).ok_or(UnknownServer)?;
        let others = || {
            pool.servers().iter().filter(|other| {
                other.ix != target.ix
                    && other.settings.datacenter == target.settings.datacenter
                    && other.standing.is_placeable()
            })
        };
        let own = (word == OperatorWord::Ready).then_some(target);
        let left = || others().chain(own);
        let sessions = target.load.seats();
        let moving = if word == OperatorWord::Maint { u64::from(sessions) } else { 0 };
        let load: u64 = left().map(|server| u64::from(server.load.load(now.time))).sum::<u64>() + moving;
        let capacity: u64 = left().map(|server| u64::from(server.load.capacity())).sum();
        let load_percent =
            (load * 100).checked_div(capacity).map_or(100, |share| u32::try_from(share).unwrap_or(u32::MAX));
        let placeable_left = u32::try_from(left().count()).unwrap_or(u32::MAX);
        let after = word;
        Ok(Preview { before, after, reason, deadline, changed: !holds, sessions, placeable_left, load_percent })
    }

    /// Takes an order about a pool's active role; `None` is automatic again.
    ///
    /// # Errors
    /// [`RoleRefusal`].
    pub fn handle_role_order(
        &self,
        pool: &PoolName,
        datacenter: Option<DatacenterName>,
        now: Now,
    ) -> Result<Ordered<Option<DatacenterName>>, RoleRefusal> {
        let mut control = self.control.lock();
        let settings = control.settings.pools.get(pool).ok_or(RoleRefusal::UnknownPool)?;
        if datacenter.as_ref().is_some_and(|name| !settings.datacenters.contains(name)) {
            return Err(RoleRefusal::UnknownDatacenter);
        }
        let before = control.roles.get(pool).ok_or(RoleRefusal::UnknownPool)?.order().cloned();
        let stamp = Stamp::next(now.time, control.role_orders.get(pool).map(|old| old.stamp));
        let order = RoleOrder { pool: pool.clone(), datacenter: datacenter.clone(), stamp, writer: self.me.clone() };
        control.take_role_order(order);
        self.settle(&mut control, Vec::new(), now);
        let changed = before != datacenter;
        Ok(Ordered { before, after: datacenter, changed })
    }
}

impl Control {
    /// Puts the latest order about a server in force, this director's own or one that it heard: journal and peers are to hear of it.
    pub(super) fn take_server_order(&mut self, order: ServerOrder, settings: &Settings, now: Now) -> Vec<Change> {
        let register = Register::Order(order.server.clone());
        let old = self.watch.server(&order.server).and_then(ServerHealth::operator);
        self.gave_way.note(register.clone(), old.map(|old| (old.stamp, old.writer.clone())));
        let changes = self.watch.order(&order, settings, now);
        self.write(register, Entry::ServerOrder(order));
        self.hearsay.orders += 1;
        changes
    }

    /// The same of the latest order about a pool's active role.
    pub(super) fn take_role_order(&mut self, order: RoleOrder) {
        let register = Register::RoleOrder(order.pool.clone());
        if let Some(role) = self.roles.get_mut(&order.pool) {
            role.set_order(order.datacenter.clone());
        }
        let old = self.role_orders.insert(order.pool.clone(), order.clone());
        self.gave_way.note(register.clone(), old.map(|old| (old.stamp, old.writer)));
        self.write(register, Entry::RoleOrder(order));
        self.hearsay.orders += 1;
    }
}

/// Orders that gave way, to tell those of another director that are merely old from those that were given at the same time.
#[derive(Debug, Default)]
pub(super) struct GaveWay(BTreeMap<Register, VecDeque<(Stamp, DirectorName)>>);

impl GaveWay {
    /// This order was in force and a later one is now.
    pub(super) fn note(&mut self, register: Register, order: Option<(Stamp, DirectorName)>) {
        let Some(order) = order else { return };
        let gone = self.0.entry(register).or_default();
        if !gone.contains(&order) {
            gone.truncate(GAVE_WAY_MAX - 1);
            gone.push_front(order);
        }
    }

    /// Whether an order that is older than the one in force was never in force here: whoever gave the one in force had not heard
    /// of it. Says so once.
    pub(super) fn is_concurrent(&mut self, register: Register, stamp: Stamp, writer: &DirectorName) -> bool {
        let order = (stamp, writer.clone());
        let gone = self.0.get(&register);
        let known =
            gone.is_some_and(|it| it.contains(&order) || (it.len() >= GAVE_WAY_MAX && it.iter().all(|at| *at > order)));
        if !known {
            self.note(register, Some(order));
        }
        !known
    }
}

/// The pool of a server.
pub(super) fn pool_of<'s>(settings: &'s Settings, server: &ServerName) -> Option<&'s PoolName> {
    settings.pools.iter().find(|(_, pool)| pool.servers.contains_key(server)).map(|(name, _)| name)
}
