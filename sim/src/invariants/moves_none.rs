//! A change of the role alone moves no session whose server is usable.

use maitred_core::seating::Affinity;

use super::Invariant;
use crate::plan::Node;
use crate::world::{Seen, World};

const KNOWN_MS: u64 = 60_000;

pub(super) struct MovesNone;

impl Invariant for MovesNone {
    fn name(&self) -> &'static str {
        "role change moves none"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        let Seen::Started { client, host, result, before: Some(before), .. } = seen else { return Ok(()) };
        let Ok(seat) = result.as_ref() else { return Ok(()) };
        // Where a server holds the session already, there it goes (R5).
        if seat.reason == "listed" || world.is_minted(*client) {
            return Ok(());
        }
        let long = |since: u64| world.now.saturating_sub(since) >= KNOWN_MS;
        let Some(server) = world.plan.all_servers().find(|at| world.plan.server(*at) == before.server.name) else {
            return Ok(());
        };
        let backend = &world.servers[server];
        let reached = (0..world.hosts.len()).all(|host| {
            let way = (Node::Director(host), Node::Server(server));
            world.reaches(way.0, way.1) && long(world.reaches_since(way.0, way.1))
        });
        // Who has just started repeats what its journal says of a server until it has looked (R12).
        let reached = reached && (world.hosts[*host].lives_since() == 0 || long(world.hosts[*host].lives_since()));
        let healthy = backend.serves && (backend.since == 0 || long(backend.since)) && reached;
        let moved = seat.affinity == Affinity::Moved && seat.session() == before.session();
        // The generation that moved must be this client's own: another answer of its key may have been lost on the way.
        let own = seat.generation().get() == before.generation().get() + 1;
        if healthy && backend.ordered_at.is_none() && moved && own {
            return Err(format!("director {host} moved agent-{client} away from {}", before.server.name));
        }
        Ok(())
    }
}
