//! DOUBLE: a session that two servers hold is found: the one that the record does not name is told to reset it, all directors give
//! that order one id, and in the end one server holds it.
//!
//! What R5 and R6 leave standing is no double seat, and is not demanded: keys of which no start is remembered (two servers' own
//! words about a key end nothing, nor does an end of another session that came before them; the next start settles it), and a
//! stay of a higher generation than the record's that no director of its site has seen to be older than the record: it may come
//! of a later start that nobody remembers any more, and is settled by the next start or by the next sighting of the record's
//! server (R18), whichever comes first.

use std::collections::BTreeMap;

use maitred_core::clock::Stamp;
use maitred_core::director::OrderId;
use maitred_core::entry::{Life, SeatEntry};
use maitred_core::ids::{Generation, Key, SessionId};

use super::Invariant;
use crate::plan::Node;
use crate::world::{Seen, World};

/// What may be on its way when everything has been put right: a table that is compared, and answers that were lost.
const SETTLED_MS: u64 = 70_000;

/// A server that can be heard again has told its list to some director of its site within this time.
const HEARD_MS: u64 = 20_000;

/// A stay as its server lists it.
type Stay = (usize, u64, Key, Option<SessionId>, Option<Generation>);

#[derive(Default)]
pub(super) struct Double {
    ids: BTreeMap<Stay, OrderId>,
    /// When each server began to hold what it holds.
    began: BTreeMap<(usize, Key), u64>,
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
            Seen::Holds { server, held } => {
                self.began.insert((*server, held.key.clone()), world.now);
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
        for (key, servers) in holders.into_iter().filter(|(_, servers)| servers.len() > 1) {
            let now = world.hosts[0].now(world.now);
            let seat = world.director(0).and_then(|director| director.find(&world.plan.pool_name(), key, None, now));
            let Some(seat) = seat.filter(|seat| seat.life == Life::Live && seat.stamp != Stamp::ZERO) else { continue };
            let others = servers.iter().filter(|server| world.plan.server(**server) != seat.server);
            let began = |server: usize| self.began.get(&(server, key.clone())).copied().unwrap_or(0);
            if others.clone().any(|server| !may_be_later(world, *server, began(*server), key, &seat)) {
                return Err(format!("servers {servers:?} all hold {}, which sits at {}", key.as_str(), seat.server));
            }
        }
        Ok(())
    }
}

/// Whether nobody who judges the server's stay can tell that it is older than the record.
fn may_be_later(world: &World, server: usize, began: u64, key: &Key, seat: &SeatEntry) -> bool {
    let backend = &world.servers[server];
    let higher = backend.held.get(key).is_some_and(|held| held.generation.is_some_and(|it| it > seat.generation));
    let home = world.plan.site(Node::Server(server));
    let heard = |host: usize| {
        let way = world.way_since.get(&(Node::Server(server), Node::Director(host))).copied().unwrap_or(0);
        let from = way.max(world.hosts[host].lives_since()).max(backend.since).max(began);
        world.hosts[host].now(from + HEARD_MS).time
    };
    let directors = (0..world.hosts.len()).filter(|host| world.plan.site(Node::Director(*host)) == home);
    higher && directors.into_iter().all(|host| heard(host) >= seat.stamp.time())
}
