//! From a file to a configuration, or to every mistake in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maitred_core::ids::ServerName;
use maitred_core::settings::Settings;

use super::describe;
use super::diagnostic::{Diagnostic, Place};
use super::files::FileUse;
use super::model::{Config, Pool};
use super::pools::ReadPool;
use super::reader::{Report, Section};
use super::tree::Spot;
use super::{cross, listeners, pools, sections, source, warnings};

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// It.
    pub config: Config,
    /// What is allowed and will hurt, in order of place.
    pub warnings: Vec<Diagnostic>,
    /// Every file that it names: there, readable, secret where it must be. What is inside is judged by who uses it, who tells
    /// mistakes by [`FileUse::diagnostic`].
    pub files: Vec<FileUse>,
    /// The directories in which a new, changed or vanished file may mean another configuration or another certificate: what a
    /// watcher watches, absolute. Directories and not files, because editors and secret mounts replace files.
    pub directories: BTreeSet<PathBuf>,
    /// Where the `url` of each server stands, for mistakes that only certificates show.
    pub servers: BTreeMap<ServerName, Place>,
}

/// Reads, merges and checks a configuration. Writes nothing, and asks no running director.
///
/// `environment` are name and value of variables; those that do not begin with `MAITRED__` are skipped. A program gives
/// [`super::process_environment`].
///
/// # Errors
/// Every mistake at once (at most 1000), in order of place.
pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Vec<Diagnostic>> {
    read(path, environment).0
}

/// [`load`], and the keys that were asked for.
pub(super) fn read(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> (Result<Loaded, Vec<Diagnostic>>, BTreeSet<String>) {
    let gathered = source::read(path, environment);
    if gathered.unreadable {
        return (Err(gathered.errors), BTreeSet::new());
    }
    let report = Report::new(gathered.sources, gathered.errors, gathered.broken, gathered.broken_header);
    let read = {
        let root = Section::root(&gathered.root, &report);
        root.ask_for_include();
        checked(&root, &report)
    };
    let refused = report.is_refused();
    let read_from = report.sources.files.iter().filter_map(|file| file.parent());
    let read_from: Vec<PathBuf> =
        read_from.chain(report.sources.included.iter().map(PathBuf::as_path)).map(absolute).collect();
    let (errors, warnings, files, known) = report.into_parts();
    let loaded = match read {
        Some((config, servers)) if !refused => {
            let named = files.iter().filter_map(|file| file.path.parent()).map(Path::to_owned);
            let directories = read_from.into_iter().chain(named).collect();
            Ok(Loaded { config, warnings, files, directories, servers })
        }
        _ => Err(errors),
    };
    (loaded, known)
}

fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Everything that is right, and every mistake in the report. `None` only where a mistake was noted.
fn checked(root: &Section<'_>, report: &Report) -> Option<(Config, BTreeMap<ServerName, Place>)> {
    let director = sections::director(root);
    let log = sections::log(root);
    let listen = listeners::listeners(root);
    let affinity = sections::affinity(root);
    let ticket = sections::ticket(root);
    let limits = sections::limits(root);
    let peers = sections::peers(root);
    let pools = pools::pools(root);
    root.finish();

    let datacenter = cross::own_datacenter(&director, &peers, report);
    cross::pools(&pools);
    cross::identities(&listen.identity_servers, &pools, report);
    warnings::pools(&pools, listen.public.as_ref().map(|public| &public.prefix));

    let name = director.name?;
    let datacenter = datacenter?;
    let listen = listen.checked()?;
    let spot = director.datacenter_spot.unwrap_or(director.name_spot);
    let has_peers = peers.keys().any(|peer| *peer != name);
    warnings::whole(root, report, &listen, &ticket, &pools, (&datacenter, spot), has_peers);

    let places = places(&pools, report);
    let all = peers.into_values().map(|read| read.peer).collect::<Vec<_>>();
    let own = all.iter().find(|peer| peer.name == name).cloned();
    let peers = all.into_iter().filter(|peer| peer.name != name).collect::<Vec<_>>();
    let mut settings = Settings {
        director: name,
        datacenter,
        peers: peers.iter().map(|peer| (peer.name.clone(), peer.datacenter.clone())).collect(),
        pools: BTreeMap::new(),
    };
    let mut edges = BTreeMap::new();
    for pool in pools {
        let name = pool.name.clone()?;
        let (core, edge) = halves(pool)?;
        settings.pools.insert(name.clone(), Arc::new(core));
        edges.insert(name, edge);
    }
    let sources: Vec<PathBuf> = report.sources.files.clone();
    let mut config = Config {
        settings,
        director: director.settings,
        log,
        listen,
        affinity,
        ticket,
        limits,
        peers,
        pools: edges,
        digest: String::new(),
        sources,
    };
    config.digest = describe::digest(&config, own.as_ref());
    Some((config, places))
}

/// The pool as the core and as the edge know it, servers in both.
fn halves(pool: ReadPool<'_>) -> Option<(maitred_core::settings::PoolSettings, Pool)> {
    let (mut settings, mut edge) = pool.settings.zip(pool.edge)?;
    for (position, server) in pool.servers.iter().enumerate() {
        let (core, reach) = server.halves(position)?;
        edge.servers.insert(core.name.clone(), reach);
        settings.servers.insert(core.name.clone(), Arc::new(core));
    }
    edge.routes = pool.routes.into_iter().map(|(route, _)| route).collect();
    Some((settings, edge))
}

fn places(pools: &[ReadPool<'_>], report: &Report) -> BTreeMap<ServerName, Place> {
    let servers = pools.iter().flat_map(|pool| &pool.servers);
    let named = servers.filter_map(|server| Some((server.name.clone()?, server.section.spot_of("url"))));
    named.map(|(name, spot): (ServerName, Spot)| (name, report.sources.place(spot))).collect()
}
