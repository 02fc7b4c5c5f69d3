//! Two places in one browser that know nothing of each other, two minted keys, one login: one session in the end, and one reset.

use serde_json::{Value, json};

use super::house::{House, page_at};
use crate::support::browser::Browser;
use crate::support::desk::Handover;
use crate::support::stub::StubServer;
use crate::support::wait;

const AGENT: &str = "agent-7";
/// The first run of each desk.
const INCARNATION: &str = "boot-1";

/// A session as the desk that has it knows it from the ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seat {
    server: String,
    key: String,
    session: String,
    generation: u64,
}

impl Seat {
    fn shown(browser: &mut Browser) -> Self {
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
    fn put(&self, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        let url = self.director.internal_url(path);
        let answer = self.director.operator().send(hyper::Method::PUT, &url, &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// A beat of this desk, which lists what it has; the orders in the answer.
    fn beat(&self, server: &str, held: &[&Seat], done: &[Value]) -> Vec<Value> {
        let held: Vec<Value> = held.iter().map(|seat| seat.listed()).collect();
        let beat = json!({ "incarnation": INCARNATION, "held": held, "held_seq": 1, "done": done });
        let answer = self.put(&format!("/v1/servers/{server}/heartbeat"), &beat);
        answer["orders"].as_array().unwrap().clone()
    }

    /// The desk says that the agent has logged in.
    fn confirm(&self, seat: &Seat) -> Value {
        let url = self.director.internal_url(&format!("/v1/sessions/ua/{}/confirm?session={}", seat.key, seat.session));
        let word = json!({
            "server": seat.server, "incarnation": INCARNATION, "generation": seat.generation, "agent": AGENT,
        });
        let answer = self.director.operator().post_json(&url, &word);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

#[test]
fn two_tabs_with_two_minted_keys_and_one_login_become_one_session_with_one_reset() {
    let crm = StubServer::start("embedding");
    let origin = page_at("crm.test", &crm, "");
    let mut house = House::open(Handover::Query, &format!("embed = [{origin:?}]"), "");
    for server in ["ua1", "ua2", "ua3"] {
        assert_eq!(house.beat(server, &[], &[]), Vec::<Value>::new());
    }
    let frame = |address: String| format!("<!doctype html><title>crm</title><iframe src=\"{address}\"></iframe>");
    crm.page("/", &frame(house.url("/desk")));
    crm.page("/known", &frame(house.url(&format!("/desk?agent={AGENT}"))));

    // A frame of another site and a tab of its own have no cookie in common. The second one shall find another server.
    let mut browser = Browser::without_third_party_cookies();
    let framed = browser.tab();
    browser.open(&(origin.clone() + "/")).unwrap();
    browser.enter_frame("iframe");
    let first = Seat::shown(&mut browser);
    house.put(&format!("/v1/servers/{}/state", first.server), &json!({"state": "drain"}));
    let alone = browser.open_tab();
    browser.open(&house.url("/desk")).unwrap();
    let second = Seat::shown(&mut browser);
    house.put(&format!("/v1/servers/{}/state", first.server), &json!({"state": "ready"}));
    assert_ne!((&second.key, &second.session, &second.server), (&first.key, &first.session, &first.server));

    // The same person logs in here and there; the newest login counts.
    assert_eq!(house.confirm(&first)["superseded"], json!([]));
    assert_eq!(house.beat(&first.server, &[&first], &[]), Vec::<Value>::new());
    let superseded = house.confirm(&second)["superseded"].clone();
    assert_eq!(superseded.as_array().map(Vec::len), Some(1), "{superseded}");
    assert_eq!((&superseded[0]["session"], &superseded[0]["server"]), (&json!(first.session), &json!(first.server)));

    let orders = house.beat(&first.server, &[&first], &[]);
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!((&orders[0]["reset"], &orders[0]["reason"]), (&json!(first.key), &json!("superseded")));
    assert_eq!(house.beat(&first.server, &[&first], &[]), orders, "the same one until it is done");
    assert_eq!(house.beat(&second.server, &[&second], &[]), Vec::<Value>::new(), "who won is left in peace");
    house.desk(&first.server).forget();
    assert_eq!(house.beat(&first.server, &[], &[orders[0]["id"].clone()]), Vec::<Value>::new());
    let told = || house.director.lines_with(&["event=\"session_reset\""]).len();
    wait::for_equal("one line about one reset", &1, told);
    assert_eq!(house.word_of(&first.key), "superseded");

    // Both places end at the one session.
    browser.look_at(&framed);
    browser.open(&(origin.clone() + "/known")).unwrap();
    browser.enter_frame("iframe");
    assert_eq!(Seat::shown(&mut browser), second, "the frame, by the agent's own name");
    browser.look_at(&alone);
    browser.open(&house.url("/desk")).unwrap();
    assert_eq!(Seat::shown(&mut browser), second, "the tab, by its cookie");
    browser.open(&house.url(&format!("/desk?agent={AGENT}"))).unwrap();
    assert_eq!(Seat::shown(&mut browser), second, "and by the name");
    let all = house.director.operator().get(&house.director.internal_url("/v1/sessions?pool=ua")).json();
    let live = all["sessions"].as_array().unwrap().iter().filter(|session| session["agent"] == AGENT);
    assert_eq!(live.count(), 1, "{all}");
}
