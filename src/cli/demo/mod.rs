//! `maitred demo`: the main job in one command, on this machine, with throw-away certificates.
//!
//! ```text
//! agents ──https──> any of four directors (maitred run, processes of their own) ──302──> agents ──https──> agent servers (tasks
//! operator ──client certificate──> their internal listeners      probes ────────────────────┘               of this process)
//! ```
//! Two datacenters with two directors and some agent servers each. Each act checks what it claims ([`play`], and [`loss`] where a
//! whole datacenter is lost); [`stage`] shows it.

mod agent;
mod agent_server;
mod application;
mod director;
mod folder;
mod loss;
mod play;
mod ports;
mod stage;
mod world;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use stage::Stage;
use world::World;

/// The sites of the demo, the active one first.
const DATACENTERS: [&str; 2] = ["east", "west"];

/// `maitred demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// End after the last act instead of staying up; exit code 1 if a claim did not hold
    #[arg(long)]
    once: bool,
    /// How many agents arrive in the first act
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(10..=2000))]
    agents: u16,
    /// How many agent servers each of the two datacenters has
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=8))]
    servers: u16,
    /// The port of the first director's public listener; 8443 or a free one
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
    stage.line("maitred demo: two datacenters on this machine, with two directors each,")?;
    stage.line(&format!("{servers} agent servers each, and {agents} agents"))?;
    let began = std::time::Instant::now();
    let mut world = World::build(&DATACENTERS, servers, arguments.port).await?;
    stage.say(&format!("certificates and configurations are in {}", world.folder.path().display()))?;
    world.whole().await?;
    let took = began.elapsed().as_secs_f64();
    stage.say(&format!("{} directors are linked and see every server, after {took:.1} s", world.directors.len()))?;

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
    let Some(director) = world.directors.first() else { return Ok(()) };
    let front = format!("https://localhost:{}", director.ports().public);
    let ca = world.folder.path().join("certs/ca.pem").display().to_string();
    let (me, config) = (program(), director.config().display());
    stage.act("Everything stays up until Ctrl-C. Try:")?;
    for line in [
        format!("  curl -L --cacert {ca} '{front}/ua/?agent=1001'"),
        format!(
            "  curl --cacert {ca} --json '{{\"pool\":\"{}\",\"key\":\"1001\"}}' {front}/maitred/v1/sessions",
            director::POOL
        ),
        format!("  curl --cacert {ca} {front}/health/active"),
        format!("  curl http://localhost:{}/metrics", director.ports().metrics),
        format!("  {me} status -c {config}"),
        format!("  {me} datacenter failover --to {} -c {config}", DATACENTERS[1]),
        format!("  tail -f {}", director.log().display()),
        format!(
            "or open {front}/ua/?agent=1001 in a browser (it does not know the throw-away authority and will say so)"
        ),
    ] {
        stage.line(&line)?;
    }
    let others = world.directors.iter().skip(1);
    let others =
        others.map(|other| format!("{} {}", other.name(), other.ports().public)).collect::<Vec<_>>().join(", ");
    stage.line(&format!("the other directors' public ports: {others}"))
}

/// How this program was called, so that what is shown can be typed: `cargo run` calls one that is not in the path.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "maitred".to_owned())
}
