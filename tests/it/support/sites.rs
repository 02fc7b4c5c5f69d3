//! Two datacenters with two directors and three agent servers each, every director on a host of its own.
//!
//! The test's own thread stands on the host of the clients as long as this lives; from there every director is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use hyper::Method;
use serde_json::{Value, json};

use super::agent_server::AgentServer;
use super::client::Answer;
use super::director::Director;
use super::mesh::Mesh;
use super::network::{Home, Network};
use super::plan::Plan;
use super::wait;

/// Name and datacenter of each director.
pub(crate) const DIRECTORS: [(&str, &str); 4] =
    [("east-1", "east"), ("east-2", "east"), ("west-1", "west"), ("west-2", "west")];
/// Name and datacenter of each server.
const SERVERS: [(&str, &str); 6] =
    [("ua1", "east"), ("ua2", "east"), ("ua3", "east"), ("ua4", "west"), ("ua5", "west"), ("ua6", "west")];
/// Every host of a datacenter.
pub(crate) const EAST: [&str; 3] = ["east-1", "east-2", "east-servers"];
pub(crate) const WEST: [&str; 3] = ["west-1", "west-2", "west-servers"];
const HOSTS: [(&str, [u8; 4]); 9] = [
    ("east-1", [10, 1, 0, 11]),
    ("east-2", [10, 1, 0, 12]),
    ("east-servers", [10, 1, 0, 21]),
    ("west-1", [10, 2, 0, 11]),
    ("west-2", [10, 2, 0, 12]),
    ("west-servers", [10, 2, 0, 21]),
    ("relay", [10, 8, 0, 1]),
    ("clients", [10, 9, 0, 1]),
    // Where a fresh director may come up.
    ("west-3", [10, 2, 0, 13]),
];
const PEER_PORT: u16 = 7443;

/// The datacenters. Everything ends when this is dropped.
pub(crate) struct Sites {
    directors: BTreeMap<&'static str, Director>,
    servers: BTreeMap<&'static str, AgentServer>,
    plan: Plan,
    mesh: Mesh,
    network: Network,
    /// What each key was told, so that it can be counted afterwards.
    told: BTreeMap<String, Told>,
    // Last, so that everything else ends where it was made.
    _home: Home,
}

/// What the latest start of a key was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) session: String,
    pub(crate) server: String,
    pub(crate) generation: u64,
}

/// What the directors of all tests here have in common: little patience, so that nothing takes long.
fn usual() -> Plan {
    Plan::new()
        .keeping_state()
        .with("pool", "datacenters = [\"east\", \"west\"]")
        .with("pool.health", "interval = \"300ms\"\nfast = \"150ms\"\ntimeout = \"1500ms\"")
        .with("pool.failover", "after = \"2s\"\nfailback = \"3s\"")
}

impl Sites {
    /// Servers and network; no director yet. `own` changes the plan of all directors.
    pub(crate) fn without_directors(own: impl FnOnce(Plan) -> Plan) -> Self {
        let home = Home::here();
        let network = Network::of(&HOSTS);
        network.host("clients").enter();
        let host_of = |site: &str| network.host(if site == "east" { "east-servers" } else { "west-servers" });
        let mut servers = BTreeMap::new();
        let mut plan = own(usual());
        for ((name, site), port) in SERVERS.into_iter().zip(8441..) {
            let server = AgentServer::start(name, host_of(site), port);
            plan = plan.server_on(name, server.address(), site);
            servers.insert(name, server);
        }
        let members = DIRECTORS.into_iter().chain([("west-3", "west")]);
        let members = members.map(|(name, site)| (name, site, (network.host(name).address(), PEER_PORT).into()));
        let mesh = Mesh::at(members.collect());
        Self { directors: BTreeMap::new(), servers, plan, mesh, network, told: BTreeMap::new(), _home: home }
    }

    /// The same with all four directors, linked, everything up and the east active.
    pub(crate) fn build(own: impl FnOnce(Plan) -> Plan) -> Self {
        let mut sites = Self::without_directors(own);
        DIRECTORS.iter().for_each(|(name, _)| sites.add(name, |plan| plan));
        sites.wait_until_whole();
        for (name, _) in DIRECTORS {
            assert_eq!(sites.active(name), "east", "{name}");
        }
        sites
    }

    /// Starts a director; `own` changes its plan.
    pub(crate) fn add(&mut self, name: &'static str, own: impl FnOnce(Plan) -> Plan) {
        self.add_via(name, own, |_, address| address);
    }

    /// The same where it dials a peer at another address.
    pub(crate) fn add_via(
        &mut self,
        name: &'static str,
        own: impl FnOnce(Plan) -> Plan,
        dialled: impl Fn(&str, SocketAddr) -> SocketAddr,
    ) {
        let plan = self.mesh.plan_via(name, own(self.plan.clone()), dialled).on(self.network.host(name));
        self.directors.insert(name, plan.start());
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    #[track_caller]
    pub(crate) fn director(&self, name: &str) -> &Director {
        &self.directors[name]
    }

    #[track_caller]
    pub(crate) fn director_mut(&mut self, name: &str) -> &mut Director {
        self.directors.get_mut(name).unwrap()
    }

    /// All directors that were started.
    pub(crate) fn directors(&self) -> impl Iterator<Item = (&'static str, &Director)> {
        self.directors.iter().map(|(name, director)| (*name, director))
    }

    pub(crate) fn server(&self, name: &str) -> &AgentServer {
        &self.servers[name]
    }

    pub(crate) fn server_mut(&mut self, name: &str) -> &mut AgentServer {
        self.servers.get_mut(name).unwrap()
    }

    /// Kills every server of a datacenter.
    pub(crate) fn kill_servers(&mut self, site: &str) {
        names_of(site).for_each(|name| self.server_mut(name).kill());
    }

    /// Starts every server of a datacenter that does not run.
    pub(crate) fn start_servers(&mut self, site: &str) {
        names_of(site).for_each(|name| self.server_mut(name).start_again());
    }

    /// The datacenter that a director holds to be active.
    #[track_caller]
    pub(crate) fn active(&self, at: &str) -> String {
        let director = self.director(at);
        let role = director.operator().get(&director.internal_url("/v1/pools/ua/active")).json();
        role["active"].as_str().unwrap().to_owned()
    }

    /// Waits until each of these holds this datacenter to be active.
    #[track_caller]
    pub(crate) fn wait_for_active(&self, at: &[&str], site: &str) {
        for name in at {
            wait::for_equal(&format!("the active site at {name}"), &site.to_owned(), || self.active(name));
        }
    }

    /// How often the role moved, as a director says.
    pub(crate) fn moves(&self, at: &str, cause: &str) -> usize {
        self.director(at).lines_with(&["event=\"datacenter_active\"", &format!("reason=\"{cause}\"")]).len()
    }

    /// Waits until every director that was started is linked to every other one and in step, has seen every server up itself, and
    /// all agree.
    #[track_caller]
    pub(crate) fn wait_until_whole(&self) {
        let others = self.directors.len() - 1;
        for (name, director) in self.directors() {
            wait::for_equal(&format!("links of {name} that stand and are in step"), &others, || {
                let peers = director.operator().get(&director.internal_url("/v1/peers")).json();
                let peers = peers["peers"].as_array().unwrap();
                peers.iter().filter(|peer| peer["state"] == "linked" && peer["in_step"] == true).count()
            });
            wait::for_equal(&format!("servers that {name} has seen up"), &SERVERS.len(), || {
                let servers = director.operator().get(&director.internal_url("/v1/servers")).json();
                let good = |server: &&Value| server["last_look"]["good"] == true && server["verdict"]["state"] == "up";
                servers["servers"].as_array().unwrap().iter().filter(good).count()
            });
        }
        wait::for_equal("active sites", &1, || {
            self.directors.keys().map(|name| self.active(name)).collect::<BTreeSet<_>>().len()
        });
    }

    /// A start of a program, by its key alone. What it is told is remembered, to be counted.
    #[track_caller]
    pub(crate) fn start(&mut self, at: &str, key: &str) -> Told {
        let told = self.try_start(at, key).unwrap_or_else(|why| panic!("{key} at {at}: {why}"));
        self.told.insert(key.to_owned(), told.clone());
        told
    }

    /// The same; says why there is no seat.
    pub(crate) fn try_start(&self, at: &str, key: &str) -> Result<Told, String> {
        let answer = self.try_ask(at, key)?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        let seat = answer.json();
        let told = Told {
            session: seat["session"].as_str().unwrap().to_owned(),
            server: seat["server"]["name"].as_str().unwrap().to_owned(),
            generation: seat["generation"].as_u64().unwrap(),
        };
        assert!(self.server(&told.server).lives(), "{key} was sent to {}, which does not live", told.server);
        Ok(told)
    }

    /// A start of a program, whatever is answered; it is not counted.
    #[track_caller]
    pub(crate) fn ask(&self, at: &str, key: &str) -> Answer {
        self.try_ask(at, key).unwrap_or_else(|why| panic!("{key} at {at}: {why}"))
    }

    fn try_ask(&self, at: &str, key: &str) -> Result<Answer, String> {
        let director = self.director(at);
        let url = director.url("/maitred/v1/sessions");
        let wanted = json!({"pool": "ua", "key": key}).to_string();
        director.client().try_send(Method::POST, &url, &[("content-type", "application/json")], &wanted)
    }

    /// A key that each side of a cut seats, until all directors know after the heal that the west has it: what the east was told, and
    /// lost.
    #[track_caller]
    pub(crate) fn seat_twice(&mut self, key: &str) -> Told {
        self.network().cut(&EAST, &WEST);
        self.wait_for_active(&["west-1", "west-2"], "west");
        let (lost, won) = (self.start("east-1", key), self.start("west-1", key));
        assert_eq!((site_of(&lost.server), site_of(&won.server)), ("east", "west"));
        // The later seat is of a higher generation, so that nobody has to wait for the reset.
        let to = names_of("west").find(|server| *server != won.server).unwrap();
        let order = json!({"server": to, "reason": "test"});
        self.order("west-1", Method::PUT, &format!("/v1/sessions/ua/{key}/server"), &order);
        self.network().heal();
        self.wait_until_whole();
        for (at, _) in DIRECTORS {
            let server = || self.known(at, key).map(|told| told.server);
            wait::for_equal(&format!("the server at {at}"), &Some(to.to_owned()), server);
        }
        lost
    }

    /// So many sessions, at these directors in turn.
    #[track_caller]
    pub(crate) fn crowd(&mut self, at: &[&str], name: &str, count: usize) {
        for (number, at) in (0..count).zip(at.iter().cycle()) {
            self.start(at, &format!("{name}-{number}"));
        }
    }

    /// An operator's order at a director.
    #[track_caller]
    pub(crate) fn order(&self, at: &str, method: Method, path: &str, body: &Value) -> Value {
        let director = self.director(at);
        let json = [("content-type", "application/json")];
        let answer = director.operator().send(method, &director.internal_url(path), &json, &body.to_string());
        assert!((200..300).contains(&answer.status), "{path} at {at}: {answer:?}");
        answer.json()
    }

    /// How often the role moved in the eyes of a director.
    pub(crate) fn all_moves(&self, at: &str) -> Vec<String> {
        self.director(at).lines_with(&["event=\"datacenter_active\""])
    }

    /// What a director knows of a key, without creating anything.
    pub(crate) fn known(&self, at: &str, key: &str) -> Option<Told> {
        let director = self.director(at);
        let answer = director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}")));
        let seat = (answer.status == 200).then(|| answer.json())?;
        Some(Told {
            session: seat["session"].as_str()?.to_owned(),
            server: seat["server"].as_str()?.to_owned(),
            generation: seat["generation"].as_u64()?,
        })
    }

    /// The state of a session at a director; null when it knows none.
    pub(crate) fn state(&self, at: &str, key: &str) -> Value {
        let director = self.director(at);
        let answer = director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}")));
        if answer.status == 200 { answer.json()["state"].clone() } else { Value::Null }
    }

    /// No longer counts a session; what it was told last.
    #[track_caller]
    pub(crate) fn forget(&mut self, key: &str) -> Told {
        self.told.remove(key).unwrap()
    }

    /// The sessions that were told so far.
    pub(crate) fn told(&self) -> &BTreeMap<String, Told> {
        &self.told
    }

    /// Counts: waits until each of these directors knows every session, where it was told last.
    #[track_caller]
    pub(crate) fn wait_until_all_are_known(&self, at: &[&str]) {
        for name in at {
            for (key, told) in &self.told {
                wait::for_equal(&format!("{key} is known at {name}"), &Some(told.clone()), || self.known(name, key));
            }
        }
    }

    /// Every session is started again at this director and stays where it was.
    #[track_caller]
    pub(crate) fn nobody_moves(&self, at: &str) {
        for (key, told) in &self.told {
            let now = self.try_start(at, key).unwrap_or_else(|why| panic!("{key} at {at}: {why}"));
            assert_eq!(now, *told, "{key} at {at}");
        }
    }
}

/// The servers of a datacenter.
pub(crate) fn names_of(site: &str) -> impl Iterator<Item = &'static str> {
    SERVERS.into_iter().filter(move |(_, home)| *home == site).map(|(name, _)| name)
}

/// The datacenter of a server.
#[track_caller]
pub(crate) fn site_of(server: &str) -> &'static str {
    SERVERS.into_iter().find(|(name, _)| *name == server).map(|(_, site)| site).unwrap()
}
