//! The real parts themselves: what the other tests take for granted about them.

use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::haproxy::{Backend, HaProxy};
use crate::support::stub::{HEALTH, StubServer};
use crate::support::tomcat::Tomcat;

#[test]
fn a_tomcat_counts_visits_in_its_session_and_forgets_them_when_killed() {
    let mut tomcat = Tomcat::start("ua1");
    let mut agent = Client::new();
    let page = tomcat.origin() + "/";
    assert!(agent.get(&page).text().contains("<p id=\"visits\">1</p>"));
    assert!(agent.get(&page).text().contains("<p id=\"visits\">2</p>"));
    let session = agent.cookie("ua1.test", "JSESSIONID").unwrap();
    assert!(session.ends_with(".ua1"), "the jvmRoute is in {session}");
    tomcat.kill();
    assert!(agent.try_send(hyper::Method::GET, &page, &[], "").is_err());
    tomcat.start_again();
    assert!(agent.get(&page).text().contains("<p id=\"visits\">1</p>"));
}

#[test]
fn a_browser_opens_reloads_and_shows_why_it_cannot() {
    let mut stub = StubServer::start("ua1");
    let mut browser = Browser::start();
    browser.open(&(stub.origin() + "/desk?x=1")).unwrap();
    assert_eq!(browser.text("#server").as_deref(), Some("ua1"));
    assert_eq!(browser.address(), stub.origin() + "/desk?x=1");
    browser.reload().unwrap();
    assert_eq!(stub.visits().iter().filter(|target| *target == "/desk?x=1").count(), 2);
    stub.stop();
    let refused = browser.open(&stub.origin()).unwrap_err();
    assert!(refused.contains("ERR_CONNECTION"), "{refused}");
}

#[test]
fn haproxy_sees_a_stub_fall_and_return() {
    let mut stub = StubServer::start("ua1");
    let check = format!("option httpchk GET {HEALTH}");
    let servers = [("one", format!("127.0.0.1:{} check check-ssl verify none", stub.port()))];
    let mut haproxy = HaProxy::start(&[Backend { name: "stubs", check: &check, servers: &servers }]);
    haproxy.wait_for("stubs", "one", "UP");
    stub.stop();
    haproxy.wait_for("stubs", "one", "DOWN");
    stub.restart();
    haproxy.wait_for("stubs", "one", "UP");
    assert!(haproxy.runs());
}
