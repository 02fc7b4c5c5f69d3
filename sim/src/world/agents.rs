//! Servers that talk: they hold sessions, beat, confirm who is logged in, and reset what they are told to; and clients that go to
//! one of them, or to another one by themselves.

use maitred_core::director::{Beat, Confirm, ServerFence};
use maitred_core::held::Via;
use maitred_core::ids::ServerName;

use super::*;

/// Servers beat this often.
pub(super) const BEAT_MS: u64 = 2_000;
/// A dependency of each server breaks and comes back at this pace.
const MAIL_MS: u64 = 20_000;
/// An order that was carried out is named in beats for this long.
const DONE_FOR_MS: u64 = 30_000;

impl World {
    /// A client has its answer and goes where it says.
    pub(super) fn answered(&mut self, client: usize, seat: Option<Seat>, alternates: Vec<usize>) {
        let known = &mut self.clients[client];
        known.waits = false;
        let Some(seat) = seat else { return };
        if known.minted {
            known.key = seat.entry.key.clone();
        }
        known.alternates = alternates;
        known.seat = Some(seat.clone());
        if !self.plan.talks {
            return;
        }
        let Some(server) = self.server_at(&seat.server.name) else { return };
        if !self.servers[server].serves {
            self.help_itself(client);
            return;
        }
        let ticket = HeldSession {
            key: seat.entry.key.clone(),
            session: Some(seat.session()),
            generation: Some(seat.generation()),
            via: Via::Ticket,
        };
        self.visit(client, server, ticket);
    }

    /// A client whose server does not answer goes to the first of its alternates that does. Says whether it went.
    pub(super) fn help_itself(&mut self, client: usize) -> bool {
        let known = &self.clients[client];
        let stranded = known.at.is_some_and(|at| !self.servers[at].serves);
        if !known.helps_itself || !stranded || known.seat.is_none() {
            return false;
        }
        let Some(server) = known.alternates.iter().copied().find(|at| self.servers[*at].serves) else { return false };
        let held = HeldSession { key: known.key.clone(), session: None, generation: None, via: Via::SelfMade };
        self.visit(client, server, held);
        true
    }

    fn visit(&mut self, client: usize, server: usize, held: HeldSession) {
        self.last_input = self.now;
        self.clients[client].at = Some(server);
        let backend = &mut self.servers[server];
        let key = held.key.clone();
        let newer = backend.held.get(&key).is_none_or(|known| known.generation <= held.generation);
        if newer && backend.held.insert(key.clone(), held.clone()).as_ref() != Some(&held) {
            backend.held_seq += 1;
            let incarnation = backend.incarnation;
            let agent = self.clients[client].agent.clone();
            let at = self.now + self.talk.within(100, 20_000);
            self.at(at, Event::Login { server, incarnation, key, agent });
            self.seen.push(Seen::Holds { server, held });
        }
    }

    /// Somebody has logged in at a server, which tells one of its site's directors.
    pub(super) fn login(&mut self, server: usize, incarnation: u64, key: &Key, agent: Option<Key>) {
        let backend = &self.servers[server];
        if !backend.serves || backend.incarnation != incarnation || self.now + QUIET_MS - 30_000 > self.end() {
            return;
        }
        let (Some(held), Some(host)) = (backend.held.get(key).cloned(), self.desk(server)) else { return };
        self.last_input = self.now;
        let Ok(life) = Incarnation::parse(&format!("life-{incarnation}")) else { return };
        let fence =
            ServerFence { server: self.plan.server(server), incarnation: life.tag(), generation: held.generation };
        let (pool, now) = (self.plan.pool_name(), self.hosts[host].now(self.now));
        if let Some(director) = self.director(host) {
            director.wake(now);
            // Refused: another seat is the current one, and a reset will say so.
            let _ = director.confirm(&pool, key, held.session, &Confirm { fence, agent: agent.clone() }, now);
        }
        self.pump(host);
        // A server may repeat itself.
        if self.talk.percent(50) {
            let at = self.now + self.talk.within(5_000, 90_000);
            self.at(at, Event::Login { server, incarnation, key: key.clone(), agent });
        }
    }

    /// A server tells what it holds, and does what it is told.
    pub(super) fn beat(&mut self, server: usize) {
        let next = self.now + BEAT_MS + self.talk.within(0, 50);
        self.at(next, Event::Beat(server));
        let Some(host) = self.desk(server).filter(|_| self.servers[server].serves) else { return };
        let (node, desk, now) = (Node::Server(server), Node::Director(host), self.now);
        let backend = &mut self.servers[server];
        backend.done.retain(|_, at| now < *at + DONE_FOR_MS);
        let Ok(incarnation) = Incarnation::parse(&format!("life-{}", backend.incarnation)) else { return };
        let drains = backend.drains.is_some();
        let report = Report {
            incarnation: Some(incarnation),
            // Some say it only when it is so, and some always.
            draining: if server.is_multiple_of(2) { Some(drains) } else { drains.then_some(true) },
            capacity: Some(1000),
            sessions: u32::try_from(backend.held.len()).ok(),
            depends: BTreeMap::from([("mail".to_owned(), (now / MAIL_MS + server as u64) % 4 != 3)]),
            ..Report::default()
        };
        let beat = Beat {
            report,
            held: backend.need_held.then(|| backend.held.values().cloned().collect()),
            held_seq: Some(backend.held_seq),
            done: backend.done.keys().copied().collect(),
        };
        let (name, time) = (self.plan.server(server), self.hosts[host].now(now));
        let Some(answer) = self.director(host).and_then(|director| {
            director.wake(time);
            director.handle_beat(&name, &beat, time).ok()
        }) else {
            return;
        };
        if drains {
            self.servers[server].heard_to_drain.entry(host).or_insert(now);
        }
        self.pump(host);
        if self.cut.contains(&(desk, node)) {
            return;
        }
        let backend = &mut self.servers[server];
        backend.need_held = answer.need_held;
        for order in &answer.orders {
            let same = |held: &HeldSession| held.session == order.session && held.generation == order.generation;
            if backend.held.get(&order.key).is_some_and(same) {
                backend.held.remove(&order.key);
                backend.held_seq += 1;
                self.last_input = now;
            }
            backend.done.insert(order.id, now);
        }
        if !answer.orders.is_empty() {
            self.seen.push(Seen::Resets { host, server, orders: answer.orders });
        }
    }

    /// A living director of the server's site to which its words come through.
    fn desk(&mut self, server: usize) -> Option<usize> {
        let node = Node::Server(server);
        let open: Vec<usize> = (0..self.hosts.len())
            .filter(|host| self.plan.site(Node::Director(*host)) == self.plan.site(node))
            .filter(|host| self.director(*host).is_some() && !self.cut.contains(&(node, Node::Director(*host))))
            .collect();
        self.talk.pick(&open).copied()
    }

    /// A key that nobody has.
    pub(super) fn mint(&mut self, client: usize) -> RequestKey {
        self.keys += 1;
        let key = Key::parse(&format!("minted-{client}-{}", self.keys));
        RequestKey::Minted(key.unwrap_or_else(|_| self.clients[client].key.clone()))
    }

    /// The number of a server.
    pub(super) fn server_at(&self, name: &ServerName) -> Option<usize> {
        self.plan.all_servers().find(|at| self.plan.server(*at) == *name)
    }
}
