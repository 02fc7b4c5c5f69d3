//! Wires between directors: frames in order, late, lost with their wire; and what a director's shell does after any input.

use super::*;

impl World {
    /// Performs what a director wants after any input: effects, journal, messages.
    pub(super) fn pump(&mut self, host: usize) {
        if self.hosts[host].stopped_at.is_some() {
            return;
        }
        let at = self.now;
        let mut told = Vec::new();
        if let Some(director) = self.director(host) {
            while let Some(effect) = director.next_effect() {
                if let Effect::Publish(Told::RoleMoved { from, cause, .. }) = effect {
                    told.push(Seen::Role { host, from, cause });
                }
            }
        }
        self.seen.append(&mut told);
        self.hosts[host].write(at);
        let now = self.hosts[host].now(at);
        for other in 0..self.hosts.len() {
            if other == host || !self.linked(host, other) {
                continue;
            }
            let peer = self.plan.director(other);
            for _ in 0..10_000 {
                let Some(director) = self.director(host) else { return };
                let Some(message) = director.next_message(&peer, now) else {
                    if director.next_peer_deadline(&peer, now) == Some(now.mono) {
                        // A walk through the table goes on.
                        continue;
                    }
                    break;
                };
                self.send(host, other, message);
            }
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        let message = if self.plan.coded { self.through_codec(message) } else { message };
        let (count, first) = match &message {
            Message::Bulk { entries, .. } | Message::Told { entries, .. } => (entries.len(), entries.first()),
            Message::Changes { changes, .. } => (changes.len(), changes.first().map(|change| &change.entry)),
            _ => (0, None),
        };
        if let Some(first) = first {
            self.seen.push(Seen::Records { from, count, first: Box::new(first.clone()) });
        }
        let far = self.plan.site(Node::Director(from)) != self.plan.site(Node::Director(to));
        let bytes = message.weight() as u64;
        let mut delay = if far { self.plan.far_ms } else { 1 } + self.hosts[from].slow_ms;
        delay += self.random.within(0, delay / 4 + 1);
        if self.random.percent(self.plan.lossy_percent) {
            delay += RESENT_MS;
        }
        let rate = if far { self.plan.bytes_per_ms } else { 100_000 };
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&(from.min(to), from.max(to))) else { return };
        let way = usize::from(from < to);
        wire.free[way] = wire.free[way].max(now) + bytes / rate;
        wire.arrives[way] = wire.arrives[way].max(wire.free[way] + delay);
        let (at, number) = (wire.arrives[way], wire.number);
        self.at(at, Event::Frame { from, to, wire: number, message: Box::new(message) });
    }

    /// What goes over a real wire: encoded and read again, and no larger than it said.
    fn through_codec(&mut self, message: Message) -> Message {
        let read = postcard::to_allocvec(&message)
            .and_then(|bytes| Ok((bytes.len(), postcard::from_bytes::<Message>(&bytes)?)));
        match read {
            Ok((bytes, read)) if bytes <= message.weight() && read == message => read,
            other => {
                self.seen.push(Seen::Garbled(format!("{message:?} became {other:?}")));
                message
            }
        }
    }

    pub(super) fn frame(&mut self, from: usize, to: usize, number: u64, message: Message) {
        let cut = self.cut.contains(&(Node::Director(from), Node::Director(to)));
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&(from.min(to), from.max(to))) else { return };
        if !wire.up || wire.number != number {
            return;
        }
        if cut {
            // It is sent again until it comes through or the link is given up.
            self.at(now + RESENT_MS, Event::Frame { from, to, wire: number, message: Box::new(message) });
            return;
        }
        wire.heard[usize::from(from < to)] = now;
        let (peer, at) = (self.plan.director(from), self.hosts[to].now(now));
        let refused = self.director(to).is_none_or(|director| director.handle_message(&peer, message, at).is_err());
        if refused {
            self.unlink(from, to);
        }
        self.pump(to);
    }

    /// What the link actors do: dial, and give up.
    pub(super) fn wires(&mut self) {
        for a in 0..self.hosts.len() {
            for b in a + 1..self.hosts.len() {
                let both = self.director(a).is_some() && self.director(b).is_some();
                let open = self.reaches(Node::Director(a), Node::Director(b));
                let now = self.now;
                let wire = self.wires.entry((a, b)).or_default();
                if wire.up && wire.heard.iter().any(|heard| now > heard + LINK_DEAD_MS) {
                    self.unlink(a, b);
                } else if !wire.up && both && open {
                    *wire = Wire { number: wire.number + 1, up: true, since: now, heard: [now; 2], ..Wire::default() };
                    for (me, peer) in [(a, b), (b, a)] {
                        let (peer, at) = (self.plan.director(peer), self.hosts[me].now(now));
                        if let Some(director) = self.director(me) {
                            let _ = director.handle_link_up(&peer, at);
                        }
                    }
                    self.pump(a);
                    self.pump(b);
                }
            }
        }
        let next = self.now + 500 + self.random.within(0, 500);
        self.at(next, Event::Wires);
    }

    pub(super) fn unlink(&mut self, a: usize, b: usize) {
        let Some(wire) = self.wires.get_mut(&(a.min(b), a.max(b))).filter(|wire| wire.up) else { return };
        wire.up = false;
        for (me, peer) in [(a, b), (b, a)] {
            if self.hosts[me].stopped_at.is_some() {
                // Behind what came over the link before.
                self.waiting.entry(me).or_default().push((self.now, Event::Unlinked { host: me, peer }));
            } else {
                self.learn_unlinked(me, peer);
            }
        }
    }
}
