//! How people leave: by logging out, by closing the page, and by the way out of a server that is of no use to them.

use super::house::{House, page_at};
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::desk::Handover;
use crate::support::stub::StubServer;
use crate::support::wait;

/// A button that sends a form.
fn button(action: &str) -> String {
    format!("<form method=post action=\"{action}\"><button id=go>Go</button></form>")
}

/// The key that the desk shows.
fn key_of(browser: &mut Browser) -> String {
    browser.wait_for_text("#key", |text| !text.is_empty())
}

#[test]
fn a_person_logs_out_by_a_button_of_the_desk_and_by_the_page_and_nobody_else_does_it() {
    let (portal, evil) = (StubServer::start("embedding"), StubServer::start("ua9"));
    portal.page("/bye", "<!doctype html><h1>Good bye</h1>");
    let house = House::open(
        Handover::Query,
        &format!("key = [\"cookie\"]\nafter_logout = \"{}/bye\"", page_at("portal.test", &portal, "")),
        "",
    );
    let logout = house.url("/maitred/logout?pool=ua");
    house.desks.iter().for_each(|desk| desk.show(&button(&logout)));
    evil.page("/", &button(&logout));

    let mut browser = Browser::without_third_party_cookies();
    browser.open(&house.url("/")).unwrap();
    let first = key_of(&mut browser);
    browser.click("#go");
    browser.wait_for_text("h1", |text| text == "Good bye");
    assert_eq!(house.word_of(&first), "client");

    browser.open(&house.url("/")).unwrap();
    let second = browser.wait_for_text("#key", |text| text != first);
    browser.open(&house.url("/")).unwrap();
    assert_eq!(key_of(&mut browser), second, "the cookie's session");
    browser.open(&page_at("evil.test", &evil, "/")).unwrap();
    browser.click("#go");
    browser.wait_for_text("h1", |text| text == "This is not open to you");
    assert!(!["client", ""].contains(&house.word_of(&second).as_str()), "a page of somebody else ends nothing");
    browser.open(&logout).unwrap();
    assert_eq!(browser.text("h1").as_deref(), Some("End your session?"));
    assert_ne!(house.word_of(&second), "client", "nor does a link");
    browser.open(&house.url("/")).unwrap();
    assert_eq!(key_of(&mut browser), second);

    browser.open(&logout).unwrap();
    browser.click("button");
    browser.wait_for_text("h1", |text| text == "Good bye");
    assert_eq!(house.word_of(&second), "client");
    browser.open(&house.url("/")).unwrap();
    browser.wait_for_text("#key", |text| ![&first, &second].contains(&&text.to_owned()));
}

/// A page of another application that starts a session, can go elsewhere by a click, and ends it when it is closed.
const CONSOLE: &str = r#"<!doctype html><title>console</title><p id=server></p><button id=elsewhere>Another server</button><script>
const sessions = "FRONT/maitred/v1/sessions";
let seat;
async function start(more) {
  const headers = {"Content-Type": "application/json", ...(seat ? {Authorization: `Bearer ${seat.token}`} : {})};
  const body = JSON.stringify({pool: "ua", key: "KEY", ...more});
  seat = await (await fetch(sessions, {method: "POST", headers, body})).json();
  document.getElementById("server").textContent = seat.server.name;
}
document.getElementById("elsewhere").onclick = () => start({avoid: seat.server.name});
addEventListener("pagehide", () => navigator.sendBeacon(`${sessions}/${seat.session}/end`, seat.token));
start({});
</script>"#;

#[test]
fn a_page_leaves_a_server_by_one_click_and_ends_its_session_when_it_is_closed() {
    let crm = StubServer::start("embedding");
    let origin = page_at("crm.test", &crm, "");
    let house = House::open(Handover::None, &format!("embed = [{origin:?}]"), "");
    crm.page("/", &CONSOLE.replace("FRONT", &house.url("")).replace("KEY", "1001"));
    let server_of = |key: &str| {
        let location = Client::new().get(&house.url(&format!("/?agent={key}"))).location();
        location.host_str().unwrap().split('.').next().unwrap().to_owned()
    };
    let others: Vec<(String, String)> =
        (0..20).map(|number| format!("other-{number}")).map(|key| (server_of(&key), key)).collect();

    let mut browser = Browser::without_third_party_cookies();
    browser.open(&(origin.clone() + "/")).unwrap();
    let first = browser.wait_for_text("#server", |text| !text.is_empty());
    browser.click("#elsewhere");
    let second = browser.wait_for_text("#server", |text| text != first);
    assert_eq!(server_of("1001"), second, "for whoever asks, in whatever way");
    for (server, key) in &others {
        assert_eq!(server_of(key), *server, "others stay");
    }

    assert!(!["client", ""].contains(&house.word_of("1001").as_str()));
    browser.leave();
    wait::for_equal("the beacon has ended the session", &"client".to_owned(), || house.word_of("1001"));
}

#[test]
fn a_server_that_sends_its_people_back_is_left_by_one_click() {
    let house = House::open(Handover::Query, "", "");
    let mut browser = Browser::without_third_party_cookies();
    let entrance = house.url("/desk?agent=1001&view=calls");
    browser.open(&entrance).unwrap();
    let server = browser.wait_for_text("#server", |text| !text.is_empty());
    let sulking = house.desks.iter().find(|desk| desk.name() == server).unwrap();

    // Its health is good, but it does not want this one agent.
    sulking.forget();
    sulking.refuse("1001");
    let is_stopped = |browser: &mut Browser| {
        browser.wait_for_text("h1", |text| text == "The application keeps sending you back");
        assert!(browser.address().starts_with(&house.url("/desk")), "{}", browser.address());
    };
    browser.open(&entrance).unwrap();
    is_stopped(&mut browser);
    browser.redirects();
    browser.click("a");
    let mut followed = 0;
    wait::until("it was tried again", || {
        followed += browser.redirects();
        followed > 2
    });
    is_stopped(&mut browser);
    browser.click("button");
    let other = browser.wait_for_text("#server", |text| !text.is_empty());
    assert_ne!(other, server);
    assert!(browser.address().ends_with("/desk?agent=1001&view=calls"), "{}", browser.address());
    sulking.relent();
    browser.open(&entrance).unwrap();
    assert_eq!(browser.wait_for_text("#server", |text| !text.is_empty()), other, "who has moved stays");
    assert_eq!(browser.text("#key").as_deref(), Some("1001"));
}

#[test]
fn a_server_that_has_come_to_its_senses_is_gone_on_with() {
    let house = House::of(&["ua1"], Handover::Query, "", "");
    let mut browser = Browser::without_third_party_cookies();
    house.desks[0].refuse("1002");
    browser.open(&house.url("/desk?agent=1002")).unwrap();
    browser.wait_for_text("h1", |text| text == "The application keeps sending you back");
    house.desks[0].relent();
    browser.click("a");
    assert_eq!(browser.wait_for_text("#key", |text| !text.is_empty()), "1002");
}
