//! The acts of the demo in which the active datacenter is lost, and comes back.

use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

use super::DATACENTERS;
use super::agent::{Agent, Visit};
use super::play::{all_stayed, bound, everybody_knows, halves, most, spread, tell_faults, without_cookies};
use super::stage::Stage;
use super::world::{PATIENCE, RETRY, World};
use crate::cli::output::counted;

const LOST: &str = DATACENTERS[0];
const LEFT: &str = DATACENTERS[1];

/// Everything of the active datacenter dies at once: servers and directors.
pub(super) async fn the_active_site_is_lost(world: &mut World, stage: &mut Stage) -> anyhow::Result<()> {
    stage.act(&format!("The {LOST} is lost: its directors and its servers"))?;
    for director in world.directors_of(LOST) {
        director.kill()?;
    }
    for server in world.servers.iter().filter(|server| server.datacenter() == LOST) {
        server.die().await;
    }
    let lost = Instant::now();
    let struck = world.agents.clone();
    stage.say(&format!("{} have lost their server; one of them asks and asks", counted(struck.len(), "agent")))?;

    let first = struck.first().cloned().context("nobody was there")?;
    let seated = until_seated_at(world, first, LEFT).await;
    stage.claim(seated, format!("the {LEFT} gives a server, {:.1} s after the loss", lost.elapsed().as_secs_f64()))?;
    let active = |role: &Value| role["active"] == LEFT;
    let agreed = world.those_say(LEFT, &World::role_target(), active).await.is_ok();
    stage.claim(agreed, format!("both directors there say that the {LEFT} is active now"))?;
    let came = world.visit(struck).await;
    tell_faults(stage, &came)?;
    let saved = world.spread(LEFT).into_values().sum::<usize>();
    stage.say(&format!("{saved} work in the {LEFT}, {:.1} s after the loss:", lost.elapsed().as_secs_f64()))?;
    stage.say(&spread(world, LEFT))?;
    let all = world.agents.len();
    stage.claim(saved == all, format!("nobody of {} is left without a server", counted(all, "agent")))?;
    let (most, bound) = (most(world, LEFT), bound(all, world.servers_of(LEFT).count()));
    stage.claim(most <= bound, format!("they were spread: none has more than {bound} (the fullest has {most})"))?;
    let came = world.visit(world.agents.clone()).await;
    tell_faults(stage, &came)?;
    stage.claim(all_stayed(&came), "they come again: same server, no new login")
}

/// The lost datacenter is repaired.
pub(super) async fn it_comes_back(world: &mut World, stage: &mut Stage) -> anyhow::Result<()> {
    stage.act(&format!("The {LOST} comes back"))?;
    let back = Instant::now();
    for server in world.servers.iter().filter(|server| server.datacenter() == LOST) {
        server.come_back().await?;
    }
    for director in world.directors_of(LOST) {
        director.start_again()?;
    }
    world.whole().await?;
    stage.say(&format!("servers and directors run again after {:.1} s", back.elapsed().as_secs_f64()))?;
    everybody_knows(world, stage).await?;
    let old = world.agents.clone();
    let again = world.all_say(&World::role_target(), |role| role["active"] == LOST).await.is_ok();
    let after = back.elapsed().as_secs_f64();
    stage.claim(again, format!("the role returns once the {LOST} is stable, after {after:.1} s, everywhere"))?;
    let came = world.visit(world.newcomers(20)).await;
    tell_faults(stage, &came)?;
    let homes: Vec<&str> = world.servers_of(LOST).map(super::agent_server::AgentServer::name).collect();
    let there = came.iter().all(|one| one.server().is_some_and(|server| homes.contains(&server)));
    stage.claim(there, format!("{} are sent to the {LOST} again", counted(came.len(), "new agent")))?;
    let (reloading, elsewhere) = halves(old);
    let mut stayed = true;
    for agents in [reloading, without_cookies(elsewhere)] {
        let came = world.visit(agents).await;
        tell_faults(stage, &came)?;
        stayed &= all_stayed(&came);
    }
    stage.claim(stayed, format!("nobody who works in the {LEFT} was moved back"))
}

/// Tries until the agent works at a server of this datacenter.
async fn until_seated_at(world: &mut World, mut agent: Agent, datacenter: &str) -> bool {
    let begun = Instant::now();
    loop {
        let visit = agent.visit(&world.addresses).await;
        if let Ok(Visit::Seated { server, .. }) = visit
            && world.servers_of(datacenter).any(|one| one.name() == server)
        {
            world.remember(&agent);
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(RETRY).await;
    }
}
