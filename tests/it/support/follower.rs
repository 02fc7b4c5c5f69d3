//! Somebody who follows the events of a director by the command line.

use serde_json::{Value, json};

use super::director::Director;
use super::process::Process;
use super::wait;

/// `maitred events --json` at one director.
pub(crate) struct Follower {
    process: Process,
}

impl Follower {
    pub(crate) fn at(director: &Director, after: Option<&str>) -> Self {
        let mut words = vec!["events", "--json"];
        words.extend(after.into_iter().flat_map(|id| ["--after", id]));
        Self { process: Process::start("maitred events", &mut director.command(&words)) }
    }

    /// Reads from now on, and is known to.
    pub(crate) fn from_now(director: &Director) -> Self {
        let follower = Self::at(director, None);
        let mut number = 0;
        wait::until("the follower hears of a session", || {
            number += 1;
            let start = json!({"pool": "ua", "key": format!("are you there {number}")});
            director.client().post_json(&director.url("/maitred/v1/sessions"), &start);
            follower.process.has_said("are you there")
        });
        follower
    }

    pub(crate) fn told(&self) -> Vec<Value> {
        self.process.words().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(crate) fn last_id(&self) -> String {
        self.told().last().unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// What it was told of the lives and resets of a key, in order: the event and everything that is the same at each director.
    pub(crate) fn told_of(&self, key: &str) -> Vec<String> {
        lives_of(&self.told(), key)
    }

    pub(crate) fn has(&self, event: &str, key: &str) -> bool {
        self.told().iter().any(|told| told["event"] == event && told["key"] == key)
    }
}

/// The same, of what somebody was told.
pub(crate) fn lives_of(told: &[Value], key: &str) -> Vec<String> {
    let lives = ["session_placed", "session_moved", "session_ended", "session_reset"];
    let of = told.iter().filter(|told| told["key"] == key && lives.iter().any(|event| told["event"] == *event));
    of.map(|told| {
        let words = ["event", "server", "generation", "session", "reason"].map(|name| match &told[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        words.join(" ")
    })
    .collect()
}
