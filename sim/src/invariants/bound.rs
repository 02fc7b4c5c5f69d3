//! BOUND: a table holds no more than what is live or ended within its TTL; a peer costs no more than its window.

use maitred_core::replication::WINDOW_BYTES;
use maitred_core::wire::DATA_BYTES_MAX;

use super::Invariant;
use crate::world::{Seen, World};

pub(super) struct Bound;

impl Invariant for Bound {
    fn name(&self) -> &'static str {
        "BOUND"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        if !matches!(seen, Seen::Tick) {
            return Ok(());
        }
        for host in 0..world.hosts.len() {
            let Some(director) = world.director(host) else { continue };
            // One record of each key, whatever happened to it.
            if director.sessions() > world.keys {
                return Err(format!("director {host} holds {} records", director.sessions()));
            }
            for peer in director.peers(world.hosts[host].now(world.now)) {
                if peer.in_flight_bytes > WINDOW_BYTES + 2 * DATA_BYTES_MAX {
                    return Err(format!("{} bytes on their way to {}", peer.in_flight_bytes, peer.name));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        // A tombstone outlives its session by an hour; what lives has had its time.
        let forgotten = world.plan.calm_ms > world.plan.pool.session_ttl.as_millis().try_into().unwrap_or(u64::MAX);
        for host in (0..world.hosts.len()).filter(|_| forgotten) {
            let live = world.table(host).unwrap_or_default().into_iter().find(|entry| entry.contains("life: Live"));
            if let Some(live) = live {
                return Err(format!("director {host} still holds {live}"));
            }
        }
        Ok(())
    }
}
