//! DRAINS: no director places a new session at a server that has said for long that it drains, to it or to one that it is linked to.

use maitred_core::seating::Affinity;

use super::Invariant;
use crate::world::{Seen, World};

/// News go out within a second, over a thin wire and a slow machine, and what is lost comes again.
const KNOWN_MS: u64 = 15_000;

pub(super) struct Drains;

impl Invariant for Drains {
    fn name(&self) -> &'static str {
        "DRAINS"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        let Seen::Started { host, result, .. } = seen else { return Ok(()) };
        let Ok(seat) = result.as_ref() else { return Ok(()) };
        if seat.affinity != Affinity::Placed || seat.reason == "listed" {
            return Ok(());
        }
        let Some(server) = world.plan.all_servers().find(|at| world.plan.server(*at) == seat.server.name) else {
            return Ok(());
        };
        let backend = &world.servers[server];
        let long = |since: u64| world.now.saturating_sub(since) >= KNOWN_MS;
        if !backend.drains.is_some_and(long) || !long(world.hosts[*host].lives_since()) {
            return Ok(());
        }
        let told = backend.heard_to_drain.iter().find(|(by, at)| {
            let lives = world.director(**by).is_some() && **at >= world.hosts[**by].lives_since();
            let linked = **by == *host || world.linked_since(*host, **by).is_some_and(long);
            long(**at) && lives && linked
        });
        match told {
            Some((by, at)) => Err(format!(
                "director {host} placed a new session at {}, which told director {by} at {at} ms that it drains",
                seat.server.name
            )),
            None => Ok(()),
        }
    }
}
