//! What happened to sessions, for the feed; and the incidents that follow from it.
//!
//! Off the path of a start: a start leaves its change with its shard, and whoever drains it pays for the rest.

use std::collections::BTreeMap;

use super::Director;
use super::control::Control;
use crate::clock::Now;
use crate::event::{Event, Over, SessionEvent, SessionNews};
use crate::ids::{PoolName, ServerName};

impl Director {
    /// From now on what happens to sessions is kept until it is drained, at most so many changes of each shard; zero stops it.
    pub fn tell_sessions(&self, most_per_shard: usize) {
        self.table.tell(most_per_shard);
    }

    /// Tells what happened to sessions since the last call, in order for each key, by own decisions and by what peers sent; says
    /// how many changes are lost because nobody drained them. For one caller. A director that is cold tells what it learns of
    /// the past as well: a feed begins when it is warm.
    pub fn drain_session_events(&self, now: Now, sink: &mut dyn FnMut(SessionEvent)) -> u64 {
        let mut ended: BTreeMap<PoolName, u64> = BTreeMap::new();
        let lost = self.table.drain_news(&self.names, &mut |event| {
            if matches!(event.news, SessionNews::Over(Over::Ended(_))) {
                *ended.entry(event.pool.clone()).or_default() += 1;
            }
            sink(event);
        });
        if !ended.is_empty() {
            let mut control = self.control.lock();
            for (pool, count) in ended {
                control.ended(&pool, count, None, now);
            }
        }
        lost
    }
}

impl Control {
    /// So many sessions of a pool ended, or lost their server.
    pub(super) fn ended(&mut self, pool: &PoolName, count: u64, fallen: Option<&ServerName>, now: Now) {
        let Some(view) = self.view.pool(pool) else { return };
        let live = view.servers().iter().filter(|server| server.standing.is_usable());
        let live = live.filter(|server| Some(&server.settings.name) != fallen);
        let live = live.map(|server| u64::from(server.load.seats())).sum();
        let told = self.logouts.entry(pool.clone()).or_default().ended(count, live, now.mono);
        if let Some(incident) = told {
            self.publish(Event::MassLogout { pool: pool.clone(), incident });
        }
    }

    /// Incidents whose window is over are told.
    pub(super) fn pass_logouts(&mut self, now: Now) {
        let told: Vec<_> = self
            .logouts
            .iter_mut()
            .filter_map(|(pool, logouts)| Some((pool.clone(), logouts.pass(now.mono)?)))
            .collect();
        told.into_iter().for_each(|(pool, incident)| self.publish(Event::MassLogout { pool, incident }));
    }
}
