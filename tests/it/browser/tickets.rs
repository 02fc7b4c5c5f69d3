//! The life of a ticket in a browser: whatever a person does with old addresses ends on a working page.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::house::House;
use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::desk::Handover;

/// The directors' signing key, which the test has too.
struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new one in a file, and the lines of the configuration that name it.
    fn create(folder: &Path) -> (Self, String) {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let file = folder.join("ticket.pem");
        fs::write(&file, pair.serialize_pem()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let own = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pair.serialize_der()).unwrap();
        (Self(own), format!("[ticket]\nkey_file = {file:?}"))
    }

    /// The same statement as in this ticket, signed an hour ago.
    fn aged(&self, ticket: &str) -> String {
        let mut parts = ticket.split('.');
        let (head, claims) = (parts.next().unwrap(), parts.next().unwrap());
        let mut claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        for time in ["iat", "exp"] {
            claims[time] = json!(claims[time].as_u64().unwrap() - 3600);
        }
        let message = format!("{head}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// A person who looks at where an address leads.
struct Person {
    browser: Browser,
    page: String,
}

impl Person {
    /// The working page is reached, over so many redirects; how often its session was visited.
    #[track_caller]
    fn arrives(&mut self, what: &str, redirects: usize) -> u32 {
        let server = self.browser.wait_for_text("#server", |text| !text.is_empty());
        assert_eq!(self.browser.redirects(), redirects, "{what}: {}", self.browser.address());
        assert_eq!(self.browser.address(), self.page, "{what}: the address is the application's own");
        assert!(self.page.contains(&server), "{what}");
        self.browser.text("#visits").unwrap().parse().unwrap()
    }

    #[track_caller]
    fn opens(&mut self, what: &str, address: &str, redirects: usize) -> u32 {
        self.browser.open(address).unwrap();
        self.arrives(what, redirects)
    }

    /// Another person at the same machine, or the same one after a year.
    fn forgets(&mut self) {
        self.browser.forget_cookies();
    }
}

/// Comes in by the front address, in a browser that knows nothing; the page that is reached is the one from now on.
fn comes_in(house: &House, entrance: &str, redirects: usize) -> Person {
    let mut browser = Browser::without_third_party_cookies();
    browser.open(&house.url(entrance)).unwrap();
    browser.wait_for_text("#server", |text| !text.is_empty());
    assert_eq!(browser.redirects(), redirects);
    let page = browser.address();
    assert!(page.contains(".desk.test:") && page.ends_with(entrance), "{page}");
    Person { browser, page }
}

const ENTRANCE: &str = "/desk?agent=1001&view=calls";

/// What is the same for every way of handing over: reload, back, and an application that has forgotten the session.
fn reloads_and_goes_back(person: &mut Person, redirects_when_forgotten: usize, forget: impl FnOnce()) {
    let visits = person.browser.text("#visits").unwrap().parse::<u32>().unwrap();
    person.browser.reload().unwrap();
    assert_eq!(person.arrives("a reload", 0), visits + 1);
    person.browser.leave();
    person.browser.back();
    person.arrives("the back button", 0);
    forget();
    person.browser.reload().unwrap();
    assert_eq!(person.arrives("a reload when the session is gone", redirects_when_forgotten), 1);
}

#[test]
fn with_a_ticket_in_the_address_every_old_address_works_after_at_most_three_redirects() {
    let folder = tempfile::tempdir().unwrap();
    let (key, table) = SigningKey::create(folder.path());
    let house = House::open(Handover::Query, "", &table);
    let mut person = comes_in(&house, ENTRANCE, 2);
    reloads_and_goes_back(&mut person, 3, || house.desks.iter().for_each(|desk| desk.forget()));

    // The address with its ticket, as somebody else's program got it, and the same an hour later.
    let fresh = Client::new().get(&house.url(ENTRANCE)).header("location").to_owned();
    let (start, ticket) = fresh.split_once("maitred_ticket=").unwrap();
    let old = format!("{start}maitred_ticket={}", key.aged(ticket));
    assert!(fresh.starts_with(&person.page), "one key, one server");
    assert_eq!(person.opens("a ticket of the same session", &fresh, 1), 2, "bound to the session that was there");
    assert_eq!(person.opens("the same again", &fresh, 1), 3);
    assert_eq!(person.opens("the same an hour later", &old, 1), 4);

    for (what, address) in [
        ("a ticket that somebody else has used", fresh.clone()),
        ("an old bookmark with its ticket", old.clone()),
        ("a ticket that was cut", fresh[..fresh.len() - 9].to_owned()),
        ("a ticket that was altered", format!("{start}maitred_ticket=x{ticket}")),
        ("two tickets", format!("{old}&maitred_ticket={ticket}")),
        ("a bookmark without one", person.page.clone()),
    ] {
        person.forgets();
        assert_eq!(person.opens(what, &address, 3), 1, "{what}: a session of its own");
    }
    let stolen = house.url(&format!("{ENTRANCE}&maitred_ticket={ticket}"));
    assert!(person.opens("the front address with a ticket", &stolen, 2) > 1, "it is not handed on");
}

#[test]
fn with_a_ticket_in_a_cookie_every_old_address_works_after_at_most_three_redirects() {
    let folder = tempfile::tempdir().unwrap();
    let (key, table) = SigningKey::create(folder.path());
    let house = House::open(Handover::Cookie, "", &table);
    let mut person = comes_in(&house, ENTRANCE, 2);
    reloads_and_goes_back(&mut person, 3, || house.desks.iter().for_each(|desk| desk.forget()));
    person.forgets();
    assert_eq!(person.opens("a bookmark", &person.page.clone(), 3), 1);

    // A browser that kept the cookie for an hour, as no browser does.
    let mut program = Client::new();
    let answer = program.get(&house.url(ENTRANCE));
    let cookies = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    let ticket = cookies.filter_map(|line| line.strip_prefix("maitred_ticket=")?.split(';').next()).next().unwrap();
    person.browser.set_cookie("maitred_ticket", &key.aged(ticket), "desk.test");
    assert_eq!(person.opens("an old ticket beside a bound session", &person.page.clone(), 0), 2);
    house.desks.iter().for_each(|desk| desk.forget());
    person.browser.set_cookie("maitred_ticket", &key.aged(ticket), "desk.test");
    assert_eq!(person.opens("an old ticket alone", &person.page.clone(), 3), 1);
}

#[test]
fn without_tickets_old_addresses_work_as_they_are() {
    let house = House::open(Handover::None, "", "");
    let mut person = comes_in(&house, ENTRANCE, 1);
    reloads_and_goes_back(&mut person, 0, || house.desks.iter().for_each(|desk| desk.forget()));
    person.forgets();
    assert_eq!(person.opens("a bookmark", &person.page.clone(), 0), 1);
}
