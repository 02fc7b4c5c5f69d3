//! One director's broken path changes no verdict elsewhere.

use super::Invariant;
use crate::plan::Node;
use crate::world::{Seen, World};

const KNOWN_MS: u64 = 45_000;

pub(super) struct OnePath;

impl Invariant for OnePath {
    fn name(&self) -> &'static str {
        "one broken path"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        if !matches!(seen, Seen::Tick) {
            return Ok(());
        }
        let long = |since: u64| since == 0 || world.now.saturating_sub(since) >= KNOWN_MS;
        for host in 0..world.hosts.len() {
            let Some(view) = world.director(host).map(maitred_core::director::Director::view) else { continue };
            for server in world.plan.all_servers() {
                let (me, it) = (Node::Director(host), Node::Server(server));
                let backend = &world.servers[server];
                let mine = world.plan.site(me) == world.plan.site(it);
                let sees =
                    world.reaches(me, it) && long(world.reaches_since(me, it)) && long(world.hosts[host].lives_since());
                let healthy = backend.serves && long(backend.since) && backend.ordered_at.is_none();
                let Some((_, shown)) = view.server(&world.plan.server(server)) else { continue };
                if mine && sees && healthy && !shown.standing.is_usable() {
                    return Err(format!(
                        "director {host} holds {} to be {:?}",
                        shown.settings.name, shown.standing.input
                    ));
                }
            }
        }
        Ok(())
    }
}
