//! Sessions that end, counted towards incidents.

use super::control::Control;
use crate::clock::Now;
use crate::event::Event;
use crate::ids::{PoolName, ServerName};

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
