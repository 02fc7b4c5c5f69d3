//! What is done to the world, and how it is put right.

use super::*;

impl World {
    pub(super) fn start(&mut self, host: usize, journal: Journal) {
        if self.hosts[host].director.is_some() {
            return;
        }
        let settings = self.plan.settings(host, self.weight);
        let seed = self.plan.seed ^ host as u64;
        self.hosts[host].start(settings, seed, journal, self.now);
        let life = self.hosts[host].life;
        self.at(self.now + 1, Event::Timer { host, life });
        for server in 0..self.servers.len() {
            let at = self.now + self.random.within(0, 2000);
            self.at(at, Event::Probe { host, life, server });
        }
        self.failed_looks.retain(|(of, _), _| *of != host);
        if self.now > 0 {
            self.seen.push(Seen::Returned(host, journal));
        }
    }

    pub(super) fn die(&mut self, host: usize) {
        if self.hosts[host].director.is_none() {
            return;
        }
        self.hosts[host].die();
        self.waiting.remove(&host);
        // The other ends notice at once: the machine resets its connections.
        for other in 0..self.hosts.len() {
            self.unlink(host, other);
        }
        self.seen.push(Seen::Died(host));
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.disturbed_at = self.now;
        match fault {
            Fault::ServerDies(server) => self.serve(server, false, true),
            Fault::ServerHangs(server) => self.serve(server, false, false),
            Fault::ServerReturns(server) => self.serve(server, true, false),
            Fault::DirectorDies(host) => self.die(host),
            Fault::DirectorStarts(host, journal) => self.start(host, journal),
            Fault::DirectorStops(host) => self.stop(host),
            Fault::DirectorGoesOn(host) => self.go_on(host),
            Fault::Cut(a, b) => self.way(a, b, true),
            Fault::Join(a, b) => self.way(a, b, false),
            Fault::Slow(host, by) => self.hosts[host].slow_ms = by,
            Fault::ClockJumps(host, by) => self.hosts[host].skew_ms += by,
            Fault::Order(host, server, word) => self.order(host, server, word),
            Fault::ServerDrains(server, drains) => {
                self.servers[server].drains = drains.then_some(self.now);
                self.servers[server].heard_to_drain.clear();
                // As with an order: who keeps new ones away is not asked why he gets none.
                self.servers[server].ordered_at = Some(self.now);
            }
            Fault::RoleOrder(host, site) => {
                let site = (site < 2).then(|| self.plan.pool.datacenters[site].clone());
                let (pool, now) = (self.plan.pool_name(), self.hosts[host].now(self.now));
                if let Some(director) = self.director(host) {
                    let _ = director.handle_role_order(&pool, site, now);
                    self.pump(host);
                }
            }
            Fault::Configure(weight) => self.configure(weight),
            Fault::Heal => self.heal(),
        }
    }

    pub(super) fn heal(&mut self) {
        for (a, b) in self.cut.clone() {
            self.way(a, b, false);
        }
        for server in 0..self.servers.len() {
            self.serve(server, true, false);
            self.servers[server].drains = None;
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].slow_ms = 0;
            self.go_on(host);
            self.start(host, Journal::Whole);
        }
        self.configure(100);
    }

    pub(super) fn configure(&mut self, weight: u32) {
        self.weight = weight;
        for host in 0..self.hosts.len() {
            let now = self.hosts[host].now(self.now);
            if let Some(director) = self.director(host) {
                let _ = director.handle_settings(self.plan.settings(host, weight), now);
            }
            self.pump(host);
        }
        self.seen.push(Seen::Configured);
    }

    pub(super) fn serve(&mut self, server: usize, serves: bool, dead: bool) {
        let now = self.now;
        let backend = &mut self.servers[server];
        if serves && backend.dead {
            backend.incarnation += 1;
            // Another process knows nothing of what the former one held.
            backend.held.clear();
            backend.done.clear();
            (backend.held_seq, backend.need_held) = (0, false);
            backend.drains = None;
            backend.heard_to_drain.clear();
        }
        if backend.serves != serves {
            backend.since = now;
        }
        // Who is dead stays dead until it returns.
        backend.dead = !serves && (dead || backend.dead);
        backend.serves = serves;
    }

    pub(super) fn way(&mut self, a: Node, b: Node, cut: bool) {
        let changed = if cut { self.cut.insert((a, b)) } else { self.cut.remove(&(a, b)) };
        if changed {
            self.way_since.insert((a, b), self.now);
            self.ways_changed_at = self.now;
        }
    }

    pub(super) fn order(&mut self, host: usize, server: usize, word: u8) {
        let word = match word {
            0 => OperatorWord::Ready,
            1 => OperatorWord::Drain,
            _ => OperatorWord::Maint,
        };
        let (name, now) = (self.plan.server(server), self.hosts[host].now(self.now));
        let Some(director) = self.director(host) else { return };
        if director.handle_server_order(&name, &ServerWord::new(word), now).is_ok() {
            self.servers[server].ordered_at = Some(self.now);
            self.seen.push(Seen::Ordered { host, server, word });
            self.pump(host);
        }
    }
}
