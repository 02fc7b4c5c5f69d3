//! Tickets at the public listener, and a browser between it and servers that do what `docs/server-integration.md` asks of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use maitred_core::clock::Time;
use maitred_core::ids::{PoolName, ServerName};
use serde_json::Value;

use super::fixture::{Fixture, HOST, config, parse};
use crate::config::{Config, Handover, Host};
use crate::credentials::TicketFault;
use crate::credentials::ticket::Claims;
use crate::http::answer::Answer;
use crate::http::query::{self, Parameter};

const TICKET: &str = "maitred_ticket";

fn with_handover(handover: Handover) -> Config {
    let mut config = config();
    config.pools.get_mut(&parse::<PoolName>("ua")).unwrap().handover = handover;
    config
}

fn fixture() -> Fixture {
    Fixture::with(&with_handover(Handover::Query))
}

fn split(url: &str) -> (&str, &str, Option<&str>) {
    let rest = url.strip_prefix("https://").unwrap_or_else(|| panic!("{url}"));
    let (host, rest) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    (host, path, query)
}

/// The one ticket of a URL.
fn ticket_of(url: &str) -> String {
    match query::parameter(split(url).2, TICKET) {
        Parameter::One(ticket) => ticket.into_owned(),
        other => panic!("{other:?} in {url}"),
    }
}

impl Fixture {
    fn verify(&self, ticket: &str, server: &str) -> Result<Claims, TicketFault> {
        let server: ServerName = parse(server);
        self.edge.tickets.verify(ticket.as_bytes(), Some(&server), self.edge.clock.wall())
    }

    /// The same statement as in a ticket, signed so long ago.
    fn aged(&self, ticket: &str, age: Duration) -> String {
        let claims = self.edge.tickets.verify(ticket.as_bytes(), None, self.edge.clock.wall()).unwrap();
        let now = self.edge.clock.now();
        let seat = self.edge.director.find(&claims.pool, &claims.sub, None, now).unwrap();
        let then = Time(self.edge.clock.wall().0 - u64::try_from(age.as_millis()).unwrap());
        self.edge.tickets.sign(&seat, [1; 16], claims.front.as_deref(), then).unwrap()
    }
}

#[test]
fn a_redirect_carries_one_ticket_for_its_server_and_keeps_the_rest() {
    let fixture = fixture();
    let answer = fixture.get("/some/path;x=1?agent=1001&maitred_ticket=stolen&b=%20%2F&maitred%5fticket=too&c=a+b");
    assert_eq!(answer.status, 302);
    let ticket = ticket_of(answer.location());
    let (_, path, query) = split(answer.location());
    assert_eq!(path, "/some/path;x=1");
    assert_eq!(query, Some(format!("agent=1001&b=%20%2F&c=a+b&maitred_ticket={ticket}").as_str()), "byte for byte");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let claims = fixture.verify(&ticket, answer.server()).unwrap();
    assert_eq!((claims.iss.as_str(), claims.pool.as_str(), claims.sub.as_str()), ("east-1", "ua", "1001"));
    assert_eq!(claims.generation.get(), 1);
    assert_eq!(
        claims.front.as_deref(),
        Some("https://agents.example.com/some/path;x=1?agent=1001&b=%20%2F&c=a+b"),
        "the way back is the address that was asked for, without a ticket"
    );
    assert_ne!(ticket_of(fixture.get("/?agent=1001").location()), ticket, "each handover has a ticket of its own");
    assert!(fixture.verify(&ticket, "iwd1").is_err());

    let post = fixture.ask_with("POST", "/x?agent=1001", &[], "a=b");
    assert_eq!((post.status, ticket_of(post.location()).is_empty()), (307, false));
    assert_eq!(ticket_of(fixture.ask("HEAD", "/x?agent=1001", &[]).location()).split('.').count(), 3);
    let other = fixture.get("/iwd?agent=1001&maitred_ticket=mine");
    assert!(
        other.location().ends_with("/iwd?agent=1001&maitred_ticket=mine"),
        "a pool without handover has no tickets"
    );
    assert_eq!(other.header("referrer-policy"), None);
}

#[test]
fn clients_that_read_get_the_ticket_as_a_member() {
    let fixture = fixture();
    let answer = fixture.ask_with("POST", "/maitred/v1/sessions", &[], r#"{"pool": "ua", "key": "1001"}"#);
    let seat = answer.json();
    let claims = fixture.verify(seat["ticket"].as_str().unwrap(), seat["server"]["name"].as_str().unwrap()).unwrap();
    assert_eq!(claims.session.to_string(), seat["session"].as_str().unwrap());
    assert_eq!(claims.front.as_deref(), Some("https://agents.example.com/"));
    assert!(!seat["server"]["url"].as_str().unwrap().contains(TICKET));
    let bearer = format!("Bearer {}", seat["token"].as_str().unwrap());
    let path = format!("/maitred/v1/sessions/{}", seat["session"].as_str().unwrap());
    let read = fixture.ask("GET", &path, &[("Authorization", &bearer)]).json();
    assert!(fixture.verify(read["ticket"].as_str().unwrap(), read["server"]["name"].as_str().unwrap()).is_ok());

    let script = "/maitred/v1/start.js?callback=cb&pool=ua&key=1001";
    let script = fixture.ask("GET", script, &[("Referer", "https://crm.example/")]);
    assert!(script.body.contains("\"ticket\":") && !script.body.contains("\"token\":"), "{}", script.body);
    let without = fixture.ask_with("POST", "/maitred/v1/sessions", &[], r#"{"pool": "iwd", "key": "1"}"#);
    assert!(without.json().get("ticket").is_none());
}

#[test]
fn a_ticket_can_travel_in_a_cookie_of_the_common_domain() {
    let domain = Host::parse("example.com").unwrap();
    let fixture = Fixture::with(&with_handover(Handover::Cookie { domain }));
    let answer = fixture.get("/x?agent=1001&maitred_ticket=stolen");
    assert!(answer.location().ends_with("/x?agent=1001"), "{}", answer.location());
    let cookies: Vec<&str> =
        answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    let line = cookies.iter().find_map(|line| line.strip_prefix("maitred_ticket=")).unwrap();
    let (ticket, attributes) = line.split_once("; ").unwrap();
    assert_eq!(attributes, "Domain=example.com; Path=/; Max-Age=90; Secure; HttpOnly; SameSite=None; Partitioned");
    assert!(fixture.verify(ticket, answer.server()).is_ok());
    let ahead = fixture.ask("HEAD", "/x?agent=1001", &[]);
    assert_eq!(ahead.header("set-cookie"), None, "who only looks is given nothing");
}

#[test]
fn servers_find_the_keys_at_a_fixed_place() {
    let fixture = fixture();
    let answer = fixture.get("/maitred/v1/jwks.json");
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let key = &answer.json()["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&"OKP".into(), &"Ed25519".into(), &"EdDSA".into()));
    let ticket = ticket_of(fixture.get("/?agent=1").location());
    let decode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    let (message, signature) = ticket.rsplit_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(message.split('.').next().unwrap())).unwrap();
    assert_eq!(header["kid"], key["kid"]);
    let public = decode(key["x"].as_str().unwrap());
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
    assert!(key.verify(message.as_bytes(), &decode(signature)).is_ok(), "by what is published alone");
    assert_eq!(fixture.ask("POST", "/maitred/v1/jwks.json", &[]).status, 405);
}

/// A browser with its cookies, and servers that follow the three rules for a ticket.
struct Browser<'a> {
    fixture: &'a Fixture,
    affinity: Option<String>,
    /// The application's own session at each server's host.
    bound: BTreeMap<String, String>,
    /// Tickets that servers have taken; each counts once.
    taken: &'a RefCell<BTreeSet<String>>,
}

impl<'a> Browser<'a> {
    fn new(fixture: &'a Fixture, taken: &'a RefCell<BTreeSet<String>>) -> Self {
        Self { fixture, affinity: None, bound: BTreeMap::new(), taken }
    }

    /// Follows an address to a working page: its address and the number of redirects on the way.
    fn open(&mut self, url: &str) -> (String, usize) {
        let mut url = url.to_owned();
        for redirects in 0..=3 {
            let next = if split(&url).0 == HOST { Some(self.at_the_front(&url)) } else { self.at_a_server(&url) };
            match next {
                None => return (url, redirects),
                Some(next) => url = next,
            }
        }
        panic!("more than three redirects, now at {url}");
    }

    fn at_the_front(&mut self, url: &str) -> String {
        let target = url.strip_prefix(&format!("https://{HOST}")).unwrap();
        let cookie = self.affinity.clone().unwrap_or_default();
        let headers = [("Cookie", cookie.as_str()), ("Accept", "text/html")];
        let answer: Answer = self.fixture.ask("GET", target, &headers);
        self.affinity = Some(answer.cookie().to_owned());
        answer.location().to_owned()
    }

    /// `None` is the application's page.
    fn at_a_server(&mut self, url: &str) -> Option<String> {
        let (host, path, query) = split(url);
        let rest: Vec<&str> =
            query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with(TICKET)).collect();
        let query_text = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
        let clean = format!("https://{host}{path}{query_text}");
        let front = format!("https://{HOST}{path}{query_text}");
        let bound = self.bound.contains_key(host);
        let Parameter::One(ticket) = query::parameter(query, TICKET) else {
            return if bound { None } else { Some(front) };
        };
        let server = host.split('.').next().unwrap();
        match self.fixture.verify(&ticket, server) {
            Ok(claims) if self.taken.borrow_mut().insert(claims.jti.clone()) => {
                self.bound.insert(host.to_owned(), claims.session.to_string());
                Some(clean)
            }
            _ if bound => Some(clean),
            Err(TicketFault::Expired(claims)) => Some(claims.front.unwrap_or(front)),
            Ok(_) | Err(_) => Some(front),
        }
    }
}

#[test]
fn reload_back_button_and_bookmark_end_on_a_working_page() {
    let fixture = fixture();
    let taken = RefCell::default();
    let mut browser = Browser::new(&fixture, &taken);
    let entrance = format!("https://{HOST}/desk?agent=1001");
    let first = browser.at_the_front(&entrance);
    let (page, redirects) = browser.open(&first);
    assert_eq!((page.ends_with(".example.com/desk?agent=1001"), redirects), (true, 1), "{page}");
    assert_eq!(browser.open(&page), (page.clone(), 0), "a reload, whenever");
    assert_eq!(browser.open(&first), (page.clone(), 1), "the back button, with a ticket that was taken");
    let old = first.replace(&ticket_of(&first), &fixture.aged(&ticket_of(&first), Duration::from_hours(1)));
    assert_eq!(browser.open(&old), (page.clone(), 1), "the same when the ticket has expired");

    let mut stranger = Browser::new(&fixture, &taken);
    assert_eq!(stranger.open(&old), (page.clone(), 3), "a bookmark with an old ticket, in another browser");
    let mut thief = Browser::new(&fixture, &taken);
    assert_eq!(thief.open(&first), (page.clone(), 3), "a ticket counts once; who comes second gets one of their own");
    let mut tired = Browser::new(&fixture, &taken);
    assert_eq!(tired.open(&page), (page.clone(), 3), "the application's session is gone");
    let mut garbled = Browser::new(&fixture, &taken);
    assert_eq!(garbled.open(&format!("{}x", first)), (page, 3), "a ticket that was cut or altered");
}

#[test]
fn an_old_bookmark_of_a_dead_server_leads_to_a_living_one() {
    let fixture = fixture();
    let taken = RefCell::default();
    let mut browser = Browser::new(&fixture, &taken);
    let (page, _) = browser.open(&format!("https://{HOST}/desk?agent=7"));
    let host = split(&page).0.to_owned();
    fixture.look(host.split('.').next().unwrap(), false);
    let (moved, redirects) = browser.open(&format!("https://{HOST}/desk?agent=7"));
    assert_ne!(split(&moved).0, host);
    assert_eq!(redirects, 2);
    let generation = fixture.edge.director.find(&parse("ua"), &parse_key("7"), None, fixture.edge.clock.now());
    assert_eq!(generation.unwrap().generation.get(), 2);
}

fn parse_key(text: &str) -> maitred_core::ids::Key {
    maitred_core::ids::Key::parse(text).unwrap()
}
