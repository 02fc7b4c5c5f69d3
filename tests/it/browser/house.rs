//! Agent servers and a director of one site, and pages of the same and of another site that embed them.

use crate::support::certificates::{FRONT, SITE_FRONT};
use crate::support::desk::{Desk, Handover};
use crate::support::director::Director;
use crate::support::plan::Plan;
use crate::support::stub::StubServer;

/// Routes by both names of the director: that of the site, and the one that the tests' own clients use.
pub(super) fn route() -> String {
    format!("route = [{{ host = \"{SITE_FRONT}\", path = \"/\" }}, {{ host = \"{FRONT}\", path = \"/\" }}]")
}

/// Desks and a director that has seen them.
pub(super) struct House {
    pub(super) desks: Vec<Desk>,
    pub(super) director: Director,
}

impl House {
    /// Three desks; `lines` are the pool's, `end` stands behind everything.
    pub(super) fn open(handover: Handover, lines: &str, end: &str) -> Self {
        Self::of(&["ua1", "ua2", "ua3"], handover, lines, end)
    }

    pub(super) fn of(names: &[&str], handover: Handover, lines: &str, end: &str) -> Self {
        let desks: Vec<Desk> = names.iter().map(|name| Desk::start(name, handover)).collect();
        let lines = format!("{}\n{}\n{lines}", route(), handover.line());
        let plan = Plan::new().with("pool", &lines).with("end", end);
        let director = desks.iter().fold(plan, |plan, desk| desk.join(plan)).start();
        let house = Self { desks, director };
        for desk in &house.desks {
            desk.set_front(&house.url(""));
        }
        house.director.wait_for_usable(names);
        house
    }

    /// The director under the site's name.
    pub(super) fn url(&self, path: &str) -> String {
        format!("https://{SITE_FRONT}:{}{path}", self.director.ports().public)
    }

    /// What operators are shown of a session: who ended it, else its state; empty when there is none.
    pub(super) fn word_of(&self, key: &str) -> String {
        let url = self.director.internal_url(&format!("/v1/sessions/ua/{key}"));
        let shown = self.director.operator().get(&url).json();
        let word = shown["ended_by"].as_str().or(shown["state"].as_str());
        word.unwrap_or_default().to_owned()
    }

    pub(super) fn desk(&mut self, name: &str) -> &mut Desk {
        self.desks.iter_mut().find(|desk| desk.name() == name).unwrap_or_else(|| panic!("no desk {name}"))
    }
}

/// The address of a page of this stub under a name of the caller's choice.
pub(super) fn page_at(name: &str, stub: &StubServer, path: &str) -> String {
    format!("https://{name}:{}{path}", stub.port())
}
