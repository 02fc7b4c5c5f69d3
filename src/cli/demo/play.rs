//! The acts of the demo that one datacenter plays. Each shows something happen and checks what it claims; nothing here is faked.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};

use super::DATACENTERS;
use super::agent::{Agent, Visit};
use super::director::LOAD_BOUND;
use super::loss;
use super::stage::Stage;
use super::world::{AT_ONCE, Came, PATIENCE, RETRY, World};
use crate::cli::output::counted;

/// The journal is at most 50 ms behind, and a busy machine needs its time; what is younger is carried by cookies only.
const WRITTEN: Duration = Duration::from_secs(1);
/// How many new agents come while one server drains.
const NEW_WHILE_DRAINING: usize = 20;
/// Where everybody works until it is lost.
const ACTIVE: &str = DATACENTERS[0];

/// All acts in order.
///
/// # Errors
/// When something ends the show; a claim that does not hold does not.
pub(super) async fn play(world: &mut World, stage: &mut Stage, agents: usize) -> anyhow::Result<()> {
    arrive(world, stage, agents).await?;
    come_again(world, stage).await?;
    let dead = a_server_dies(world, stage).await?;
    it_comes_back(world, stage, &dead).await?;
    one_drains(world, stage, &dead).await?;
    all_directors_die(world, stage).await?;
    loss::the_active_site_is_lost(world, stage).await?;
    loss::it_comes_back(world, stage).await
}

async fn arrive(world: &mut World, stage: &mut Stage, agents: usize) -> anyhow::Result<()> {
    stage.act("Agents arrive")?;
    let came = world.visit(world.newcomers(agents)).await;
    tell_faults(stage, &came)?;
    let seated = came.iter().filter(|one| one.is_seated()).count();
    stage.say(&format!("{seated} agents asked any of the directors, followed it and logged in:"))?;
    stage.say(&spread(world, ACTIVE))?;
    stage.claim(seated == agents, format!("all {agents} agents were seated over TLS, path and query kept"))?;
    let there = world.spread(ACTIVE).into_values().sum::<usize>();
    stage.claim(there == agents, format!("all of them in the {ACTIVE}, which is active, whomever they asked"))?;
    let (most, bound) = (most(world, ACTIVE), bound(agents, world.servers_of(ACTIVE).count()));
    stage.claim(most <= bound, format!("no server got more than {bound} of {agents} (the fullest has {most})"))?;
    everybody_knows(world, stage).await
}

/// Every director knows every session.
pub(super) async fn everybody_knows(world: &World, stage: &mut Stage) -> anyhow::Result<()> {
    let all = world.agents.len();
    let known = world.all_say("/v1/status", |status| status["records"].as_u64() >= u64::try_from(all).ok()).await;
    stage.claim(known.is_ok(), format!("each of {} directors knows all {all} sessions", world.directors.len()))
}

async fn come_again(world: &mut World, stage: &mut Stage) -> anyhow::Result<()> {
    stage.act("They come again, and ask another director")?;
    let (reloading, elsewhere) = halves(world.agents.clone());
    let came = world.visit(reloading).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), format!("{} reloaded: same server, no new login", counted(came.len(), "agent")))?;
    let came = world.visit(without_cookies(elsewhere)).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), format!("{} used another browser: same server by key", counted(came.len(), "agent")))
}

/// Gives the name of the dead.
async fn a_server_dies(world: &mut World, stage: &mut Stage) -> anyhow::Result<String> {
    let victim = world.fullest(ACTIVE, &[]).context("no server")?;
    let name = victim.name().to_owned();
    stage.act(&format!("{name} dies"))?;
    let struck = world.agents_at(&name);
    victim.die().await;
    let died = Instant::now();
    stage.say(&format!("{name} is gone with {}; they ask again", counted(struck.len(), "session")))?;

    let addresses = world.addresses.clone();
    let returns = struck.into_iter().map(|agent| until_seated(agent, &addresses, died));
    let returned = join_all(returns).await;
    returned.iter().for_each(|(agent, _)| world.remember(agent));
    let slowest = returned.iter().filter_map(|(_, after)| *after).max();
    let moved = returned.iter().filter(|(agent, after)| after.is_some() && agent.server.as_deref() != Some(&*name));
    let (all, moved) = (returned.len(), moved.count());
    if let Some(slowest) = slowest {
        stage.say(&format!("{moved} of them work elsewhere {:.1} s after the death:", slowest.as_secs_f64()))?;
        stage.say(&spread(world, ACTIVE))?;
    }
    stage.claim(moved == all, format!("{} of {name} got another server", counted(all, "agent")))?;
    let (most, bound) = (most(world, ACTIVE), bound(world.agents.len(), world.servers_of(ACTIVE).count() - 1));
    stage.claim(most <= bound, format!("they were spread: none has more than {bound} (the fullest has {most})"))?;

    let survivors = returned.into_iter().map(|(agent, _)| agent.id).collect::<Vec<_>>();
    let untouched: Vec<Agent> = world.agents.iter().filter(|agent| !survivors.contains(&agent.id)).cloned().collect();
    let came = world.visit(untouched).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), format!("{} of other servers were not touched", counted(came.len(), "agent")))?;
    Ok(name)
}

async fn it_comes_back(world: &mut World, stage: &mut Stage, name: &str) -> anyhow::Result<()> {
    stage.act(&format!("{name} comes back"))?;
    let server = world.servers.iter().find(|server| server.name() == name).context("no such server")?;
    server.come_back().await?;
    let back = Instant::now();
    let old = world.agents.clone();
    let mut new = 0_usize;
    let found = loop {
        let came = world.visit(world.newcomers(1)).await;
        tell_faults(stage, &came)?;
        new += 1;
        if came.iter().any(|one| one.server() == Some(name)) {
            break true;
        }
        if back.elapsed() > PATIENCE {
            break false;
        }
        tokio::time::sleep(RETRY).await;
    };
    let after = back.elapsed().as_secs_f64();
    stage.claim(found, format!("new agents find {name} again ({new} came in {after:.1} s)"))?;
    let came = world.visit(old).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), format!("nobody of {} was moved back", counted(came.len(), "agent")))
}

async fn one_drains(world: &mut World, stage: &mut Stage, except: &str) -> anyhow::Result<()> {
    let name = world.fullest(ACTIVE, &[except]).context("no server")?.name().to_owned();
    stage.act(&format!("An operator drains {name}"))?;
    order(world, stage, &name, "drain").await?;
    let own = world.agents_at(&name);
    let came = world.visit(world.newcomers(NEW_WHILE_DRAINING)).await;
    tell_faults(stage, &came)?;
    let avoided = came.iter().all(|one| one.is_seated() && one.server() != Some(&*name));
    stage.claim(avoided, format!("{} came, none was sent to {name}", counted(came.len(), "new agent")))?;
    let came = world.visit(own).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), format!("the {} of {name} stayed there", counted(came.len(), "agent")))?;
    order(world, stage, &name, "ready").await
}

/// Orders one director, and waits until all obey.
async fn order(world: &World, stage: &mut Stage, server: &str, state: &str) -> anyhow::Result<()> {
    let target = format!("/v1/servers/{server}");
    let director = world.directors.first().context("no director")?;
    let wanted = json!({ "state": state, "reason": "demo" });
    director.operator().send(Method::PUT, &format!("{target}/state"), Some(&wanted)).await?;
    stage.say(&format!("maitred server {state} {server}, said to {}", director.name()))?;
    let obeys = |server: &Value| (server["state"] == "drain") == (state == "drain");
    let all = world.all_say(&target, obeys).await;
    stage.claim(all.is_ok(), format!("all {} directors obey", world.directors.len()))
}

async fn all_directors_die(world: &mut World, stage: &mut Stage) -> anyhow::Result<()> {
    stage.act("All directors die")?;
    tokio::time::sleep(WRITTEN).await;
    for director in &mut world.directors {
        director.kill()?;
    }
    stage.say(&format!("{} killed (SIGKILL), as by a crash", counted(world.directors.len(), "director")))?;
    let addresses = world.addresses.clone();
    let (asked, _) = halves(world.agents.clone());
    let at_work = join_all(asked.iter().map(|agent| agent.works_on(&addresses))).await;
    let undisturbed = at_work.iter().all(|works| *works);
    stage.claim(undisturbed, "without any director, agents work on: none is in their way")?;

    let again = Instant::now();
    for director in &mut world.directors {
        director.start_again()?;
    }
    for director in &mut world.directors {
        director.ready().await?;
    }
    stage.say(&format!("started again, all ready after {:.1} s", again.elapsed().as_secs_f64()))?;
    let (reloading, elsewhere) = halves(world.agents.clone());
    let came = world.visit(reloading).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), format!("{} kept their server by cookie", counted(came.len(), "agent")))?;
    let came = world.visit(without_cookies(elsewhere)).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), format!("{} kept their server by the journals", counted(came.len(), "agent")))?;
    world.whole().await
}

/// Tries until the agent works somewhere, and says how long after `since` that was.
async fn until_seated(
    mut agent: Agent,
    addresses: &super::agent::Addresses,
    since: Instant,
) -> (Agent, Option<Duration>) {
    loop {
        if let Ok(Visit::Seated { .. }) = agent.visit(addresses).await {
            return (agent, Some(since.elapsed()));
        }
        if since.elapsed() > PATIENCE {
            return (agent, None);
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// What went wrong is told once for each kind, beside the claim that fails for it.
pub(super) fn tell_faults(stage: &Stage, came: &[Came]) -> anyhow::Result<()> {
    let mut faults: Vec<String> = came
        .iter()
        .filter_map(|one| match &one.visit {
            Ok(Visit::Seated { .. }) => None,
            Ok(Visit::Stranded) => Some("was sent to a server that does not answer".to_owned()),
            Ok(Visit::TurnedAway { status }) => Some(format!("was turned away with status {status}")),
            Err(error) => Some(format!("{error:#}")),
        })
        .collect();
    faults.sort();
    faults.dedup();
    faults.iter().try_for_each(|fault| stage.say(&format!("an agent {fault}")))
}

pub(super) fn all_stayed(came: &[Came]) -> bool {
    !came.is_empty() && came.iter().all(Came::stayed)
}

pub(super) fn halves(agents: Vec<Agent>) -> (Vec<Agent>, Vec<Agent>) {
    let mut first = agents;
    let second = first.split_off(first.len() / 2);
    (first, second)
}

pub(super) fn without_cookies(mut agents: Vec<Agent>) -> Vec<Agent> {
    agents.iter_mut().for_each(Agent::forget_cookie);
    agents
}

pub(super) fn most(world: &World, datacenter: &str) -> usize {
    world.spread(datacenter).into_values().max().unwrap_or(0)
}

/// The bound of `load_bound`, and some for those who are placed at the same moment, by directors that do not know of it yet.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "small counts")]
pub(super) fn bound(agents: usize, servers: usize) -> usize {
    (LOAD_BOUND * agents as f64 / servers.max(1) as f64).ceil() as usize + AT_ONCE
}

pub(super) fn spread(world: &World, datacenter: &str) -> String {
    let all = world.spread(datacenter).into_iter().map(|(server, agents)| format!("{server} {agents}"));
    all.collect::<Vec<_>>().join(", ")
}
