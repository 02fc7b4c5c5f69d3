//! The client of `docs/clients.md`, as it stands there, in a page of another origin.

use super::house::{House, page_at};
use crate::support::browser::Browser;
use crate::support::desk::Handover;
use crate::support::stub::StubServer;
use crate::support::tree::root;

/// The document's script, asking `front`.
fn client(front: &str) -> String {
    let document = std::fs::read_to_string(root().join("docs/clients.md")).unwrap();
    let script = document.split("```js\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let asked = script.replace("https://agents.example.com", front);
    assert_ne!(asked, script, "the front's address stands in the script");
    format!(
        "<!doctype html><button id=go>Go</button><p id=place></p><script>{asked}
        document.getElementById(\"go\").onclick = async () => {{
          const shown = document.getElementById(\"place\");
          shown.textContent = \"\";
          shown.textContent = await place(\"1001\").catch(refusal => `refused ${{refusal.code}}`);
        }};</script>"
    )
}

#[test]
fn the_client_of_the_document_works_with_directors_and_goes_on_without_them() {
    let crm = StubServer::start("embedding");
    let origin = page_at("crm.test", &crm, "");
    let mut house = House::open(Handover::Query, &format!("embed = [\"{origin}\"]\njsonp = true"), "");
    crm.page("/", &client(&house.url("")));
    let mut browser = Browser::start();
    browser.open(&format!("{origin}/")).unwrap();
    let place = |browser: &mut Browser| {
        browser.click("#go");
        browser.wait_for_text("#place", |text| !text.is_empty())
    };
    let at = |house: &House, url: &str| {
        house.desks.iter().find(|desk| url.starts_with(&desk.origin())).map(|desk| desk.name().to_owned())
    };

    let first = place(&mut browser);
    assert!(first.contains("maitred_ticket="), "{first}");
    let seated = at(&house, &first).unwrap();

    // Its server dies: a director gives another one.
    house.desk(&seated).stop();
    let second = place(&mut browser);
    let moved = at(&house, &second).unwrap();
    assert_ne!(moved, seated);
    assert!(second.contains("maitred_ticket="), "a director said so: {second}");

    // Then the directors die, and this server as well: the stored list leads on.
    house.director.kill();
    house.desk(&moved).stop();
    let third = place(&mut browser);
    assert!(!third.contains("maitred_ticket="), "nobody is left who could sign one: {third}");
    let alone = at(&house, &third).unwrap();
    assert!(![&seated, &moved].contains(&&alone), "{alone}");
}
