//! Everything that the demo sets up, how its agents come in crowds, and what all its directors say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::stream::{self, StreamExt};
use rustls::ClientConfig;
use serde_json::Value;

use super::agent::{Addresses, Agent, Visit};
use super::agent_server::AgentServer;
use super::director::{self, DirectorProcess, POOL, Place};
use super::folder::Folder;
use crate::certificates::{DevCertificates, DevNames, Usage};
use crate::cli::client::Client;
use crate::cli::http::Peer;
use crate::tls::{Identity, Roots, client_config};

/// How many agents come at the same time.
pub(super) const AT_ONCE: usize = 4;
/// The first agent's id.
const FIRST_AGENT: u32 = 1001;
/// Directors of each datacenter.
const DIRECTORS_EACH: usize = 2;
/// How long anything may take to come true. Far above what is usual: the machine may be busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often somebody looks whether it did.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// The demo's world. Directors go before the folder that they work in.
pub(super) struct World {
    pub(super) directors: Vec<DirectorProcess>,
    pub(super) servers: Arc<Vec<AgentServer>>,
    pub(super) addresses: Addresses,
    /// Everybody who ever came.
    pub(super) agents: Vec<Agent>,
    pub(super) folder: Folder,
}

/// One agent's visit, with where the agent had been before.
pub(super) struct Came {
    pub(super) agent: Agent,
    pub(super) before: Option<String>,
    pub(super) visit: anyhow::Result<Visit>,
}

impl Came {
    /// Works where it worked before, without a login.
    pub(super) fn stayed(&self) -> bool {
        match &self.visit {
            Ok(Visit::Seated { server, logs_in }) => Some(server) == self.before.as_ref() && !logs_in,
            Ok(Visit::Stranded | Visit::TurnedAway { .. }) | Err(_) => false,
        }
    }

    /// Works somewhere.
    pub(super) fn is_seated(&self) -> bool {
        matches!(self.visit, Ok(Visit::Seated { .. }))
    }

    /// Where it works now, if it does.
    pub(super) fn server(&self) -> Option<&str> {
        match &self.visit {
            Ok(Visit::Seated { server, .. }) => Some(server),
            Ok(Visit::Stranded | Visit::TurnedAway { .. }) | Err(_) => None,
        }
    }
}

impl World {
    /// Makes certificates, starts so many servers in each datacenter, and the directors; nobody has come yet.
    ///
    /// # Errors
    /// When something cannot be had; says what.
    pub(super) async fn build(datacenters: &[&str], servers_each: usize, port: Option<u16>) -> anyhow::Result<Self> {
        let folder = Folder::create().context("no temporary folder")?;
        let certs = folder.path().join("certs");
        let homes = datacenters.iter().flat_map(|site| std::iter::repeat_n(*site, servers_each));
        let members: Vec<(String, &str)> = (1..).map(|number| format!("ua{number}")).zip(homes).collect();
        let names = members.iter().map(|(name, _)| (name.clone(), vec![format!("{name}.localhost")]));
        let set = DevCertificates::create(&certs, &DevNames { servers: names.collect(), ..DevNames::default() })?;

        let mut running = Vec::new();
        for (name, datacenter) in &members {
            running.push(AgentServer::start(name, datacenter, &certs).await?);
        }
        let servers = Arc::new(running);
        let places = places(datacenters, port)?;
        let roots = Roots::File(certs.join("ca.pem")).load()?;
        let browser = Arc::new(client_config(roots, None, &[b"http/1.1"])?);
        let fronts: Vec<Peer> = places.iter().map(|place| front(place, &browser)).collect();
        let addresses = Addresses::new(&fronts, &servers, &browser);
        let mut directors = Vec::new();
        for (place, front) in places.iter().zip(fronts) {
            set.authority.issue(&[&place.name], Usage::Both)?.write(&certs, &place.name)?;
            let operator = operator(&certs, place.ports.internal)?;
            directors.push(DirectorProcess::start(folder.path(), place, &places, &servers, front, operator)?);
        }
        Ok(Self { directors, servers, addresses, agents: Vec::new(), folder })
    }

    /// The directors of a datacenter.
    pub(super) fn directors_of(&mut self, datacenter: &str) -> impl Iterator<Item = &mut DirectorProcess> {
        self.directors.iter_mut().filter(move |director| director.datacenter() == datacenter)
    }

    /// The servers of a datacenter.
    pub(super) fn servers_of(&self, datacenter: &str) -> impl Iterator<Item = &AgentServer> {
        self.servers.iter().filter(move |server| server.datacenter() == datacenter)
    }

    /// Waits until every director is ready and linked to every other one, and has seen every server up itself.
    ///
    /// # Errors
    /// When a director ends or does not come so far; says which.
    pub(super) async fn whole(&mut self) -> anyhow::Result<()> {
        for director in &mut self.directors {
            director.ready().await?;
        }
        let others = self.directors.len() - 1;
        let linked = |peers: &Value| count(peers, "peers", |peer| peer["state"] == "linked" && peer["in_step"] == true);
        self.all_say("/v1/peers", |peers| linked(peers) == others).await.context("not every link stands")?;
        let seen = |servers: &Value| count(servers, "servers", |server| server["last_look"]["good"] == true);
        let all = self.servers.len();
        self.all_say("/v1/servers", |servers| seen(servers) == all).await.context("not every server is seen up")?;
        Ok(())
    }

    /// Waits until this holds for what each running director answers; says how long that took.
    ///
    /// # Errors
    /// When it does not come true.
    pub(super) async fn all_say(&self, target: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Duration> {
        let all: Vec<&DirectorProcess> = self.directors.iter().collect();
        say(&all, target, holds).await
    }

    /// The same for the directors of one datacenter.
    ///
    /// # Errors
    /// When it does not come true.
    pub(super) async fn those_say(
        &self,
        datacenter: &str,
        target: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Duration> {
        let those: Vec<&DirectorProcess> = self.directors.iter().filter(|one| one.datacenter() == datacenter).collect();
        say(&those, target, holds).await
    }

    /// Where the role of the pool is told.
    pub(super) fn role_target() -> String {
        format!("/v1/pools/{POOL}/active")
    }

    /// So many agents who were never here.
    pub(super) fn newcomers(&self, count: usize) -> Vec<Agent> {
        let first = u32::try_from(self.agents.len()).unwrap_or(u32::MAX).saturating_add(FIRST_AGENT);
        (first..).take(count).map(Agent::new).collect()
    }

    /// All of them visit, many at a time; they are remembered as they went.
    pub(super) async fn visit(&mut self, agents: Vec<Agent>) -> Vec<Came> {
        let addresses = &self.addresses;
        let visits = agents.into_iter().map(|mut agent| async move {
            let before = agent.server.clone();
            let visit = agent.visit(addresses).await;
            Came { agent, before, visit }
        });
        let came: Vec<Came> = stream::iter(visits).buffer_unordered(AT_ONCE).collect().await;
        for one in &came {
            self.remember(&one.agent);
        }
        came
    }

    /// Keeps what an agent learned: cookie and server.
    pub(super) fn remember(&mut self, agent: &Agent) {
        match self.agents.iter_mut().find(|known| known.id == agent.id) {
            Some(known) => known.clone_from(agent),
            None => self.agents.push(agent.clone()),
        }
    }

    /// Those who work at this server.
    pub(super) fn agents_at(&self, server: &str) -> Vec<Agent> {
        self.agents.iter().filter(|agent| agent.server.as_deref() == Some(server)).cloned().collect()
    }

    /// How many agents work at each server of a datacenter, by where they went last.
    pub(super) fn spread(&self, datacenter: &str) -> BTreeMap<&str, usize> {
        let at = |name: &str| self.agents.iter().filter(|agent| agent.server.as_deref() == Some(name)).count();
        self.servers_of(datacenter).map(|server| (server.name(), at(server.name()))).collect()
    }

    /// The server of a datacenter with the most agents, apart from some.
    pub(super) fn fullest(&self, datacenter: &str, except: &[&str]) -> Option<&AgentServer> {
        let spread = self.spread(datacenter);
        let candidates = self.servers_of(datacenter).filter(|server| !except.contains(&server.name()));
        candidates.max_by_key(|server| spread.get(server.name()).copied().unwrap_or(0))
    }
}

async fn say(directors: &[&DirectorProcess], target: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for director in directors {
        loop {
            let answer = director.operator().get(target).await;
            if answer.as_ref().is_ok_and(&holds) {
                break;
            }
            if begun.elapsed() > PATIENCE {
                let name = director.name();
                return Err(answer.err().unwrap_or_else(|| anyhow::anyhow!("{name} does not say so at {target}")));
            }
            tokio::time::sleep(RETRY / 4).await;
        }
    }
    Ok(begun.elapsed())
}

fn count(answer: &Value, list: &str, is: impl Fn(&Value) -> bool) -> usize {
    answer[list].as_array().into_iter().flatten().filter(|one| is(one)).count()
}

fn places(datacenters: &[&str], port: Option<u16>) -> anyhow::Result<Vec<Place>> {
    let names = datacenters.iter().flat_map(|site| (1..=DIRECTORS_EACH).map(move |number| (site, number)));
    let names: Vec<_> = names.collect();
    let ports = director::find_ports(u16::try_from(names.len())?, port)?;
    let place = |((site, number), ports): ((&&str, usize), _)| Place {
        name: format!("{site}-{number}"),
        datacenter: (*site).to_owned(),
        ports,
    };
    Ok(names.into_iter().zip(ports).map(place).collect())
}

/// The public listener, as a browser finds it.
fn front(place: &Place, tls: &Arc<ClientConfig>) -> Peer {
    let port = place.ports.public;
    // What *.localhost means is not known to every resolver; a browser knows it by itself, and so do we.
    let (dial, authority) = ("127.0.0.1".to_owned(), format!("localhost:{port}"));
    Peer { dial, port, authority, tls: Some(("localhost".to_owned(), Arc::clone(tls))) }
}

fn operator(certs: &Path, port: u16) -> anyhow::Result<Client> {
    let identity = Identity::load(&certs.join("operator.pem"), &certs.join("operator.key"))?;
    let tls = client_config(Roots::File(certs.join("ca.pem")).load()?, Some(&identity), &[b"http/1.1"])?;
    let authority = format!("localhost:{port}");
    let shown = format!("https://{authority}");
    let tls = Some(("localhost".to_owned(), Arc::new(tls)));
    Ok(Client::new(Peer { dial: "127.0.0.1".to_owned(), port, authority, tls }, shown))
}
