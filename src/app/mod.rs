//! One director, wired together: configuration, core, journal, actors, listeners, and the order in which they start and stop.
//!
//! ```text
//! config ─▶ files (certificates, keys) ─▶ sockets bound ─▶ journal read ─▶ director ─▶ actors, links ─▶ listeners serve
//! SIGTERM ─▶ ready says no ─▶ stop_delay ─▶ listeners stop ─▶ links close ─▶ monitors stop ─▶ journal written
//! ```
//! Everything that can be refused is refused before a socket is bound. Owns no rule and answers no request.

mod descriptors;
mod harmless;
mod lines;
mod material;
mod reload;
mod signals;
mod socket;
pub mod telemetry;
mod text;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use maitred_core::director::Director;
use maitred_core::health::Look;
use maitred_core::ids::ServerName;
use maitred_core::session::{Full, TableOptions};
use thiserror::Error;
use tracing::{error, info, warn};

pub use reload::{Reloaded, Reloader};

use crate::actors::effects::Effects;
use crate::actors::keeper::Keeper;
use crate::actors::peer_link::House;
use crate::actors::peer_links::PeerLinks;
use crate::actors::server_monitor::Observer;
use crate::actors::watchdog::{Monitors, Watchdog};
use crate::clock::Clock;
use crate::config::{self, Change, Config, Diagnostic, FileUse};
use crate::credentials::{Seals, Tickets};
use crate::http::edge::Edge;
use crate::http::internal::{self, Internal, InternalParts, Process};
use crate::http::listener::ListenerOptions;
use crate::http::metrics::{self, Page};
use crate::http::public;
use crate::http::workers::Serving;
use crate::metrics::Metrics;
use crate::peer::Bell;
use crate::probe::Planner;
use crate::store::{self, DirectorSource, Journal, JournalHealth};
use crate::tls::{ReloadableServer, TlsFileError};
use crate::vitals::Vitals;
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
    // Before anything counts: handles that are made earlier count into nothing.
    let metrics = Metrics::new();
    let _ = metrics.install();
    let loaded = config::load(path, config::process_environment()).map_err(StartError::Config)?;
    let _log = telemetry::start(loaded.config.log)?;
    for warning in &loaded.warnings {
        warn!(%warning, "configuration");
    }
    let config = Arc::new(loaded.config);
    descriptors::raise(&config);
    let mut planner = Planner::default();
    let prepared = Prepared {
        path: path.to_owned(),
        files: loaded.files,
        material: Material::load(&config, &mut planner)?,
        planner,
        faces: Faces::load(&config)?,
        sockets: Sockets::bind(&config)?,
        metrics,
        config,
    };
    actix::System::new().block_on(live(prepared))
}

/// Everything that can be refused has been accepted.
struct Prepared {
    path: PathBuf,
    config: Arc<Config>,
    files: Vec<FileUse>,
    metrics: Metrics,
    planner: Planner,
    material: Material,
    faces: Faces,
    sockets: Sockets,
}

async fn live(prepared: Prepared) -> Result<(), StartError> {
    let Prepared { path, config, files, metrics, planner, material, faces, sockets } = prepared;
    let mut signals = signals::Signals::listen()?;
    let Memory { director, clock, journal } = remember(&config)?;
    let journal_health = journal.as_ref().map(|journal| journal.health().clone());
    let vitals = Arc::new(Vitals::new(clock.now().time, journal_health, faces.by_listener()));
    for warning in vitals.warnings(clock.wall()) {
        warn!(warning, "needs a look");
    }
    let effects = Effects::new(Arc::clone(&director));
    let observer =
        DirectorObserver { director: Arc::clone(&director), effects: Arc::clone(&effects), clock: Arc::clone(&clock) };
    let monitors = Monitors::new(Arc::new(observer));
    effects.reach(&monitors);
    let seals = Arc::new(Seals::new(material.keyring));
    let tickets = Arc::new(Tickets::new(config.settings.director.clone(), material.ticket_keys));
    let edge = Arc::new(Edge::new(
        Arc::clone(&director),
        Arc::clone(&clock),
        Arc::clone(&seals),
        Arc::clone(&tickets),
        &config,
    ));
    edge.act_with(Arc::clone(&effects));
    if let Some(journal) = &journal {
        edge.watch_journal(journal.health().clone());
    }
    let process = Arc::new(ProcessOrders {
        effects: Arc::clone(&effects),
        bell: Arc::clone(edge.bell()),
        reloader: OnceLock::new(),
    });
    let linking = actix::Arbiter::new();
    let links = faces.peer.as_ref().zip(sockets.peer).map(|(tls, socket)| {
        let house = House {
            director: Arc::clone(&director),
            clock: Arc::clone(&clock),
            effects: Arc::clone(&effects),
            tls: Arc::clone(tls),
        };
        PeerLinks::start(&linking.handle(), house, Arc::clone(edge.bell()), socket)
    });
    let seed = random()?;
    let internal = material.access.map(|access| {
        Arc::new(Internal::new(InternalParts {
            edge: Arc::clone(&edge),
            vitals: Arc::clone(&vitals),
            metrics: metrics.clone(),
            process: Arc::clone(&process) as Arc<dyn Process>,
            config: Arc::clone(&config),
            access,
            seed,
        }))
    });
    let page = Arc::new(Page::new(Arc::clone(&edge), Arc::clone(&vitals), metrics.clone(), &config));
    actix::spawn(metrics.upkeep());
    let parts = reload::Parts {
        path,
        clock: Arc::clone(&clock),
        director: Arc::clone(&director),
        effects: Arc::clone(&effects),
        seals,
        tickets,
        edge: Arc::clone(&edge),
        monitors: Arc::clone(&monitors),
        faces,
        vitals,
        internal: internal.clone(),
        page: Some(Arc::clone(&page)),
        links: links.clone(),
    };
    let (public_tls, internal_tls) = (
        parts.faces.public.as_ref().map(ReloadableServer::config),
        parts.faces.internal.as_ref().map(ReloadableServer::config),
    );
    let reloader = Arc::new(Reloader::new(parts, planner, Arc::clone(&config), &files));
    let _ = process.reloader.set(Arc::downgrade(&reloader));
    if let Err(error) = reloader.watch_files() {
        warn!(%error, "files cannot be watched; a changed configuration needs a SIGHUP or an order");
    }

    monitors.watch(material.targets);
    if let Some(links) = &links {
        links.configure(&config.peers);
        // Not on the links' own thread: it may be what is stuck.
        actix::spawn(PeerLinks::watch(Arc::downgrade(links)));
    }
    let keepers = actix::Arbiter::new();
    let _keeper = Keeper::spawn(&keepers.handle(), &director, Arc::clone(&effects), Arc::clone(&clock));
    let _watchdog = Watchdog::spawn(&monitors);

    let options = |tls| ListenerOptions { limits: config.limits, tls };
    let mut listeners = vec![public::serve(Arc::clone(&edge), sockets.public, options(public_tls))?];
    // One thread: operators, servers' reads and orders are few requests, none of them on the path of a start.
    if let (Some(internal), Some(socket), Some(tls)) = (internal, sockets.internal, internal_tls) {
        listeners.push(internal::serve(internal, vec![socket], options(Some(tls)))?);
    }
    // One thread: a scrape and some health checks a second.
    if let Some(socket) = sockets.metrics {
        listeners.push(metrics::serve(page, vec![socket], options(None))?);
    }
    announce(&config, journal.as_ref().map(Journal::health));

    signals.until_stop(&reloader).await;
    let delay = reloader.running().director.stop_delay;
    info!(delay_seconds = delay.as_secs_f64(), "stopping: ready says no, serving goes on");
    edge.stop();
    signals.wait_or_second(delay).await;
    stop_listeners(listeners).await;
    if let Some(links) = links {
        links.stop().await;
    }
    linking.stop();
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
    /// One for each thread that answers.
    public: Vec<TcpListener>,
    internal: Option<TcpListener>,
    peer: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let bind =
            |listener, address| socket::bind(address).map_err(|error| StartError::Bind { listener, address, error });
        let listen = &config.listen;
        let bind_shared = |address| {
            let listener = "public";
            socket::bind_shared(address, workers()).map_err(|error| StartError::Bind { listener, address, error })
        };
        Ok(Self {
            public: bind_shared(listen.public.address)?,
            internal: listen.internal.as_ref().map(|it| bind("internal", it.address)).transpose()?,
            peer: listen.peer.as_ref().map(|it| bind("peer", it.address)).transpose()?,
            metrics: listen.metrics.as_ref().map(|it| bind("metrics", it.address)).transpose()?,
        })
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
    let options = TableOptions { seed: random()?, ..TableOptions::default() };
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

/// What the internal listener asks of this process.
struct ProcessOrders {
    effects: Arc<Effects>,
    bell: Arc<Bell>,
    /// Known once everything that a reload reaches stands.
    reloader: OnceLock<Weak<Reloader>>,
}

impl Process for ProcessOrders {
    fn perform_effects(&self) {
        self.effects.perform();
        self.bell.ring();
    }

    fn reload(&self) -> Result<Vec<Change>, Vec<String>> {
        let reloader = self.reloader.get().and_then(Weak::upgrade);
        let reloader = reloader.ok_or_else(|| vec!["the director is starting or stopping; try again".to_owned()])?;
        let Reloaded { mut applied, restart } = reloader.reload("order")?;
        applied.extend(restart);
        Ok(applied)
    }
}

fn random() -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
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

async fn stop_listeners(listeners: Vec<Serving>) {
    let stopping = futures_util::future::join_all(listeners.into_iter().map(Serving::stop));
    if tokio::time::timeout(SHUTDOWN_MAX, stopping).await.is_err() {
        warn!("open connections did not end in time and are cut");
    }
}
