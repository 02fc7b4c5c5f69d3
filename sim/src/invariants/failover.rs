//! FAILOVER: when every server of a site has been dead for long enough while the other lives, starts go to the other and it is
//! the active one, whatever the links and the number of directors.

use super::Invariant;
use crate::plan::Node;
use crate::world::{Seen, World};

/// `failover.after` behind the last word that a server serves, which is fresh for three looks of the other site and a timeout
/// (a director may die with the server right after it looked); and for what is on its way over a thin wire.
pub(super) const MOVED_AFTER_MS: u64 = 15_000 + 3 * 10_000 + 1_000 + 5_000;

pub(super) struct Failover;

/// The site whose servers have all been dead for so long, while all of the other's have served, at a director that has run and
/// reached them all that time.
fn dead_site(world: &World, host: usize, for_ms: u64) -> Option<usize> {
    let long = |since: u64| world.now.saturating_sub(since) >= for_ms;
    if !long(world.hosts[host].lives_since()) {
        return None;
    }
    (0..2).find(|site| {
        world.plan.all_servers().all(|server| {
            let backend = &world.servers[server];
            let dead = world.plan.site(Node::Server(server)) == *site;
            let reached = reaches_for(world, host, server, for_ms);
            long(backend.since) && backend.serves != dead && (dead || (reached && backend.ordered_at.is_none()))
        })
    })
}

/// Whether the other site's own directors have reached its servers for so long. A server that they do not reach is down by its
/// verdict (R12): it takes no role, and is the last resort of starts.
fn may_have_role(world: &World, dead: usize, for_ms: u64) -> bool {
    world.plan.all_servers().all(|server| {
        let site = world.plan.site(Node::Server(server));
        let own = |host: &usize| world.plan.site(Node::Director(*host)) == site;
        site == dead || (0..world.hosts.len()).filter(own).all(|host| reaches_for(world, host, server, for_ms))
    })
}

fn reaches_for(world: &World, host: usize, server: usize, for_ms: u64) -> bool {
    let (director, server) = (Node::Director(host), Node::Server(server));
    world.reaches(director, server) && world.now.saturating_sub(world.reaches_since(director, server)) >= for_ms
}

impl Invariant for Failover {
    fn name(&self) -> &'static str {
        "FAILOVER"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Started { host, result, .. } => {
                let Some(site) = dead_site(world, *host, MOVED_AFTER_MS) else { return Ok(()) };
                match result.as_ref() {
                    Ok(seat) if seat.server.datacenter == world.plan.pool.datacenters[site] => {
                        Err(format!("director {host} sent a start to {}, which is dead", seat.server.name))
                    }
                    Ok(_) => Ok(()),
                    Err(refusal) => Err(format!("director {host} refused: {refusal:?}")),
                }
            }
            Seen::Tick => {
                for host in 0..world.hosts.len() {
                    let dead = dead_site(world, host, MOVED_AFTER_MS);
                    let dead = dead.filter(|site| may_have_role(world, *site, MOVED_AFTER_MS));
                    let (Some(director), Some(site)) = (world.director(host), dead) else { continue };
                    let view = director.view();
                    let active = view.pools().next().map(|pool| pool.role().active.clone());
                    if active.as_ref() == Some(&world.plan.pool.datacenters[site]) {
                        return Err(format!("director {host} holds {active:?} to be active, which is dead"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
