//! Beats: what a server pushes about itself and its sessions, and what it is told in return.
//!
//! A beat is evidence of load, incarnation, draining and dependencies, as a probe's body is. It is no look: it says nothing about
//! the way to the server, so it moves no vote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::Director;
use super::lists::{Desk, Done, Papers};
use super::resets::{At, MISMATCH_STANDS, Mismatch, OrderId, Over, ResetOrder, judge};
use super::told::Own;
use super::walk_in::{Word, outdated_word};
use crate::clock::{Now, Since};
use crate::entry::{Life, OutageEntry};
use crate::health::{Report, ServerHealth};
use crate::held::{HeldSession, Item, List, Place, TooLong, Whose};
use crate::ids::{Incarnation, ServerName};
use crate::view::{PoolView, ServerView};
use crate::wire::{ListItem, ListSays};

/// Most ids in one `done`.
pub const DONE_MAX: usize = 4096;
/// Most orders in one answer; the rest follows when these are done.
pub const ORDERS_MAX: usize = 1000;
/// A difference is not judged by waiting while a linked director lags this much (R6).
const LAG_MAX: Duration = Duration::from_secs(10);
/// A server that still lists what it said it has reset, this long after it said so last, is told again.
const DONE_STANDS: Duration = Duration::from_secs(60);
/// A sighting is written down when it is later than the known one by this part of the TTL (R18).
const SEEN_STEPS: u32 = 8;

/// What a server says by a beat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beat {
    /// What it says of itself. The incarnation is required; a server's name, if given, must be its own.
    pub report: Report,
    /// All sessions that it holds; absent is not an empty list.
    pub held: Option<Vec<HeldSession>>,
    /// A number that it raises at each login or logout.
    pub held_seq: Option<u64>,
    /// Orders that it has carried out.
    pub done: Vec<OrderId>,
}

/// What a server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeatAnswer {
    /// Sessions to reset.
    pub orders: Vec<ResetOrder>,
    /// When to send the next beat.
    pub interval: Duration,
    /// The complete list is wanted with the next beat.
    pub need_held: bool,
}

/// Why a beat was not taken. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BeatRefusal {
    /// No such server is configured.
    #[error("no such server is configured")]
    UnknownServer,
    /// It does not say which life of its process speaks.
    #[error("a beat needs an incarnation")]
    NoIncarnation,
    /// It says that it is another server.
    #[error("says that it is {0}")]
    WrongName(ServerName),
    /// Another life of this server has spoken since.
    #[error("a later incarnation of this server has spoken")]
    FormerLife,
    /// The list is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// Too many ids in `done`.
    #[error("more than {DONE_MAX} ids in done")]
    TooManyDone,
}

/// What a director may order a server to reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// It may have missed the start that matters.
    None,
    /// What generations settle.
    AtOnce,
    /// Also what has stood for long enough.
    All,
}

impl Director {
    /// Takes a server's beat and answers with what it must do.
    ///
    /// # Errors
    /// [`BeatRefusal`]; nothing of the beat is taken then.
    pub fn handle_beat(&self, server: &ServerName, beat: &Beat, now: Now) -> Result<BeatAnswer, BeatRefusal> {
        let incarnation = beat.report.incarnation.as_ref().ok_or(BeatRefusal::NoIncarnation)?;
        if beat.done.len() > DONE_MAX {
            return Err(BeatRefusal::TooManyDone);
        }
        if beat.held.as_ref().is_some_and(|held| held.len() > crate::held::HELD_MAX) {
            return Err(BeatRefusal::TooLong(TooLong));
        }
        let outages = self.take_report(server, &beat.report, incarnation, now)?;
        let view = self.view.load();
        let (pool, target) = view.server(server).ok_or(BeatRefusal::UnknownServer)?;
        let at = At { pool: &pool.settings().name, server, incarnation: incarnation.tag() };
        let right = self.right_to_reset(now);
        let desk = self.lists.desk(target.ix);
        let mut papers = desk.papers.lock();
        let list = self.take_list(&desk, beat, at, pool, target, now)?;
        let Compared { over, differs } =
            if list.is_valid() { self.go_through(&list, at, pool, target, now) } else { Compared::default() };
        if list.is_valid() {
            let own = Own { incarnation: at.incarnation, held_seq: list.seq(), at: now.mono, items: differs };
            self.lists.told.own(server, own);
        }
        papers.outages.meet(at, &outages, &list, |item, began| {
            let place = (at.pool.clone(), item.held.key.clone(), item.place.session);
            let aliases = self.aliases.read();
            let login = aliases.of(&place).filter(|it| it.server == *server && it.incarnation == at.incarnation);
            login.is_some_and(|login| login.stamp.time() > began)
        });
        papers.outages.done(&beat.done);
        let finished: Vec<_> = papers.outages.finished(&outages).collect();
        let orders = papers.orders(at, &list, over, right, &beat.done, now);
        drop(papers);
        if !finished.is_empty() {
            let mut control = self.control.lock();
            finished.into_iter().for_each(|entry| control.take_outage(entry, true));
        }
        self.tell_of_resets(server, &orders, now);
        Ok(BeatAnswer { orders, interval: pool.settings().health.interval, need_held: !list.is_valid() })
    }

    /// What this director may order now (R6): nothing while it is cold, nothing by waiting while a linked director lags.
    fn right_to_reset(&self, now: Now) -> Right {
        if !self.is_warm(now) {
            return Right::None;
        }
        let lags = self.peers(now).iter().any(|peer| peer.linked && peer.lag >= LAG_MAX);
        if lags { Right::AtOnce } else { Right::All }
    }

    /// The server's word about itself; its open outages.
    fn take_report(
        &self,
        server: &ServerName,
        report: &Report,
        incarnation: &Incarnation,
        now: Now,
    ) -> Result<Vec<OutageEntry>, BeatRefusal> {
        if let Some(other) = report.server.as_ref().filter(|other| *other != server) {
            return Err(BeatRefusal::WrongName(other.clone()));
        }
        let mut control = self.control.lock();
        let health = control.watch.server(server).ok_or(BeatRefusal::UnknownServer)?;
        let lives = health.said().incarnations();
        if ServerHealth::incarnation(health) != Some(incarnation) && lives.contains(incarnation) {
            return Err(BeatRefusal::FormerLife);
        }
        let before = health.said().beat().cloned();
        let settings = Arc::clone(&control.settings);
        let changes = control.watch.beat(server, report, &settings, now);
        control.note_saying(server, before.as_ref());
        self.count_report(&control, server, report.sessions, Since::new(now.mono, Duration::ZERO), now);
        self.settle(&mut control, changes, now);
        control.mend_outages(server, report, now);
        Ok(control.outages_of(server).cloned().collect())
    }

    fn take_list(
        &self,
        desk: &Desk,
        beat: &Beat,
        at: At<'_>,
        pool: &PoolView,
        server: &ServerView,
        now: Now,
    ) -> Result<List, BeatRefusal> {
        let mut list = desk.list().hear(whose(at, pool), beat.held.as_deref(), beat.held_seq, now)?;
        // What a list lacks matters only while the seat is still there.
        list.forget_lacking(|place| {
            let key = self.table.key(pool.ix(), &place.key, place.session);
            let sitting = self.sitting(&self.table.lock(&key), &key, pool, now);
            sitting.is_some_and(|it| it.live_at() == Some(server.ix) && !it.incarnation.contradicts(at.incarnation))
        });
        self.lists.show(desk, list.clone());
        Ok(list)
    }

    /// Compares a valid list with the table: walk-ins are adopted, sightings noted.
    fn go_through(&self, list: &List, at: At<'_>, pool: &PoolView, server: &ServerView, now: Now) -> Compared {
        let step = pool.settings().session_ttl / SEEN_STEPS;
        let mut over = BTreeMap::new();
        let mut differs: Vec<ListItem> = list.gone().map(|(place, unlisted)| lacks(place, unlisted)).collect();
        for item in list.items() {
            let key = self.table.key(pool.ix(), &item.held.key, item.place.session);
            let mut shard = self.table.lock(&key);
            let known = self.sitting(&shard, &key, pool, now);
            let word = Word {
                key: &item.held.key,
                session: item.held.session,
                generation: item.held.generation,
                whose: whose(at, pool),
            };
            match known {
                None => {
                    self.adopt(&mut shard, &key, word, server, None, now);
                }
                Some(known) if known.live_at() == Some(server.ix) => {
                    if known.incarnation.contradicts(at.incarnation) {
                        // A new life that holds what the former one held: the others would take it for lost.
                        differs.push(holds(item));
                    }
                    if outdated_word(&known, server.ix, at.incarnation, item.held.generation) {
                        self.adopt(&mut shard, &key, word, server, Some(&known), now);
                    } else {
                        shard.touch_seen(&key, now.time, step);
                    }
                    drop(shard);
                    self.leave(pool, item, now);
                }
                Some(known) => {
                    drop(shard);
                    if known.life == Life::Live {
                        differs.push(holds(item));
                    }
                    if let Some(it) = judge(item, server.ix, &known, pool, &self.lists, now.mono) {
                        over.insert(item.place.clone(), (item.clone(), it));
                    }
                }
            }
        }
        Compared { over, differs }
    }
}

/// What a valid list and the table say of each other.
#[derive(Debug, Default)]
struct Compared {
    /// Listed sessions that the table says are over.
    over: BTreeMap<Place, (Item, Over)>,
    /// What the other directors are told, whatever may come of it (R8).
    differs: Vec<ListItem>,
}

fn holds(item: &Item) -> ListItem {
    let says = ListSays::Holds { generation: item.held.generation, since: item.since };
    ListItem { key: item.place.key.clone(), session: item.place.session, says }
}

fn lacks(place: &Place, unlisted: bool) -> ListItem {
    ListItem { key: place.key.clone(), session: place.session, says: ListSays::Lacks { unlisted } }
}

fn whose<'a>(at: At<'a>, pool: &PoolView) -> Whose<'a> {
    let allow_multiple = pool.settings().allow_multiple;
    Whose { pool: at.pool, server: at.server, incarnation: at.incarnation, allow_multiple }
}

impl Papers {
    /// The orders to give now: what is over and due, and what dependencies broke, without what is done.
    fn orders(
        &mut self,
        at: At<'_>,
        list: &List,
        over: BTreeMap<Place, (Item, Over)>,
        right: Right,
        done: &[OrderId],
        now: Now,
    ) -> Vec<ResetOrder> {
        // A list that is not valid says nothing, neither that a difference goes on nor that it has ended.
        if list.is_valid() {
            self.mismatches.retain(|place, known| over.get(place).is_some_and(|(_, over)| *over == known.over));
        }
        self.hear_done(done, now);
        let mut orders = BTreeMap::new();
        for (place, (item, over)) in over {
            let order = at.order(&item, over.reason.clone(), Some(u64::from(over.generation.get())));
            let at_once = over.at_once;
            let mismatch = self.mismatches.entry(place.clone()).or_insert(Mismatch { over, since: now.mono });
            let waited = now.mono.since(mismatch.since) >= MISMATCH_STANDS;
            let settled = self.done.get(&order.id).is_some_and(|done| item.since <= done.first);
            if right != Right::None && !settled && (at_once || (right == Right::All && waited)) {
                orders.insert(place, order);
            }
        }
        for (place, order) in self.outages.orders() {
            orders.entry(place.clone()).or_insert_with(|| order.clone());
        }
        if list.is_valid() {
            // Only what would still be given needs to be remembered.
            let open: std::collections::BTreeSet<OrderId> = orders.values().map(|order| order.id).collect();
            self.given.retain(|id| open.contains(id));
        }
        let (mut first, again): (Vec<_>, Vec<_>) =
            orders.into_values().partition(|order| !self.given.contains(&order.id));
        first.iter_mut().for_each(|order| order.first = true);
        // New ones first, so that orders which a server never confirms do not keep the others waiting.
        first.extend(again);
        first.truncate(ORDERS_MAX);
        self.given.extend(first.iter().map(|order| order.id));
        first
    }

    /// Notes what the server says that it has carried out. That settles the stay which it listed then: one that begins later
    /// under the same session and generation (a cookie of the ended one, shown to a director that has not heard of the end) has
    /// the same order, and is given it again; so is one that is listed on long after.
    fn hear_done(&mut self, done: &[OrderId], now: Now) {
        self.done.retain(|_, done| now.mono.since(done.last) < DONE_STANDS);
        for id in done {
            if self.done.len() < DONE_MAX || self.done.contains_key(id) {
                self.done.entry(*id).or_insert(Done { first: now.time, last: now.mono }).last = now.mono;
            }
        }
    }
}
