//! Directors and Tomcats with the filter that know each other, and people who come to them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::application::{install, run};
use crate::support::certificates::{self, FRONT};
use crate::support::client::{Answer, Client};
use crate::support::director::Director;
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::plan::Plan;
use crate::support::stub::HEALTH;
use crate::support::tomcat::{Edition, Tomcat};
use crate::support::wait;

/// Directors, and Tomcats with the filter that know them.
pub(super) struct House {
    pub(super) directors: Vec<Director>,
    pub(super) tomcats: Vec<Tomcat>,
    pub(super) folder: TempDir,
    _mesh: Mesh,
}

/// How a house is built.
pub(super) struct Plans<'a> {
    pub(super) edition: Edition,
    pub(super) servers: &'a [&'a str],
    /// Names and datacenters; the servers are told of them in this order.
    pub(super) directors: &'a [(&'static str, &'static str)],
    /// Init-params of the filter beside, or instead of, the usual ones; the folder is the house's.
    pub(super) params: &'a dyn Fn(&Path) -> Vec<(&'static str, String)>,
    /// The directors' configuration; the folder is the house's.
    pub(super) plan: &'a dyn Fn(Plan, &Path) -> Plan,
}

impl House {
    pub(super) fn start(servers: &[&str], plan: impl Fn(Plan) -> Plan) -> Self {
        let plan = |usual: Plan, _: &Path| plan(usual);
        let (edition, directors) = (Edition::Jakarta, &[("east-1", "east")][..]);
        Self::of(&Plans { edition, servers, directors, params: &|_| Vec::new(), plan: &plan })
    }

    /// Directors first, because the filter is told where they are; then the Tomcats, which the directors learn of by a reload.
    pub(super) fn of(plans: &Plans<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let usual = usual_plan(plans.servers, folder.path());
        let mesh = Mesh::of(plans.directors);
        let directors: Vec<Director> = plans
            .directors
            .iter()
            .map(|(name, _)| mesh.plan(name, (plans.plan)(usual.clone(), folder.path())).start())
            .collect();
        wait_for_links(&directors.iter().collect::<Vec<_>>());
        let urls: Vec<String> = directors.iter().map(|director| director.internal_url("")).collect();
        let file = |name: &str, kind: &str| folder.path().join(format!("{name}.{kind}")).display().to_string();
        let start = |server: &&str| {
            let usual = [
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
            // Of two words about one property Java takes the last.
            let options = usual.into_iter().chain((plans.params)(folder.path()));
            let options: String = options.map(|(name, value)| format!(" -Dmaitred.{name}={value}")).collect();
            Tomcat::start_with(plans.edition, server, &options, |root| install(plans.edition, root))
        };
        let tomcats: Vec<Tomcat> = plans.servers.iter().map(start).collect();
        for director in &directors {
            edit(director, |text| {
                (1..).zip(&tomcats).fold(text, |text, (number, tomcat)| {
                    text.replace(&format!(":{number}\""), &format!(":{}\"", tomcat.port()))
                })
            });
            director.wait_for_usable(plans.servers);
        }
        Self { directors, tomcats, folder, _mesh: mesh }
    }

    pub(super) fn tomcat(&self, name: &str) -> &Tomcat {
        self.tomcats.iter().find(|tomcat| tomcat.name() == name).unwrap()
    }

    /// The session of a key as the first director that lives shows it.
    pub(super) fn session(&self, director: usize, key: &str) -> Value {
        let director = &self.directors[director];
        director.operator().get(&director.internal_url(&format!("/v1/sessions/ua/{key}"))).json()
    }

    /// What a server says at its health path.
    pub(super) fn health(&self, name: &str) -> Value {
        Client::new().get(&format!("{}{HEALTH}", self.tomcat(name).origin())).json()
    }

    /// A key that is seated at this server.
    pub(super) fn key_at(&self, server: &str, prefix: &str) -> String {
        let director = &self.directors[0];
        (0..200)
            .map(|number| format!("{prefix}-{number}"))
            .find(|key| {
                let answer = Client::new().get(&director.url(&format!("/desk?agent={key}")));
                answer.status == 302 && answer.location().host_str() == Some(&format!("{server}.test"))
            })
            .unwrap_or_else(|| panic!("no key is seated at {server}"))
    }

    pub(super) fn beats(&self, director: usize) -> f64 {
        self.directors[director].metric("maitred_beats_total{outcome=\"taken\"}").unwrap_or(0.0)
    }
}

/// What directors know of the servers: their names and who they are. The ports come later.
fn usual_plan(servers: &[&str], folder: &Path) -> Plan {
    let mut identities =
        "[[listen.internal.identity]]\nsan = \"operator.maitred.internal\"\nrole = \"operator\"\n".to_owned();
    let mut plan = Plan::new();
    for (number, server) in (1..).zip(servers) {
        certificates::shared().issue_peer(folder, server, &[&format!("{server}.test")]);
        identities += &format!(
            "[[listen.internal.identity]]\nsan = \"{server}.test\"\nrole = \"server\"\nserver = \"{server}\"\n"
        );
        plan = plan.server(server, number);
    }
    let key = folder.join("ticket.pem");
    let made = run("openssl", &["genpkey", "-algorithm", "ed25519", "-out", key.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    run("chmod", &["600", key.to_str().unwrap()]);
    let reset = "depends = [{ name = \"aes\", effect = \"reset\" }]";
    plan.with("pool", &format!("route = [{{ host = \"{FRONT}\", path = \"/\" }}]\nbeats = true\n{reset}"))
        .with("end", &identities)
        .with("end", &format!("[ticket]\nkey_file = {key:?}\n"))
}

/// Changes a director's configuration and has it read again.
pub(super) fn edit(director: &Director, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(director.config()).unwrap();
    fs::write(director.config(), change(text)).unwrap();
    director.reload();
}

/// A person's browser.
pub(super) fn browser() -> Client {
    Client::new().like_a_browser()
}

/// Follows redirects by hand, so that each address is seen: the addresses, and the page.
pub(super) fn walk(agent: &mut Client, from: &str) -> (Vec<Url>, Answer) {
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
pub(super) fn arrive(agent: &mut Client, house: &House, key: &str) -> (String, Value) {
    let (seen, page) = walk(agent, &house.directors[0].url(&format!("/desk?agent={key}")));
    assert_eq!(page.status, 200, "{seen:?} {page:?}");
    let last = seen.last().unwrap();
    assert!(!last.as_str().contains("maitred_ticket"), "{last}");
    (last.origin().ascii_serialization(), page.json())
}

/// Logs in, and waits until the agent's state could be read.
#[track_caller]
pub(super) fn log_in(agent: &mut Client, origin: &str, name: &str) -> String {
    agent.get(&format!("{origin}/login?agent={name}"));
    wait::for_some("the state can be read", || {
        agent.get(&format!("{origin}/read")).json()["note"].as_str().map(str::to_owned)
    })
}

/// Leaves a state and waits until it is written.
#[track_caller]
pub(super) fn write_note(agent: &mut Client, origin: &str, note: &str) {
    wait::until("the state is written", || {
        agent.get(&format!("{origin}/note?text={note}")).json()["written"] == json!(true)
    });
}
