//! What desks tell their director, and what they are told: spoken by the test in their names.

use serde_json::{Value, json};

use super::house::House;
use crate::support::browser::Browser;

/// The first run of each desk.
const INCARNATION: &str = "boot-1";

/// A session as the desk that has it knows it from the ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) server: String,
    pub(super) key: String,
    pub(super) session: String,
    pub(super) generation: u64,
}

impl Seat {
    pub(super) fn shown(browser: &mut Browser) -> Self {
        let server = browser.wait_for_text("#server", |text| !text.is_empty());
        let mut text = |selector: &str| browser.text(selector).unwrap();
        let generation = text("#generation").parse().unwrap();
        Self { server, key: text("#key"), session: text("#session"), generation }
    }

    fn listed(&self) -> Value {
        json!({ "key": self.key, "session": self.session, "generation": self.generation })
    }
}

impl House {
    pub(super) fn put(&self, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        let url = self.director.internal_url(path);
        let answer = self.director.operator().send(hyper::Method::PUT, &url, &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// A beat of this desk, which lists what it has; the orders in the answer.
    pub(super) fn beat(&self, server: &str, held: &[&Seat], done: &[Value]) -> Vec<Value> {
        let held: Vec<Value> = held.iter().map(|seat| seat.listed()).collect();
        let beat = json!({ "incarnation": INCARNATION, "held": held, "held_seq": 1, "done": done });
        let answer = self.put(&format!("/v1/servers/{server}/heartbeat"), &beat);
        answer["orders"].as_array().unwrap().clone()
    }

    /// The desk says that the agent has logged in.
    pub(super) fn confirm(&self, seat: &Seat, agent: &str) -> Value {
        let url = self.director.internal_url(&format!("/v1/sessions/ua/{}/confirm?session={}", seat.key, seat.session));
        let word = json!({
            "server": seat.server, "incarnation": INCARNATION, "generation": seat.generation, "agent": agent,
        });
        let answer = self.director.operator().post_json(&url, &word);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// What the desk leaves for the agent of this session.
    pub(super) fn leave(&self, seat: &Seat, state: &str) {
        let word = json!({
            "server": seat.server, "incarnation": INCARNATION, "generation": seat.generation, "state": state,
        });
        self.put(&format!("/v1/sessions/ua/{}/state?session={}", seat.key, seat.session), &word);
    }

    /// What is there for the agent of this session: status and state.
    pub(super) fn left(&self, seat: &Seat) -> (u16, Value) {
        let path = format!("/v1/sessions/ua/{}/state?server={}", seat.key, seat.server);
        let answer = self.director.operator().get(&self.director.internal_url(&path));
        (answer.status, if answer.status == 200 { answer.json()["state"].clone() } else { Value::Null })
    }
}
