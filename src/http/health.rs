//! `/health/live`, `/health/ready`, `/health/active`: for balancers, DNS and orchestrators.
//!
//! Answered from memory, nearly always from the view alone: never asks a store, a peer or a server (a liveness that asked its store
//! once made seven minutes into fifty-three). The first word is the verdict: `ok`, `degraded` or `no`.

use actix_http::header::{ALLOW, HeaderValue};
use actix_http::{Method, StatusCode};
use maitred_core::ids::PoolName;
use maitred_core::view::{PoolView, View};

use crate::http::ask::Ask;
use crate::http::edge::Edge;
use crate::http::problem::Problem;
use crate::http::query::{Parameter, parameter};
use crate::http::reply::{self, Reply};

const MEDIA_TYPE: &str = "text/plain; charset=utf-8";
const METHODS: &str = "GET, HEAD, OPTIONS";

/// What a health endpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    word: Word,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Ok,
    Degraded,
    No,
}

impl Health {
    fn new(word: Word, reason: impl Into<String>) -> Self {
        Self { word, reason: reason.into() }
    }

    /// 200, or 503 for `no`; `strict` makes `degraded` a no as well.
    #[must_use]
    pub fn status(&self, strict: bool) -> StatusCode {
        match self.word {
            Word::Ok => StatusCode::OK,
            Word::Degraded if !strict => StatusCode::OK,
            Word::Degraded | Word::No => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// `ok`, `degraded` or `no`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.word {
            Word::Ok => "ok",
            Word::Degraded => "degraded",
            Word::No => "no",
        }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// One line: the word and the reason.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}\n", self.word(), self.reason)
    }
}

/// What `/health/ready` says of all pools.
#[must_use]
pub fn readiness(edge: &Edge) -> Health {
    let view = edge.director.view();
    let pools: Vec<&PoolView> = view.pools().map(AsRef::as_ref).collect();
    ready(edge, &pools)
}

/// Answers below `/health/`.
#[must_use]
pub fn answer(ask: &Ask<'_>, endpoint: &str) -> Reply {
    let known = matches!(endpoint, "live" | "ready" | "active");
    match ask.head.method {
        _ if !known => return ask.refuse(&Problem::NotFound, None),
        Method::OPTIONS => {
            let mut reply = reply::empty(StatusCode::OK);
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
            return reply;
        }
        Method::GET | Method::HEAD => {}
        _ => return ask.refuse(&Problem::Method { allow: METHODS }, None),
    }
    let view = ask.edge.director.view();
    let asked = match asked_pools(ask, &view) {
        Ok(asked) => asked,
        Err(problem) => return reply::problem(&problem, ask.id.as_str()),
    };
    let health = match endpoint {
        "live" => live(),
        "ready" => ready(ask.edge, &asked),
        _ if ask.edge.is_stopping() => Health::new(Word::No, "stopping"),
        _ => active(&view, &asked),
    };
    let strict = matches!(parameter(ask.target.query, "strict"), Parameter::One(value) if value == "1");
    reply::full(health.status(strict), MEDIA_TYPE, health.line())
}

/// The pools that are asked about: the one that is named, else all.
fn asked_pools<'v>(ask: &Ask<'_>, view: &'v View) -> Result<Vec<&'v PoolView>, Problem> {
    match parameter(ask.target.query, "pool") {
        Parameter::Absent => Ok(view.pools().map(AsRef::as_ref).collect()),
        Parameter::One(name) => {
            let name = PoolName::parse(&name).map_err(|_| Problem::NotFound)?;
            view.pool(&name).map(|pool| vec![pool.as_ref()]).ok_or(Problem::NotFound)
        }
        Parameter::Repeated | Parameter::NotText => Err(Problem::malformed("pool", "must be given once")),
    }
}

/// The process runs: that it answers is the evidence.
fn live() -> Health {
    Health::new(Word::Ok, "running")
}

/// Whether a balancer should send callers here. A total outage keeps the door open, because the page that explains it is behind
/// this door.
fn ready(edge: &Edge, pools: &[&PoolView]) -> Health {
    if edge.is_stopping() {
        return Health::new(Word::No, "stopping");
    }
    if edge.is_cold() {
        return Health::new(Word::No, "cold: not synchronised with a peer yet");
    }
    if let Some(health) = passive(edge, pools) {
        return health;
    }
    match (unseatable(pools), edge.journal_trouble()) {
        (names, _) if !names.is_empty() => Health::new(Word::Degraded, format!("no server accepts sessions: {names}")),
        (_, Some(trouble)) => Health::new(Word::Degraded, format!("the journal is not written: {}", trouble.as_str())),
        (_, None) => Health::new(Word::Ok, "ready"),
    }
}

/// What is to be said where this director leaves all the pools to the active datacenter: look elsewhere, if somebody is there. With
/// nobody there the door stays open, for who comes back and for the page. With other pools to serve nothing is wrong here:
/// whoever goes by one pool asks about that one.
fn passive(edge: &Edge, pools: &[&PoolView]) -> Option<Health> {
    let view = edge.director.view();
    let refused = pools.iter().all(|pool| pool.refuses_in(&view.settings().datacenter));
    let first = pools.first().filter(|_| refused)?;
    let peers = edge.director.peers(edge.clock.now());
    let answers = |pool: &PoolView| peers.iter().any(|peer| peer.linked && peer.datacenter == pool.role().active);
    let word = if pools.iter().all(|pool| answers(pool)) { Word::No } else { Word::Degraded };
    let (active, name) = (&first.role().active, &first.settings().name);
    Some(Health::new(word, format!("passive: {active} is active for {name}, new sessions are refused here")))
}

/// Whether this datacenter is the active one and can seat, in all the pools that are asked about.
fn active(view: &View, pools: &[&PoolView]) -> Health {
    let here = &view.settings().datacenter;
    for pool in pools {
        let (name, active) = (&pool.settings().name, &pool.role().active);
        if active != here {
            return Health::new(Word::No, format!("passive: {active} is active for {name}"));
        }
        if !pool.can_seat_in(here) {
            return Health::new(Word::No, format!("active, but no server accepts sessions: {name}"));
        }
    }
    Health::new(Word::Ok, format!("active: {here}"))
}

fn unseatable(pools: &[&PoolView]) -> String {
    let names: Vec<&str> =
        pools.iter().filter(|pool| !pool.can_seat()).map(|pool| pool.settings().name.as_str()).collect();
    names.join(", ")
}
