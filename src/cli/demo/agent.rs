//! One agent's browser: opens the front address, follows the redirect, works at the server, and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use hyper::header::{COOKIE, LOCATION, SET_COOKIE};
use rustls::ClientConfig;
use url::Url;

use super::agent_server::AgentServer;
use super::application::{LOGIN, SERVED_BY};
use crate::cli::http::{self, Answer, Peer, Question};

/// The addresses of the demo, as a browser finds them.
#[derive(Clone)]
pub(super) struct Addresses {
    /// What the front name leads to: every director.
    fronts: Vec<Peer>,
    servers: BTreeMap<String, Peer>,
}

impl Addresses {
    /// The directors' public listeners, and the servers.
    pub(super) fn new(fronts: &[Peer], servers: &[AgentServer], tls: &Arc<ClientConfig>) -> Self {
        let peer = |host: String, port: u16| Peer {
            // What *.localhost means is not known to every resolver; a browser knows it by itself, and so do we.
            dial: "127.0.0.1".to_owned(),
            port,
            authority: format!("{host}:{port}"),
            tls: Some((host, Arc::clone(tls))),
        };
        let servers = servers.iter().map(|server| (server.origin(), peer(server.host(), server.address().port())));
        Self { servers: servers.collect(), fronts: fronts.to_vec() }
    }
}

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Visit {
    /// At work.
    Seated {
        /// At which server.
        server: String,
        /// The server did not know the agent: a login.
        logs_in: bool,
    },
    /// The director named a server that does not answer: its death is not noticed yet.
    Stranded,
    /// The director named none.
    TurnedAway {
        /// The status.
        status: u16,
    },
}

/// One agent.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    /// Its id: the session's key.
    pub(super) id: String,
    /// Where it worked last.
    pub(super) server: Option<String>,
    cookie: Option<String>,
    /// Which of the directors it asks first, the next time.
    turn: usize,
}

impl Agent {
    /// An agent who was never here.
    pub(super) fn new(id: u32) -> Self {
        Self { id: id.to_string(), server: None, cookie: None, turn: id as usize }
    }

    /// The same person at another browser: no cookie.
    pub(super) fn forget_cookie(&mut self) {
        self.cookie = None;
    }

    /// Opens the front address and goes where it leads. Each visit asks another director, as behind a DNS name with several
    /// addresses; where nobody answers, the next one. Asks as an API client does (`Accept` names no HTML): a browser that
    /// returns four times in 20 s would be shown a page that asks what is wrong.
    ///
    /// # Errors
    /// When no director answers, or one with something that no browser could follow.
    pub(super) async fn visit(&mut self, addresses: &Addresses) -> anyhow::Result<Visit> {
        let target = format!("/ua/?agent={}", self.id);
        let mut question = Question::get(target.clone());
        if let Some(cookie) = &self.cookie {
            question = question.with(COOKIE, cookie.clone());
        }
        let answer = self.ask_any(addresses, &question).await?;
        if answer.status != 302 {
            return Ok(Visit::TurnedAway { status: answer.status });
        }
        if let Some(cookie) = answer.header(&SET_COOKIE).and_then(|cookie| cookie.split(';').next()) {
            self.cookie = Some(cookie.to_owned());
        }
        let location = answer.header(&LOCATION).context("a redirect without Location")?;
        let url = Url::parse(location).with_context(|| format!("a redirect to {location}"))?;
        let origin = url.origin().ascii_serialization();
        let Some(server) = addresses.servers.get(&origin) else { bail!("a redirect to {origin}, which is no server") };
        let kept = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        if kept != target {
            bail!("{target} became {kept} on the way");
        }
        self.work_at(server, kept).await
    }

    async fn ask_any(&mut self, addresses: &Addresses, question: &Question) -> anyhow::Result<Answer> {
        let mut last = None;
        for _ in &addresses.fronts {
            let front = &addresses.fronts[self.turn % addresses.fronts.len()];
            self.turn = self.turn.wrapping_add(1);
            match http::ask(front, question.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("there is no director")?.context("found no director that answers"))
    }

    /// Loads the next page at its server, as one does at work: no director is asked. Whether the session is still there.
    pub(super) async fn works_on(&self, addresses: &Addresses) -> bool {
        let name = self.server.as_deref().unwrap_or_default();
        let at = addresses.servers.iter().find(|(origin, _)| origin.starts_with(&format!("https://{name}.")));
        let Some((_, server)) = at else { return false };
        let page = http::ask(server, Question::get(format!("/ua/?agent={}", self.id))).await;
        page.is_ok_and(|page| page.status == 200 && page.header(&LOGIN) == Some("known"))
    }

    async fn work_at(&mut self, server: &Peer, target: String) -> anyhow::Result<Visit> {
        let Ok(page) = http::ask(server, Question::get(target)).await else { return Ok(Visit::Stranded) };
        let name = page.header(&SERVED_BY).with_context(|| format!("status {} from a server", page.status))?;
        self.server = Some(name.to_owned());
        Ok(Visit::Seated { server: name.to_owned(), logs_in: page.header(&LOGIN) == Some("new") })
    }
}
