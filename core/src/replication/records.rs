//! Session records that a message of a peer brought: merged one by one, and handed on where they changed the own table (R16).
//!
//! A message brings hundreds of them. They are merged while nobody holds [`Peers`]: each start of a cold director asks there whether
//! it must wait for what the peers know.

use super::{Peers, Store, Taken};
use crate::clock::Now;
use crate::entry::Entry;
use crate::fault::{Fault, planted};
use crate::ids::DirectorName;
use crate::wire::{Change, Position};

/// What one message brought and is not merged yet.
#[derive(Debug)]
#[must_use = "its sender waits until it is merged"]
pub struct Records {
    /// Whoever has this much of the sender has whatever it says without an origin.
    sender: (DirectorName, Position),
    brought: Brought,
    /// Where the sender's changes are known up to when all of these are merged.
    upto: Option<Position>,
    /// Whether there is somebody to whom a change could be handed on.
    is_handed_on: bool,
}

#[derive(Debug)]
enum Brought {
    Bulk(Vec<Entry>),
    Changes(Vec<Change>),
}

/// What came of them.
#[derive(Debug)]
#[must_use = "its sender waits until it is noted"]
pub struct Merged {
    changed: u64,
    /// Those that changed the table, if there is somebody to whom they are handed on.
    to_hand_on: Vec<Change>,
    dropped: Vec<&'static str>,
    upto: Option<Position>,
}

impl Records {
    /// Merges all of them; [`Peers::merged`] takes what came of it.
    pub fn merge(self, store: &dyn Store) -> Merged {
        let Self { sender, brought, upto, is_handed_on } = self;
        let mut merged = Merged { changed: 0, to_hand_on: Vec::new(), dropped: Vec::new(), upto };
        let mut merge = |origin: Option<(DirectorName, Position)>, entry: Entry| match store.merge(&entry) {
            Taken::Changed => {
                merged.changed += 1;
                if is_handed_on {
                    let origin = Some(origin.unwrap_or_else(|| sender.clone()));
                    merged.to_hand_on.push(Change { origin, entry });
                }
            }
            Taken::Same => {}
            Taken::Dropped(reason) => merged.dropped.push(reason),
        };
        match brought {
            Brought::Bulk(entries) => entries.into_iter().for_each(|entry| merge(None, entry)),
            Brought::Changes(changes) => changes.into_iter().for_each(|change| merge(change.origin, change.entry)),
        }
        merged
    }
}

impl Peers {
    pub(super) fn bulk(&mut self, peer: &DirectorName, at: Position, entries: Vec<Entry>) -> Records {
        let entries = if self.is_passed(peer, at) { Vec::new() } else { entries };
        self.records((peer.clone(), at), Brought::Bulk(entries), None)
    }

    pub(super) fn changes(&mut self, peer: &DirectorName, upto: Position, mut changes: Vec<Change>) -> Records {
        // The number of each does not matter: whoever has `upto` has all of them. Own changes are not behind relayed ones, so that
        // part of the position stays out.
        let sender = (peer.clone(), Position { relayed: 0, ..upto });
        changes.retain(|change| {
            let (origin, at) = change.origin.as_ref().unwrap_or(&sender);
            !self.is_passed(origin, *at)
        });
        self.records(sender, Brought::Changes(changes), Some(upto))
    }

    /// Takes note of what came of a message's records.
    pub fn merged(&mut self, peer: &DirectorName, merged: Merged, now: Now) {
        let Merged { changed, to_hand_on, dropped, upto } = merged;
        dropped.into_iter().for_each(|reason| self.count_dropped(reason));
        if to_hand_on.is_empty() && changed > 0 {
            let before = self.log.relayed.end();
            self.log.relayed.pass_over(changed);
            // The only peer stands behind what it told itself and what was therefore not kept.
            if let Some(link) = self.links.get_mut(peer) {
                link.pass_over(before, self.log.relayed.end());
            }
        }
        to_hand_on.into_iter().for_each(|change| self.log.relayed.push(change, now.mono));
        if let Some(link) = self.links.get_mut(peer) {
            link.took();
        }
        if let Some(upto) = upto {
            self.advance(peer, upto, false);
        }
    }

    fn records(&self, sender: (DirectorName, Position), brought: Brought, upto: Option<Position>) -> Records {
        Records { sender, brought, upto, is_handed_on: self.configured.len() != 1 }
    }

    /// Nothing is, unless a planted bug takes numbers to go on over a restart.
    fn is_passed(&mut self, origin: &DirectorName, at: Position) -> bool {
        if !planted(Fault::DropBySequence) {
            return false;
        }
        let seen = self.highest.entry(origin.clone()).or_default();
        let is_passed = at.own < *seen;
        *seen = at.own.max(*seen);
        is_passed
    }
}
