//! Everything that the demo sets up, and how its agents come in crowds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use futures_util::stream::{self, StreamExt};

use super::agent::{Addresses, Agent, Visit};
use super::agent_server::AgentServer;
use super::director::{DirectorProcess, Ports};
use super::folder::Folder;
use crate::certificates::{DevCertificates, DevNames};
use crate::cli::client::Client;
use crate::cli::http::Peer;
use crate::tls::{Identity, Roots, client_config};

/// How many agents come at the same time.
const AT_ONCE: usize = 16;
/// The first agent's id.
const FIRST_AGENT: u32 = 1001;

/// The demo's world. The director goes before the folder that it works in.
pub(super) struct World {
    pub(super) director: DirectorProcess,
    pub(super) servers: Arc<Vec<AgentServer>>,
    pub(super) addresses: Addresses,
    pub(super) operator: Client,
    pub(super) ports: Ports,
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
    /// Makes certificates, starts the servers and the director; nobody has come yet.
    ///
    /// # Errors
    /// When something cannot be had; says what.
    pub(super) async fn build(datacenters: &[&str], servers: usize, port: Option<u16>) -> anyhow::Result<Self> {
        let folder = Folder::create().context("no temporary folder")?;
        let certs = folder.path().join("certs");
        let members: Vec<(String, String)> = (0..servers)
            .map(|at| {
                (
                    format!("ua{}", at + 1),
                    datacenters.get(at % datacenters.len().max(1)).copied().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let names = members.iter().map(|(name, _)| (name.clone(), vec![format!("{name}.localhost")]));
        DevCertificates::create(&certs, &DevNames { servers: names.collect(), ..DevNames::default() })?;

        let mut running = Vec::new();
        for (name, datacenter) in &members {
            running.push(AgentServer::start(name, datacenter, &certs).await?);
        }
        let servers = Arc::new(running);
        let ports = Ports::find(port)?;
        let roots = Roots::File(certs.join("ca.pem")).load()?;
        let browser = Arc::new(client_config(roots, None, &[b"http/1.1"])?);
        let addresses = Addresses::new(ports.public, &servers, &browser);
        let director = DirectorProcess::start(folder.path(), ports, &servers)?;
        let operator = operator(&certs, ports.internal)?;
        Ok(Self { director, servers, addresses, operator, ports, agents: Vec::new(), folder })
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

    /// How many agents work at each server, by where they went last.
    pub(super) fn spread(&self) -> BTreeMap<&str, usize> {
        let mut spread: BTreeMap<&str, usize> = self.servers.iter().map(|server| (server.name(), 0)).collect();
        for server in self.agents.iter().filter_map(|agent| agent.server.as_deref()) {
            *spread.entry(server).or_insert(0) += 1;
        }
        spread
    }

    /// The server with the most agents, apart from some.
    pub(super) fn fullest(&self, except: &[&str]) -> Option<&AgentServer> {
        let spread = self.spread();
        let candidates = self.servers.iter().filter(|server| !except.contains(&server.name()));
        candidates.max_by_key(|server| spread.get(server.name()).copied().unwrap_or(0))
    }
}

fn operator(certs: &Path, port: u16) -> anyhow::Result<Client> {
    let identity = Identity::load(&certs.join("operator.pem"), &certs.join("operator.key"))?;
    let tls = client_config(Roots::File(certs.join("ca.pem")).load()?, Some(&identity), &[b"http/1.1"])?;
    let authority = format!("localhost:{port}");
    let shown = format!("https://{authority}");
    let tls = Some(("localhost".to_owned(), Arc::new(tls)));
    Ok(Client::new(Peer { dial: "127.0.0.1".to_owned(), port, authority, tls }, shown))
}
