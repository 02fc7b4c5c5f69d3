//! The load counters of every server that has ever had a number, so that a count survives a reload that drops and brings back
//! its server.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::load::{Board, ServerLoad};
use crate::session::{Change, ServerIx};
use crate::view::ServerView;

#[derive(Debug, Default)]
pub(super) struct Counts {
    loads: ArcSwap<Vec<Arc<ServerLoad>>>,
    growing: Mutex<Board>,
}

impl Counts {
    /// The counters of a server.
    pub(super) fn of(&self, server: ServerIx) -> Arc<ServerLoad> {
        if let Some(load) = self.loads.load().get(server.index()) {
            return Arc::clone(load);
        }
        let mut board = self.growing.lock();
        *board = board.with_room(server.index());
        let mut loads = Vec::clone(&self.loads.load());
        while loads.len() <= server.index() {
            loads.push(Arc::new(ServerLoad::on(&board, loads.len(), 0)));
        }
        let load = Arc::clone(&loads[server.index()]);
        self.loads.store(Arc::new(loads));
        load
    }

    /// Where all loads are shown.
    pub(super) fn board(&self) -> Board {
        self.growing.lock().clone()
    }

    /// Moves a live seat from where it was to where it is.
    pub(super) fn apply(&self, change: Change) {
        if change.before == change.after {
            return;
        }
        if let Some(before) = change.before {
            self.with(before, ServerLoad::unseated);
        }
        if let Some(after) = change.after {
            self.with(after, ServerLoad::seated);
        }
    }

    /// Moves a live seat to where a place is reserved for it.
    pub(super) fn settle(&self, change: Change, server: &ServerView) {
        if change.before == change.after || change.after != Some(server.ix) {
            self.apply(change);
            return server.load.settle();
        }
        if let Some(before) = change.before {
            self.with(before, ServerLoad::unseated);
        }
        server.load.settle_seated();
    }

    fn with(&self, server: ServerIx, act: impl FnOnce(&ServerLoad)) {
        let loads = self.loads.load();
        if let Some(load) = loads.get(server.index()) {
            return act(load);
        }
        drop(loads);
        act(&self.of(server));
    }
}
