//! What is allowed and will hurt. Nothing here refuses a configuration.

use std::collections::BTreeMap;

use maitred_core::ids::DatacenterName;
use maitred_core::settings::MinUp;

use super::model::{Handover, Listeners, TicketSettings};
use super::pools::{ReadPool, ReadServer};
use super::reader::{Report, Section};
use super::tree::Spot;
use super::words::{Host, PathPrefix, ProbeKind, Scheme};

pub(super) fn pools(pools: &[ReadPool<'_>], prefix: Option<&PathPrefix>) {
    let mut hosts: BTreeMap<&Host, (&ReadServer<'_>, Spot)> = BTreeMap::new();
    for pool in pools {
        pool_alone(pool);
        routes(pool, prefix);
        datacenters(pool);
        for server in &pool.servers {
            one_host_each(server, &mut hosts);
            server_alone(pool, server);
        }
    }
    hidden_routes(pools);
}

fn pool_alone(pool: &ReadPool<'_>) {
    let Some(edge) = &pool.edge else { return };
    let section = &pool.section;
    if edge.handover == Handover::None {
        let key = if section.has("handover") { "handover" } else { "key" };
        let reason = "minted keys with handover = \"none\": where a start brings no key one is minted, and the server never learns it";
        section.warn(key, reason);
    }
    if pool.routes.is_empty() && !section.has("route") {
        section.warn("route", "is missing: only starts that name this pool reach it");
    }
    if edge.jsonp && edge.embed.is_empty() {
        section.warn("jsonp", "is on, but embed names no origin: every call is refused");
    }
    for label in pool.settings.iter().flat_map(|settings| &settings.required_labels) {
        if !pool.servers.iter().any(|server| server.labels.contains_key(label)) {
            section.warn("required_labels", format!("no server carries {label}: a start that names it is refused"));
        }
    }
    if edge.handover != Handover::None
        && let Some((_, route)) = pool.routes.first()
        && pool.routes.iter().all(|(route, _)| route.host.is_none())
    {
        let reason =
            "is in no route: tickets name no address to return to, so each server has to know the front by itself";
        route.warn("host", reason);
    }
    if let Handover::Cookie { domain } = &edge.handover {
        let outside = |server: &&ReadServer<'_>| server.url.as_ref().is_some_and(|url| !lies_in(url.host(), domain));
        if let Some(server) = pool.servers.iter().find(outside) {
            server.section.warn("url", format!("lies outside handover_domain {domain}: its browsers send no ticket"));
        }
    }
}

fn lies_in(host: &Host, domain: &Host) -> bool {
    host == domain || host.as_str().strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

fn routes(pool: &ReadPool<'_>, prefix: Option<&PathPrefix>) {
    for (route, section) in &pool.routes {
        let stem = route.path.stem();
        let own = prefix.is_some_and(|prefix| prefix.covers(stem)) || stem == "/health" || stem.starts_with("/health/");
        if own {
            section.warn("path", "lies in maitred's own paths, which come first: nobody reaches the pool by it");
        }
    }
}

/// A route for any host is not asked where another one names the host, however short that one's path is.
fn hidden_routes(pools: &[ReadPool<'_>]) {
    let mut named: BTreeMap<&Host, Vec<(&PathPrefix, &ReadPool<'_>)>> = BTreeMap::new();
    for pool in pools {
        for (host, path) in pool.routes.iter().filter_map(|(route, _)| Some((route.host.as_ref()?, &route.path))) {
            named.entry(host).or_default().push((path, pool));
        }
    }
    for pool in pools {
        for (route, section) in pool.routes.iter().filter(|(route, _)| route.host.is_none()) {
            let hiding = named.iter().find_map(|(host, routes)| {
                let covering = routes.iter().filter(|(path, _)| path.covers(route.path.stem()));
                let (path, first) = covering.max_by_key(|(path, _)| path.stem().len())?;
                (!std::ptr::eq(*first, pool)).then_some((host, path, first.name.as_ref()))
            });
            if let Some((host, path, Some(first))) = hiding {
                section.warn("path", format!("is not asked under {host}: pool {first} names that host, with {path}"));
            }
        }
    }
}

fn datacenters(pool: &ReadPool<'_>) {
    let Some(settings) = &pool.settings else { return };
    let mut counts: BTreeMap<&DatacenterName, u32> = settings.datacenters.iter().map(|name| (name, 0)).collect();
    for name in pool.servers.iter().filter_map(|server| server.datacenter.as_ref()) {
        if let Some(count) = counts.get_mut(name) {
            *count += 1;
        }
    }
    for (name, count) in counts {
        match settings.failover.min_up {
            _ if count == 0 => pool.section.warn("datacenters", format!("no server of this pool stands in {name}")),
            MinUp::Servers(least) if least > count => {
                pool.failover.warn("min_up", format!("is {least}, but {name} has {count} servers: it never serves"));
            }
            MinUp::Servers(_) | MinUp::Percent(_) => {}
        }
    }
}

fn one_host_each<'p>(server: &'p ReadServer<'_>, hosts: &mut BTreeMap<&'p Host, (&'p ReadServer<'p>, Spot)>) {
    let Some(url) = &server.url else { return };
    let spot = server.section.spot_of("url");
    let Some((first, place)) = hosts.get(url.host()) else {
        hosts.insert(url.host(), (server, spot));
        return;
    };
    let other = first.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let place = server.section.place(*place);
    let reason = format!(
        "has the host of {other} at {place}: browsers keep one set of cookies for both, and mix their sessions up"
    );
    server.section.warn("url", reason);
}

fn server_alone(pool: &ReadPool<'_>, server: &ReadServer<'_>) {
    let Some(url) = &server.url else { return };
    if url.scheme() == Scheme::Http {
        server.section.warn("url", "is http: sessions and tickets travel in clear");
    }
    for check in &pool.health.checks {
        let named = server.probe_url.as_ref().is_some_and(|other| other.kind() == check.probe);
        let guessed = match (check.probe, url.scheme()) {
            (ProbeKind::Http, Scheme::Https) | (ProbeKind::Https, Scheme::Http) | (ProbeKind::Ajp, _) => !named,
            (ProbeKind::Tcp, _) | (ProbeKind::Http, Scheme::Http) | (ProbeKind::Https, Scheme::Https) => false,
        };
        if guessed {
            let target = super::words::ProbeTarget::of(check.probe, url, server.probe_url.as_ref());
            let kind = check.probe.as_str();
            let reason = format!(
                "is probed over {kind} at {}:{}, a guess: say it by probe_url = \"{kind}://…\"",
                target.host, target.port
            );
            server.section.warn("url", reason);
        }
    }
}

/// What is not there and will be missed.
pub(super) fn whole(
    root: &Section<'_>,
    report: &Report,
    listen: &Listeners,
    ticket: &TicketSettings,
    pools: &[ReadPool<'_>],
    own: (&DatacenterName, Spot),
    has_peers: bool,
) {
    let beats = pools.iter().any(|pool| pool.settings.as_ref().is_some_and(|settings| settings.beats));
    if listen.internal.is_none() {
        let reason = if beats {
            "is missing: no beat of a server and no order of an operator can arrive"
        } else {
            "is missing: no order of an operator can arrive"
        };
        root.warn("listen.internal", reason);
    }
    if listen.peer.is_none() && has_peers {
        root.warn("listen.peer", "is missing, though there are other directors: no link to them");
    }
    let hands_over = |pool: &ReadPool<'_>| pool.edge.as_ref().is_some_and(|edge| edge.handover != Handover::None);
    if ticket.key_file.is_none() && pools.iter().any(hands_over) {
        let reason =
            "is not set: tickets are signed by a key made at start, which servers must fetch anew from each director";
        root.warn("ticket.key_file", reason);
    }
    let (datacenter, spot) = own;
    let known =
        |pool: &ReadPool<'_>| pool.settings.as_ref().is_none_or(|settings| settings.datacenters.contains(datacenter));
    if !pools.iter().any(known) {
        report.warn(
            spot,
            "director.datacenter",
            format!("{datacenter} is in no pool's datacenters: this director is never active"),
        );
    }
}
