//! A reload: the same checks as at the start, then everything at once; whatever is wrong changes nothing.
//!
//! Reads files, so it never runs on a thread that answers or on an actor's. Signals, file changes and orders all come here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use maitred_core::director::Director;
use metrics::counter;
use notify::{RecursiveMode, Watcher};
use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::material::{Faces, Material};
use crate::actors::effects::Effects;
use crate::actors::peer_links::PeerLinks;
use crate::actors::watchdog::Monitors;
use crate::clock::Clock;
use crate::config::{self, Change, Config, FileUse};
use crate::credentials::{Seals, Tickets};
use crate::http::edge::Edge;
use crate::http::internal::Internal;
use crate::http::metrics::Page;
use crate::probe::Planner;
use crate::vitals::Vitals;

/// An editor or a secrets' agent writes several files in a row: this long must have been quiet.
const QUIET: Duration = Duration::from_millis(500);
/// A stream of changes is not waited out for longer.
const QUIET_MAX: Duration = Duration::from_secs(5);

/// What a reload changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force now.
    pub applied: Vec<Change>,
    /// What needs a restart and stays as it was.
    pub restart: Vec<Change>,
}

/// Everything that a reload reaches.
pub(super) struct Parts {
    pub(super) path: PathBuf,
    pub(super) clock: Arc<Clock>,
    pub(super) director: Arc<Director>,
    pub(super) effects: Arc<Effects>,
    pub(super) seals: Arc<Seals>,
    pub(super) tickets: Arc<Tickets>,
    pub(super) edge: Arc<Edge>,
    pub(super) monitors: Arc<Monitors>,
    pub(super) faces: Faces,
    pub(super) vitals: Arc<Vitals>,
    pub(super) internal: Option<Arc<Internal>>,
    pub(super) page: Option<Arc<Page>>,
    pub(super) links: Option<Arc<PeerLinks>>,
}

/// Reloads, one at a time.
pub struct Reloader {
    parts: Parts,
    running: Mutex<Running>,
}

/// What is in force.
struct Running {
    planner: Planner,
    config: Arc<Config>,
    files: Arc<BTreeSet<PathBuf>>,
}

impl Reloader {
    pub(super) fn new(parts: Parts, planner: Planner, config: Arc<Config>, files: &[FileUse]) -> Self {
        let files = Arc::new(files_of(&config, files));
        Self { parts, running: Mutex::new(Running { planner, config, files }) }
    }

    /// The configuration in force.
    #[must_use]
    pub fn running(&self) -> Arc<Config> {
        Arc::clone(&self.running.lock().config)
    }

    fn files(&self) -> Arc<BTreeSet<PathBuf>> {
        Arc::clone(&self.running.lock().files)
    }

    /// Reads everything again and takes it into use. Blocks on the disk.
    ///
    /// # Errors
    /// Every mistake that was found, one line each; nothing has changed then.
    pub fn reload(&self, cause: &'static str) -> Result<Reloaded, Vec<String>> {
        let mut running = self.running.lock();
        let outcome = self.try_reload(&mut running);
        match &outcome {
            Ok(reloaded) => {
                counter!("maitred_config_reloads_total", "outcome" => "ok").increment(1);
                self.parts.vitals.reloads().succeeded(self.parts.clock.now().time);
                info!(cause, applied = reloaded.applied.len(), "configuration reloaded");
                for change in &reloaded.applied {
                    info!(cause, %change, "configuration changed");
                }
                for change in &reloaded.restart {
                    warn!(cause, %change, "configuration change waits for a restart");
                }
            }
            Err(mistakes) => {
                counter!("maitred_config_reloads_total", "outcome" => "refused").increment(1);
                self.parts.vitals.reloads().refused(self.parts.clock.now().time, mistakes.clone());
                for mistake in mistakes {
                    error!(cause, mistake, "configuration refused; the running one stays");
                }
            }
        }
        outcome
    }

    fn try_reload(&self, running: &mut Running) -> Result<Reloaded, Vec<String>> {
        let loaded = config::load(&self.parts.path, config::process_environment())
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let one = |error: &dyn std::error::Error| vec![error.to_string()];
        let changes = config::difference(&running.config, &loaded.config);
        let files = files_of(&loaded.config, &loaded.files);
        let wanted = with_what_stays(&running.config, loaded.config);
        let material = Material::load(&wanted, &mut running.planner).map_err(|error| one(&error))?;
        let faces = Faces::load(&wanted).map_err(|error| one(&error))?;
        // From here on nothing can fail but a table of names that is full.
        let parts = &self.parts;
        let now = parts.clock.now();
        parts.director.handle_settings(wanted.settings.clone(), now).map_err(|error| one(&error))?;
        parts.effects.perform();
        let renewed = parts.faces.take_over(&faces);
        if let Some(links) = &parts.links {
            links.configure(&wanted.peers);
            if renewed {
                links.renew();
            }
        }
        if wanted.affinity.key_file.is_some() {
            parts.seals.replace(material.keyring);
        }
        // Without a file the key that was made at start goes on: servers have fetched it.
        if wanted.ticket.key_file.is_some() || parts.tickets.keys().algorithm() != wanted.ticket.algorithm {
            parts.tickets.replace(material.ticket_keys);
        }
        parts.edge.reload(&wanted);
        parts.monitors.watch(material.targets);
        let wanted = Arc::new(wanted);
        if let (Some(internal), Some(access)) = (&parts.internal, material.access) {
            internal.reload(Arc::clone(&wanted), access);
        }
        if let Some(page) = &parts.page {
            page.reload(&wanted);
        }
        for warning in parts.vitals.warnings(parts.clock.wall()) {
            warn!(warning, "needs a look");
        }
        running.config = wanted;
        running.files = Arc::new(files);
        let (restart, applied) = changes.into_iter().partition(|change| change.needs_restart);
        Ok(Reloaded { applied, restart })
    }

    /// Reloads whenever one of the files changes, until the process ends, on a thread of its own.
    ///
    /// # Errors
    /// When the system cannot watch; signals and orders still reload.
    pub(super) fn watch_files(self: &Arc<Self>) -> notify::Result<()> {
        let (changed, changes) = sync_channel(1);
        let reloader = Arc::downgrade(self);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Some(reloader) = reloader.upgrade() else { return };
            if event.is_ok_and(|event| concerns(&event, &reloader.files())) {
                // Full means that a change waits already, which is all there is to say.
                let _ = changed.try_send(());
            }
        })?;
        let mut watched = BTreeSet::new();
        watch_folders(&mut watcher, &mut watched, &self.files())?;
        let reloader = Arc::downgrade(self);
        std::thread::Builder::new().name("maitred-files".to_owned()).spawn(move || {
            while changes.recv().is_ok() {
                let since = Instant::now();
                while since.elapsed() < QUIET_MAX && changes.recv_timeout(QUIET).is_ok() {}
                let Some(reloader) = reloader.upgrade() else { return };
                // What is wrong has been logged.
                let _ = reloader.reload("file");
                if let Err(error) = watch_folders(&mut watcher, &mut watched, &reloader.files()) {
                    warn!(%error, "a folder cannot be watched; changes there need a SIGHUP");
                }
            }
        })?;
        Ok(())
    }
}

/// Folders are watched, not files: a file that is replaced by renaming another over it is a new one.
fn watch_folders(
    watcher: &mut impl Watcher,
    watched: &mut BTreeSet<PathBuf>,
    files: &BTreeSet<PathBuf>,
) -> notify::Result<()> {
    for file in files {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !watched.contains(folder) {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            watched.insert(folder.to_owned());
        }
    }
    Ok(())
}

/// Whether a change in a watched folder is about a file of ours: by its name, a new file of an `include`, or the link that
/// container platforms swap under mounted secrets.
fn concerns(event: &notify::Event, files: &BTreeSet<PathBuf>) -> bool {
    let ours = |path: &PathBuf| {
        let name = path.file_name();
        name.is_some_and(|name| name == "..data")
            || path.extension().is_some_and(|extension| extension == "toml")
            || files.iter().any(|file| file.file_name() == name)
    };
    !event.kind.is_access() && event.paths.iter().any(ours)
}

fn files_of(config: &Config, files: &[FileUse]) -> BTreeSet<PathBuf> {
    config.sources.iter().chain(files.iter().map(|file| &file.path)).cloned().collect()
}

/// The wanted configuration with everything that only a restart can change as it runs.
fn with_what_stays(running: &Config, mut wanted: Config) -> Config {
    wanted.settings.director = running.settings.director.clone();
    wanted.settings.datacenter = running.settings.datacenter.clone();
    wanted.director.state_dir.clone_from(&running.director.state_dir);
    wanted.log.format = running.log.format;
    wanted.listen.public.address = running.listen.public.address;
    if wanted.listen.public.tls.is_some() != running.listen.public.tls.is_some() {
        wanted.listen.public.tls.clone_from(&running.listen.public.tls);
    }
    match (&running.listen.internal, &mut wanted.listen.internal) {
        (Some(running), Some(wanted)) => wanted.address = running.address,
        (running, wanted) => wanted.clone_from(running),
    }
    match (&running.listen.peer, &mut wanted.listen.peer) {
        (Some(running), Some(wanted)) => wanted.address = running.address,
        (running, wanted) => wanted.clone_from(running),
    }
    wanted.listen.metrics.clone_from(&running.listen.metrics);
    wanted
}
