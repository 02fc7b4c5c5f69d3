//! An acknowledged order holds at every warm director.

use std::collections::BTreeMap;

use maitred_core::clock::Stamp;
use maitred_core::entry::OperatorWord;

use super::Invariant;
use super::said::UNWRITTEN_MS;
use crate::plan::Journal;
use crate::world::{Seen, Skew, World};

#[derive(Default)]
pub(super) struct OrdersHold {
    last: BTreeMap<usize, Order>,
    skew: Skew,
}

struct Order {
    at: u64,
    host: usize,
    word: OperatorWord,
    /// The register's, as its taker wrote it.
    stamp: Stamp,
    vague: bool,
}

/// The register of a server at a director.
fn stamp(world: &World, host: usize, server: usize) -> Option<Stamp> {
    let health = world.director(host)?.server_health(&world.plan.server(server))?;
    health.operator().map(|order| order.stamp)
}

impl Invariant for OrdersHold {
    fn name(&self) -> &'static str {
        "orders hold"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Ordered { host, server, word } => {
                self.skew.note(world, *host);
                // Of two orders that clocks cannot tell apart either may hold; so it is with one that only its taker had.
                let close = self
                    .last
                    .get(server)
                    .is_some_and(|old| old.host != *host && (old.vague || world.now < old.at + self.skew.ms() + 1000));
                let stamp = stamp(world, *host, *server).unwrap_or(Stamp::ZERO);
                self.last.insert(*server, Order { at: world.now, host: *host, word: *word, stamp, vague: close });
            }
            // An order that only the dead one knew dies with it, unless its journal has it.
            Seen::Died(host) => {
                let fresh = self.last.values_mut().filter(|order| order.host == *host);
                fresh.filter(|order| order.at + UNWRITTEN_MS > world.now).for_each(|order| order.vague = true);
            }
            Seen::Returned(host, Journal::Old | Journal::Gone) => {
                for (server, order) in self.last.iter_mut().filter(|(_, order)| order.host == *host) {
                    // Ready is also what a director holds that knows of no order at all.
                    let elsewhere = (0..world.hosts.len())
                        .filter(|other| other != host)
                        .any(|other| stamp(world, other, *server).is_some_and(|it| it >= order.stamp));
                    order.vague |= !elsewhere;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        for (server, order) in self.last.iter().filter(|(_, order)| !order.vague) {
            for host in 0..world.hosts.len() {
                let time = world.hosts[host].now(world.now).time;
                let health = world.director(host).and_then(|it| it.server_health(&world.plan.server(*server)));
                let word = health.map(|health| health.operator_word(time));
                if word.is_some_and(|word| word != order.word) {
                    return Err(format!(
                        "{} was ordered {:?}; director {host} holds {word:?}",
                        world.plan.server(*server),
                        order.word
                    ));
                }
            }
        }
        Ok(())
    }
}
