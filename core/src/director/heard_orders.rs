//! Operators' orders from other directors (R15): which of two holds, and that the one that lost is told.

use super::control::{Control, Register};
use crate::clock::Now;
use crate::entry::Entry;
use crate::event::Event;
use crate::health::Change;
use crate::ids::DatacenterName;
use crate::session::STAMP_AHEAD_MAX;
use crate::settings::Settings;

/// Longest reason of an order, in bytes.
const REASON_BYTES_MAX: usize = 1024;

impl Control {
    /// Takes another director's order if it is newer (R15), and hands it on.
    pub(super) fn hear_order(
        &mut self,
        entry: Entry,
        settings: &Settings,
        now: Now,
    ) -> Result<Vec<Change>, &'static str> {
        let latest = now.time + STAMP_AHEAD_MAX;
        match entry {
            Entry::ServerOrder(order) => {
                if order.stamp.time() > latest {
                    return Err("stamp_ahead");
                }
                if order.reason.len() > REASON_BYTES_MAX {
                    return Err("order_limit");
                }
                let known = self.watch.server(&order.server).ok_or("order_server")?.operator();
                let register = Register::Order(order.server.clone());
                let rank = (order.stamp, &order.writer);
                if let Some(known) = known.filter(|old| rank <= (old.stamp, &old.writer)) {
                    let itself = rank == (known.stamp, &known.writer);
                    let (known, same) = (known.word, known.word == order.word || itself);
                    if !same && self.gave_way.is_concurrent(register, order.stamp, &order.writer) {
                        let pool = super::orders::pool_of(settings, &order.server).ok_or("order_server")?.clone();
                        let (lost, holds) = (order.word.as_str().to_owned(), known.as_str().to_owned());
                        let (server, director) = (Some(order.server), order.writer);
                        self.publish(Event::OrderSuperseded { pool, server, lost, director, holds });
                    }
                    return Ok(Vec::new());
                }
                Ok(self.take_server_order(order, settings, now))
            }
            Entry::RoleOrder(order) => {
                if order.stamp.time() > latest {
                    return Err("stamp_ahead");
                }
                if !self.roles.contains_key(&order.pool) {
                    return Err("order_pool");
                }
                let known = self.role_orders.get(&order.pool);
                let register = Register::RoleOrder(order.pool.clone());
                let rank = (order.stamp, &order.writer);
                if let Some(known) = known.filter(|old| rank <= (old.stamp, &old.writer)) {
                    let itself = rank == (known.stamp, &known.writer);
                    let same = known.datacenter == order.datacenter || itself;
                    let word = |site: &Option<DatacenterName>| {
                        site.as_ref().map_or_else(|| "auto".to_owned(), |site| site.as_str().to_owned())
                    };
                    let (lost, holds) = (word(&order.datacenter), word(&known.datacenter));
                    if !same && self.gave_way.is_concurrent(register, order.stamp, &order.writer) {
                        let (pool, director) = (order.pool, order.writer);
                        self.publish(Event::OrderSuperseded { pool, server: None, lost, director, holds });
                    }
                    return Ok(Vec::new());
                }
                self.take_role_order(order);
                Ok(Vec::new())
            }
            Entry::Outage(outage) => {
                if outage.began > latest {
                    return Err("stamp_ahead");
                }
                if !self.resets_by(&outage) {
                    return Err("outage_dependency");
                }
                self.take_outage(outage, true);
                Ok(Vec::new())
            }
            Entry::Seat(_)
            | Entry::State(_)
            | Entry::LastVerdict(_)
            | Entry::LastRole(_)
            | Entry::Clock(_)
            | Entry::Confirmed(_) => Err("kind"),
        }
    }
}
