//! The world of one run: virtual time, wires, servers, clients, and the real directors in it.
//!
//! Everything happens in order of (time, number of the event), so a seed replays to the letter. Wires between directors behave
//! as TCP does: in order, late when something is lost, gone when nothing comes through for a while. Clients' requests and
//! answers are lost and doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use maitred_core::clock::Time;
use maitred_core::director::{Director, End};
use maitred_core::entry::{EndReason, Entry, OperatorWord};
use maitred_core::event::{Effect, Event as Told};
use maitred_core::health::{Failure, FailureKind, Look, Outcome, Report};
use maitred_core::ids::{DatacenterName, Incarnation, Key, SessionId};
use maitred_core::role::RoleCause;
use maitred_core::seating::{Refusal, RequestKey, Seat, Shown, StartRequest};
use maitred_core::wire::Message;

use crate::host::Host;
use crate::plan::{CALM_MS, Fault, Journal, Node, Plan};
use crate::random::Random;

/// A process lets its director's time pass at least this often.
const TIMER_MS: u64 = 500;
/// A link on which nothing comes for so long is closed.
const LINK_DEAD_MS: u64 = 4_000;
/// The same for a lost frame: it comes this much later.
const RESENT_MS: u64 = 200;
/// A probe that hears nothing gives up.
const PROBE_TIMEOUT_MS: u64 = 1_000;
/// Clients stop this long before the end, so that quiet can be seen.
const QUIET_MS: u64 = 130_000;

/// What happens.
#[derive(Debug)]
enum Event {
    Fault(usize),
    Timer { host: usize, life: u64 },
    Probe { host: usize, life: u64, server: usize },
    Probed { host: usize, life: u64, server: usize, look: Look, began: u64 },
    Frame { from: usize, to: usize, wire: u64, message: Box<Message> },
    Wires,
    Client(usize),
    Request { client: usize, host: usize, end: bool, answered: bool },
    Answer { client: usize, seat: Option<Box<Seat>> },
    Tick,
}

/// What the world saw, for the invariants.
#[derive(Debug)]
pub enum Seen {
    /// A start was decided.
    Started {
        /// By whom.
        client: usize,
        /// At which director.
        host: usize,
        /// The client gets the answer.
        answered: bool,
        /// What the client had.
        before: Option<Box<Seat>>,
        /// The decision.
        result: Box<Result<Seat, Refusal>>,
    },
    /// An end was taken.
    Ended {
        /// By whom.
        client: usize,
        /// At which director.
        host: usize,
        /// The client gets the answer.
        answered: bool,
        /// What was ended.
        session: SessionId,
    },
    /// An order about a server was acknowledged.
    Ordered {
        /// At which director.
        host: usize,
        /// About which server.
        server: usize,
        /// What it says.
        word: OperatorWord,
    },
    /// A director holds another datacenter to be active.
    Role {
        /// Which director.
        host: usize,
        /// Where the role was.
        from: DatacenterName,
        /// Why.
        cause: RoleCause,
    },
    /// Session records went onto a wire.
    Records {
        /// From which director.
        from: usize,
        /// How many.
        count: usize,
    },
    /// A director died.
    Died(usize),
    /// It started again.
    Returned(usize, Journal),
    /// The settings changed at all directors.
    Configured,
    /// A second has passed.
    Tick,
}

/// A server.
#[derive(Debug, Clone)]
pub struct Backend {
    /// It answers.
    pub serves: bool,
    /// Its process is dead, so that connections are refused.
    pub dead: bool,
    /// Since when `serves` is what it is.
    pub since: u64,
    /// When an order about it was given last.
    pub ordered_at: Option<u64>,
    incarnation: u64,
}

/// A wire between two directors.
#[derive(Debug, Clone, Default)]
struct Wire {
    number: u64,
    up: bool,
    /// When something came through, to the lower and to the higher.
    heard: [u64; 2],
    /// When the last frame of each direction arrives.
    arrives: [u64; 2],
    free: [u64; 2],
}

#[derive(Debug, Clone)]
struct Client {
    key: Key,
    keeps_cookie: bool,
    seat: Option<Seat>,
    waits: bool,
}

/// One run.
#[derive(Debug)]
pub struct World {
    /// What happens in it.
    pub plan: Plan,
    /// Milliseconds since the run began.
    pub now: u64,
    /// The directors' machines.
    pub hosts: Vec<Host>,
    /// The servers.
    pub servers: Vec<Backend>,
    /// Ways on which nothing goes.
    pub cut: BTreeSet<(Node, Node)>,
    /// When a way was cut or joined last.
    pub ways_changed_at: u64,
    /// Since when each way is what it is; a way that is not here never changed.
    pub way_since: BTreeMap<(Node, Node), u64>,
    /// When anything was done to the world last.
    pub disturbed_at: u64,
    /// The last thing that a client asked for.
    pub last_input: u64,
    /// Failed looks in a row, by director and server.
    pub failed_looks: BTreeMap<(usize, usize), u32>,
    random: Random,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    wires: BTreeMap<(usize, usize), Wire>,
    clients: Vec<Client>,
    weight: u32,
    seen: Vec<Seen>,
}

impl World {
    /// A world in which everything is well, before its first millisecond.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let random = Random::new(plan.seed ^ 0x5eed);
        let backend = Backend { serves: true, dead: false, since: 0, ordered_at: None, incarnation: 1 };
        let mut world = Self {
            now: 0,
            hosts: plan.skews_ms.iter().map(|skew_ms| Host::new(*skew_ms)).collect(),
            servers: vec![backend; plan.backends()],
            cut: BTreeSet::new(),
            ways_changed_at: 0,
            way_since: BTreeMap::new(),
            disturbed_at: 0,
            last_input: 0,
            failed_looks: BTreeMap::new(),
            random,
            events: BTreeMap::new(),
            number: 0,
            wires: BTreeMap::new(),
            clients: Vec::new(),
            weight: 100,
            seen: Vec::new(),
            plan,
        };
        for client in 0..world.plan.clients {
            let Ok(key) = Key::parse(&format!("agent-{client}")) else { continue };
            let keeps_cookie = world.random.percent(70);
            world.clients.push(Client { key, keeps_cookie, seat: None, waits: false });
            let at = world.random.within(1000, 20_000);
            world.at(at, Event::Client(client));
        }
        for fault in 0..world.plan.faults.len() {
            world.at(world.plan.faults[fault].0, Event::Fault(fault));
        }
        for host in 0..world.hosts.len() {
            world.start(host, Journal::Whole);
        }
        world.at(0, Event::Wires);
        world.at(1000, Event::Tick);
        world
    }

    /// When the run is over.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.plan.heal_ms + CALM_MS
    }

    /// Takes the next event; `false` at the end of the run.
    pub fn step(&mut self) -> bool {
        let Some(((at, _), event)) = self.events.pop_first() else { return false };
        if at > self.end() {
            return false;
        }
        self.now = at;
        self.happen(event);
        true
    }

    /// What was seen since the last call.
    pub fn seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// A living director.
    #[must_use]
    pub fn director(&self, host: usize) -> Option<&Director> {
        self.hosts.get(host)?.director.as_ref()
    }

    /// A client's key.
    #[must_use]
    pub fn key(&self, client: usize) -> &Key {
        &self.clients[client].key
    }

    /// Whether something goes both ways.
    #[must_use]
    pub fn reaches(&self, a: Node, b: Node) -> bool {
        !self.cut.contains(&(a, b)) && !self.cut.contains(&(b, a))
    }

    /// Since when it does, or does not.
    #[must_use]
    pub fn reaches_since(&self, a: Node, b: Node) -> u64 {
        let since = |way| self.way_since.get(&way).copied().unwrap_or(0);
        since((a, b)).max(since((b, a)))
    }

    /// Whether two directors have a link.
    #[must_use]
    pub fn linked(&self, a: usize, b: usize) -> bool {
        self.wires.get(&(a.min(b), a.max(b))).is_some_and(|wire| wire.up)
    }

    /// Everything that a director remembers of sessions and has not expired, in order.
    #[must_use]
    pub fn table(&self, host: usize) -> Option<Vec<String>> {
        let director = self.director(host)?;
        let (mut all, mut part) = (Vec::new(), 0);
        let mut sink = |entry: Entry| {
            if matches!(entry, Entry::Seat(_) | Entry::State(_)) {
                all.push(format!("{entry:?}"));
            }
        };
        while director.snapshot(part, self.hosts[host].now(self.now), &mut sink).is_some() {
            part += 1;
        }
        all.sort();
        Some(all)
    }

    fn at(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Fault(number) => self.fault(self.plan.faults[number].1.clone()),
            Event::Timer { host, life } => self.timer(host, life),
            Event::Probe { host, life, server } => self.probe(host, life, server),
            Event::Probed { host, life, server, look, began } => self.probed(host, life, server, &look, began),
            Event::Frame { from, to, wire, message } => self.frame(from, to, wire, *message),
            Event::Wires => self.wires(),
            Event::Client(client) => self.client(client),
            Event::Request { client, host, end, answered } => self.request(client, host, end, answered),
            Event::Answer { client, seat } => {
                let client = &mut self.clients[client];
                client.waits = false;
                client.seat = seat.map(|seat| *seat).or(client.seat.take());
            }
            Event::Tick => {
                self.seen.push(Seen::Tick);
                self.at(self.now + 1000, Event::Tick);
            }
        }
    }

    fn start(&mut self, host: usize, journal: Journal) {
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

    fn die(&mut self, host: usize) {
        if self.hosts[host].director.is_none() {
            return;
        }
        self.hosts[host].die();
        // The other ends notice at once: the machine resets its connections.
        for other in 0..self.hosts.len() {
            self.unlink(host, other);
        }
        self.seen.push(Seen::Died(host));
    }

    fn fault(&mut self, fault: Fault) {
        self.disturbed_at = self.now;
        match fault {
            Fault::ServerDies(server) => self.serve(server, false, true),
            Fault::ServerHangs(server) => self.serve(server, false, false),
            Fault::ServerReturns(server) => self.serve(server, true, false),
            Fault::DirectorDies(host) => self.die(host),
            Fault::DirectorStarts(host, journal) => self.start(host, journal),
            Fault::Cut(a, b) => self.way(a, b, true),
            Fault::Join(a, b) => self.way(a, b, false),
            Fault::Slow(host, by) => self.hosts[host].slow_ms = by,
            Fault::ClockJumps(host, by) => self.hosts[host].skew_ms += by,
            Fault::Order(host, server, word) => self.order(host, server, word),
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

    fn heal(&mut self) {
        for (a, b) in self.cut.clone() {
            self.way(a, b, false);
        }
        for server in 0..self.servers.len() {
            self.serve(server, true, false);
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].slow_ms = 0;
            self.start(host, Journal::Whole);
        }
        self.configure(100);
    }

    fn configure(&mut self, weight: u32) {
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

    fn serve(&mut self, server: usize, serves: bool, dead: bool) {
        let now = self.now;
        let backend = &mut self.servers[server];
        if serves && backend.dead {
            backend.incarnation += 1;
        }
        if backend.serves != serves {
            backend.since = now;
        }
        // Who is dead stays dead until it returns.
        backend.dead = !serves && (dead || backend.dead);
        backend.serves = serves;
    }

    fn way(&mut self, a: Node, b: Node, cut: bool) {
        let changed = if cut { self.cut.insert((a, b)) } else { self.cut.remove(&(a, b)) };
        if changed {
            self.way_since.insert((a, b), self.now);
            self.ways_changed_at = self.now;
        }
    }

    fn order(&mut self, host: usize, server: usize, word: u8) {
        let word = match word {
            0 => OperatorWord::Ready,
            1 => OperatorWord::Drain,
            _ => OperatorWord::Maint,
        };
        let (name, now) = (self.plan.server(server), self.hosts[host].now(self.now));
        let Some(director) = self.director(host) else { return };
        if director.handle_server_order(&name, word, "", None, now).is_ok() {
            self.servers[server].ordered_at = Some(self.now);
            self.seen.push(Seen::Ordered { host, server, word });
            self.pump(host);
        }
    }

    fn timer(&mut self, host: usize, life: u64) {
        if self.hosts[host].life != life {
            return;
        }
        let now = self.hosts[host].now(self.now);
        if let Some(director) = self.director(host) {
            director.handle_timeout(now);
        }
        self.pump(host);
        let deadline = self.director(host).and_then(|director| {
            let peers = (0..self.hosts.len()).map(|other| self.plan.director(other));
            peers.filter_map(|peer| director.next_peer_deadline(&peer, now)).min()
        });
        let wait = deadline.map_or(TIMER_MS, |at| at.0.saturating_sub(now.mono.0)).clamp(20, TIMER_MS);
        self.at(self.now + wait, Event::Timer { host, life });
    }

    /// Performs what a director wants after any input: effects, journal, messages.
    fn pump(&mut self, host: usize) {
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

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let count = match &message {
            Message::Bulk { entries, .. } | Message::Told { entries, .. } => entries.len(),
            Message::Changes { changes, .. } => changes.len(),
            _ => 0,
        };
        if count > 0 {
            self.seen.push(Seen::Records { from, count });
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

    fn frame(&mut self, from: usize, to: usize, number: u64, message: Message) {
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
    fn wires(&mut self) {
        for a in 0..self.hosts.len() {
            for b in a + 1..self.hosts.len() {
                let both = self.director(a).is_some() && self.director(b).is_some();
                let open = self.reaches(Node::Director(a), Node::Director(b));
                let now = self.now;
                let wire = self.wires.entry((a, b)).or_default();
                if wire.up && wire.heard.iter().any(|heard| now > heard + LINK_DEAD_MS) {
                    self.unlink(a, b);
                } else if !wire.up && both && open {
                    *wire = Wire { number: wire.number + 1, up: true, heard: [now; 2], ..Wire::default() };
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

    fn unlink(&mut self, a: usize, b: usize) {
        let Some(wire) = self.wires.get_mut(&(a.min(b), a.max(b))).filter(|wire| wire.up) else { return };
        wire.up = false;
        for (me, peer) in [(a, b), (b, a)] {
            let peer = self.plan.director(peer);
            if let Some(director) = self.director(me) {
                director.handle_link_down(&peer);
            }
        }
    }

    fn probe(&mut self, host: usize, life: u64, server: usize) {
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

    fn probed(&mut self, host: usize, life: u64, server: usize, look: &Look, began: u64) {
        if self.hosts[host].life != life {
            return;
        }
        let failed = self.failed_looks.entry((host, server)).or_default();
        *failed = if matches!(look.outcome, Outcome::Good(_)) { 0 } else { *failed + 1 };
        let (name, now) = (self.plan.server(server), self.hosts[host].now(self.now));
        let Some(director) = self.director(host) else { return };
        let wait = u64::try_from(director.handle_look(&name, look, now).as_millis()).unwrap_or(1000);
        self.pump(host);
        let at = (began + wait).max(self.now + 1);
        self.at(at, Event::Probe { host, life, server });
    }

    fn client(&mut self, client: usize) {
        if self.now + QUIET_MS > self.end() {
            return;
        }
        let next = self.now + self.random.within(200, 25_000);
        self.at(next, Event::Client(client));
        let up: Vec<usize> = (0..self.hosts.len()).filter(|host| self.director(*host).is_some()).collect();
        let Some(host) = self.random.pick(&up).copied() else { return };
        if self.clients[client].waits && self.random.percent(50) {
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

    fn request(&mut self, client: usize, host: usize, end: bool, answered: bool) {
        self.last_input = self.now;
        let (pool, now) = (self.plan.pool_name(), self.hosts[host].now(self.now));
        let known = self.clients[client].clone();
        let mut session = [0; 16];
        session[..8].copy_from_slice(&self.random.bits().to_le_bytes());
        session[8..].copy_from_slice(&self.random.bits().to_le_bytes());
        let Some(director) = self.director(host) else { return };
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
            let request = StartRequest {
                pool: &pool,
                key: RequestKey::Given(known.key.clone()),
                shown,
                labels: &[],
                avoid: None,
                session: SessionId(session),
            };
            let result = director.start(&request, now);
            if answered {
                let seat = result.as_ref().ok().cloned().map(Box::new);
                let at = self.now + self.random.within(1, 80);
                self.at(at, Event::Answer { client, seat });
            }
            let before = known.seat.map(Box::new);
            self.seen.push(Seen::Started { client, host, answered, before, result: Box::new(result) });
        }
        self.pump(host);
    }
}

/// The largest distance between two directors' clocks that the plan allows, in milliseconds.
#[must_use]
pub fn skew_of(world: &World) -> u64 {
    let clocks = || world.hosts.iter().filter(|it| it.director.is_some()).map(|host| host.now(world.now).time);
    let (first, last) = (clocks().min().unwrap_or(Time(0)), clocks().max().unwrap_or(Time(0)));
    u64::try_from(last.since(first).as_millis()).unwrap_or(u64::MAX)
}
