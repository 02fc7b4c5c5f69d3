//! NOREFUSE: nobody is refused while a truly usable server could be reached.

use super::Invariant;
use crate::plan::Node;
use crate::world::{Seen, World};

/// A server that has served for so long, by a way that has been there for so long, is known to be usable.
const KNOWN_MS: u64 = 45_000;
/// A director that has just started repeats what its journal says of servers until it has looked at them (R12): a round of looks
/// and the 5 s in which it is not ready (R15).
const LOOKED_MS: u64 = 5_000;

pub(super) struct NoRefuse;

impl Invariant for NoRefuse {
    fn name(&self) -> &'static str {
        "NOREFUSE"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        let Seen::Started { host, result, .. } = seen else { return Ok(()) };
        let Err(refusal) = result.as_ref() else { return Ok(()) };
        let long = |since: u64| world.now.saturating_sub(since) >= KNOWN_MS;
        let usable = world.plan.all_servers().find(|server| {
            let backend = &world.servers[*server];
            let way = (Node::Director(*host), Node::Server(*server));
            let alone = world.reaches(way.0, way.1) && long(world.reaches_since(way.0, way.1));
            let weighs = world.weight > 0 || *server % 2 == 1;
            weighs && backend.serves && long(backend.since) && backend.ordered_at.is_none() && alone
        });
        if world.now < world.hosts[*host].lives_since() + LOOKED_MS && world.hosts[*host].lives_since() > 0 {
            return Ok(());
        }
        match usable {
            Some(server) if long(world.disturbed_at) || world.ways_changed_at == 0 => {
                Err(format!("director {host} refused ({refusal:?}) although {} serves", world.plan.server(server)))
            }
            _ => Ok(()),
        }
    }
}
