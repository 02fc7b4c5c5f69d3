//! The world of one run: virtual time, wires, servers, clients, and the real directors in it.
//!
//! Everything happens in order of (time, number of the event), so a seed replays to the letter. Wires between directors behave
//! as TCP does: in order, late when something is lost, gone when nothing comes through for a while. Clients' requests and
//! answers are lost and doubled.

mod agents;
mod asked;
mod clients;
mod faults;
mod probes;
mod seen;
mod skew;
mod stopped;
mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use maitred_core::director::{End, OrderId, ServerWord};
use maitred_core::entry::{EndReason, OperatorWord};
use maitred_core::event::{Effect, Event as Told};
use maitred_core::health::{Failure, FailureKind, Look, Outcome, Report};
use maitred_core::held::HeldSession;
use maitred_core::ids::{Incarnation, Key, SessionId};
use maitred_core::seating::{Refusal, RequestKey, Seat, Shown, StartRequest};
use maitred_core::wire::Message;

pub use seen::Seen;
pub use skew::{Skew, ahead_ms};

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
    Timer {
        host: usize,
        life: u64,
    },
    Probe {
        host: usize,
        life: u64,
        server: usize,
    },
    Probed {
        host: usize,
        life: u64,
        server: usize,
        look: Look,
        began: u64,
    },
    Frame {
        from: usize,
        to: usize,
        wire: u64,
        message: Box<Message>,
    },
    /// A frame that lay in the buffers of a director that was stopped while its link was given up.
    LateFrame {
        from: usize,
        to: usize,
        message: Box<Message>,
    },
    /// A director learns that a link is gone.
    Unlinked {
        host: usize,
        peer: usize,
    },
    Wires,
    Client(usize),
    Request {
        client: usize,
        host: usize,
        end: bool,
        answered: bool,
    },
    Answer {
        client: usize,
        seat: Option<Box<Seat>>,
        alternates: Vec<usize>,
    },
    Beat(usize),
    Login {
        server: usize,
        incarnation: u64,
        key: Key,
        agent: Option<Key>,
    },
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
    /// When an order about it was given last, or it said itself that it drains.
    pub ordered_at: Option<u64>,
    /// Since when it says that it drains.
    pub drains: Option<u64>,
    /// Which directors heard that from it, and when first.
    pub heard_to_drain: BTreeMap<usize, u64>,
    /// The life of its process.
    pub incarnation: u64,
    /// The sessions in its memory.
    pub held: BTreeMap<Key, HeldSession>,
    held_seq: u64,
    need_held: bool,
    /// Orders that it has carried out, and when.
    done: BTreeMap<OrderId, u64>,
}

/// A wire between two directors.
#[derive(Debug, Clone, Default)]
struct Wire {
    number: u64,
    up: bool,
    /// Since when it is up.
    since: u64,
    /// When something came through, to the lower and to the higher.
    heard: [u64; 2],
    /// When the last frame of each direction arrives.
    arrives: [u64; 2],
    free: [u64; 2],
}

#[derive(Debug, Clone)]
struct Client {
    key: Key,
    /// It has no key of its own: the director mints one.
    minted: bool,
    /// Who logs in; the key itself where it is nobody else.
    agent: Option<Key>,
    /// It goes to another server by itself when its own does not answer.
    helps_itself: bool,
    keeps_cookie: bool,
    seat: Option<Seat>,
    alternates: Vec<usize>,
    /// Where it works.
    at: Option<usize>,
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
    /// When somebody's looks at a server had failed often enough in a row, by server.
    pub fell_at: BTreeMap<usize, u64>,
    /// Keys that were ever used.
    pub keys: usize,
    random: Random,
    /// For what talking servers do, so that runs without them stay as they are.
    talk: Random,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    wires: BTreeMap<(usize, usize), Wire>,
    clients: Vec<Client>,
    /// The weight of every second server; without one it takes no new session.
    pub weight: u32,
    seen: Vec<Seen>,
    /// What has come for a director that is stopped, and when.
    waiting: BTreeMap<usize, Vec<(u64, Event)>>,
}

impl World {
    /// A world in which everything is well, before its first millisecond.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let random = Random::new(plan.seed ^ 0x5eed);
        let backend = Backend {
            serves: true,
            dead: false,
            since: 0,
            ordered_at: None,
            drains: None,
            heard_to_drain: BTreeMap::new(),
            incarnation: 1,
            held: BTreeMap::new(),
            held_seq: 0,
            need_held: false,
            done: BTreeMap::new(),
        };
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
            fell_at: BTreeMap::new(),
            keys: plan.clients,
            talk: Random::new(plan.seed ^ 0x7a1c),
            random,
            events: BTreeMap::new(),
            number: 0,
            wires: BTreeMap::new(),
            clients: Vec::new(),
            weight: 100,
            seen: Vec::new(),
            waiting: BTreeMap::new(),
            plan,
        };
        for client in 0..world.plan.clients {
            let Ok(key) = Key::parse(&format!("agent-{client}")) else { continue };
            let keeps_cookie = world.random.percent(70);
            let talks = world.plan.talks;
            let minted = talks && world.talk.percent(25);
            let agent = if minted { Key::parse(&format!("person-{}", client / 2)).ok() } else { None };
            let helps_itself = talks && world.talk.percent(50);
            world.clients.push(Client {
                key,
                minted,
                agent,
                helps_itself,
                keeps_cookie: keeps_cookie || minted,
                seat: None,
                alternates: Vec::new(),
                at: None,
                waits: false,
            });
            let at = world.random.within(1000, 20_000);
            world.at(at, Event::Client(client));
        }
        for fault in 0..world.plan.faults.len() {
            world.at(world.plan.faults[fault].0, Event::Fault(fault));
        }
        for host in 0..world.hosts.len() {
            world.start(host, Journal::Whole);
        }
        if world.plan.talks {
            for server in 0..world.servers.len() {
                let at = world.talk.within(0, agents::BEAT_MS);
                world.at(at, Event::Beat(server));
            }
        }
        world.at(0, Event::Wires);
        world.at(1000, Event::Tick);
        world
    }

    /// When the run is over.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.plan.heal_ms + self.plan.calm_ms
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

    fn at(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    fn happen(&mut self, event: Event) {
        if let Some(host) = self.sleeper(&event) {
            self.waiting.entry(host).or_default().push((self.now, event));
            return;
        }
        match event {
            Event::Fault(number) => self.fault(self.plan.faults[number].1.clone()),
            Event::Timer { host, life } => self.timer(host, life),
            Event::Probe { host, life, server } => self.probe(host, life, server),
            Event::Probed { host, life, server, look, began } => self.probed(host, life, server, &look, began),
            Event::Frame { from, to, wire, message } => self.frame(from, to, wire, *message),
            Event::LateFrame { from, to, message } => self.late_frame(from, to, *message),
            Event::Unlinked { host, peer } => self.learn_unlinked(host, peer),
            Event::Wires => self.wires(),
            Event::Client(client) => self.client(client),
            Event::Request { client, host, end, answered } => self.request(client, host, end, answered),
            Event::Answer { client, seat, alternates } => self.answered(client, seat.map(|seat| *seat), alternates),
            Event::Beat(server) => self.beat(server),
            Event::Login { server, incarnation, key, agent } => self.login(server, incarnation, &key, agent),
            Event::Tick => {
                self.seen.push(Seen::Tick);
                self.at(self.now + 1000, Event::Tick);
            }
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
}
