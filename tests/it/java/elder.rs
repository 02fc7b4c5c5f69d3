//! The same filter as it is written, with the names of `javax`, in a Tomcat 9; and the ways to run it that the others do not take:
//! a bearer token, a login by the container, tickets by cookie, an application that is loaded anew in the same Java.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::house::{House, Plans, arrive, browser, walk};
use crate::support::client::Client;
use crate::support::stub::HEALTH;
use crate::support::tomcat::Edition;
use crate::support::wait;

const TOKEN: &str = "a-token-of-ua1-that-is-long-enough-0001";
const NEXT: &str = "a-token-of-ua1-that-is-long-enough-0002";

/// A line of the directors' token file.
fn known(token: &str) -> String {
    let hash: String = digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("tomcat server:ua1 {hash}\n")
}

/// Directors refuse what everybody on the machine may read.
fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn house() -> House {
    House::of(&Plans {
        edition: Edition::Javax,
        servers: &["ua1"],
        directors: &[("east-1", "east")],
        params: &|folder| {
            secret(&folder.join("token"), TOKEN);
            vec![
                ("cert", String::new()),
                ("key", String::new()),
                ("token-file", folder.join("token").display().to_string()),
                ("capacity", "7".to_owned()),
                ("exempt", "/public/".to_owned()),
                ("cookie-domain", "test".to_owned()),
                ("agent-from", "remote-user".to_owned()),
            ]
        },
        plan: &|plan, folder| {
            let tokens = folder.join("tokens");
            secret(&tokens, &known(TOKEN));
            plan.with("listen.internal", &format!("token_file = {tokens:?}"))
        },
    })
}

#[test]
fn a_tomcat_9_takes_tickets_confirms_beats_and_resets() {
    let house = house();
    let (director, origin) = (&house.directors[0], house.tomcat("ua1").origin());

    // The ticket.
    let mut agent = browser();
    let (seen, page) = walk(&mut agent, &director.url("/desk?agent=1001"));
    assert_eq!((seen.len(), page.status), (3, 200), "{seen:?} {page:?}");
    let page = page.json();
    assert_eq!((&page["maitred.key"], &page["visits"]), (&json!("1001"), &json!(1)));
    assert_eq!(page["maitred.session"], house.session(0, "1001")["session"]);
    assert_eq!(agent.get(seen[1].as_str()).status, 303, "a reload of the ticket");

    // By cookie, which is cleared in both of its forms.
    let ticket = Client::new().post_json(&director.url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": "1002"}));
    let mut by_cookie = browser();
    by_cookie.set_cookie("ua1.test", "maitred_ticket", ticket.json()["ticket"].as_str().unwrap());
    let page = by_cookie.get(&format!("{origin}/desk"));
    assert_eq!((page.status, &page.json()["maitred.key"]), (200, &json!("1002")), "{page:?}");
    let cleared = |with: &str| {
        let gone = format!("maitred_ticket=; Domain=test; Path=/; Max-Age=0; Secure; HttpOnly; SameSite={with}");
        page.headers.get_all("set-cookie").iter().any(|line| line.to_str().is_ok_and(|line| line == gone))
    };
    assert!(cleared("Lax") && cleared("None; Partitioned"), "{page:?}");

    // Whom the container logs in is the agent.
    let basic = [("authorization", "Basic YW5uOnNlY3JldA==")];
    assert_eq!(agent.get(&format!("{origin}/inside")).status, 401);
    assert_eq!(agent.send(hyper::Method::GET, &format!("{origin}/inside"), &basic, "").status, 200);
    wait::for_equal("ann is confirmed", &json!("ann"), || house.session(0, "1001")["agent"].clone());

    // Beats.
    wait::for_equal("both are listed", &json!(2), || director.server("ua1")["report"]["sessions"].clone());
    assert_eq!(director.server("ua1")["report"]["capacity"], 7);
    assert_eq!(browser().get(&format!("{origin}/desk")).status, 303, "a stranger goes to the door");
    assert_eq!(browser().get(&format!("{origin}/public/x")).status, 404, "where it is exempt it does not");

    // A reset of each session, and everybody comes back.
    Client::new().get(&format!("{origin}/link?is=up"));
    wait::for_equal("the link is known", &json!(true), || director.server("ua1")["report"]["depends"]["aes"].clone());
    Client::new().get(&format!("{origin}/link?is=down"));
    let resets = || Client::new().get(&format!("{origin}/read")).json()["resets"].clone();
    wait::for_equal("each session is reset", &json!(2), resets);
    let (_, page) = arrive(&mut agent, &house, "1001");
    assert_eq!((&page["visits"], &page["maitred.generation"]), (&json!(1), &json!(1)));

    // Another token: known first, then shown, then the old one is forgotten.
    let (tokens, shown) = (house.folder.path().join("tokens"), house.folder.path().join("token"));
    let know = |text: &str| {
        fs::write(&tokens, text).unwrap();
        let told = director.operator().post_json(&director.internal_url("/v1/config/reload"), &json!({}));
        assert_eq!(told.status, 200, "{told:?}");
    };
    know(&(known(TOKEN) + &known(NEXT)));
    fs::write(&shown, NEXT).unwrap();
    wait::until("the token is read again", || {
        house.tomcat("ua1").words().iter().any(|line| line.contains("token were read again"))
    });
    know(&known(NEXT));
    let mut old = Client::new().with_header("authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(old.get(&director.internal_url("/v1/servers/ua1")).status, 401);
    let beats = house.beats(0);
    wait::until("beats with the next token", || house.beats(0) > beats + 2.0);
}

#[test]
fn an_application_that_gives_the_filter_up_loses_nobody() {
    let house = house();
    let (director, tomcat) = (&house.directors[0], house.tomcat("ua1"));
    let mut agent = browser();
    let (origin, _) = arrive(&mut agent, &house, "1001");
    agent.get(&format!("{origin}/login?agent=1001"));
    let stands = || {
        let session = house.session(0, "1001");
        ["server", "agent", "generation", "ended_by"].map(|member| session[member].clone())
    };
    let seated = [json!("ua1"), json!("1001"), json!(1), json!(null)];
    wait::for_equal("the agent is confirmed", &seated, stands);
    let list = || director.server("ua1")["report"]["sessions"].clone();
    wait::for_equal("the session is listed", &json!(1), list);

    // The filter is taken out of web.xml for good: the health path is the application's own page from now on.
    let web_xml = tomcat.root().join("WEB-INF/web.xml");
    let with = fs::read_to_string(&web_xml).unwrap();
    let (before, rest) = with.split_once("<filter>").unwrap();
    let (_, after) = rest.split_once("</filter-mapping>").unwrap();
    fs::write(&web_xml, format!("{before}{after}")).unwrap();
    let health = format!("{origin}{HEALTH}");
    wait::until("the filter is gone", || Client::new().get(&health).text() == "ok\n");
    let beats = house.beats(0);
    let looks = || director.metric("maitred_probes_total{pool=\"ua\",outcome=\"good\"}").unwrap_or(0.0);
    let seen = looks();
    wait::until("looks without the filter", || looks() > seen + 3.0);
    assert_eq!(house.beats(0), beats, "nothing of it is left");
    assert_eq!(stands(), seated, "silence ends nothing");

    // It is a server that knows nothing of directors now: the door goes on leading there, and the page is served.
    let (seen, page) = walk(&mut agent, &director.url("/desk?agent=1001"));
    assert_eq!((page.status, seen.len()), (200, 2), "{seen:?} {page:?}");
    assert!(seen[1].as_str().starts_with(&origin), "{seen:?}");
    assert_eq!(stands(), seated);

    // And back.
    fs::write(&web_xml, &with).unwrap();
    wait::until("beats come again", || house.beats(0) > beats + 2.0);
    let (back, page) = arrive(&mut agent, &house, "1001");
    assert_eq!((back, &page["maitred.key"]), (origin, &json!("1001")));
    assert_eq!(stands(), seated);

    // The whole application goes: nobody answers for it, and its sessions wait for it until they are started elsewhere.
    fs::remove_dir_all(tomcat.root()).unwrap();
    wait::for_equal("the server is down", &json!("down"), || director.server("ua1")["state"].clone());
    assert_eq!((&house.session(0, "1001")["state"], stands()), (&json!("orphaned"), seated));
}

#[test]
fn an_application_that_is_loaded_anew_leaves_nothing_behind_and_returns_as_another_life() {
    let house = house();
    let (director, tomcat) = (&house.directors[0], house.tomcat("ua1"));
    let mut agent = browser();
    let (origin, _) = arrive(&mut agent, &house, "1001");
    let before = house.health("ua1")["incarnation"].clone();
    wait::for_equal("this life is known", &before, || director.server("ua1")["incarnation"].clone());

    // In the same Java: the application is stopped, its classes are given up, and it is started with new ones.
    let web_xml = tomcat.root().join("WEB-INF/web.xml");
    fs::write(&web_xml, fs::read_to_string(&web_xml).unwrap() + "\n").unwrap();
    let health = format!("{origin}{HEALTH}");
    let after = wait::for_some("another life", || {
        let answer = Client::new().get(&health);
        let now = (answer.status == 200).then(|| answer.json()["incarnation"].clone())?;
        (now != before).then_some(now)
    });
    wait::for_equal("it is known by its beats", &after, || director.server("ua1")["incarnation"].clone());
    let words = tomcat.words().join("\n");
    assert!(words.contains("Reloading Context"), "{words}");
    let left = ["memory leak", "failed to stop", "failed to remove", "SEVERE"];
    assert!(!left.iter().any(|left| words.contains(left)), "{words}");
    let page = agent.get(&format!("{origin}/desk")).json();
    assert_eq!((&page["visits"], &page["maitred.key"]), (&json!(2), &json!("1001")), "stored sessions are told of");
    let beats = house.beats(0);
    wait::until("beats go on", || house.beats(0) > beats + 3.0);
    assert_eq!(house.session(0, "1001")["server"], "ua1");
}
