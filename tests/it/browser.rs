//! What people see: a real browser, real Tomcats, and pages of other applications that embed ours.

mod agents;
mod clients;
mod embedding;
mod house;
mod leaving;
mod networks;
mod origins;
mod tabs;
mod talk;
mod tickets;

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::director::Director;
use crate::support::plan::Plan;
use crate::support::stub::StubServer;
use crate::support::tomcat::Tomcat;
use crate::support::wait;

/// Two Tomcats and a director that has seen both.
fn desks() -> (Tomcat, Tomcat, Director) {
    let first = std::thread::spawn(|| Tomcat::start("ua1"));
    let (second, first) = (Tomcat::start("ua2"), first.join().unwrap());
    let director = Plan::new().server("ua1", first.port()).server("ua2", second.port()).start();
    director.wait_for_usable(&["ua1", "ua2"]);
    (first, second, director)
}

/// The server, and how often its session was visited.
fn desk(browser: &mut Browser) -> (String, String) {
    let server = browser.wait_for_text("#server", |text| !text.is_empty());
    (server, browser.text("#visits").unwrap_or_default())
}

#[test]
fn a_browser_is_sent_to_a_tomcat_works_there_directly_and_returns_to_it() {
    let (_first, _second, director) = desks();
    let mut browser = Browser::start();
    browser.open(&director.url("/index.jsp?agent=1001&view=calls")).unwrap();
    let (server, visits) = desk(&mut browser);
    assert_eq!(visits, "1");
    let address = browser.address();
    assert!(address.starts_with(&format!("https://{server}.test:")), "{address}");
    assert!(address.ends_with("/index.jsp?agent=1001&view=calls"), "path and query are kept: {address}");

    // While the director is frozen: nothing of this goes through it.
    director.freeze();
    browser.reload().unwrap();
    assert_eq!(desk(&mut browser), (server.clone(), "2".into()));
    director.thaw();

    browser.leave();
    browser.open(&director.url("/index.jsp?agent=1001&view=calls")).unwrap();
    assert_eq!(desk(&mut browser), (server.clone(), "3".into()), "the same server with the same session in its memory");

    let mut other = Browser::start();
    other.open(&director.url("/index.jsp?agent=1001")).unwrap();
    assert_eq!(desk(&mut other), (server, "1".into()), "another browser of this agent: the same server");
}

#[test]
fn a_browser_gets_another_server_after_its_own_was_killed_and_stays_there() {
    let (first, second, director) = desks();
    let mut tomcats = [first, second];
    let mut browser = Browser::start();
    browser.open(&director.url("/?agent=1002")).unwrap();
    let (before, _) = desk(&mut browser);
    tomcats.iter_mut().find(|tomcat| tomcat.name() == before).unwrap().kill();
    let other = if before == "ua1" { "ua2" } else { "ua1" };
    director.wait_for_usable(&[other]);

    browser.open(&director.url("/?agent=1002")).unwrap();
    assert_eq!(desk(&mut browser), (other.to_owned(), "1".into()));

    // Who has moved is not moved back.
    tomcats.iter_mut().find(|tomcat| tomcat.name() == before).unwrap().start_again();
    director.wait_for_usable(&["ua1", "ua2"]);
    browser.open(&director.url("/?agent=1002")).unwrap();
    assert_eq!(desk(&mut browser), (other.to_owned(), "2".into()));
}

#[test]
fn a_browser_sees_the_outage_page_and_then_the_application_without_doing_anything() {
    let (mut first, mut second, director) = desks();
    first.kill();
    second.kill();
    director.wait_for_usable(&[]);
    let mut browser = Browser::start();
    browser.open(&director.url("/index.jsp?agent=1003")).unwrap();
    let heading = browser.text("h1").unwrap();
    assert_eq!(heading, "The application is not available right now");
    assert!(browser.address().starts_with(&director.url("/index.jsp")), "the address stays the director's");

    second.start_again();
    assert_eq!(desk(&mut browser), ("ua2".into(), "1".into()));
    assert!(browser.address().ends_with("/index.jsp?agent=1003"));
}

/// A page of another application that shows whatever the director's script hands it.
fn embedding_page(script: &str) -> String {
    format!(
        "<!doctype html><title>crm</title><pre id=answer></pre>\
         <script>function seated(answer) {{ document.getElementById('answer').textContent = JSON.stringify(answer); }}</script>\
         <script src=\"{script}\"></script>"
    )
}

#[test]
fn a_page_of_another_origin_starts_a_session_by_jsonp_and_stores_the_failover_list() {
    let desks = [StubServer::start("ua1"), StubServer::start("ua2"), StubServer::start("ua3")];
    let crm = StubServer::start("embedding");
    let director =
        Plan::new().stubs(&desks).with("pool", &format!("jsonp = true\nembed = [\"{}\"]", crm.origin())).start();
    director.wait_for_usable(&["ua1", "ua2", "ua3"]);
    let start = director.url("/maitred/v1/start.js?callback=seated&pool=ua&key=1001");
    crm.page("/start", &embedding_page(&start));
    crm.page("/servers", &embedding_page(&director.url("/maitred/v1/servers.js?callback=seated&pool=ua&key=1001")));

    let mut browser = Browser::start();
    let mut shown = |page: &str| -> serde_json::Value {
        browser.open(&format!("{}{page}", crm.origin())).unwrap();
        serde_json::from_str(&browser.wait_for_text("#answer", |text| !text.is_empty())).unwrap()
    };
    let seat = shown("/start");
    assert_eq!((&seat["affinity"], &seat["key"]), (&json!("placed"), &json!("1001")), "{seat}");
    assert_eq!(seat["alternates"].as_array().map(Vec::len), Some(2), "{seat}");
    assert!(seat.get("token").is_none(), "a token is for its owner, and a script is for everybody: {seat}");
    assert!(
        seat["server"]["url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("https://{}.test:", seat["server"]["name"].as_str().unwrap()))
    );

    let again = shown("/start");
    assert_eq!((&again["affinity"], &again["server"]), (&json!("kept"), &seat["server"]));

    let list = shown("/servers");
    let names: Vec<&str> =
        list["servers"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{list}");
}

#[test]
fn a_page_of_a_foreign_origin_or_without_a_referer_gets_no_session_by_jsonp() {
    let desk = StubServer::start("ua1");
    let crm = StubServer::start("embedding");
    let foreign = StubServer::start("ua9");
    let director =
        Plan::new().stubs([&desk]).with("pool", &format!("jsonp = true\nembed = [\"{}\"]", crm.origin())).start();
    director.wait_for_usable(&["ua1"]);
    let page = embedding_page(&director.url("/maitred/v1/start.js?callback=seated&pool=ua&key=1001"));
    foreign.page("/start", &page);
    crm.page("/hidden", &format!("<meta name=referrer content=no-referrer>{page}"));

    let mut browser = Browser::start();
    for address in [foreign.origin() + "/start", crm.origin() + "/hidden"] {
        browser.open(&address).unwrap();
        let answer = browser.wait_for_text("#answer", |text| !text.is_empty());
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["code"], 1006, "{address}: {answer}");
        assert!(answer.get("server").is_none(), "{answer}");
    }
}

#[test]
fn the_outage_page_is_shown_inside_a_frame_of_an_embedding_page_only() {
    let mut desk = StubServer::start("ua1");
    let crm = StubServer::start("embedding");
    let foreign = StubServer::start("ua9");
    let director = Plan::new().stubs([&desk]).with("pool", &format!("embed = [\"{}\"]", crm.origin())).start();
    director.wait_for_usable(&["ua1"]);
    desk.stop();
    director.wait_for_usable(&[]);
    let page = format!("<!doctype html><iframe name=desk src=\"{}\"></iframe>", director.url("/?agent=1004"));
    crm.page("/", &page);
    foreign.page("/", &page);

    let mut browser = Browser::start();
    browser.open(&(crm.origin() + "/")).unwrap();
    browser.enter_frame("iframe");
    browser.wait_for_text("h1", |text| text.contains("not available"));
    // It retries by itself inside of the frame too.
    desk.restart();
    browser.wait_for_text("#server", |text| text == "ua1");

    desk.stop();
    director.wait_for_usable(&[]);
    browser.open(&(foreign.origin() + "/")).unwrap();
    browser.enter_frame("iframe");
    wait::until("the foreign frame has loaded what it may", || {
        browser.run("return document.readyState", &json!([])).is_ok_and(|state| state == "complete")
    });
    assert_eq!(browser.text("h1").filter(|text| text.contains("not available")), None);
}
