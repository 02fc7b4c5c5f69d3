//! A desktop inside of another application's page, in a browser that blocks third-party cookies.

use serde_json::json;

use super::house::{House, page_at};
use crate::support::browser::Browser;
use crate::support::desk::Handover;
use crate::support::plan::Plan;
use crate::support::stub::{StubServer, Told};
use crate::support::wait;

/// A page of the same site as the desks.
const SAME: &str = "intranet.desk.test";
/// A page of another site.
const OTHER: &str = "crm.test";

fn frame_of(address: &str) -> String {
    format!("<!doctype html><title>embedding</title><iframe width=600 height=400 src=\"{address}\"></iframe>")
}

/// A server that sets one cookie of either kind and shows those that it got.
fn crumbs() -> StubServer {
    let crumbs = StubServer::start("ua9");
    crumbs.answer_by(|asked| {
        let came = ["plain", "apart"].into_iter().filter(|name| !asked.cookies(name).is_empty());
        let came: Vec<&str> = came.collect();
        let told = Told::page(&format!("<!doctype html><p id=came>[{}]</p>", came.join(" ")));
        Some(
            told.with("set-cookie", "plain=1; Path=/; Secure; SameSite=None".into())
                .with("set-cookie", "apart=1; Path=/; Secure; SameSite=None; Partitioned".into()),
        )
    });
    crumbs
}

/// Server, session and visits as the frame of this page shows them.
fn framed(browser: &mut Browser, page: &str) -> (String, String, String) {
    browser.open(page).unwrap();
    browser.enter_frame("iframe");
    desk(browser)
}

fn desk(browser: &mut Browser) -> (String, String, String) {
    let server = browser.wait_for_text("#server", |text| !text.is_empty());
    (server, browser.text("#session").unwrap(), browser.text("#visits").unwrap())
}

#[test]
fn this_browser_does_block_third_party_cookies_and_keeps_partitioned_ones() {
    let (crumbs, crm) = (crumbs(), StubServer::start("embedding"));
    crm.page("/", &frame_of(&page_at("ua9.test", &crumbs, "/")));
    let mut browser = Browser::without_third_party_cookies();
    let mut came = |page: &str, framed: bool| {
        browser.open(page).unwrap();
        if framed {
            browser.enter_frame("iframe");
        }
        browser.wait_for_text("#came", |text| !text.is_empty())
    };
    let (top, frame) = (page_at("ua9.test", &crumbs, "/"), page_at(OTHER, &crm, "/"));
    assert_eq!(
        [came(&top, false), came(&top, false)],
        ["[]", "[plain apart]"],
        "both kinds are kept in the first party"
    );
    assert_eq!([came(&frame, true), came(&frame, true)], ["[]", "[apart]"], "in a frame only the partitioned one");
    assert_eq!(came(&page_at("crm2.test", &crm, "/"), true), "[]", "and for each embedding site apart");
}

#[test]
fn three_loads_of_a_frame_stay_on_one_server_through_an_outage_too() {
    let crm = StubServer::start("embedding");
    let (same, other) = (page_at(SAME, &crm, "/"), page_at(OTHER, &crm, "/"));
    let origins = [page_at(SAME, &crm, ""), page_at(OTHER, &crm, "")];
    // The cookies alone tell who comes: keys are minted, tickets travel in a cookie.
    let mut house = House::open(Handover::Cookie, &format!("key = [\"cookie\"]\nembed = {origins:?}"), "");
    crm.page("/", &frame_of(&house.url("/desk?view=calls")));

    let mut browser = Browser::without_third_party_cookies();
    let (server, session, visits) = framed(&mut browser, &other);
    assert_eq!(visits, "1");
    for visits in ["2", "3"] {
        assert_eq!(framed(&mut browser, &other), (server.clone(), session.clone(), visits.to_owned()));
    }

    // A frame of the same site has the cookies of the site itself; another site's have their own.
    let (own_server, own_session, _) = framed(&mut browser, &same);
    assert_ne!(own_session, session, "a browser keeps the sites apart: two sessions");
    browser.open(&house.url("/desk?view=calls")).unwrap();
    assert_eq!(
        desk(&mut browser),
        (own_server, own_session, "2".to_owned()),
        "without a frame the same as in its own site"
    );

    // Nobody is left: the page is seen in the frame, and the desk again when the server has come back.
    for desk in &mut house.desks {
        desk.stop();
    }
    house.director.wait_for_usable(&[]);
    browser.open(&other).unwrap();
    browser.enter_frame("iframe");
    browser.wait_for_text("h1", |text| text.contains("not available right now"));
    house.desk(&server).restart();
    assert_eq!(desk(&mut browser), (server, session, "4".to_owned()), "the session that waited for its server");
}

#[test]
fn a_pool_that_does_not_embed_begins_anew_with_each_load_of_a_frame() {
    let (crm, desk) = (StubServer::start("embedding"), StubServer::start("ua1"));
    let director = Plan::new().stubs([&desk]).with("pool", "key = [\"cookie\"]").start();
    director.wait_for_usable(&["ua1"]);
    crm.page("/", &frame_of(&director.url("/")));
    // The watcher of the tests has started too, and its line may come late.
    let is_ours = |line: &&String| !line.contains("the watcher");
    let starts = || {
        ["placed", "kept"]
            .map(|word| director.lines_with(&[&format!("affinity=\"{word}\"")]).iter().filter(is_ours).count())
    };

    let mut browser = Browser::without_third_party_cookies();
    for _ in 0..3 {
        browser.open(&page_at(OTHER, &crm, "/")).unwrap();
        browser.enter_frame("iframe");
        browser.wait_for_text("#server", |text| text == "ua1");
    }
    wait::for_equal("three new sessions", &[3, 0], starts);
    for _ in 0..2 {
        browser.open(&director.url("/")).unwrap();
        browser.wait_for_text("#server", |text| text == "ua1");
    }
    wait::for_equal("one more, and kept", &[4, 1], starts);
}

#[test]
fn own_pages_are_shown_in_frames_of_embed_origins_only() {
    let crm = StubServer::start("embedding");
    let allowed = page_at(OTHER, &crm, "");
    let mut house = House::open(Handover::None, &format!("embed = [{allowed:?}]"), "");
    for desk in &mut house.desks {
        desk.stop();
    }
    house.director.wait_for_usable(&[]);
    crm.page("/outage", &frame_of(&house.url("/desk?agent=1004")));
    crm.page("/logout", &frame_of(&house.url("/maitred/logout?pool=ua")));

    let mut browser = Browser::without_third_party_cookies();
    for (page, heading) in [("/outage", "not available"), ("/logout", "End your session?")] {
        browser.open(&(allowed.clone() + page)).unwrap();
        browser.enter_frame("iframe");
        browser.wait_for_text("h1", |text| text.contains(heading));
        assert!(!browser.console().iter().any(|line| line.contains("frame-ancestors")), "{page}");

        // The desks' own site is not listed, nor is a subdomain of the one that is.
        for foreign in [page_at(SAME, &crm, page), page_at("evil.crm.test", &crm, page)] {
            browser.open(&foreign).unwrap();
            wait::until("the browser says why it shows nothing", || {
                browser.console().iter().any(|line| line.contains("frame-ancestors"))
            });
            browser.enter_frame("iframe");
            let text = browser.run("return document.body ? document.body.innerText : ''", &json!([]));
            assert!(!text.unwrap().as_str().unwrap_or_default().contains(heading), "{foreign}");
        }
    }
}
