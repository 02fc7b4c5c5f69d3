//! RESET: nobody who sits where the last answered start put them is reset by a director that must have heard of that start.

use super::Invariant;
use super::said::Words;
use crate::plan::Node;
use crate::world::{Seen, World};

/// A start is known at every director that has been reached for so long.
const HEARD_MS: u64 = 5_000;

#[derive(Default)]
pub(super) struct Reset {
    words: Words,
}

impl Invariant for Reset {
    fn name(&self) -> &'static str {
        "RESET"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        self.words.see(world, seen);
        let Seen::Resets { host, server, orders } = seen else { return Ok(()) };
        for order in orders {
            let Some(client) = world.client_of(&order.key) else { continue };
            let Some(said) = self.words.of(client).filter(|said| !said.vague) else { continue };
            let (me, other) = (Node::Director(*host), Node::Director(said.host));
            let long = |since: u64| since == 0 || since + 60_000 < said.at;
            let heard = *host == said.host
                || (world.reaches(me, other) && long(world.reaches_since(me, other)) && world.now > said.at + HEARD_MS);
            let calm = long(world.hosts[*host].lives_since()) && world.hosts[said.host].slow_ms == 0;
            let here = said.server.as_ref() == Some(&world.plan.server(*server));
            let same = order.session.is_none_or(|session| session == said.session);
            if heard && calm && here && same && order.generation.is_some_and(|it| it == said.generation) {
                return Err(format!("director {host} resets agent-{client} at {server}: {order:?}, but {said:?}"));
            }
        }
        Ok(())
    }
}
