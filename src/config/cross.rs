//! What one part of the configuration says of another: names that must be unique, and references that must exist.

use std::collections::BTreeMap;

use maitred_core::ids::{DatacenterName, DirectorName, PoolName, ServerName};

use super::model::Route;
use super::pools::{ReadPool, ReadServer};
use super::reader::{Report, nearest};
use super::sections::{Director, ReadPeer};
use super::tree::Spot;
use super::words::ProbeKind;

/// Who this director is among its peers, and where it stands.
///
/// The same file serves every director, and only the name comes from outside: then the datacenter is that of the `[[peer]]` of
/// this name, whatever the file says for the director that it names itself.
pub(super) fn own_datacenter(
    director: &Director,
    peers: &BTreeMap<DirectorName, ReadPeer>,
    report: &Report,
) -> Option<DatacenterName> {
    let own = director.name.as_ref().and_then(|name| peers.get(name));
    if let Some(name) = director.name.as_ref().filter(|_| own.is_none() && !peers.is_empty()) {
        let near = nearest(name.as_str(), peers.keys().map(DirectorName::as_str));
        let near = near.map(|near| format!(" (nearest: {near})")).unwrap_or_default();
        let reason = format!("{name} is none of the [[peer]]: all of them are taken for other directors{near}");
        report.warn(director.name_spot, "director.name", reason);
    }
    match (&director.datacenter, own, director.datacenter_spot) {
        (Some(own), None, _) => Some(own.clone()),
        (None, Some(peer), None) => Some(peer.peer.datacenter.clone()),
        (Some(own), Some(peer), Some(spot)) if *own != peer.peer.datacenter => {
            let named_outside = matches!(director.name_spot, Spot::Variable(_)) && matches!(spot, Spot::File { .. });
            if !named_outside {
                let place = report.sources.place(peer.spot);
                let peer = &peer.peer;
                let reason =
                    format!("{own} is not {}, where the [[peer]] {} at {place} stands", peer.datacenter, peer.name);
                report.refuse(spot, "director.datacenter", reason);
            }
            Some(peer.peer.datacenter.clone())
        }
        (Some(own), _, _) => Some(own.clone()),
        (None, None, None) => {
            // A director without a name may be a peer that knows where it stands: the name is the mistake to mend first.
            if director.name.is_some() || peers.is_empty() {
                report.missing(director.name_spot, "director.datacenter", "is missing");
            }
            None
        }
        // It is there and wrong, which was told where it stands.
        (None, _, Some(_)) => None,
    }
}

/// Pools have names and routes of their own; servers have names of their own and stand in a datacenter of their pool.
pub(super) fn pools(pools: &[ReadPool<'_>]) {
    let mut names: BTreeMap<&PoolName, Spot> = BTreeMap::new();
    let mut routes: BTreeMap<&Route, Spot> = BTreeMap::new();
    let mut servers: BTreeMap<&ServerName, Spot> = BTreeMap::new();
    for pool in pools {
        if let Some(name) = &pool.name
            && let Some(first) = names.insert(name, pool.section.spot_of("name"))
        {
            pool.section.refuse("name", format!("{name} is already a pool at {}", pool.section.place(first)));
        }
        for (route, section) in &pool.routes {
            if let Some(first) = routes.insert(route, section.spot_of("path")) {
                section.refuse(
                    "path",
                    format!("the same host and path already lead to a pool at {}", section.place(first)),
                );
            }
        }
        for server in &pool.servers {
            if let Some(name) = &server.name
                && let Some(first) = servers.insert(name, server.section.spot_of("name"))
            {
                let place = server.section.place(first);
                server
                    .section
                    .refuse("name", format!("{name} is already a server at {place}: names are unique in all pools"));
            }
            stands_in_its_pool(pool, server);
            is_probed_as_it_says(pool, server);
        }
    }
}

fn stands_in_its_pool(pool: &ReadPool<'_>, server: &ReadServer<'_>) {
    let (Some(settings), Some(datacenter)) = (&pool.settings, &server.datacenter) else { return };
    if settings.datacenters.contains(datacenter) {
        return;
    }
    let reason = match nearest(datacenter.as_str(), settings.datacenters.iter().map(DatacenterName::as_str)) {
        Some(near) => format!("{datacenter} is none of this pool's datacenters (nearest: {near})"),
        None => format!("{datacenter} is none of this pool's datacenters"),
    };
    server.section.refuse("datacenter", reason);
}

fn is_probed_as_it_says(pool: &ReadPool<'_>, server: &ReadServer<'_>) {
    let Some(probe_url) = &server.probe_url else { return };
    let dials = |kind: ProbeKind| kind == probe_url.kind() || kind == ProbeKind::Tcp;
    if !pool.health.checks.iter().any(|check| dials(check.probe)) {
        let kind = probe_url.kind().as_str();
        server.section.refuse("probe_url", format!("begins with {kind}://, but no check of this pool is over {kind}"));
    }
}

/// Identities of servers that exist.
pub(super) fn identities(identities: &[(ServerName, Spot)], pools: &[ReadPool<'_>], report: &Report) {
    let names: std::collections::BTreeSet<&ServerName> =
        pools.iter().flat_map(|pool| &pool.servers).filter_map(|server| server.name.as_ref()).collect();
    for (name, spot) in identities {
        if names.contains(name) {
            continue;
        }
        let reason = match nearest(name.as_str(), names.iter().map(|name| name.as_str())) {
            Some(near) => format!("{name} is no server of any pool (nearest: {near})"),
            None => format!("{name} is no server of any pool"),
        };
        report.refuse(*spot, "listen.internal.identity.server", reason);
    }
}
