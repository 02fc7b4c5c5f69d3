//! `[[pool]]`: routes, keys, labels, what the edge does, and the servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use maitred_core::ids::{DatacenterName, LabelName, PoolName, ServerName};
use maitred_core::settings::{
    DependencyEffect, FailoverSettings, Isolated, Overflow, Passive, Policy, PoolSettings, ServerSettings,
};

use super::health::{self, ReadHealth};
use super::model::{Handover, Pool, Route, ServerEdge};
use super::reader::{SERVERS_MAX, Section, boolean, integer, one_of, parsed, text};
use super::values::{duration, factor_permille, failback, min_up};
use super::words::{Host, KeySource, LabelSource, Landing, LocalPath, Origin, PathPrefix, ProbeUrl};

/// Bounds of lists; each far above what was ever seen, far below what would cost.
const POOLS_MAX: usize = 256;
const ROUTES_MAX: usize = 256;
const KEY_SOURCES_MAX: usize = 16;
const LABELS_MAX: usize = 32;
const LABEL_VALUES_MAX: usize = 256;
const LABEL_VALUE_BYTES_MAX: usize = 128;
const EMBED_MAX: usize = 256;
const DATACENTERS_MAX: usize = 16;
const DEPENDS_MAX: usize = 32;
/// Sessions per server that a counter may reach.
const CAPACITY_MAX: u32 = 10_000_000;
/// Ten times the usual weight, and as much again: beyond it a slow start's steps would be coarser than its servers.
const WEIGHT_MAX: u32 = 10_000;
const RELOGIN_RATE_MAX: u32 = 1_000_000;
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// A pool, with its sections for whoever compares it with the rest.
pub(super) struct ReadPool<'t> {
    pub(super) section: Section<'t>,
    pub(super) name: Option<PoolName>,
    pub(super) routes: Vec<(Route, Section<'t>)>,
    pub(super) servers: Vec<ReadServer<'t>>,
    pub(super) health: ReadHealth,
    pub(super) failover: Section<'t>,
    /// Without servers and routes, which are checked against each other first.
    pub(super) settings: Option<PoolSettings>,
    pub(super) edge: Option<Pool>,
}

/// A server; whatever of it is right.
pub(super) struct ReadServer<'t> {
    pub(super) section: Section<'t>,
    pub(super) name: Option<ServerName>,
    pub(super) datacenter: Option<DatacenterName>,
    pub(super) url: Option<Origin>,
    pub(super) probe_url: Option<ProbeUrl>,
    pub(super) weight: u32,
    pub(super) labels: BTreeMap<LabelName, BTreeSet<String>>,
}

pub(super) fn pools<'t>(root: &Section<'t>) -> Vec<ReadPool<'t>> {
    if !root.has("pool") {
        root.missing("pool", "is missing: a director without a pool seats nobody");
    }
    if root.is_empty_list("pool") {
        root.refuse("pool", "is empty: a director without a pool seats nobody");
    }
    let sections = root.tables("pool", POOLS_MAX);
    let mut servers_left = SERVERS_MAX;
    sections.into_iter().map(|section| pool(section, &mut servers_left)).collect()
}

fn pool<'t>(section: Section<'t>, servers_left: &mut usize) -> ReadPool<'t> {
    let name = section.required("name", parsed(PoolName::parse));
    let routes = routes(&section);
    let key = key(&section);
    let datacenters = datacenters(&section);
    let placement = section.or(
        "placement",
        Policy::default(),
        one_of(&[
            ("rendezvous", Policy::Rendezvous),
            ("least-sessions", Policy::LeastSessions),
            ("round-robin", Policy::RoundRobin),
            ("first-available", Policy::FirstAvailable),
        ]),
    );
    let load_bound_permille = section.or("load_bound", 1250, factor_permille);
    let capacity = section.or("capacity", 1000, integer(1..=CAPACITY_MAX));
    let session_ttl = section.or("session_ttl", DAY, duration(TTL));
    let orphan_grace = section.or("orphan_grace", Duration::from_secs(600), duration(Duration::ZERO..=DAY * 30));
    let allow_multiple = section.or("allow_multiple", false, boolean);
    let beats = section.or("beats", false, boolean);
    let sources = label_sources(&section);
    let required_labels: BTreeSet<LabelName> =
        section.list("required_labels", LABELS_MAX, parsed(LabelName::parse)).unwrap_or_default().into_iter().collect();
    let health = health::health(&section);
    let depends = depends(&section);
    let (failover, failover_settings) = failover(&section);
    let servers = servers(&section, servers_left);
    let edge = Pool {
        routes: Vec::new(),
        key,
        home: section.or("home", LocalPath::default(), parsed(LocalPath::parse)),
        after_logout: section.or("after_logout", Landing::default(), parsed(Landing::parse)),
        handover: handover(&section, beats),
        jsonp: section.or("jsonp", false, boolean),
        embed: section.list("embed", EMBED_MAX, parsed(Origin::parse)).unwrap_or_default().into_iter().collect(),
        labels: sources.clone(),
        checks: health.checks.clone(),
        servers: BTreeMap::new(),
    };
    section.finish();
    // A start may give what a route's source fills, what a server offers and what the pool requires.
    let offered = servers.iter().flat_map(|server| server.labels.keys());
    let labels = sources.keys().chain(offered).chain(&required_labels).cloned().collect();
    let settings = name.clone().zip(datacenters).map(|(name, datacenters)| PoolSettings {
        name,
        datacenters,
        placement,
        load_bound_permille,
        capacity,
        session_ttl,
        orphan_grace,
        allow_multiple,
        beats,
        required_labels,
        labels,
        health: health.settings.clone(),
        depends,
        failover: failover_settings,
        servers: BTreeMap::new(),
    });
    ReadPool { section, name, routes, servers, health, failover, settings, edge: Some(edge) }
}

fn routes<'t>(pool: &Section<'t>) -> Vec<(Route, Section<'t>)> {
    let mut routes = Vec::new();
    for section in pool.tables("route", ROUTES_MAX) {
        let host = section.optional("host", parsed(Host::parse));
        let path = if section.has("path") {
            section.optional("path", parsed(PathPrefix::parse))
        } else {
            section.optional("path", parsed(PathPrefix::parse)).or_else(|| PathPrefix::parse("/").ok())
        };
        section.finish();
        // A wrong host must not become "any host" for the checks that follow.
        if section.has("host") && host.is_none() {
            continue;
        }
        if let Some(path) = path {
            routes.push((Route { host, path }, section));
        }
    }
    routes
}

fn key(pool: &Section<'_>) -> Vec<KeySource> {
    let Some(sources) = pool.list("key", KEY_SOURCES_MAX, parsed(KeySource::parse)) else {
        return vec![KeySource::Affinity];
    };
    // Sources that cannot be read have been told one by one.
    if pool.is_empty_list("key") {
        pool.refuse("key", "is empty: leave it out for [\"cookie\"]");
    }
    for (index, source) in sources.iter().enumerate() {
        if sources[..index].contains(source) {
            pool.refuse("key", "names one source twice");
        }
    }
    sources
}

/// The order of preference; `None` when there is none.
fn datacenters(pool: &Section<'_>) -> Option<Vec<DatacenterName>> {
    if !pool.has("datacenters") {
        pool.missing("datacenters", "is missing: the datacenters in order of preference");
    }
    let datacenters = pool.list("datacenters", DATACENTERS_MAX, parsed(DatacenterName::parse))?;
    if datacenters.is_empty() {
        pool.refuse("datacenters", "must name at least one datacenter");
        return None;
    }
    for (index, datacenter) in datacenters.iter().enumerate() {
        if datacenters[..index].contains(datacenter) {
            pool.refuse("datacenters", format!("names {datacenter} twice"));
        }
    }
    Some(datacenters)
}

fn label_sources(pool: &Section<'_>) -> BTreeMap<LabelName, LabelSource> {
    let sources = pool.map("labels", LABELS_MAX, |name, node| {
        let name = LabelName::parse(name).map_err(|error| format!("the label's name {error}"))?;
        Ok((name, LabelSource::parse(text(node)?).map_err(|error| error.to_string())?))
    });
    sources.into_iter().collect()
}

/// What was said, or what the pool's beats imply.
fn handover(pool: &Section<'_>, beats: bool) -> Handover {
    #[derive(Clone, Copy)]
    enum Word {
        Query,
        Cookie,
        None,
    }
    let word =
        pool.optional("handover", one_of(&[("query", Word::Query), ("cookie", Word::Cookie), ("none", Word::None)]));
    let domain = pool.optional("handover_domain", |node| {
        let given = text(node)?;
        let domain = Host::parse(given.strip_prefix('.').unwrap_or(given)).map_err(|error| error.to_string())?;
        if domain.is_address() || !domain.as_str().contains('.') {
            return Err("must be a domain above director and servers, with a dot in it".to_owned());
        }
        Ok(domain)
    });
    if pool.has("handover_domain") && !matches!(word, Some(Word::Cookie)) {
        pool.refuse("handover_domain", "belongs to handover = \"cookie\"");
    }
    match (word, domain) {
        (Some(Word::Query), _) => Handover::Query,
        (Some(Word::None), _) => Handover::None,
        (Some(Word::Cookie), Some(domain)) => Handover::Cookie { domain },
        (Some(Word::Cookie), None) => {
            if !pool.has("handover_domain") {
                pool.refuse("handover", "needs handover_domain: the domain above director and servers");
            }
            Handover::None
        }
        (None, _) => {
            if beats {
                Handover::Query
            } else {
                Handover::None
            }
        }
    }
}

fn depends(pool: &Section<'_>) -> BTreeMap<String, DependencyEffect> {
    let effects: &'static [(&'static str, DependencyEffect)] =
        &[("degrade", DependencyEffect::Degrade), ("down", DependencyEffect::Down), ("reset", DependencyEffect::Reset)];
    let mut depends = BTreeMap::new();
    for section in pool.tables("depends", DEPENDS_MAX) {
        // A dependency's name becomes a metric's label: the same letters as other names.
        let name = section.required("name", parsed(LabelName::parse));
        let effect = section.required("effect", one_of(effects));
        section.finish();
        if let (Some(name), Some(effect)) = (name, effect)
            && depends.insert(name.as_str().to_owned(), effect).is_some()
        {
            section.refuse("name", format!("{name} is there twice"));
        }
    }
    depends
}

fn failover<'t>(pool: &Section<'t>) -> (Section<'t>, FailoverSettings) {
    let section = pool.table_or_empty("failover");
    let usual = FailoverSettings::default();
    let settings = FailoverSettings {
        after: section.or("after", usual.after, duration(Duration::ZERO..=DAY)),
        failback: section.or("failback", usual.failback, failback(Duration::ZERO..=DAY * 30)),
        min_up: section.or("min_up", usual.min_up, min_up),
        overflow: section.or(
            "overflow",
            usual.overflow,
            one_of(&[("refuse", Overflow::Refuse), ("next-datacenter", Overflow::NextDatacenter)]),
        ),
        passive: section.or(
            "passive",
            usual.passive,
            one_of(&[("redirect", Passive::Redirect), ("refuse", Passive::Refuse)]),
        ),
        isolated: section.or(
            "isolated",
            usual.isolated,
            one_of(&[("serve", Isolated::Serve), ("hold", Isolated::Hold)]),
        ),
        relogin_rate: section.or("relogin_rate", usual.relogin_rate, integer(0..=RELOGIN_RATE_MAX)),
    };
    section.finish();
    (section, settings)
}

fn servers<'t>(pool: &Section<'t>, left: &mut usize) -> Vec<ReadServer<'t>> {
    if !pool.has("server") {
        pool.missing("server", "is missing: a pool needs at least one server");
    }
    let sections = pool.tables("server", SERVERS_MAX);
    if pool.is_empty_list("server") {
        pool.refuse("server", "is empty: a pool needs at least one server");
    }
    match left.checked_sub(sections.len()) {
        Some(rest) => *left = rest,
        None => {
            *left = 0;
            pool.refuse("server", format!("more than {SERVERS_MAX} servers in all pools together"));
            return Vec::new();
        }
    }
    sections.into_iter().map(server).collect()
}

fn server(section: Section<'_>) -> ReadServer<'_> {
    let name = section.required("name", parsed(ServerName::parse));
    let datacenter = section.required("datacenter", parsed(DatacenterName::parse));
    let url = section.required("url", parsed(Origin::parse));
    let probe_url = section.optional("probe_url", parsed(ProbeUrl::parse));
    let weight = section.or("weight", 100, integer(0..=WEIGHT_MAX));
    let labels = section.map("labels", LABELS_MAX, |name, node| {
        let name = LabelName::parse(name).map_err(|error| format!("the label's name {error}"))?;
        Ok((name, label_values(node)?))
    });
    section.finish();
    ReadServer { section, name, datacenter, url, probe_url, weight, labels: labels.into_iter().collect() }
}

fn label_values(node: &super::tree::Node) -> Result<BTreeSet<String>, String> {
    let super::tree::Value::List(values) = &node.value else {
        return Err(format!("must be a list of strings, not {}", node.value.kind()));
    };
    if values.is_empty() || values.len() > LABEL_VALUES_MAX {
        return Err(format!("must have 1 to {LABEL_VALUES_MAX} values"));
    }
    let value = |node| {
        let value = text(node)?;
        if (1..=LABEL_VALUE_BYTES_MAX).contains(&value.len()) && !value.chars().any(char::is_control) {
            Ok(value.to_owned())
        } else {
            Err(format!("must hold values of 1 to {LABEL_VALUE_BYTES_MAX} bytes without control characters"))
        }
    };
    values.iter().map(value).collect()
}

impl ReadServer<'_> {
    /// Both halves of a server, where all of it is right.
    pub(super) fn halves(&self, position: usize) -> Option<(ServerSettings, ServerEdge)> {
        let url = self.url.clone()?;
        let settings = ServerSettings {
            name: self.name.clone()?,
            datacenter: self.datacenter.clone()?,
            origin: Arc::from(url.to_string()),
            position: u32::try_from(position).ok()?,
            weight: self.weight,
            labels: self.labels.clone(),
        };
        Some((settings, ServerEdge { url, probe_url: self.probe_url.clone() }))
    }
}
