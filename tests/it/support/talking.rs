//! An agent server that talks: it sends beats over mutual TLS, says who has logged in, and resets what it is told to.
//!
//! Everything it says, it says when the test tells it to. What it holds is what the test says that clients did.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use serde_json::{Value, json};

use super::certificates;
use super::client::{Answer, Client};
use super::director::Director;
use super::plan::Plan;
use super::stub::StubServer;

/// The servers whose certificates the tests have: `ua1` to `ua4`.
pub(crate) const TALKING: usize = 4;

/// The server: its pages and health, and its own voice.
pub(crate) struct TalkingServer {
    pub(crate) stub: StubServer,
    name: String,
    life: u32,
    client: Client,
    held: BTreeMap<String, Value>,
    seq: u64,
    asked_for_list: bool,
    /// The link that the director knows as `aes`.
    aes: Option<bool>,
    /// Members of its beats besides.
    pub(crate) says: BTreeMap<&'static str, Value>,
    done: Vec<String>,
    obeyed: BTreeSet<String>,
    /// The orders that it has carried out, in order.
    pub(crate) resets: Vec<Value>,
}

impl TalkingServer {
    pub(crate) fn start(name: &str) -> Self {
        let client = Client::trusting(&certificates::shared(), Some(&format!("client-{name}")));
        Self {
            stub: StubServer::start(name),
            name: name.to_owned(),
            life: 1,
            client,
            held: BTreeMap::new(),
            seq: 1,
            asked_for_list: true,
            aes: None,
            says: BTreeMap::new(),
            done: Vec::new(),
            obeyed: BTreeSet::new(),
            resets: Vec::new(),
        }
    }

    /// A plan with these servers, each of which may speak for itself.
    pub(crate) fn plan(servers: &[&Self]) -> Plan {
        let identity =
            |san: &str, role: &str| format!("[[listen.internal.identity]]\nsan = \"{san}\"\nrole = {role}\n");
        let own = |name: &str| identity(&format!("{name}.test"), &format!("\"server\"\nserver = \"{name}\""));
        let voices: String = servers.iter().map(|server| own(&server.name)).collect();
        Plan::new()
            .stubs(servers.iter().map(|server| &server.stub))
            .with("pool", "beats = true")
            .with("end", &(voices + &identity("operator.maitred.internal", "\"operator\"")))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn life(&self) -> String {
        format!("boot-{}", self.life)
    }

    /// Its process dies.
    pub(crate) fn die(&mut self) {
        self.stub.stop();
    }

    /// Another process of it starts, which knows nothing.
    pub(crate) fn come_back(&mut self) {
        self.stub.restart();
        (self.life, self.seq, self.asked_for_list) = (self.life + 1, 1, true);
        self.held.clear();
        self.done.clear();
    }

    /// A client came with the ticket of this seat.
    pub(crate) fn take_in(&mut self, seat: &Value) {
        let key = seat["key"].as_str().unwrap().to_owned();
        let held = json!({"key": key, "session": seat["session"], "generation": seat["generation"], "via": "ticket"});
        self.held.insert(key, held);
        self.seq += 1;
    }

    /// A client came by itself.
    pub(crate) fn walk_in(&mut self, key: &str) {
        self.held.insert(key.to_owned(), json!({"key": key, "via": "self"}));
        self.seq += 1;
    }

    /// A client is gone.
    pub(crate) fn lose(&mut self, key: &str) {
        self.held.remove(key);
        self.seq += 1;
    }

    pub(crate) fn holds(&self, key: &str) -> bool {
        self.held.contains_key(key)
    }

    /// Its telephony link works, or does not.
    pub(crate) fn link(&mut self, works: bool) {
        self.aes = Some(works);
    }

    /// One beat; the answer.
    #[track_caller]
    pub(crate) fn beat(&mut self, director: &Director) -> Value {
        let mut beat = json!({
            "incarnation": self.life(), "sessions": self.held.len(), "held_seq": self.seq, "done": self.done,
        });
        if self.asked_for_list {
            beat["held"] = self.held.values().cloned().collect();
        }
        if let Some(works) = self.aes {
            beat["depends"] = json!({"aes": if works { "up" } else { "down" }});
        }
        for (member, value) in &self.says {
            beat[*member] = value.clone();
        }
        let path = format!("/v1/servers/{}/heartbeat", self.name);
        let answer = self.say(director, Method::PUT, &path, &beat);
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        self.asked_for_list = answer["need_held"] == true;
        // What no answer brings any more needs not be named any more.
        let open: BTreeSet<&str> = orders(&answer).iter().filter_map(|order| order["id"].as_str()).collect();
        self.done.retain(|id| open.contains(id.as_str()));
        answer
    }

    /// Beats until the director has the list that stands, and returns the answer to the last beat.
    #[track_caller]
    pub(crate) fn beat_with_list(&mut self, director: &Director) -> Value {
        for _ in 0..3 {
            let answer = self.beat(director);
            if answer["need_held"] == false {
                return answer;
            }
        }
        panic!("{} is asked for its list again and again", self.name);
    }

    /// Resets what an answer orders; how many sessions that was.
    pub(crate) fn obey(&mut self, answer: &Value) -> usize {
        let before = self.resets.len();
        for order in orders(answer) {
            let id = order["id"].as_str().unwrap().to_owned();
            // An order that comes again was carried out already: it is named again, and nothing is reset.
            if self.obeyed.insert(id.clone()) {
                self.lose(order["reset"].as_str().unwrap());
                self.resets.push(order.clone());
            }
            self.done.push(id);
        }
        self.resets.len() - before
    }

    /// `POST …/confirm` of a session that it holds.
    #[track_caller]
    pub(crate) fn confirm(&mut self, director: &Director, key: &str, agent: Option<&str>) -> Value {
        let held = self.held[key].clone();
        let mut word = json!({"server": self.name, "incarnation": self.life(), "generation": held["generation"]});
        if let Some(agent) = agent {
            word["agent"] = agent.into();
        }
        let path = session_path(key, "confirm", &held);
        let answer = self.say(director, Method::POST, &path, &word);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// `POST …/end`.
    pub(crate) fn end(&mut self, director: &Director, key: &str) -> Answer {
        let held = self.held[key].clone();
        self.lose(key);
        let word = json!({"server": self.name, "incarnation": self.life(), "generation": held["generation"]});
        self.say(director, Method::POST, &session_path(key, "end", &held), &word)
    }

    /// `PUT …/state`.
    pub(crate) fn leave_state(&mut self, director: &Director, key: &str, state: &Value) -> Answer {
        let held = self.held[key].clone();
        let word = json!({
            "server": self.name, "incarnation": self.life(), "generation": held["generation"], "state": state,
        });
        self.say(director, Method::PUT, &session_path(key, "state", &held), &word)
    }

    /// `GET …/state`.
    pub(crate) fn read_state(&mut self, director: &Director, key: &str) -> Answer {
        self.client.get(&director.internal_url(&format!("/v1/sessions/ua/{key}/state")))
    }

    /// What the director says that a ticket states.
    #[track_caller]
    pub(crate) fn verify(&mut self, director: &Director, ticket: &Value) -> Value {
        let answer = self.say(director, Method::POST, "/v1/tickets/verify", &json!({"ticket": ticket}));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) fn say(&mut self, director: &Director, method: Method, path: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.client.send(method, &director.internal_url(path), &json, &body.to_string())
    }
}

/// The orders of an answer.
pub(crate) fn orders(answer: &Value) -> &[Value] {
    answer["orders"].as_array().map_or(&[], Vec::as_slice)
}

fn session_path(key: &str, what: &str, held: &Value) -> String {
    let session = held["session"].as_str().map(|session| format!("?session={session}")).unwrap_or_default();
    format!("/v1/sessions/ua/{key}/{what}{session}")
}
