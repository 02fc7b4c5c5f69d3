//! An agent server that does what `docs/server-integration.md` asks of its developer: takes tickets, binds them to sessions of its own,
//! and sends whoever has neither to the front address. Never an error page.
//!
//! It verifies with the published keys alone, by code that shares nothing with the director's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;

use super::certificates::SITE;
use super::client::Client;
use super::plan::Plan;
use super::stub::{Asked, StubServer, Told};

const TICKET: &str = "maitred_ticket";
/// The server's own cookie.
const OWN: &str = "__Host-desk";
/// Seconds that clocks may differ.
const LEEWAY: u64 = 30;

/// How tickets come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    Query,
    Cookie,
    None,
}

impl Handover {
    /// The pool's line for it.
    pub(crate) fn line(self) -> String {
        match self {
            Self::Query => "handover = \"query\"".to_owned(),
            Self::Cookie => format!("handover = \"cookie\"\nhandover_domain = \"{SITE}\""),
            Self::None => "handover = \"none\"".to_owned(),
        }
    }
}

/// One agent server under `<name>.desk.test`.
pub(crate) struct Desk {
    stub: StubServer,
    memory: Arc<Memory>,
}

struct Memory {
    name: String,
    handover: Handover,
    /// The directors' address, as its own configuration would say; empty until they are known.
    front: Mutex<String>,
    keys: Mutex<BTreeMap<String, Vec<u8>>>,
    taken: Mutex<BTreeSet<String>>,
    /// Its own sessions, by the value of its cookie.
    sessions: Mutex<BTreeMap<String, Own>>,
    /// Keys that it does not want: their browsers are sent back.
    refused: Mutex<BTreeSet<String>>,
    /// Shown on each page.
    fragment: Mutex<String>,
    /// Tells its own sessions apart, over restarts too.
    numbers: Mutex<u32>,
}

/// A session of its own.
#[derive(Debug, Clone, Default)]
struct Own {
    /// The director's words, empty without tickets.
    session: String,
    key: String,
    generation: u64,
    visits: u32,
    /// What the person typed into it.
    notes: String,
}

/// What a ticket says when it is good.
struct Statement {
    session: String,
    key: String,
    generation: u64,
    jti: String,
}

enum Faulty {
    /// Authentic and too old: with the way back.
    Expired(Option<String>),
    Worthless,
}

impl Faulty {
    fn way_back(&self, front: &str) -> String {
        match self {
            Self::Expired(Some(back)) => back.clone(),
            Self::Expired(None) | Self::Worthless => front.to_owned(),
        }
    }
}

impl Desk {
    pub(crate) fn start(name: &str, handover: Handover) -> Self {
        let memory = Arc::new(Memory {
            name: name.to_owned(),
            handover,
            front: Mutex::default(),
            keys: Mutex::default(),
            taken: Mutex::default(),
            sessions: Mutex::default(),
            refused: Mutex::default(),
            fragment: Mutex::default(),
            numbers: Mutex::default(),
        });
        let (stub, shared) = (StubServer::start(name), Arc::clone(&memory));
        stub.answer_by(move |asked| shared.answer(asked));
        Self { stub, memory }
    }

    pub(crate) fn name(&self) -> &str {
        self.stub.name()
    }

    pub(crate) fn port(&self) -> u16 {
        self.stub.port()
    }

    /// Its origin as browsers see it.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}.{SITE}:{}", self.stub.name(), self.stub.port())
    }

    /// The same with it as a server of the plan.
    pub(crate) fn join(&self, plan: Plan) -> Plan {
        plan.server_at(self.name(), &self.origin(), self.stub.port())
    }

    /// Tells it where the directors are.
    pub(crate) fn set_front(&self, front: &str) {
        front.clone_into(&mut self.memory.front.lock().unwrap());
    }

    /// Shows this on each page.
    pub(crate) fn show(&self, html: &str) {
        html.clone_into(&mut self.memory.fragment.lock().unwrap());
    }

    /// Sends the browsers of this key back, although its health is good.
    pub(crate) fn refuse(&self, key: &str) {
        self.memory.refused.lock().unwrap().insert(key.to_owned());
    }

    /// Wants everybody again.
    pub(crate) fn relent(&self) {
        self.memory.refused.lock().unwrap().clear();
    }

    /// Loses its sessions and goes on, as an application does that times them out.
    pub(crate) fn forget(&self) {
        self.memory.sessions.lock().unwrap().clear();
    }

    pub(crate) fn stop(&mut self) {
        self.stub.stop();
    }

    pub(crate) fn restart(&mut self) {
        self.stub.restart();
    }
}

impl Memory {
    fn answer(&self, asked: &Asked) -> Option<Told> {
        if asked.path() == "/favicon.ico" {
            return Some(Told { status: 404, headers: Vec::new(), body: String::new() });
        }
        let query: Vec<&str> = asked.query().split('&').filter(|pair| !pair.starts_with(TICKET)).collect();
        let query = if query.concat().is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let clean = format!("{}{query}", asked.path());
        let front = format!("{}{clean}", self.front.lock().unwrap());
        let own = asked.cookies(OWN).first().map(|value| (*value).to_owned());
        let own = own.filter(|value| self.sessions.lock().unwrap().contains_key(value));
        if self.handover == Handover::None {
            // It knows nothing of directors: whoever comes gets a session, and `agent` is who says to be it.
            let key = asked.parameters("agent").first().map_or_else(String::new, |key| (*key).to_owned());
            return Some(match own {
                _ if self.refuses(&key) => Told::see_other(&front),
                Some(own) => self.page(&own, asked),
                None => {
                    let own = self.bind(&Statement { session: String::new(), key, generation: 0, jti: String::new() });
                    self.page(&own, asked).with("set-cookie", own_cookie(&own))
                }
            });
        }
        if self.handover == Handover::Cookie {
            return Some(self.by_cookie(asked, own, &clean, &front));
        }
        let told = match asked.parameters(TICKET).as_slice() {
            [] => match own {
                Some(own) => return Some(self.page(&own, asked)),
                None => Told::see_other(&front),
            },
            [ticket] => match self.take(ticket, own.as_deref()) {
                Ok(own) => Told::see_other(&clean).with("set-cookie", own_cookie(&own)),
                Err(_) if own.is_some() => Told::see_other(&clean),
                Err(faulty) => Told::see_other(&faulty.way_back(&front)),
            },
            _ => Told::see_other(&front),
        };
        Some(told.with("referrer-policy", "no-referrer".to_owned()))
    }

    /// The address is clean already, so whoever is bound gets the page at once. Several tickets come where a browser keeps one for each
    /// embedding site and one for none.
    fn by_cookie(&self, asked: &Asked, own: Option<String>, clean: &str, front: &str) -> Told {
        let mut way_back = front.to_owned();
        for ticket in asked.cookies(TICKET) {
            match self.take(ticket, own.as_deref()) {
                Ok(own) => {
                    let mut told = Told::see_other(clean).with("set-cookie", own_cookie(&own));
                    for kind in ["SameSite=Lax", "SameSite=None; Partitioned"] {
                        let cleared = format!("{TICKET}=; Domain={SITE}; Path=/; Max-Age=0; Secure; HttpOnly; {kind}");
                        told = told.with("set-cookie", cleared);
                    }
                    return told;
                }
                Err(faulty) => way_back = faulty.way_back(front),
            }
        }
        match own {
            Some(own) => self.page(&own, asked),
            None => Told::see_other(&way_back),
        }
    }

    /// Binds what a good, new ticket states to a session of its own, or to the one that it is bound to already.
    fn take(&self, ticket: &str, own: Option<&str>) -> Result<String, Faulty> {
        let statement = self.verify(ticket)?;
        if self.refuses(&statement.key) || !self.taken.lock().unwrap().insert(statement.jti.clone()) {
            return Err(Faulty::Worthless);
        }
        Ok(match own {
            Some(own) if self.is_bound_to(own, &statement) => own.to_owned(),
            _ => self.bind(&statement),
        })
    }

    fn refuses(&self, key: &str) -> bool {
        self.refused.lock().unwrap().contains(key)
    }

    fn is_bound_to(&self, own: &str, statement: &Statement) -> bool {
        let sessions = self.sessions.lock().unwrap();
        let bound = &sessions[own];
        bound.session == statement.session && bound.generation >= statement.generation
    }

    /// A session of its own for what a ticket states; the value of its cookie.
    fn bind(&self, statement: &Statement) -> String {
        let mut number = self.numbers.lock().unwrap();
        *number += 1;
        let own = format!("{}-{number}", self.name);
        let (session, key) = (statement.session.clone(), statement.key.clone());
        let bound = Own { session, key, generation: statement.generation, ..Own::default() };
        self.sessions.lock().unwrap().insert(own.clone(), bound);
        own
    }

    /// Who serves, which session, and what is in its memory.
    fn page(&self, own: &str, asked: &Asked) -> Told {
        let mut sessions = self.sessions.lock().unwrap();
        let bound = sessions.get_mut(own).unwrap();
        bound.visits += 1;
        if let Some(note) = asked.parameters("note").first() {
            bound.notes.push_str(note);
        }
        Told::page(&format!(
            "<!doctype html><title>desk</title><p id=server>{}</p><p id=own>{own}</p><p id=session>{}</p><p id=key>{}</p>\
             <p id=generation>{}</p><p id=visits>{}</p><p id=notes>[{}]</p>{}",
            self.name,
            bound.session,
            bound.key,
            bound.generation,
            bound.visits,
            bound.notes,
            self.fragment.lock().unwrap()
        ))
    }

    fn verify(&self, ticket: &str) -> Result<Statement, Faulty> {
        let claims = self.authentic(ticket).ok_or(Faulty::Worthless)?;
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        if text("aud") != self.name {
            return Err(Faulty::Worthless);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if claims["exp"].as_u64().is_none_or(|exp| exp + LEEWAY <= now) {
            return Err(Faulty::Expired(claims["return"].as_str().map(str::to_owned)));
        }
        let generation = claims["generation"].as_u64().ok_or(Faulty::Worthless)?;
        Ok(Statement { session: text("session"), key: text("sub"), generation, jti: text("jti") })
    }

    /// The claims, if a published key has signed them.
    fn authentic(&self, ticket: &str) -> Option<Value> {
        let (message, signature) = ticket.rsplit_once('.')?;
        let (head, claims) = message.split_once('.')?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let head: Value = serde_json::from_slice(&decode(head)?).ok()?;
        if head["alg"] != "EdDSA" {
            return None;
        }
        let key = self.key(head["kid"].as_str()?)?;
        UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &decode(signature)?).ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }

    fn key(&self, kid: &str) -> Option<Vec<u8>> {
        let mut keys = self.keys.lock().unwrap();
        if !keys.contains_key(kid) {
            let url = format!("{}/maitred/v1/jwks.json", self.front.lock().unwrap());
            for key in Client::new().get(&url).json()["keys"].as_array()? {
                let public = BASE64_URL_SAFE_NO_PAD.decode(key["x"].as_str()?).ok()?;
                keys.insert(key["kid"].as_str()?.to_owned(), public);
            }
        }
        keys.get(kid).cloned()
    }
}

/// Sent in frames of other sites too, and kept apart for each of them.
fn own_cookie(own: &str) -> String {
    format!("{OWN}={own}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned")
}
