//! One director, wired together: configuration, core, journal, actors, listeners, and the order in which they start and stop.
//!
//! ```text
//! config ─▶ files (certificates, keys) ─▶ sockets bound ─▶ journal read ─▶ director ─▶ actors ─▶ listeners serve
//! SIGTERM ─▶ ready says no ─▶ stop_delay ─▶ listeners stop ─▶ monitors stop ─▶ journal written
//! ```
//! Everything that can be refused is refused before a socket is bound. Owns no rule and answers no request.

mod material;
mod reload;
mod signals;
mod socket;
pub mod telemetry;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use maitred_core::director::Director;
use maitred_core::health::Look;
use maitred_core::ids::ServerName;
use maitred_core::session::{Full, TableOptions};
use thiserror::Error;
use tracing::{error, info, warn};

pub use reload::{Reloaded, Reloader};

use crate::actors::effects::Effects;
use crate::actors::keeper::Keeper;
use crate::actors::server_monitor::Observer;
use crate::actors::watchdog::{Monitors, Watchdog};
use crate::clock::Clock;
use crate::config::{self, Config, Diagnostic};
use crate::credentials::Seals;
use crate::http::edge::Edge;
use crate::http::public::{ListenerOptions, serve};
use crate::probe::Planner;
use crate::store::{self, DirectorSource, Journal, JournalHealth};
use crate::tls::TlsFileError;
use material::{Faces, Material, MaterialError};

/// How long open requests get to end when the listeners stop.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// How long the journal gets to write what is left.
const JOURNAL_STOP_MAX: Duration = Duration::from_secs(10);

/// Why a director did not start. Each says what to do about it.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is refused, with every mistake in it.
    #[error("the configuration is refused")]
    Config(Vec<Diagnostic>),
    /// A file that it names cannot be used.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A listener's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// A listener's address cannot be had.
    #[error("listen.{listener}.address: {address} cannot be bound: {error}; is another process there?")]
    Bind {
        /// Which listener.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The state directory is in use, or the journal has no thread.
    #[error(transparent)]
    Journal(#[from] store::OpenError),
    /// Too many names.
    #[error("the configuration names more than one process can remember: {0}")]
    Names(#[from] Full),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The system refused a thread, a signal handler or a listener.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

/// Runs a director until SIGTERM or SIGINT.
///
/// # Errors
/// Only when it cannot start; once it serves, every fault has another answer than ending.
pub fn run(path: &Path) -> Result<(), StartError> {
    let loaded = config::load(path, config::process_environment()).map_err(StartError::Config)?;
    let _log = telemetry::start(loaded.config.log);
    for warning in &loaded.warnings {
        warn!(%warning, "configuration");
    }
    let config = Arc::new(loaded.config);
    let mut planner = Planner::default();
    let material = Material::load(&config, &mut planner)?;
    let faces = Faces::load(&config)?;
    let sockets = Sockets::bind(&config)?;
    actix::System::new().block_on(async { live(path, config, &loaded.files, planner, material, faces, sockets).await })
}

async fn live(
    path: &Path,
    config: Arc<Config>,
    files: &[config::FileUse],
    planner: Planner,
    material: Material,
    faces: Faces,
    sockets: Sockets,
) -> Result<(), StartError> {
    let mut signals = signals::Signals::listen()?;
    let Memory { director, clock, journal } = remember(&config)?;
    faces.warn_of_expiry(clock.wall());

    let effects = Effects::new(Arc::clone(&director));
    let observer =
        DirectorObserver { director: Arc::clone(&director), effects: Arc::clone(&effects), clock: Arc::clone(&clock) };
    let monitors = Monitors::new(Arc::new(observer));
    effects.reach(&monitors);
    let seals = Arc::new(Seals::new(material.keyring));
    let edge = Arc::new(Edge::new(Arc::clone(&director), Arc::clone(&clock), Arc::clone(&seals), &config));
    if let Some(journal) = &journal {
        edge.watch_journal(journal.health().clone());
    }
    let parts = reload::Parts {
        path: path.to_owned(),
        clock: Arc::clone(&clock),
        director: Arc::clone(&director),
        effects: Arc::clone(&effects),
        seals,
        edge: Arc::clone(&edge),
        monitors: Arc::clone(&monitors),
        faces,
    };
    let tls = parts.faces.public.config();
    let reloader = Arc::new(Reloader::new(parts, planner, Arc::clone(&config), files));
    if let Err(error) = reloader.watch_files() {
        warn!(%error, "files cannot be watched; a changed configuration needs a SIGHUP or an order");
    }

    monitors.watch(material.targets);
    let keepers = actix::Arbiter::new();
    let _keeper = Keeper::spawn(&keepers.handle(), &director, Arc::clone(&effects), Arc::clone(&clock));
    let _watchdog = Watchdog::spawn(&monitors);

    let options = ListenerOptions { workers: workers(), limits: config.limits, tls: Some(tls) };
    let public = serve(Arc::clone(&edge), sockets.public, options)?;
    let handles = vec![public.handle()];
    actix::spawn(public);
    announce(&config, journal.as_ref().map(Journal::health));

    signals.until_stop(&reloader).await;
    let delay = reloader.running().director.stop_delay;
    info!(delay_seconds = delay.as_secs_f64(), "stopping: ready says no, serving goes on");
    edge.stop();
    signals.wait_or_second(delay).await;
    stop_listeners(handles).await;
    monitors.stop();
    keepers.stop();
    if let Some(journal) = journal
        && !journal.stop(JOURNAL_STOP_MAX)
    {
        error!("the journal did not write everything that was left");
    }
    info!("stopped");
    Ok(())
}

/// The sockets of the listeners.
struct Sockets {
    public: TcpListener,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let bind =
            |listener, address| socket::bind(address).map_err(|error| StartError::Bind { listener, address, error });
        Ok(Self { public: bind("public", config.listen.public.address)? })
    }
}

/// What a director remembers, and the clock that its memory starts at.
struct Memory {
    director: Arc<Director>,
    clock: Arc<Clock>,
    journal: Option<Journal>,
}

/// Reads the journal, and starts to write it.
fn remember(config: &Config) -> Result<Memory, StartError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let options = TableOptions { seed: u64::from_le_bytes(seed), ..TableOptions::default() };
    let Some(directory) = &config.director.state_dir else {
        let clock = Arc::new(Clock::new(None));
        let director = Arc::new(Director::new(config.settings.clone(), options, clock.now())?);
        info!("no state_dir: sessions live in memory, cookies and peers only");
        return Ok(Memory { director, clock, journal: None });
    };
    let opened = store::open(directory, &config.settings.director)?;
    let clock = Arc::new(Clock::new(opened.report.clock));
    let director = Arc::new(Director::new(config.settings.clone(), options, clock.now())?);
    let counts = director.restore(opened.recovered, clock.now());
    info!(taken = counts.taken, dropped = counts.dropped, unknown = counts.unknown, "journal read");
    let source = DirectorSource::new(Arc::clone(&director), Arc::clone(&clock));
    let journal = opened.journal.start(Arc::new(source));
    Ok(Memory { director, clock, journal: Some(journal) })
}

/// Hands looks to the director.
struct DirectorObserver {
    director: Arc<Director>,
    effects: Arc<Effects>,
    clock: Arc<Clock>,
}

impl Observer for DirectorObserver {
    fn observed(&self, server: &ServerName, look: Look) -> Duration {
        let delay = self.director.handle_look(server, &look, self.clock.now());
        self.effects.perform();
        delay
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn announce(config: &Config, journal: Option<&JournalHealth>) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        director = %config.settings.director,
        datacenter = %config.settings.datacenter,
        public = %config.listen.public.address,
        pools = config.pools.len(),
        servers = config.servers().count(),
        journal = journal.is_some(),
        digest = config.digest,
        "serving"
    );
}

async fn stop_listeners(handles: Vec<ServerHandle>) {
    let stopping = futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true)));
    if tokio::time::timeout(SHUTDOWN_MAX, stopping).await.is_err() {
        warn!("open connections did not end in time and are cut");
    }
}
