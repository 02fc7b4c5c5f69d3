//! Operators' orders from other directors (R15): which of two holds, and that the one that lost is told.

use super::control::{Control, Register};
use crate::clock::Now;
use crate::entry::{Entry, RoleOrder, ServerOrder};
use crate::event::Event;
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
    ) -> Result<Vec<crate::health::Change>, &'static str> {
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
                if let Some(known) = known.filter(|old| !newer_server_order(&order, old)) {
                    let itself = (known.stamp, &known.writer) == (order.stamp, &order.writer);
                    let (known, same) = (known.word, known.word == order.word || itself);
                    if !same && self.gave_way.is_concurrent(register, order.stamp, &order.writer) {
                        let pool = super::orders::pool_of(settings, &order.server).ok_or("order_server")?.clone();
                        let (lost, holds) = (order.word.as_str().to_owned(), known.as_str().to_owned());
                        let (server, director) = (Some(order.server), order.writer);
                        self.publish(Event::OrderSuperseded { pool, server, lost, director, holds });
                    }
                    return Ok(Vec::new());
                }
                let before = known.map(|old| (old.stamp, old.writer.clone()));
                self.gave_way.note(register, before);
                let changes = self.watch.order(&order, settings, now);
                self.unwritten.insert(Register::Order(order.server.clone()), Entry::ServerOrder(order));
                self.hearsay.orders += 1;
                Ok(changes)
            }
            Entry::RoleOrder(order) => {
                if order.stamp.time() > latest {
                    return Err("stamp_ahead");
                }
                let role = self.roles.get_mut(&order.pool).ok_or("order_pool")?;
                let known = self.role_orders.get(&order.pool);
                let register = Register::RoleOrder(order.pool.clone());
                if let Some(known) = known.filter(|old| !newer_role_order(&order, old)) {
                    let itself = (known.stamp, &known.writer) == (order.stamp, &order.writer);
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
                self.gave_way.note(register, known.map(|old| (old.stamp, old.writer.clone())));
                role.set_order(order.datacenter.clone());
                self.role_orders.insert(order.pool.clone(), order.clone());
                self.unwritten.insert(Register::RoleOrder(order.pool.clone()), Entry::RoleOrder(order));
                self.hearsay.orders += 1;
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

fn newer_server_order(order: &ServerOrder, old: &ServerOrder) -> bool {
    (order.stamp, &order.writer) > (old.stamp, &old.writer)
}

fn newer_role_order(order: &RoleOrder, old: &RoleOrder) -> bool {
    (order.stamp, &order.writer) > (old.stamp, &old.writer)
}
