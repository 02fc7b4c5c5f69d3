//! Clients: they start, come back, end, lose answers, and some help themselves.

use super::*;

/// A start that waits for a director that catches up looks so often.
const CATCHING_UP_MS: u64 = 20;

impl World {
    pub(super) fn client(&mut self, client: usize) {
        if self.now + QUIET_MS > self.plan.heal_ms + CALM_MS {
            return;
        }
        let next = self.now + self.random.within(200, 25_000);
        self.at(next, Event::Client(client));
        let up: Vec<usize> = (0..self.hosts.len()).filter(|host| self.director(*host).is_some()).collect();
        let Some(host) = self.random.pick(&up).copied() else { return };
        if self.clients[client].waits && self.random.percent(50) {
            return;
        }
        if self.plan.talks && self.help_itself(client) {
            return;
        }
        self.clients[client].waits = true;
        let end = self.random.percent(8);
        let times = if self.random.percent(3) { 2 } else { 1 };
        for _ in 0..times {
            let at = self.now + self.random.within(1, 80);
            let answered = !self.random.percent(3);
            self.at(at, Event::Request { client, host, end, answered });
        }
    }

    pub(super) fn request(&mut self, client: usize, host: usize, end: bool, answered: bool) {
        self.last_input = self.now;
        let (pool, now) = (self.plan.pool_name(), self.hosts[host].now(self.now));
        let known = self.clients[client].clone();
        let mut session = [0; 16];
        session[..8].copy_from_slice(&self.random.bits().to_le_bytes());
        session[8..].copy_from_slice(&self.random.bits().to_le_bytes());
        let Some(director) = self.director(host) else { return };
        director.wake(now);
        if end {
            let Some(seat) = &known.seat else { return };
            let named =
                End::Session { session: seat.session(), generation: seat.generation(), reason: EndReason::Client };
            if director.end(&pool, &known.key, None, &named, now).is_ok() {
                let session = seat.session();
                self.seen.push(Seen::Ended { client, host, answered, session });
            }
        } else {
            let shown = known.seat.as_ref().filter(|_| known.keeps_cookie);
            let shown = shown.map(|seat| Shown { seat: seat.entry.clone(), owner: seat.owner });
            let key = match (&known.seat, known.minted) {
                (_, false) => RequestKey::Given(known.key.clone()),
                (Some(seat), true) => RequestKey::Shown(seat.entry.key.clone()),
                (None, true) => self.mint(client),
            };
            let Some(director) = self.director(host) else { return };
            if director.catch_up(now).is_some() {
                // It waits until the director knows what happened without it.
                return self.at(self.now + CATCHING_UP_MS, Event::Request { client, host, end, answered });
            }
            let request =
                StartRequest { pool: &pool, key, shown, labels: &[], avoid: None, session: SessionId(session) };
            let mut result = director.start(&request, now);
            if matches!(result, Err(Refusal::SessionEnded)) {
                // The session of the cookie has ended: the edge mints another key.
                let key = self.mint(client);
                let Some(director) = self.director(host) else { return };
                result = director.start(&StartRequest { key, ..request.clone() }, now);
            }
            let Some(director) = self.director(host) else { return };
            if answered {
                let seat = result.as_ref().ok().cloned().map(Box::new);
                let alternates = seat.as_ref().map_or_else(Vec::new, |seat| {
                    director.alternates(seat).iter().filter_map(|target| self.server_at(&target.name)).collect()
                });
                let at = self.now + self.random.within(1, 80);
                self.at(at, Event::Answer { client, seat, alternates });
            }
            let before = known.seat.map(Box::new);
            self.seen.push(Seen::Started { client, host, answered, before, result: Box::new(result) });
        }
        self.pump(host);
    }
}
