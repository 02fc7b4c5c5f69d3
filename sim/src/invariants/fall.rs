//! FALL: a server is not down before somebody has looked `fall` times in a row in vain.

use maitred_core::health::Input;

use super::Invariant;
use crate::world::{Seen, World};

/// How long a fall may be remembered by somebody.
const REMEMBERED_MS: u64 = 120_000;

pub(super) struct Fall;

impl Invariant for Fall {
    fn name(&self) -> &'static str {
        "FALL"
    }

    fn see(&mut self, world: &World, _: &Seen) -> Result<(), String> {
        for host in 0..world.hosts.len() {
            if world.hosts[host].went_on_at == world.now && world.now > 0 {
                // It has not been asked anything yet.
                continue;
            }
            let Some(view) = world.director(host).map(maitred_core::director::Director::view) else { continue };
            for server in world.plan.all_servers() {
                let Some((_, shown)) = view.server(&world.plan.server(server)) else { continue };
                let fell = world.fell_at.get(&server).is_some_and(|at| world.now <= at + REMEMBERED_MS);
                if shown.standing.input == Input::Down && !fell {
                    return Err(format!("director {host} holds {} down too early", shown.settings.name));
                }
            }
        }
        Ok(())
    }
}
