//! The main job under load: 100,000 starts for 10,000 keys by 64 callers at once while servers die, return and drain.
//!
//! The callers keep a book of their own and hold the director to it: who is at which server, which servers could be chosen, and
//! what each could bear. Where the director may not have noticed yet what was done to a server, both answers are right.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hyper::Method;
use tokio::task::LocalSet;

use crate::support::certificates;
use crate::support::client::Answer;
use crate::support::director::Director;
use crate::support::kept::Kept;
use crate::support::plan::Plan;
use crate::support::stub::{Behaviour, StubServer};
use crate::support::wait;

const SERVERS: usize = 6;
const CALLERS: usize = 64;
/// One start in so many is a key's first.
const FIRST_EVERY: usize = 10;
/// All of it; `MAITRED_STORM_STARTS` asks for less or more.
const STARTS: usize = 100_000;

fn starts() -> usize {
    std::env::var("MAITRED_STORM_STARTS").map_or(STARTS, |text| text.parse().expect("a number of starts"))
}

/// What is done to the servers, and when.
#[derive(Debug, Clone, Copy)]
enum Act {
    Die(usize),
    Return(usize),
    /// By the server's own word.
    Drain(usize),
    Ready(usize),
    /// By the operator's: `drain` or `ready`.
    Order(usize, &'static str),
}

/// In tenths of the storm.
const ACTS: [(usize, Act); 10] = [
    (2, Act::Die(0)),
    (3, Act::Die(1)),
    (4, Act::Return(0)),
    (5, Act::Drain(2)),
    (5, Act::Order(4, "drain")),
    (6, Act::Die(3)),
    (7, Act::Return(1)),
    (7, Act::Order(4, "ready")),
    (8, Act::Ready(2)),
    (9, Act::Return(3)),
];

/// What a caller may hold the director to about one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    /// It is up, and everybody knows.
    Up,
    /// It takes no new sessions, and everybody knows.
    Draining,
    /// It is down, and everybody knows.
    Down,
    /// Something has happened to it that the director may not have noticed.
    Changing,
}

/// The callers' own book.
struct Book {
    truth: [Truth; SERVERS],
    /// Raised with every change of a truth: a start that saw two of them is held to neither.
    page: usize,
    /// Where each key is, by the answer with the highest generation.
    seats: BTreeMap<usize, (u64, usize)>,
    load: [usize; SERVERS],
    asked: usize,
    answered: usize,
    placed: usize,
    moved: usize,
    bounds_checked: usize,
    wrong: Vec<String>,
}

impl Book {
    fn new() -> Self {
        Self {
            truth: [Truth::Up; SERVERS],
            page: 0,
            seats: BTreeMap::new(),
            load: [0; SERVERS],
            asked: 0,
            answered: 0,
            placed: 0,
            moved: 0,
            bounds_checked: 0,
            wrong: Vec::new(),
        }
    }

    fn turn_page(&mut self, server: usize, truth: Truth) {
        self.truth[server] = truth;
        self.page += 1;
    }

    /// Takes one answer in: begun when the book was at `page`, where `before` was known of the key.
    fn enter(&mut self, key: usize, page: usize, before: Option<(u64, usize)>, answer: &Answer) {
        self.answered += 1;
        if !(200..300).contains(&answer.status) {
            return self.wrong.push(format!("{key}: {} {}", answer.status, answer.text()));
        }
        let seat = answer.json();
        let name = seat["server"]["name"].as_str().unwrap();
        let server: usize = name.trim_start_matches("ua").parse::<usize>().unwrap() - 1;
        let generation = seat["generation"].as_u64().unwrap();
        let affinity = seat["affinity"].as_str().unwrap();
        self.check(key, page, before, (generation, server), affinity);
        match self.seats.get(&key).copied() {
            Some((known, at)) if known == generation && at != server => {
                self.wrong.push(format!("{key}: generation {known} at both ua{} and {name}", at + 1));
            }
            Some((known, _)) if known >= generation => {}
            known => {
                if let Some((_, at)) = known {
                    self.load[at] -= 1;
                }
                self.load[server] += 1;
                self.seats.insert(key, (generation, server));
            }
        }
        match affinity {
            "placed" => self.placed += 1,
            "moved" => self.moved += 1,
            _ => {}
        }
        if affinity != "kept" && page == self.page {
            self.check_bound(key, server);
        }
    }

    fn check(&mut self, key: usize, page: usize, before: Option<(u64, usize)>, now: (u64, usize), affinity: &str) {
        let still = page == self.page;
        let (generation, server) = now;
        let truth = self.truth[server];
        match affinity {
            "placed" if before.is_some() => self.wrong.push(format!("{key}: placed twice, now at {server}")),
            "placed" | "moved" if still && matches!(truth, Truth::Down | Truth::Draining) => {
                self.wrong.push(format!("{key}: {affinity} at server {server}, which is {truth:?}"));
            }
            "kept" if still && truth == Truth::Down => self.wrong.push(format!("{key}: kept at the dead {server}")),
            _ => {}
        }
        let Some((known, at)) = before else { return };
        if generation < known {
            self.wrong.push(format!("{key}: generation {generation} after {known}"));
        }
        // Its server lived all the time, so nothing moves it.
        if still && server != at && generation == known + 1 && matches!(self.truth[at], Truth::Up | Truth::Draining) {
            self.wrong.push(format!("{key}: {affinity}, moved from {at}, which is {:?}, to {server}", self.truth[at]));
        }
    }

    /// The bound of the moment, as far as callers can know it: each may have an answer under way that is not in the book.
    fn check_bound(&mut self, key: usize, server: usize) {
        if self.truth.contains(&Truth::Changing) {
            return;
        }
        let open: Vec<usize> = (0..SERVERS).filter(|server| self.truth[*server] == Truth::Up).collect();
        let sessions: usize = open.iter().map(|server| self.load[*server]).sum::<usize>() + CALLERS;
        let bound = ((sessions + 1) * 5).div_ceil(4 * open.len()) + CALLERS;
        self.bounds_checked += 1;
        if self.load[server] > bound {
            let loads = self.load;
            self.wrong.push(format!("{key}: placed at {server}, above the bound {bound}: {loads:?} {:?}", self.truth));
        }
    }
}

#[test]
fn a_storm_of_starts_while_servers_die_return_and_drain() {
    let mut stubs: Vec<StubServer> = (1..=SERVERS).map(|number| StubServer::start(&format!("ua{number}"))).collect();
    let director = Plan::new()
        .stubs(&stubs)
        .with("log", "starts = \"changes\"")
        // Nothing here is slow but the machine: what dies refuses, so patience hides nothing.
        .with("pool.health", "timeout = \"20s\"")
        .with("pool", "capacity = 1000000")
        .keeping_state()
        .start();
    wait::until("every server is up", || stubs.iter().all(|stub| director.events("server_up", stub.name()) == 1));
    let total = starts();
    let book = Rc::new(RefCell::new(Book::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let everybody = LocalSet::new();
    for caller in 0..CALLERS {
        everybody.spawn_local(call(caller, total, director.ports().public, Rc::clone(&book)));
    }
    for (tenth, act) in ACTS {
        let until = total * tenth / 10;
        runtime.block_on(everybody.run_until(answered(&book, until)));
        runtime.block_on(everybody.run_until(perform(act, &mut stubs, &director, &book)));
    }
    runtime.block_on(everybody);
    let book = book.borrow();
    assert_eq!(book.wrong, Vec::<String>::new());
    assert_eq!((book.asked, book.answered), (total, total));
    assert_eq!(book.seats.len(), total.div_ceil(FIRST_EVERY));
    assert_eq!(book.placed, book.seats.len(), "each key was placed once");
    assert!(book.moved > 0 && book.bounds_checked > book.placed / 4, "{} {}", book.moved, book.bounds_checked);
    compare(&director, &book);
    println!(
        "{total} starts: {} placed, {} moved, bound checked {} times, loads {:?}",
        book.placed, book.moved, book.bounds_checked, book.load
    );
}

async fn answered(book: &RefCell<Book>, until: usize) {
    while book.borrow().answered < until {
        assert!(book.borrow().wrong.is_empty(), "{:#?}", book.borrow().wrong);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn call(caller: usize, total: usize, port: u16, book: Rc<RefCell<Book>>) {
    let trust = certificates::shared().client_config(None);
    let mut line = Kept::open(port, &trust).await.unwrap();
    // Any spread will do, and the same one each time.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(caller as u64 + 1);
    loop {
        let (key, page, before) = {
            let mut book = book.borrow_mut();
            if book.asked == total || !book.wrong.is_empty() {
                return;
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let known = book.asked / FIRST_EVERY;
            let key = if book.asked.is_multiple_of(FIRST_EVERY) {
                known
            } else {
                usize::try_from(random % (known as u64 + 1)).unwrap()
            };
            book.asked += 1;
            (key, book.page, book.seats.get(&key).copied())
        };
        let body = format!("{{\"pool\":\"ua\",\"key\":\"{key}\"}}");
        let answer = line
            .ask(Method::POST, "/maitred/v1/sessions", &[("content-type", "application/json")], &body)
            .await
            .unwrap_or_else(|error| panic!("caller {caller}: {error}"));
        book.borrow_mut().enter(key, page, before, &answer);
    }
}

/// Does it, and notes in the book what is certain from when on.
async fn perform(act: Act, stubs: &mut [StubServer], director: &Director, book: &RefCell<Book>) {
    let (Act::Die(server) | Act::Return(server) | Act::Drain(server) | Act::Ready(server) | Act::Order(server, _)) =
        act;
    let name = stubs[server].name().to_owned();
    let (ups, downs, looks) =
        (director.events("server_up", &name), director.events("server_down", &name), stubs[server].looks());
    book.borrow_mut().turn_page(server, Truth::Changing);
    let draining =
        |draining: bool| Behaviour::Report(format!("{{\"maitred\":1,\"server\":\"{name}\",\"draining\":{draining}}}"));
    let mut order = None;
    match act {
        Act::Die(_) => stubs[server].stop(),
        Act::Return(_) => stubs[server].restart(),
        Act::Drain(_) => stubs[server].behave(draining(true)),
        Act::Ready(_) => stubs[server].behave(draining(false)),
        Act::Order(_, word) => order = Some(give_order(director, &name, word)),
    }
    let stub = &stubs[server];
    let noticed = || match act {
        Act::Die(_) => director.events("server_down", &name) > downs,
        Act::Return(_) => director.events("server_up", &name) > ups,
        // The look after the next one begins when the next one has been taken in.
        Act::Drain(_) | Act::Ready(_) => stub.looks() >= looks + 3,
        Act::Order(..) => order.as_ref().is_some_and(JoinHandle::is_finished),
    };
    let limit = Instant::now() + wait::LIMIT;
    while !noticed() {
        assert!(Instant::now() < limit, "the director does not notice {act:?}");
        // The storm goes on meanwhile.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let truth = match act {
        Act::Die(_) => Truth::Down,
        Act::Return(_) | Act::Ready(_) | Act::Order(_, "ready") => Truth::Up,
        Act::Drain(_) | Act::Order(..) => Truth::Draining,
    };
    if let Some(order) = order {
        order.join().unwrap();
    }
    book.borrow_mut().turn_page(server, truth);
}

/// On a thread of its own, so that the storm goes on meanwhile.
fn give_order(director: &Director, server: &str, state: &'static str) -> JoinHandle<()> {
    let (mut operator, url) = (director.operator(), director.internal_url(&format!("/v1/servers/{server}/state")));
    thread::spawn(move || {
        let body = serde_json::json!({"state": state, "reason": "storm"}).to_string();
        let answer = operator.send(Method::PUT, &url, &[("content-type", "application/json")], &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    })
}

/// What the director lists is what its callers were told, session by session.
fn compare(director: &Director, book: &Book) {
    let mut operator = director.operator();
    let mut listed = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = operator.get(&director.internal_url(&format!("/v1/sessions?pool=ua&limit=1000{cursor}"))).json();
        for session in page["sessions"].as_array().unwrap() {
            let key: usize = session["key"].as_str().unwrap().parse().unwrap();
            let seat = (session["generation"].as_u64().unwrap(), session["server"].as_str().unwrap().to_owned());
            assert_eq!(listed.insert(key, seat), None, "{key} is listed twice");
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let known = book.seats.iter().map(|(key, (generation, server))| (*key, (*generation, format!("ua{}", server + 1))));
    assert!(known.eq(listed), "the callers and the director do not agree who is where");
    for (server, load) in book.load.iter().enumerate() {
        let name = format!("ua{}", server + 1);
        assert_eq!(director.server(&name)["sessions"].as_u64(), Some(*load as u64), "{name}");
    }
}
