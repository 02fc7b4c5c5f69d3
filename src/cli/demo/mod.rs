//! `maitred demo`: the main job in one command, on this machine, with throw-away certificates.
//!
//! ```text
//! agents ──https──> director (maitred run, a process of its own) ──302──> agents ──https──> agent servers (tasks of this process)
//! operator ──client certificate──> its internal listener            probes ─────────────────────┘
//! ```
//! Each act checks what it claims ([`play`]); [`stage`] shows it. Servers know their datacenter already: a second one is a second
//! name in [`DATACENTERS`], a second director, and acts of its own.

mod agent;
mod agent_server;
mod application;
mod director;
mod folder;
mod play;
mod stage;
mod world;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use stage::Stage;
use world::World;

/// The sites of the demo, the active one first.
const DATACENTERS: [&str; 1] = ["east"];

/// `maitred demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// End after the last act instead of staying up; exit code 1 if a claim did not hold
    #[arg(long)]
    once: bool,
    /// How many agents arrive in the first act
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(10..=2000))]
    agents: u16,
    /// How many agent servers there are
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(3..=16))]
    servers: u16,
    /// The port of the director's public listener; 8443 or a free one
    #[arg(long)]
    port: Option<u16>,
}

pub(super) async fn run(arguments: &DemoArguments) -> anyhow::Result<Exit> {
    let (mut stop, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopped = async {
        tokio::select! {
            _ = stop.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        ended = show(arguments) => ended,
        // Dropping the show ends the director and removes the folder.
        () = stopped => Ok(Exit::Done),
    }
}

async fn show(arguments: &DemoArguments) -> anyhow::Result<Exit> {
    let mut stage = Stage::new();
    let (agents, servers) = (usize::from(arguments.agents), usize::from(arguments.servers));
    stage.line(&format!(
        "maitred demo: one director, {servers} agent servers, {agents} agents, everything on this machine"
    ))?;
    let mut world = World::build(&DATACENTERS, servers, arguments.port).await?;
    let files = world.folder.path().display().to_string();
    stage.say(&format!("{servers} agent servers listen over TLS; certificates and configuration are in {files}"))?;
    world.director.ready(world.addresses.front()).await?;
    stage.say(&format!("the director is ready at https://localhost:{}", world.ports.public))?;

    // Room for those who come in later acts, and for what a dead server leaves to the others.
    stage.show(&world.servers, (agents + 40) * 3 / (2 * servers));
    let played = play::play(&mut world, &mut stage, agents).await;
    stage.clear();
    if let Err(error) = played {
        stage.claim(false, format!("the show goes on to its end: {error:#}"))?;
    }
    let all_held = stage.sum_up()?;
    if arguments.once {
        let failure = || Failure::new(Exit::Refused, "not everything that was claimed held").into();
        return if all_held { Ok(Exit::Done) } else { Err(failure()) };
    }
    invite(&stage, &world)?;
    std::future::pending().await
}

/// What to try by hand while everything is up.
fn invite(stage: &Stage, world: &World) -> anyhow::Result<()> {
    let front = format!("https://localhost:{}", world.ports.public);
    let ca = world.folder.path().join("certs/ca.pem").display().to_string();
    let config = world.director.config().display();
    stage.act("Everything stays up until Ctrl-C. Try:")?;
    for line in [
        format!("  curl -L --cacert {ca} '{front}/ua/?agent=1001'"),
        format!(
            "  curl --cacert {ca} --json '{{\"pool\":\"{}\",\"key\":\"1001\"}}' {front}/maitred/v1/sessions",
            director::POOL
        ),
        format!("  curl --cacert {ca} {front}/health/ready"),
        format!("  curl http://localhost:{}/metrics", world.ports.metrics),
        format!("  maitred server list -c {config}"),
        format!("  tail -f {}", world.director.log().display()),
        format!(
            "or open {front}/ua/?agent=1001 in a browser (it does not know the throw-away authority and will say so)"
        ),
    ] {
        stage.line(&line)?;
    }
    Ok(())
}
