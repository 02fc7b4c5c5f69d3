//! STAMP: only a start moves the stamp of a live seat; no probe, beat, confirm, state or role does (R1).

use std::collections::BTreeSet;

use maitred_core::clock::Stamp;
use maitred_core::entry::{Entry, Life, SeatEntry};

use super::Invariant;
use crate::world::{Seen, World};

/// When starts were, by key and by the director that wrote them.
#[derive(Default)]
pub(super) struct Stamps {
    starts: BTreeSet<(String, Stamp, String)>,
}

fn moment(seat: &SeatEntry) -> (String, Stamp, String) {
    (seat.key.as_str().to_owned(), seat.stamp, seat.writer.as_str().to_owned())
}

impl Stamps {
    fn check(&self, entry: &Entry) -> Result<(), String> {
        match entry {
            // A server's own word has no stamp (R5), and an end has its own.
            Entry::Seat(seat)
                if seat.life == Life::Live && seat.stamp != Stamp::ZERO && !self.starts.contains(&moment(seat)) =>
            {
                Err(format!("no start stamped {seat:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for Stamps {
    fn name(&self) -> &'static str {
        "STAMP"
    }

    fn see(&mut self, _: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Started { result, .. } => {
                self.starts.extend(result.as_ref().as_ref().ok().map(|seat| moment(&seat.entry)));
                Ok(())
            }
            Seen::Records { first, .. } => self.check(first),
            _ => Ok(()),
        }
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        (0..world.hosts.len()).filter_map(|host| world.entries(host)).flatten().try_for_each(|entry| self.check(&entry))
    }
}
