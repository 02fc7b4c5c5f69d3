//! CODEC: a message comes out of the wire's codec as it went in, and is no larger than it said.

use super::Invariant;
use crate::world::{Seen, World};

pub(super) struct Codec;

impl Invariant for Codec {
    fn name(&self) -> &'static str {
        "CODEC"
    }

    fn see(&mut self, _: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Garbled(what) => Err(what.clone()),
            _ => Ok(()),
        }
    }
}
