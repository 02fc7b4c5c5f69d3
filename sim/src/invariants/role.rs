//! ROLE: links and truth constant for a while give one active site everywhere; a pure cut changes nothing; the role leaves a
//! site only when it has not served for `failover.after`.

use maitred_core::role::RoleCause;

use super::Invariant;
use crate::plan::{Node, Story};
use crate::world::{Seen, World};

/// 30 s, and the delay of a failover that the last disturbance may have begun with its looks.
const SETTLED_MS: u64 = 30_000 + super::failover::MOVED_AFTER_MS;
/// What may lie between a server's death and the last vote for it: nothing that is negative.
const LOOK_MS: u64 = 2_000;
/// By then a director of the other site has looked at a server that came back.
const SEEN_MS: u64 = 12_000;

#[derive(Default)]
pub(super) struct Role {
    /// Since when the directors disagree although all is calm.
    split: Option<u64>,
    /// When each director changed its mind lately.
    turns: std::collections::BTreeMap<usize, Vec<u64>>,
}

/// More turns of one director's role in a minute are a quarrel, whatever the world does.
const TURNS_MAX: usize = 8;

/// A failback is computed by everybody from the same ages, which arrive a little apart.
const SPLIT_MS: u64 = 5_000;

fn active(world: &World, host: usize) -> Option<String> {
    let view = world.director(host)?.view();
    view.pools().next().map(|pool| pool.role().active.as_str().to_owned())
}

impl Invariant for Role {
    fn name(&self) -> &'static str {
        "ROLE"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        if let Seen::Role { host, .. } = seen {
            let turns = self.turns.entry(*host).or_default();
            turns.retain(|at| world.now < at + 60_000);
            turns.push(world.now);
            if turns.len() > TURNS_MAX {
                return Err(format!("director {host} turned its role {} times in a minute", turns.len()));
            }
        }
        match seen {
            Seen::Tick if world.cut.is_empty() && world.now > world.disturbed_at + SETTLED_MS => {
                let mut held: Vec<_> = (0..world.hosts.len()).filter_map(|host| active(world, host)).collect();
                held.dedup();
                if held.len() <= 1 {
                    self.split = None;
                } else if world.now > *self.split.get_or_insert(world.now) + SPLIT_MS {
                    return Err(format!("all is calm and the directors hold {held:?}"));
                }
                Ok(())
            }
            Seen::Role { host, from, cause: RoleCause::Failover | RoleCause::Isolated, .. } => {
                let Some(site) = world.plan.pool.datacenters.iter().position(|it| it == from) else { return Ok(()) };
                let after = u64::try_from(world.plan.pool.failover.after.as_millis()).unwrap_or(0);
                // Only where deaths alone decide: a cut way has a past of its own.
                if !matches!(world.plan.story, Story::SiteDies | Story::SiteLost) {
                    return Ok(());
                }
                let servers = world.plan.all_servers().filter(|server| world.plan.site(Node::Server(*server)) == site);
                let served: Vec<_> = servers.map(|server| &world.servers[server]).collect();
                if served.iter().any(|it| it.serves && world.now < it.since + SEEN_MS) {
                    // It is back, and perhaps nobody has looked; how long it was away is forgotten.
                    return Ok(());
                }
                let last = served.iter().map(|it| if it.serves { world.now } else { it.since }).max().unwrap_or(0);
                if world.now + LOOK_MS < last + after {
                    return Err(format!("director {host} left {from} {} ms after it served", world.now - last));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        if world.plan.story != Story::PureCut {
            return Ok(());
        }
        for host in 0..world.hosts.len() {
            let first = world.plan.pool.datacenters[0].as_str();
            let view = world.director(host).map(maitred_core::director::Director::view);
            let epoch = view.and_then(|view| view.pools().next().map(|pool| pool.role().epoch));
            if active(world, host).as_deref() != Some(first) || epoch != Some(0) {
                return Err(format!(
                    "a pure cut left director {host} with {:?} in epoch {epoch:?}",
                    active(world, host)
                ));
            }
        }
        Ok(())
    }
}
