//! A public page that embeds a desktop whose servers have private addresses: what the browser's Local Network Access asks for, as
//! `docs/browsers.md` tells it.

use serde_json::json;

use super::house::{House, page_at};
use crate::support::browser::Browser;
use crate::support::desk::Handover;
use crate::support::stub::StubServer;
use crate::support::wait;

/// What a frame ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    Desk,
    /// The browser's own page instead of ours.
    Blocked,
}

/// Waits until the frame shows one or the other.
fn ends_with(browser: &mut Browser) -> Frame {
    wait::for_some("the frame shows the desk or is blocked", || {
        let place = browser.run("return location.protocol", &json!([])).ok()?;
        match (place.as_str()?, browser.text("#server")) {
            ("chrome-error:", _) => Some(Frame::Blocked),
            (_, Some(_)) => Some(Frame::Desk),
            _ => None,
        }
    })
}

#[test]
fn a_public_page_embeds_a_desk_in_a_private_network_when_the_person_has_agreed() {
    let crm = StubServer::start("embedding");
    let origin = page_at("crm.test", &crm, "");
    let embed = format!("embed = [{origin:?}]");
    let mut half = House::of(&["ua1"], Handover::None, &embed, "");
    let whole = House::of(&["ua2"], Handover::None, &embed, "");
    let mut browser = Browser::with_address_spaces(&[
        (crm.port(), "public"),
        (half.director.ports().public, "public"),
        (half.desks[0].port(), "local"),
        (whole.director.ports().public, "local"),
        (whole.desks[0].port(), "local"),
    ]);
    // To the frame and to whatever it is redirected to.
    let loads = |browser: &mut Browser, address: &str| {
        crm.page("/", &format!("<!doctype html><iframe allow=\"local-network *\" src=\"{address}\"></iframe>"));
        browser.open(&(origin.clone() + "/")).unwrap();
        browser.enter_frame("iframe");
    };
    for (state, expected) in [("denied", Frame::Blocked), ("granted", Frame::Desk)] {
        browser.open(&(origin.clone() + "/before")).unwrap();
        browser.answer_permission("local-network", state);
        for (which, house) in [("director and servers are private", &whole), ("only the servers are", &half)] {
            loads(&mut browser, &house.url(&format!("/desk?agent={state}")));
            assert_eq!(ends_with(&mut browser), expected, "{which}, {state}");
        }
    }

    // The outage page goes on by itself here as well.
    half.desks[0].stop();
    half.director.wait_for_usable(&[]);
    loads(&mut browser, &half.url("/desk?agent=later"));
    browser.wait_for_text("h1", |text| text.contains("not available right now"));
    half.desks[0].restart();
    assert_eq!(ends_with(&mut browser), Frame::Desk);
}
