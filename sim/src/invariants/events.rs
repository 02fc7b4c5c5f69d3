//! EVENTS: whoever reads the feed, now at one director and then at another one that is linked with it, is told of each stay (a
//! session at a server in a generation) that it began once and that it ended once.
//!
//! Of every stay where no way was cut; at most once also where some were, and then the reader stays where it is: what both sides of a
//! cut tell is one event only to somebody who has heard both, so nobody can go on exactly on the other side. Runs in which directors
//! die are left out: what was told is remembered by those who live on, and when they have died one after the other, somebody that has
//! lost its journal tells again what it learns anew (`core/src/director/tests/events.rs` has the deaths that must not be noticed).

use std::collections::{BTreeMap, BTreeSet};

use maitred_core::entry::{Entry, Life, SeatEntry};
use maitred_core::events::{OfSession, Place, Reading, SessionTurn, Told, What};
use maitred_core::ids::{Generation, Key, ServerName, SessionId};
use maitred_core::seating::Affinity;

use super::Invariant;
use crate::plan::Fault;
use crate::random::Random;
use crate::world::{Seen, World};

/// How often of a hundred seconds a reader goes to another director.
const LEAVES_PERCENT: u64 = 5;
/// Directors that are linked for so long know each other's events.
const IN_STEP_MS: u64 = 15_000;
/// Events that it takes at a time.
const AT_ONCE: usize = 64;

type Stay = (Key, SessionId, Generation, ServerName);

/// What was told of a stay.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    began: u32,
    ended: u32,
    /// A later start undid an end; the next end is no news.
    restored: bool,
}

/// What happens in a run.
fn happens(world: &World) -> (bool, bool) {
    let any = |is: fn(&Fault) -> bool| world.plan.faults.iter().any(|(_, fault)| is(fault));
    let stops = any(|fault| matches!(fault, Fault::DirectorStops(_)));
    // Who reads at a director that stops has no other one that is known to know as much, as after a death or a cut.
    let dies = any(|fault| matches!(fault, Fault::DirectorDies(_)));
    (dies || stops, any(|fault| matches!(fault, Fault::Cut(..))) || stops)
}

fn stay(seat: &SeatEntry) -> Stay {
    (seat.key.clone(), seat.session, seat.generation, seat.server.clone())
}

#[derive(Default)]
pub(super) struct Events {
    random: Option<Random>,
    host: usize,
    life: u64,
    reading: Option<Reading>,
    /// Where it is, when it is at no director.
    place: Option<Place>,
    /// Directors that are linked with its own since long: they know what it has read.
    next: Vec<usize>,
    /// Stays that began while it reads; whether their keys were minted.
    known: BTreeMap<Stay, bool>,
    /// Beginnings and ends of each stay.
    told: BTreeMap<Stay, Counts>,
    /// A director said that something is lost: nothing can be expected any more.
    lost: bool,
}

impl Events {
    fn read(&mut self, world: &World) -> Result<(), String> {
        let seed = world.plan.seed;
        let random = self.random.get_or_insert_with(|| Random::new(seed ^ 0xe7e5));
        let dead = world.hosts[self.host].life != self.life && self.life > 0;
        let leaves = random.percent(LEAVES_PERCENT) && !happens(world).1;
        if dead || leaves {
            match random.pick(&self.next).copied() {
                Some(host) => {
                    self.place = self.reading.take().map(|reading| reading.place().clone()).or(self.place.take());
                    self.host = host;
                }
                // Nobody is left who must know what it has read.
                None => self.lost |= dead,
            }
        }
        self.life = world.hosts[self.host].life;
        if self.lost || world.director(self.host).is_none() {
            return Ok(());
        }
        if world.now > world.disturbed_at + IN_STEP_MS {
            self.next = (0..world.hosts.len()).filter(|host| world.linked(*host, self.host)).collect();
        } else {
            self.next.retain(|host| world.linked(*host, self.host));
        }
        let Some(director) = world.director(self.host) else { return Ok(()) };
        let now = world.hosts[self.host].now(world.now);
        if self.place.is_none() && self.reading.is_none() && !director.is_warm(now) {
            return Ok(());
        }
        let reading = self.reading.get_or_insert_with(|| director.read_events(self.place.clone(), now));
        loop {
            let told = director.next_events(reading, AT_ONCE, now);
            if told.is_empty() {
                return Ok(());
            }
            for told in told {
                match told {
                    Told::Lost { .. } => self.lost = true,
                    Told::Event { notice, director, .. } => {
                        let What::Session(of) = &notice.what else { continue };
                        let OfSession { turn, key, session, generation, server, .. } = of;
                        let stay = (key.clone(), *session, *generation, server.clone());
                        if !self.known.contains_key(&stay) {
                            continue;
                        }
                        let counts = self.told.entry(stay).or_default();
                        match turn {
                            SessionTurn::Placed | SessionTurn::Moved => counts.began += 1,
                            SessionTurn::Ended => counts.ended += 1,
                            SessionTurn::Restored => counts.restored |= notice.reason == "later_start",
                            _ => {}
                        }
                        if !self.lost && !happens(world).0 && (counts.began > 1 || counts.ended > 1) {
                            let (key, host) = (key.as_str(), self.host);
                            return Err(format!(
                                "{key} {session} at {server}: {counts:?}, read at {host}, told by {director}"
                            ));
                        }
                    }
                }
            }
        }
    }
}

impl Invariant for Events {
    fn name(&self) -> &'static str {
        "EVENTS"
    }

    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Tick => self.read(world),
            Seen::Started { result, .. } if self.reading.is_some() => {
                if let Ok(seat) = result.as_ref()
                    && seat.affinity != Affinity::Kept
                {
                    self.known.insert(stay(&seat.entry), seat.entry.minted);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        self.read(world)?;
        if self.lost || happens(world) != (false, false) {
            return Ok(());
        }
        let mut live = BTreeSet::new();
        for entry in world.entries(0).unwrap_or_default() {
            let Entry::Seat(seat) = entry else { continue };
            if seat.life == Life::Live {
                live.insert(stay(&seat));
            }
        }
        let name = |stay: &Stay| format!("{} {}/{} at {}", stay.0.as_str(), stay.1, stay.2.get(), stay.3);
        for (stay, minted) in &self.known {
            // A minted key that was never seen again is not stored (R10), and told by nobody.
            let counts = self.told.get(stay).copied().unwrap_or_default();
            if *minted && counts.began == 0 && counts.ended == 0 && !live.contains(stay) {
                continue;
            }
            let ended = if live.contains(stay) { counts.ended == 0 || counts.restored } else { counts.ended == 1 };
            if counts.began != 1 || !ended {
                return Err(format!("{} was told as {counts:?} and lives: {}", name(stay), live.contains(stay)));
            }
        }
        Ok(())
    }
}
