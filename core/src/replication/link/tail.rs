//! The live tail of one link: what changed here since the peer was last told, and what of others' changes it lacks.

use super::Link;
use crate::clock::{Mono, Now};
use crate::ids::DirectorName;
use crate::replication::log::{Item, Log};
use crate::replication::{PING_EVERY, RELAY_AFTER};
use crate::wire::{Change, DATA_BYTES_MAX, ENTRIES_MAX, Message, weight};

/// What one entry of a full data message may weigh besides itself.
const CHANGE_EXTRA: usize = 96;

/// Whether a change of a third is handed on.
enum Relay {
    Skip,
    Wait,
    Send,
}

impl Link {
    /// What happened since, own changes first; what others already gave the peer is left out.
    pub(super) fn next_tail(&mut self, peer: &DirectorName, log: &Log, now: Now) -> Option<Message> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        let mut add = |change: &Change| {
            bytes += weight(&change.entry) + CHANGE_EXTRA;
            let fits = changes.is_empty() || (bytes <= DATA_BYTES_MAX && changes.len() < ENTRIES_MAX);
            if fits {
                changes.push(change.clone());
            }
            fits
        };
        while let Some(item) = log.own.item(self.sent.own + 1) {
            if !add(&item.change) {
                break;
            }
            self.sent.own += 1;
        }
        while let Some(item) = log.relayed.item(self.sent.relayed + 1) {
            match self.relay(peer, item, now.mono) {
                Relay::Wait => break,
                Relay::Skip => {}
                Relay::Send => {
                    if !add(&item.change) {
                        break;
                    }
                }
            }
            self.sent.relayed += 1;
        }
        // A position alone is worth a message once in a while: others judge by it what need not be handed on.
        let position = self.sent != self.announced && now.mono >= self.announced_at + PING_EVERY;
        (position || !changes.is_empty()).then(|| {
            (self.announced, self.announced_at) = (self.sent, now.mono);
            Message::Changes { upto: self.sent, changes }
        })
    }

    fn relay(&self, peer: &DirectorName, item: &Item, now: Mono) -> Relay {
        let Some((origin, at)) = &item.change.origin else { return Relay::Send };
        if origin == peer {
            return Relay::Skip;
        }
        match self.peer_have.get(origin) {
            Some(position) if position.covers(*at) => Relay::Skip,
            Some(_) if now.since(item.at) < RELAY_AFTER => Relay::Wait,
            Some(_) | None => Relay::Send,
        }
    }
}
