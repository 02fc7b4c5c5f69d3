//! What all servers list, for starts to read without a lock while beats replace it.
//!
//! Each server has a desk of its own: one beat of one server at a time, and never a lock that a start must wait for. A desk is
//! locked before a shard, never while control or a shard is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::outages::Outages;
use super::resets::{Mismatch, OrderId};
use super::told::{LastWord, Told};
use crate::clock::{Mono, Time};
use crate::held::{List, Place};
use crate::ids::IncarnationTag;
use crate::session::ServerIx;
use crate::view::ServerView;

#[derive(Debug, Default)]
pub(super) struct Lists {
    desks: ArcSwap<Vec<Arc<Desk>>>,
    growing: Mutex<()>,
    /// Keys that lists lack over all servers: while there is none, no start has to look.
    lacking: AtomicUsize,
    /// What servers list that beat to other directors.
    pub(super) told: Told,
}

/// The latest that any director has of one place in a server's list: who heard the server last knows which of its lives it is,
/// and what that one holds.
#[derive(Debug)]
pub(super) enum Latest {
    /// Another director heard it last.
    Told(LastWord),
    /// This one did.
    Own(Arc<List>),
    /// Nobody heard it in this life.
    Nobody,
}

/// One server's list, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Desk {
    shown: ArcSwap<List>,
    pub(super) papers: Mutex<Papers>,
    /// The life that other directors spoke of last, as stored.
    told_life: AtomicU64,
}

/// What only beats need; bounded by the list and by the orders that are open.
#[derive(Debug, Default)]
pub(super) struct Papers {
    /// Since when the table says otherwise than the list.
    pub(super) mismatches: BTreeMap<Place, Mismatch>,
    /// Orders that the server has said are done, lately.
    pub(super) done: BTreeMap<OrderId, Done>,
    /// Orders that were given before.
    pub(super) given: BTreeSet<OrderId>,
    /// What dependencies broke.
    pub(super) outages: Outages,
}

/// When a server said that an order is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// For the first time: a session that it lists anew since then has come back.
    pub(super) first: Time,
    /// For the last time.
    pub(super) last: Mono,
}

impl Lists {
    /// The desk of a server.
    pub(super) fn desk(&self, server: ServerIx) -> Arc<Desk> {
        if let Some(desk) = self.desks.load().get(server.index()) {
            return Arc::clone(desk);
        }
        let _growing = self.growing.lock();
        let mut desks = Vec::clone(&self.desks.load());
        while desks.len() <= server.index() {
            desks.push(Arc::default());
        }
        let desk = Arc::clone(&desks[server.index()]);
        self.desks.store(Arc::new(desks));
        desk
    }

    /// A server's latest complete list, when it has told any.
    pub(super) fn of(&self, server: ServerIx) -> Option<Arc<List>> {
        self.desks.load().get(server.index()).map(|desk| desk.shown.load_full())
    }

    /// The latest of one place in a server's list, own or told.
    pub(super) fn latest(&self, server: &ServerView, place: &Place, now: Mono) -> Latest {
        let own = self.of(server.ix).filter(|list| !list.incarnation().contradicts(server.tag()));
        let own_age = own.as_ref().and_then(|list| list.age(now));
        match self.told.latest(&server.settings.name, place, own_age, now) {
            Some(told) => Latest::Told(told),
            None => own.map_or(Latest::Nobody, Latest::Own),
        }
    }

    /// Whether any list lacks anything, or another director may say so: without, no seat is unlisted.
    pub(super) fn may_lack(&self) -> bool {
        self.lacking.load(Relaxed) > 0 || self.told.may_lack()
    }

    /// Which life of a server other directors spoke of last: a hint to look closer, and nothing to decide by.
    pub(super) fn told_life(&self, server: ServerIx) -> IncarnationTag {
        if self.told.is_empty() {
            return IncarnationTag::UNKNOWN;
        }
        let bits = self.desks.load().get(server.index()).map_or(0, |desk| desk.told_life.load(Relaxed));
        IncarnationTag::from_bits(bits)
    }

    /// Notes the life that other directors spoke of.
    pub(super) fn note_life(&self, server: ServerIx, life: IncarnationTag) {
        self.desk(server).told_life.store(life.to_bits(), Relaxed);
    }

    /// Whether any server has a desk, here or at another director: without, no server lists anything.
    pub(super) fn is_empty(&self) -> bool {
        self.desks.load().is_empty() && self.told.is_empty()
    }

    /// Shows a desk's next list. The caller holds the desk's papers.
    pub(super) fn show(&self, desk: &Desk, list: List) {
        let after = list.lacking();
        let before = desk.shown.swap(Arc::new(list)).lacking();
        if after >= before {
            self.lacking.fetch_add(after - before, Relaxed);
        } else {
            self.lacking.fetch_sub(before - after, Relaxed);
        }
    }

    /// Forgets the lists of servers that are not configured any more.
    pub(super) fn forget_all_but(&self, configured: impl Fn(ServerIx) -> bool, names: usize) {
        let servers = (0..u32::try_from(names).unwrap_or(u32::MAX)).map(ServerIx::at);
        for server in servers.filter(|server| !configured(*server)) {
            let Some(desk) = self.desks.load().get(server.index()).map(Arc::clone) else { break };
            let mut papers = desk.papers.lock();
            *papers = Papers::default();
            self.show(&desk, List::default());
        }
    }
}

impl Desk {
    /// The latest complete list.
    pub(super) fn list(&self) -> Arc<List> {
        self.shown.load_full()
    }
}
