//! `clients/java/MaitredFilter.java` in real Tomcats, with the lines of `web.xml` that the README shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::support::certificates::{self, FRONT};
use crate::support::client::{Answer, Client};
use crate::support::director::{Director, Plan};
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::stub::HEALTH;
use crate::support::tomcat::Tomcat;
use crate::support::wait;

const JAVAX: &str = "/usr/share/java/servlet-api.jar";
const JAKARTA: &str = "/usr/share/tomcat10/lib/servlet-api.jar";
const SERVERS: [&str; 2] = ["ua1", "ua2"];

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java")
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}. `tests/run` installs what the tests need."))
}

/// Compiles without a warning.
#[track_caller]
fn javac(release: &str, class_path: &str, to: &Path, sources: &[PathBuf]) {
    let mut arguments = vec!["-Xlint:all,-options", "-Werror", "--release", release, "-cp", class_path, "-d"];
    arguments.push(to.to_str().unwrap());
    arguments.extend(sources.iter().map(|source| source.to_str().unwrap()));
    let output = run("javac", &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The filter and the example application for Tomcat 10, compiled once.
fn classes() -> PathBuf {
    static CLASSES: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let sources = folder.path().join("sources");
        let (filter, desk) = (clients().join("MaitredFilter.java"), clients().join("example/Desk.java"));
        let script = clients().join("jakarta");
        let words = [&sources, &filter, &desk].map(|path| path.to_str().unwrap());
        assert!(run(script.to_str().unwrap(), &words).status.success());
        let converted = [sources.join("MaitredFilter.java"), sources.join("Desk.java")];
        javac("11", JAKARTA, &folder.path().join("classes"), &converted);
        folder
    });
    CLASSES.path().join("classes")
}

/// The lines of `web.xml` in a document.
fn web_xml_of(document: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let block = text.split("```xml\n").nth(1).and_then(|rest| rest.split("```").next());
    let lines = block.unwrap_or_else(|| panic!("{document} shows no web.xml")).lines();
    lines.filter(|line| !line.trim().is_empty()).map(|line| format!("{}\n", line.trim())).collect()
}

/// As an operator installs it: the class files, the README's lines, and the application.
fn install(root: &Path) {
    fs::create_dir(root.join("WEB-INF")).unwrap();
    let (from, to) = (classes(), root.join("WEB-INF/classes"));
    assert!(run("cp", &["-r", from.to_str().unwrap(), to.to_str().unwrap()]).status.success());
    // As Tomcat did by itself until version 10.1.
    let context = "<Context><Manager pathname=\"SESSIONS.ser\"/></Context>\n";
    fs::create_dir(root.join("META-INF")).unwrap();
    fs::write(root.join("META-INF/context.xml"), context).unwrap();
    let lines = web_xml_of("README.md");
    let paths = ["/desk", "/login", "/attribute", "/renewed", "/note", "/read", "/link", "/logout"];
    let patterns: String = paths.iter().map(|path| format!("<url-pattern>{path}</url-pattern>")).collect();
    let web_xml = format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0">
{lines}
<listener><listener-class>desk.Desk</listener-class></listener>
<servlet><servlet-name>desk</servlet-name><servlet-class>desk.Desk</servlet-class></servlet>
<servlet-mapping><servlet-name>desk</servlet-name>{patterns}</servlet-mapping>
</web-app>
"#
    );
    fs::write(root.join("WEB-INF/web.xml"), web_xml).unwrap();
}

/// Directors, and two Tomcats with the filter that know them.
struct House {
    directors: Vec<Director>,
    tomcats: Vec<Tomcat>,
    _folder: TempDir,
    _mesh: Mesh,
}

impl House {
    fn start(servers: &[&str], plan: impl Fn(Plan) -> Plan) -> Self {
        Self::with(servers, &["east-1"], plan)
    }

    /// Directors first, because the filter is told where they are; then the Tomcats, which the directors learn of by a reload.
    fn with(servers: &[&str], directors: &[&'static str], plan: impl Fn(Plan) -> Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut identities =
            "[[listen.internal.identity]]\nsan = \"operator.maitred.internal\"\nrole = \"operator\"\n".to_owned();
        let mut usual = Plan::new();
        for (number, server) in (1..).zip(servers) {
            certificates::shared().issue_peer(folder.path(), server, &[&format!("{server}.test")]);
            identities += &format!(
                "[[listen.internal.identity]]\nsan = \"{server}.test\"\nrole = \"server\"\nserver = \"{server}\"\n"
            );
            usual = usual.server(server, number);
        }
        let usual = usual
            .with("pool", &format!("route = [{{ host = \"{FRONT}\", path = \"/\" }}]\nbeats = true\ndepends = [{{ name = \"aes\", effect = \"reset\" }}]"))
            .with("end", &identities);
        let members: Vec<_> = directors.iter().map(|name| (*name, "east")).collect();
        let mesh = Mesh::of(&members);
        let key = folder.path().join("ticket.pem");
        let made = run("openssl", &["genpkey", "-algorithm", "ed25519", "-out", key.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        run("chmod", &["600", key.to_str().unwrap()]);
        let usual = usual.with("end", &format!("[ticket]\nkey_file = {key:?}\n"));
        let directors: Vec<Director> =
            directors.iter().map(|name| mesh.plan(name, plan(usual.clone())).start()).collect();
        wait_for_links(&directors.iter().collect::<Vec<_>>());
        let urls: Vec<String> = directors.iter().map(|director| director.internal_url("")).collect();
        let file = |name: &str, kind: &str| folder.path().join(format!("{name}.{kind}")).display().to_string();
        let start = |server: &&str| {
            let options = [
                ("pool", "ua".to_owned()),
                ("directors", urls.join(",")),
                ("front", directors[0].url("")),
                ("ca", certificates::shared().path("ca.pem").display().to_string()),
                ("cert", file(server, "pem")),
                ("key", file(server, "key")),
                ("health-path", HEALTH.to_owned()),
                // A busy machine takes its time for the first handshake of a new Java.
                ("call-timeout", "15000".to_owned()),
            ];
            let options: String = options.iter().map(|(name, value)| format!(" -Dmaitred.{name}={value}")).collect();
            Tomcat::start_with(server, &options, install)
        };
        let tomcats: Vec<Tomcat> = servers.iter().map(start).collect();
        for director in &directors {
            let mut text = fs::read_to_string(director.config()).unwrap();
            for (number, tomcat) in (1..).zip(&tomcats) {
                text = text.replace(&format!(":{number}\""), &format!(":{}\"", tomcat.port()));
            }
            fs::write(director.config(), text).unwrap();
            director.reload();
            director.wait_for_usable(servers);
        }
        Self { directors, tomcats, _folder: folder, _mesh: mesh }
    }

    fn tomcat(&self, name: &str) -> &Tomcat {
        self.tomcats.iter().find(|tomcat| tomcat.name() == name).unwrap()
    }

    /// The session of a key as the first director that lives shows it.
    fn session(&self, director: usize, key: &str) -> Value {
        let director = &self.directors[director];
        director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}"))).json()
    }

    /// What a server says at its health path.
    fn health(&self, name: &str) -> Value {
        Client::new().get(&format!("{}{HEALTH}", self.tomcat(name).origin())).json()
    }

    /// A key that is seated at this server.
    fn key_at(&self, server: &str, prefix: &str) -> String {
        let director = &self.directors[0];
        (0..200)
            .map(|number| format!("{prefix}-{number}"))
            .find(|key| {
                let answer = Client::new().get(&director.url(&format!("/desk?agent={key}")));
                answer.status == 302 && answer.location().host_str() == Some(&format!("{server}.test"))
            })
            .unwrap_or_else(|| panic!("no key is seated at {server}"))
    }

    fn beats(&self, director: usize) -> f64 {
        self.directors[director].metric("maitred_beats_total{outcome=\"taken\"}").unwrap_or(0.0)
    }
}

/// A person's browser.
fn browser() -> Client {
    Client::new().like_a_browser()
}

/// Follows redirects by hand, so that each address is seen: the addresses, and the page.
fn walk(agent: &mut Client, from: &str) -> (Vec<Url>, Answer) {
    let mut seen = vec![Url::parse(from).unwrap()];
    loop {
        let answer = agent.get(seen.last().unwrap().as_str());
        if !(300..400).contains(&answer.status) {
            return (seen, answer);
        }
        let next = seen.last().unwrap().join(answer.header("location")).unwrap();
        seen.push(next);
        assert!(seen.len() < 8, "redirected in circles: {seen:?}");
    }
}

/// Comes by the front door and lands on a page of a server: its origin and what the page shows.
#[track_caller]
fn arrive(agent: &mut Client, house: &House, key: &str) -> (String, Value) {
    let (seen, page) = walk(agent, &house.directors[0].url(&format!("/desk?agent={key}")));
    assert_eq!(page.status, 200, "{seen:?} {page:?}");
    let last = seen.last().unwrap();
    assert!(!last.as_str().contains("maitred_ticket"), "{last}");
    (last.origin().ascii_serialization(), page.json())
}

/// Logs in, and waits until the agent's state could be read.
#[track_caller]
fn log_in(agent: &mut Client, origin: &str, name: &str) -> String {
    agent.get(&format!("{origin}/login?agent={name}"));
    wait::for_some("the state can be read", || {
        agent.get(&format!("{origin}/read")).json()["note"].as_str().map(str::to_owned)
    })
}

/// Leaves a state and waits until it is written.
#[track_caller]
fn write_note(agent: &mut Client, origin: &str, note: &str) {
    wait::until("the state is written", || {
        agent.get(&format!("{origin}/note?text={note}")).json()["written"] == json!(true)
    });
}

#[test]
fn the_filter_compiles_for_servlet_3_1_on_java_8_and_its_parts_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [clients().join("MaitredFilter.java"), clients().join("example/Desk.java")];
    javac("8", JAVAX, folder.path(), &sources);
    let both = format!("{}:{JAVAX}", folder.path().display());
    javac("11", &both, folder.path(), &[clients().join("check/MaitredFilterCheck.java")]);
    let checked = run("java", &["-cp", &both, "maitred.MaitredFilterCheck"]);
    let words = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && words.contains(" 0 failed"), "{words}");
}

#[test]
fn both_documents_show_the_lines_of_web_xml_that_these_tests_use() {
    assert_eq!(web_xml_of("README.md"), web_xml_of("clients/java/README.md"));
    assert!(web_xml_of("README.md").contains("<filter-class>maitred.MaitredFilter</filter-class>"));
}

#[test]
fn an_agent_lands_with_a_ticket_logs_in_elsewhere_and_leaves() {
    let house = House::start(&SERVERS, |plan| plan.with("pool", "session_ttl = \"1m\""));
    let director = &house.directors[0];
    let mut agent = browser();

    // The ticket is in one address and gone from the next; the rest of it stays byte for byte.
    let (seen, page) = walk(&mut agent, &director.url("/desk?agent=1001&x=%20a"));
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[1].query().unwrap().contains("&maitred_ticket="), "{seen:?}");
    assert_eq!(seen[2].query(), Some("agent=1001&x=%20a"));
    let (page, first) = (page.json(), seen[2].origin().ascii_serialization());
    let (at, other) = if first.contains("ua1") { ("ua1", "ua2") } else { ("ua2", "ua1") };
    assert_eq!((&page["maitred.key"], &page["maitred.generation"]), (&json!("1001"), &json!(1)));
    assert_eq!(page["maitred.session"], house.session(0, "1001")["session"]);
    assert_eq!(page["query"], "agent=1001&x=%20a");

    // A reload of the old address, with the same ticket, and the back button end on the page.
    let again = agent.get(seen[1].as_str());
    assert_eq!((again.status, again.header("location")), (303, "/desk?agent=1001&x=%20a"));
    assert_eq!((again.header("referrer-policy"), again.header("cache-control")), ("no-referrer", "no-store"));
    assert_eq!(agent.get(seen[2].as_str()).json()["visits"], 2);

    // Whoever else has the address gets a ticket of their own, or no session; never this one.
    let mut thief = browser();
    let refused = thief.get(seen[1].as_str());
    assert_eq!((refused.status, refused.location().as_str()), (303, director.url("/desk?agent=1001&x=%20a").as_str()));
    assert_eq!(thief.cookie(&format!("{at}.test"), "JSESSIONID"), None);

    // The login is known to the director, and nothing was left for this agent yet.
    assert_eq!(log_in(&mut agent, &first, "1001"), "");
    let found =
        || director.operator().get(&director.internal_url("/v1/sessions?agent=1001")).json()["sessions"].clone();
    wait::for_equal("the agent is confirmed", &json!("1001"), || found()[0]["agent"].clone());
    assert_eq!(found()[0]["server"], at);
    write_note(&mut agent, &first, "three+calls+waiting");

    // Beats tell the load and hold the session.
    wait::for_equal("the load is known", &json!(1), || director.server(at)["report"]["sessions"].clone());
    assert_eq!(house.health(at)["sessions"], 1);
    let expires = house.session(0, "1001")["expires"].clone();
    wait::until("the list holds the session beyond its time", || house.session(0, "1001")["expires"] != expires);

    // The same agent logs in at the other server, from another browser: the first session is reset there, once.
    let key = house.key_at(other, "desk");
    let mut second = browser();
    let (elsewhere, _) = arrive(&mut second, &house, &key);
    assert!(elsewhere.contains(other));
    assert_eq!(log_in(&mut second, &elsewhere, "1001"), "three calls waiting");
    let resets = |origin: &str| Client::new().get(&format!("{origin}/read")).json()["resets"].clone();
    wait::for_equal("the first HttpSession is reset", &json!(1), || resets(&first));
    let beats = house.beats(0);
    wait::until("many more beats", || house.beats(0) > beats + 8.0);
    assert_eq!((resets(&first), resets(&elsewhere)), (json!(1), json!(0)));
    wait::for_equal("one line about the reset", &1, || director.lines_with(&["event=\"session_reset\""]).len());
    let gone = agent.get(&format!("{first}/desk?x=1"));
    assert_eq!((gone.status, gone.location().as_str()), (303, director.url("/desk?x=1").as_str()));

    // What the first server says of the former stay is too late.
    let late = json!({"server": at, "incarnation": house.health(at)["incarnation"], "generation": 1, "state": "late"});
    let url = director.internal_url("/v1/sessions/ua/1001/state");
    let refused =
        director.operator().send(Method::PUT, &url, &[("content-type", "application/json")], &late.to_string());
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(log_in(&mut second, &elsewhere, "1001"), "three calls waiting");

    // Logout ends the session at the director.
    second.get(&format!("{elsewhere}/logout"));
    wait::for_equal("the session is ended", &json!("server"), || house.session(0, &key)["ended_by"].clone());
    for tomcat in &house.tomcats {
        let words = tomcat.words().join("\n");
        assert!(!words.contains("eyJ") && !words.contains("1001"), "no ticket and no agent in the log: {words}");
    }
}

#[test]
fn logins_are_heard_by_attribute_and_survive_a_new_http_session() {
    let house = House::start(&SERVERS[..1], |plan| plan);
    let mut by_attribute = browser();
    let (origin, _) = arrive(&mut by_attribute, &house, "seat-1");
    by_attribute.get(&format!("{origin}/attribute?agent=ann"));
    wait::for_equal("ann is confirmed", &json!("ann"), || house.session(0, "seat-1")["agent"].clone());

    // Tomcat's session is another one, the director's is the same.
    let mut renewed = browser();
    let (_, before) = arrive(&mut renewed, &house, "seat-2");
    let after = renewed.get(&format!("{origin}/renewed?agent=bob")).json();
    assert_ne!(before["http_session"], after["http_session"]);
    assert_eq!(before["maitred.session"], after["maitred.session"]);
    wait::for_equal("bob is confirmed", &json!("bob"), || house.session(0, "seat-2")["agent"].clone());
    let beats = house.beats(0);
    wait::until("beats go on", || house.beats(0) > beats + 3.0);
    assert_eq!(house.session(0, "seat-2")["ended_by"], Value::Null);

    // Of no use here: forged ones, and those of other servers. A browser without a session goes to the door with its address ...
    let forged = format!("{origin}/desk?a=1&maitred_ticket=eyJhbGciOiJub25lIn0.e30.&b=2");
    let answer = browser().get(&forged);
    assert_eq!((answer.status, answer.location().as_str()), (303, house.directors[0].url("/desk?a=1&b=2").as_str()));
    // ... one with a session stays, and a form keeps its method.
    assert_eq!(renewed.get(&forged).header("location"), "/desk?a=1&b=2");
    assert_eq!(renewed.send(Method::POST, &forged, &[], "x=1").status, 307);
    // Who leads nobody astray: the address is a path of this server.
    let astray = renewed.get(&format!("{origin}//evil.example/x?maitred_ticket=x"));
    assert_eq!(astray.header("location"), "/evil.example/x");
    // Without a browser's words nobody is sent anywhere.
    assert_eq!(Client::new().get(&format!("{origin}/desk")).status, 200);

    // By cookie there is nothing to take out of the address.
    let ticket = Client::new()
        .post_json(&house.directors[0].url("/maitred/v1/sessions"), &json!({"pool": "ua", "key": "seat-3"}));
    let ticket = ticket.json()["ticket"].as_str().unwrap().to_owned();
    let mut by_cookie = browser();
    by_cookie.set_cookie("ua1.test", "maitred_ticket", &ticket);
    let page = by_cookie.get(&format!("{origin}/desk"));
    assert_eq!((page.status, &page.json()["maitred.key"]), (200, &json!("seat-3")));
    assert_eq!(by_cookie.get(&format!("{origin}/desk")).json()["visits"], 2);
}

#[test]
fn the_application_goes_on_without_directors_and_is_adopted_when_one_returns() {
    let mut house = House::with(&SERVERS[..1], &["east-1", "east-2"], |plan| plan);
    let mut agent = browser();
    let (origin, _) = arrive(&mut agent, &house, "1001");
    agent.get(&format!("{origin}/login?agent=1001"));
    wait::for_equal("the agent is confirmed", &json!("1001"), || house.session(1, "1001")["agent"].clone());

    // One director goes: the other one hears the server from now on.
    house.directors[0].kill();
    let beats = house.beats(1);
    wait::until("beats go to the other director", || house.beats(1) > beats + 2.0);
    write_note(&mut agent, &origin, "still+here");

    // All are gone: who is here works on, and who comes is served.
    house.directors[1].kill();
    assert_eq!(agent.get(&format!("{origin}/desk")).json()["visits"], 2);
    let mut stranger = browser();
    wait::until("nobody is sent to a closed door", || stranger.get(&format!("{origin}/desk")).status == 200);
    let page = stranger.get(&format!("{origin}/login?agent=walk")).json();
    assert_eq!((&page["note"], &page["maitred.key"]), (&Value::Null, &json!("walk")));
    assert_eq!(agent.get(&format!("{origin}/read")).json()["note"], Value::Null);

    // One returns, and remembers nothing: it learns from the server who is there.
    house.directors[0].start_again();
    for (key, login) in [("1001", "1001"), ("walk", "walk")] {
        let known = || (house.session(0, key)["server"].clone(), house.session(0, key)["agent"].clone());
        wait::for_equal(&format!("{key} is adopted"), &(json!("ua1"), json!(login)), known);
    }
    // By the front door the walk-in comes back to what it had.
    let before = stranger.get(&format!("{origin}/desk")).json();
    let (back, after) = arrive(&mut stranger, &house, "walk");
    assert_eq!((back, &after["http_session"]), (origin.clone(), &before["http_session"]));
    assert_eq!(after["visits"].as_u64(), before["visits"].as_u64().map(|visits| visits + 1));
    let beats = house.beats(0);
    wait::until("beats go on", || house.beats(0) > beats + 5.0);
    assert_eq!(agent.get(&format!("{origin}/desk")).json()["resets"], 0, "nobody was moved or reset");
}

#[test]
fn a_broken_link_resets_each_session_once_and_a_restart_keeps_them() {
    let mut house = House::start(&SERVERS[..1], |plan| plan);
    let link = |house: &House, word: &str| {
        let origin = house.tomcat("ua1").origin();
        Client::new().get(&format!("{origin}/link?is={word}"));
        wait::for_equal("the health page tells", &json!(word), || house.health("ua1")["depends"]["aes"].clone());
        wait::for_equal("the director knows", &json!(word == "up"), || {
            house.directors[0].server("ua1")["report"]["depends"]["aes"].clone()
        });
    };
    link(&house, "up");
    let mut agents = [browser(), browser(), browser()];
    let origin = house.tomcat("ua1").origin();
    for (number, agent) in agents.iter_mut().enumerate() {
        arrive(agent, &house, &format!("agent-{number}"));
        agent.get(&format!("{origin}/login?agent=agent-{number}"));
        let key = format!("agent-{number}");
        wait::for_equal("the agent is confirmed", &json!(key), || house.session(0, &key)["agent"].clone());
    }
    wait::for_equal("all are listed", &json!(3), || house.directors[0].server("ua1")["report"]["sessions"].clone());
    link(&house, "down");
    let resets = || Client::new().get(&format!("{origin}/read")).json()["resets"].clone();
    wait::for_equal("each session is reset", &json!(3), resets);
    // Back through the door, to the same server and the same stay; logged in again, and left alone from now on.
    for (number, agent) in agents.iter_mut().enumerate() {
        let (back, page) = arrive(agent, &house, &format!("agent-{number}"));
        assert_eq!(
            (back.as_str(), &page["visits"], &page["maitred.generation"]),
            (origin.as_str(), &json!(1), &json!(1))
        );
        agent.get(&format!("{origin}/login?agent=agent-{number}"));
    }
    link(&house, "up");
    let beats = house.beats(0);
    wait::until("many more beats", || house.beats(0) > beats + 8.0);
    assert_eq!(resets(), json!(3));
    wait::for_equal("three resets", &3, || house.directors[0].lines_with(&["event=\"session_reset\""]).len());

    // Stopped in order and started again: nothing of the filter is left behind, and stored sessions are told of.
    let before = house.health("ua1")["incarnation"].clone();
    house.tomcats[0].stop();
    let words = house.tomcats[0].words().join("\n");
    assert!(!words.contains("has failed to stop") && !words.contains("memory leak"), "{words}");
    house.tomcats[0].start_again();
    assert_ne!(house.health("ua1")["incarnation"], before);
    wait::for_equal("stored sessions are held again", &json!(3), || house.health("ua1")["sessions"].clone());
    let page = agents[0].get(&format!("{origin}/desk")).json();
    assert_eq!((&page["visits"], &page["maitred.key"]), (&json!(2), &json!("agent-0")));
}
