//! LAST: after the heal the record of a key names its last answered start.

use maitred_core::entry::Life;

use super::Invariant;
use super::said::{Words, knows};
use crate::world::{Seen, World};

#[derive(Default)]
pub(super) struct Last {
    words: Words,
}

impl Invariant for Last {
    fn name(&self) -> &'static str {
        "LAST"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        self.words.see(world, seen);
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        if u128::from(world.plan.calm_ms) > world.plan.pool.session_ttl.as_millis() {
            return Ok(());
        }
        for (client, said) in self.words.all().filter(|(_, said)| !said.vague) {
            for host in 0..world.hosts.len() {
                let known = knows(world, host, *client);
                let right = match (&said.server, &known) {
                    (Some(server), Some((session, at, life))) => {
                        *session == said.session && at == server && *life == Life::Live
                    }
                    (Some(_), None) => false,
                    (None, known) => known.as_ref().is_none_or(|(_, _, life)| *life != Life::Live),
                };
                if !right {
                    return Err(format!("agent-{client} was told {said:?}; director {host} knows {known:?}"));
                }
            }
        }
        Ok(())
    }
}
