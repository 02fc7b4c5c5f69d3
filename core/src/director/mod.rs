//! One director's decisions: the facade over all the other modules.
//!
//! Shared by all threads as an `Arc`. Four kinds of method, in the order in which a shell uses them:
//! - `start`, `seated`, `explain`, `alternates`, `servers`, `end`, `report`, `reseat`: a client's or an operator's question, answered at once;
//! - `handle_*`: an input (a look, an order, settings, the passing of time);
//! - `next_effect`, `drain_dirty`: what is to be done about it; call until nothing is left;
//! - `next_deadline`: when to call `handle_timeout` again. Early, late or twice is harmless; so late that others may have gone on
//!   without this director is noticed by [`Director::wake`], to be called before each question.
//!
//! - `handle_link_up`, `handle_message`, `next_message`, `handle_link_down`: the other directors.
//!
//! - `collect_events`, `read_events`, `next_events`: what happened, for whoever follows it.
//!
//! Locks: control, then peers, then a server's desk (`lists`) or the news, then a shard; never two of a kind, never an earlier one while a
//! later one is held. Behind a shard come only leaves, under which no other lock is taken. A start reads the view without a lock and
//! touches one shard, under whose lock it checks that the view is still the one it read: once an order has been acknowledged,
//! no start that began before it can still act on the old picture.

mod agent_state;
mod asking;
mod avoid;
mod beats;
mod confirm;
mod control;
mod counts;
mod decision;
mod explain;
mod feed;
mod fence;
mod heard_orders;
mod hearsay;
mod listed;
mod lists;
mod logouts;
mod lost_time;
mod memory;
mod moves;
mod orders;
mod outages;
mod pace;
mod peers;
mod picture;
mod reports;
mod resets;
mod sayings;
mod sessions;
mod start;
mod telling;
mod told;
mod walk_in;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

pub use agent_state::{AgentState, Expected, StateRefusal, StateTag};
pub use asking::Question;
pub use beats::{Beat, BeatAnswer, BeatRefusal, DONE_MAX, ORDERS_MAX};
pub use confirm::{Confirm, Confirmed};
pub use decision::Obstacle;
pub use explain::{Answer, Candidate, Explanation, Outcome, Rule};
pub use fence::{FenceRefusal, ServerFence};
pub use lost_time::LOST_MIN;
pub use memory::{Restored, RestoredCounts, SnapshotPlace};
pub use orders::{Deadline, Ordered, Preview, RoleRefusal, ServerWord, UnknownServer};
pub use reports::Reported;
pub use resets::{OrderId, ResetOrder, ResetReason};
pub use sessions::{End, EndRefusal, ReseatRefusal, Reseated, SessionPage, SessionState, SessionsFilter};

use crate::alias::Aliases;
use crate::clock::Now;
use crate::event::Effect;
use crate::ids::{DirectorName, PoolName};
use crate::replication::Peers;
use crate::session::{Full, Names, Table, TableOptions, WriterIx};
use crate::settings::Settings;
use crate::view::View;
use asking::Asked;
use avoid::Avoided;
use control::Control;
use counts::Counts;
use feed::News;
use lists::Lists;
use lost_time::Pulse;
use reports::Reports;

/// The decisions of one director.
#[derive(Debug)]
pub struct Director {
    me: DirectorName,
    writer: WriterIx,
    names: Names,
    table: Table,
    counts: Counts,
    view: ArcSwap<View>,
    /// The number of the view in `view`, for the check under a shard's lock.
    number: AtomicU64,
    avoided: Mutex<Avoided>,
    asked: Mutex<Asked>,
    lists: Lists,
    aliases: RwLock<Aliases>,
    reports: Mutex<Reports>,
    control: Mutex<Control>,
    peers: Mutex<Peers>,
    news: Mutex<News>,
    /// Readers of events who want to hear of kept starts.
    kept_listeners: AtomicU32,
    paces: Mutex<BTreeMap<PoolName, pace::Pace>>,
    pulse: Pulse,
}

impl Director {
    /// A director that remembers nothing yet. Feed it the journal with `restore` before the first start.
    ///
    /// # Errors
    /// When the settings name more pools, servers or directors than one process can remember.
    pub fn new(settings: Settings, options: TableOptions, now: Now) -> Result<Self, Full> {
        let settings = Arc::new(settings);
        let names = Names::default();
        let counts = Counts::default();
        let writer = names.writer(&settings.director)?;
        let peers = peers::peers_of(&settings, now);
        let table = Table::new(options);
        let unwritten = Arc::clone(table.unwritten());
        let control = Control::new(Arc::clone(&settings), (&names, &counts), Arc::clone(&unwritten), now)?;
        table.tell(feed::CHANGES_MAX);
        Ok(Self {
            me: settings.director.clone(),
            writer,
            names,
            table,
            counts,
            number: AtomicU64::new(control.view.number()),
            view: ArcSwap::new(Arc::clone(&control.view)),
            avoided: Mutex::new(Avoided::default()),
            asked: Mutex::default(),
            lists: Lists::default(),
            aliases: RwLock::new(Aliases::new(options.records_max, unwritten)),
            reports: Mutex::default(),
            control: Mutex::new(control),
            peers: Mutex::new(peers),
            news: Mutex::new(News::new(settings.director.clone(), now.time)),
            kept_listeners: AtomicU32::new(0),
            paces: Mutex::default(),
            pulse: Pulse::new(now.mono),
        })
    }

    /// This director's name.
    #[must_use]
    pub fn name(&self) -> &DirectorName {
        &self.me
    }

    /// The picture that decisions read now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Seats and tombstones in the table. Counts shard by shard: for metrics, not for decisions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.table.len()
    }

    /// Confirmed logins and agent states in memory: for metrics and for those who watch that nothing piles up.
    #[must_use]
    pub fn remembered(&self) -> (usize, usize) {
        (self.aliases.read().len(), self.table.states())
    }

    /// The next thing that the shell must do; call until `None`.
    #[must_use]
    pub fn next_effect(&self) -> Option<Effect> {
        self.control.lock().next_effect()
    }

    /// Effects that were dropped because nobody took them.
    #[must_use]
    pub fn effects_dropped(&self) -> u64 {
        self.control.lock().effects_dropped()
    }

    /// Swaps the picture in one step. Returns when no start that read the old one can still write.
    fn show(&self, control: &Control) {
        let number = control.view.number();
        self.view.store(Arc::clone(&control.view));
        self.number.store(number, Ordering::SeqCst);
        self.table.pass();
    }
}

#[cfg(test)]
mod tests;
