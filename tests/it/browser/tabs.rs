//! Two places in one browser that know nothing of each other, two minted keys, one login: one session in the end, and one reset.

use serde_json::{Value, json};

use super::house::{House, page_at};
use super::talk::Seat;
use crate::support::browser::Browser;
use crate::support::desk::Handover;
use crate::support::follower::Follower;
use crate::support::stub::StubServer;
use crate::support::wait;

const AGENT: &str = "agent-7";
#[test]
fn two_tabs_with_two_minted_keys_and_one_login_become_one_session_with_one_reset() {
    let crm = StubServer::start("embedding");
    let origin = page_at("crm.test", &crm, "");
    let mut house = House::open(Handover::Query, &format!("embed = [{origin:?}]"), "");
    for server in ["ua1", "ua2", "ua3"] {
        assert_eq!(house.beat(server, &[], &[]), Vec::<Value>::new());
    }
    let follower = Follower::from_now(&house.director);
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
    assert_eq!(house.confirm(&first, AGENT)["superseded"], json!([]));
    assert_eq!(house.beat(&first.server, &[&first], &[]), Vec::<Value>::new());
    let superseded = house.confirm(&second, AGENT)["superseded"].clone();
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
    // One life ended, and of both sessions that is the only end; the order was repeated, the event was not.
    let about = |event: &str| {
        let of = |told: &Value| told["event"] == event && (told["key"] == first.key || told["key"] == second.key);
        follower.told().into_iter().filter(of).collect::<Vec<Value>>()
    };
    wait::until("the reset is an event", || !about("session_reset").is_empty());
    let (ended, reset) = (about("session_ended"), about("session_reset"));
    assert_eq!((ended.len(), reset.len()), (1, 1), "{ended:?} {reset:?}");
    assert_eq!((&ended[0]["key"], &ended[0]["reason"]), (&json!(first.key), &json!("superseded")));
    assert_eq!((&reset[0]["key"], &reset[0]["reason"]), (&json!(first.key), &json!("superseded")));
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
    let superseded = |told: &Value| told["event"] == "session_ended" && told["reason"] == "superseded";
    assert_eq!(follower.told().iter().filter(|told| superseded(told)).count(), 1, "to the end there is one");
}
