//! NORES: what was ended and acknowledged is live nowhere, unless it was started again: by the stamps, which is by the clock while
//! clocks are no further apart than the two words (R1).

use std::collections::BTreeMap;

use maitred_core::clock::Stamp;
use maitred_core::entry::Life;
use maitred_core::ids::SessionId;

use super::Invariant;
use super::said::UNWRITTEN_MS;
use crate::plan::Journal;
use crate::world::{Seen, World};

#[derive(Default)]
pub(super) struct NoRes {
    ended: BTreeMap<SessionId, End>,
}

struct End {
    client: usize,
    host: usize,
    at: u64,
}

impl Invariant for NoRes {
    fn name(&self) -> &'static str {
        "NORES"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Ended { client, host, session, answered: true } if !world.is_minted(*client) => {
                // A start that the end's director had not heard of, and that another clock has stamped above it, is the later one.
                let own = stamp(world, *host, *client);
                let outranked = (0..world.hosts.len()).any(|other| stamp(world, other, *client) > own);
                if !outranked {
                    self.ended.insert(*session, End { client: *client, host: *host, at: world.now });
                }
            }
            // The session went on: somebody who had not heard of the end kept it after it, which is a later start.
            Seen::Started { result, .. } => {
                if let Ok(seat) = result.as_ref() {
                    self.ended.remove(&seat.session());
                }
            }
            // An end that only the dead one knew dies with it, unless its journal has it.
            Seen::Died(host) => self.ended.retain(|_, end| end.host != *host || end.at + UNWRITTEN_MS < world.now),
            Seen::Returned(host, Journal::Old | Journal::Gone) => self.ended.retain(|_, end| {
                end.host != *host
                    || (0..world.hosts.len()).any(|other| other != *host && lives(world, other, end) == Some(false))
            }),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        for (session, end) in &self.ended {
            for host in 0..world.hosts.len() {
                let now = world.hosts[host].now(world.now);
                let Some(director) = world.director(host) else { continue };
                let found = director.find(&world.plan.pool_name(), world.key(end.client), None, now);
                if found.is_some_and(|found| found.session == *session && found.life == Life::Live) {
                    return Err(format!("agent-{} ended {session}, and it lives at director {host}", end.client));
                }
            }
        }
        Ok(())
    }
}

/// The stamp of a director's record of a client's key.
fn stamp(world: &World, host: usize, client: usize) -> Option<Stamp> {
    let now = world.hosts[host].now(world.now);
    world.director(host)?.find(&world.plan.pool_name(), world.key(client), None, now).map(|found| found.stamp)
}

fn lives(world: &World, host: usize, end: &End) -> Option<bool> {
    let now = world.hosts[host].now(world.now);
    let found = world.director(host)?.find(&world.plan.pool_name(), world.key(end.client), None, now)?;
    Some(found.life == Life::Live)
}
