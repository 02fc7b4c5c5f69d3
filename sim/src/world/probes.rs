//! Looks at servers.

use maitred_core::director::LOST_MIN;

use super::*;

impl World {
    pub(super) fn probe(&mut self, host: usize, life: u64, server: usize) {
        if self.hosts[host].life != life {
            return;
        }
        let open = self.reaches(Node::Director(host), Node::Server(server));
        let backend = &self.servers[server];
        let near = self.plan.site(Node::Director(host)) == self.plan.site(Node::Server(server));
        let took = if near { 2 } else { 2 * self.plan.far_ms };
        let bad = |kind| Outcome::Bad(Failure { kind, check: None, detail: String::new() });
        let (took, outcome) = match (open, backend.serves, backend.dead) {
            (true, true, _) => {
                let incarnation = Incarnation::parse(&format!("life-{}", backend.incarnation)).ok();
                let name = Some(self.plan.server(server));
                (took, Outcome::Good(Report { server: name, incarnation, ..Report::default() }))
            }
            (true, false, true) => (took, bad(FailureKind::Refused)),
            _ => (PROBE_TIMEOUT_MS, bad(FailureKind::Timeout)),
        };
        let look = Look { took: Duration::from_millis(took), outcome };
        self.at(self.now + took, Event::Probed { host, life, server, look, began: self.now });
    }

    pub(super) fn probed(&mut self, host: usize, life: u64, server: usize, look: &Look, began: u64) {
        if self.hosts[host].life != life {
            return;
        }
        let look = &Look { took: look.took.max(Duration::from_millis(self.now - began)), ..look.clone() };
        // Less than that it does not notice, and counts the look as any.
        let noticed = u128::from(self.hosts[host].lost_ms) >= LOST_MIN.as_millis();
        let asleep = self.hosts[host].went_on_at > began && noticed;
        let failed = self.failed_looks.entry((host, server)).or_default();
        *failed = match look.outcome {
            Outcome::Good(_) => 0,
            // Its own silence.
            Outcome::Bad(_) if asleep => *failed,
            Outcome::Bad(_) => *failed + 1,
        };
        if *failed >= self.plan.pool.health.fall {
            self.fell_at.insert(server, self.now);
        }
        let (name, now) = (self.plan.server(server), self.hosts[host].now(self.now));
        let Some(director) = self.director(host) else { return };
        let wait = u64::try_from(director.handle_look(&name, look, now).as_millis()).unwrap_or(1000);
        self.pump(host);
        let at = (began + wait).max(self.now + 1);
        self.at(at, Event::Probe { host, life, server });
    }
}
