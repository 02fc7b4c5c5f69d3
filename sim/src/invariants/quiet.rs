//! QUIET: no session record is on any link 30 s after the last input.

use super::Invariant;
use crate::world::{Seen, World};

const QUIET_MS: u64 = 30_000;

pub(super) struct Quiet;

impl Invariant for Quiet {
    fn name(&self) -> &'static str {
        "QUIET"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        let Seen::Records { from, count, first } = seen else { return Ok(()) };
        let last = world.last_input.max(world.disturbed_at);
        if world.now > last + QUIET_MS {
            return Err(format!(
                "director {from} sent {count} records {} ms after the last input: {first:?}",
                world.now - last
            ));
        }
        Ok(())
    }
}
