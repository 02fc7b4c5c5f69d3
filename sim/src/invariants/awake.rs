//! AWAKE: a director that was stopped for long answers nobody by what it knew then: a start waits until it has a link that
//! came up afterwards, or for 5 s.
//!
//! Not demanded of one that was stopped for less than anybody notices.

use maitred_core::director::LOST_MIN;
use maitred_core::replication::COLD_MAX;

use super::Invariant;
use crate::world::{Seen, World};

pub(super) struct Awake;

impl Invariant for Awake {
    fn name(&self) -> &'static str {
        "AWAKE"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        let Seen::Started { host, client, .. } = seen else { return Ok(()) };
        let machine = &world.hosts[*host];
        let (lost, awake) = (u128::from(machine.lost_ms), u128::from(world.now - machine.went_on_at));
        // Its last sign of life may be a second older than the stop, and never younger.
        let slept = machine.went_on_at >= machine.up_since && lost >= LOST_MIN.as_millis();
        if slept && awake < COLD_MAX.as_millis() && !world.linked_anew(*host, machine.went_on_at) {
            return Err(format!(
                "director {host} went on {awake} ms ago and answers client {client}, having heard nobody"
            ));
        }
        Ok(())
    }
}
