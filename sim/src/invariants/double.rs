//! DOUBLE: a session that two servers hold is found: one of them is told to reset it, all directors give that order one id, and
//! in the end one server holds it.

use std::collections::BTreeMap;

use maitred_core::director::OrderId;
use maitred_core::ids::{Generation, Key, SessionId};

use super::Invariant;
use crate::world::{Seen, World};

/// What may be on its way when everything has been put right: a table that is compared, and answers that were lost.
const SETTLED_MS: u64 = 70_000;

/// A stay as its server lists it.
type Stay = (usize, u64, Key, Option<SessionId>, Option<Generation>);

#[derive(Default)]
pub(super) struct Double {
    ids: BTreeMap<Stay, OrderId>,
    /// The last start or end of each key.
    inputs: BTreeMap<usize, u64>,
}

impl Invariant for Double {
    fn name(&self) -> &'static str {
        "DOUBLE"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Started { client, .. } | Seen::Ended { client, .. } => {
                self.inputs.insert(*client, world.now);
            }
            Seen::Resets { host, server, orders } if world.now > world.plan.heal_ms + SETTLED_MS => {
                for order in orders {
                    let calm = world.client_of(&order.key).and_then(|client| self.inputs.get(&client));
                    if calm.is_none_or(|at| world.now < at + SETTLED_MS) {
                        continue;
                    }
                    let incarnation = world.servers[*server].incarnation;
                    let stay = (*server, incarnation, order.key.clone(), order.session, order.generation);
                    let known = *self.ids.entry(stay).or_insert(order.id);
                    if known != order.id {
                        return Err(format!("director {host} orders {} again as {}", known, order.id));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        let mut holders: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
        for (server, backend) in world.servers.iter().enumerate().filter(|(_, backend)| backend.serves) {
            backend.held.keys().for_each(|key| holders.entry(key).or_default().push(server));
        }
        match holders.into_iter().find(|(_, servers)| servers.len() > 1) {
            Some((key, servers)) => Err(format!("servers {servers:?} all hold {}", key.as_str())),
            None => Ok(()),
        }
    }
}
