//! What would run: for people, as JSON for `GET /v1/config`, as a digest, and as the difference that a reload makes.
//!
//! Secrets appear as the names of their files only, because nothing else is in a [`Config`].

use std::fmt;
use std::path::Path;

use maitred_core::settings::{DependencyEffect, Failback, Isolated, MinUp, Overflow, Passive, Policy, PoolSettings};
use serde_json::{Map, Value, json};

use super::model::{Check, Config, Handover, KeyLog, LogFormat, Peer, Pool, StartLog, TicketAlgorithm, Tls};

/// The configuration in force, with every default filled in, in the words of the file; lists of named tables are objects by name.
#[must_use]
pub fn redacted(config: &Config) -> Value {
    let mut peers = Map::new();
    for one in &config.peers {
        peers.insert(one.name.to_string(), peer(one));
    }
    let mut pools = Map::new();
    for (name, edge) in &config.pools {
        if let Some(settings) = config.settings.pools.get(name) {
            pools.insert(name.to_string(), pool(settings, edge));
        }
    }
    json!({
        "director": {
            "name": config.settings.director.as_str(),
            "datacenter": config.settings.datacenter.as_str(),
            "state_dir": config.director.state_dir.as_deref().map(file),
            "stop_delay": time(config.director.stop_delay),
        },
        "log": {
            "format": match config.log.format { LogFormat::Text => "text", LogFormat::Json => "json" },
            "starts": match config.log.starts { StartLog::All => "all", StartLog::Changes => "changes" },
            "keys": match config.log.keys { KeyLog::Hash => "hash", KeyLog::Clear => "clear" },
        },
        "listen": listen(config),
        "affinity": { "key_file": config.affinity.key_file.as_deref().map(file) },
        "ticket": {
            "algorithm": match config.ticket.algorithm { TicketAlgorithm::EdDsa => "EdDSA", TicketAlgorithm::Es256 => "ES256" },
            "key_file": config.ticket.key_file.as_deref().map(file),
        },
        "limits": {
            "header_block": config.limits.header_block,
            "headers": config.limits.headers,
            "url": config.limits.url,
            "body": config.limits.body,
            "beat": config.limits.beat,
            "json_depth": config.limits.json_depth,
            "idle": time(config.limits.idle),
            "header_timeout": time(config.limits.header_timeout),
            "body_timeout": time(config.limits.body_timeout),
            "connections": config.limits.connections,
        },
        "peer": peers,
        "pool": pools,
    })
}

/// Hexadecimal SHA-256 (its first 16 bytes) of what is in force, without what must differ between directors: their own name and
/// datacenter, and the directory of the file. `own` is this director as the others see it, so that all of them hash the same list.
pub(super) fn digest(config: &Config, own: Option<&Peer>) -> String {
    let mut value = redacted(config);
    if let Some(director) = value.pointer_mut("/director").and_then(Value::as_object_mut) {
        director.remove("name");
        director.remove("datacenter");
    }
    if let Some((own, peers)) = own.zip(value.pointer_mut("/peer").and_then(Value::as_object_mut)) {
        peers.insert(own.name.to_string(), peer(own));
    }
    if let Some(directory) =
        config.sources.first().and_then(|main| std::path::absolute(main).ok()?.parent().map(Path::to_owned))
    {
        shorten(&mut value, &directory);
    }
    // Objects are ordered by key, so the text is the same everywhere.
    let hash = ring::digest::digest(&ring::digest::SHA256, value.to_string().as_bytes());
    hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Makes paths relative to the configuration's directory, which may lie elsewhere at another director.
fn shorten(value: &mut Value, directory: &Path) {
    match value {
        Value::String(text) => {
            if let Ok(rest) = Path::new(text.as_str()).strip_prefix(directory) {
                *text = rest.to_string_lossy().into_owned();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| shorten(value, directory)),
        Value::Object(object) => object.values_mut().for_each(|value| shorten(value, directory)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn listen(config: &Config) -> Value {
    let listen = &config.listen;
    let mut all = Map::new();
    all.insert(
        "public".to_owned(),
        json!({
            "address": listen.public.address.to_string(),
            "tls": listen.public.tls.as_ref().map(|own| tls(own, None)),
            "prefix": listen.public.prefix.to_string(),
        }),
    );
    if let Some(internal) = &listen.internal {
        let identities: Map<_, _> =
            internal.identities.iter().map(|one| (one.san.clone(), Value::from(one.role.to_string()))).collect();
        all.insert(
            "internal".to_owned(),
            json!({
                "address": internal.address.to_string(),
                "tls": tls(&internal.tls, internal.client_ca.as_deref()),
                "token_file": internal.token_file.as_deref().map(file),
                "identity": identities,
            }),
        );
    }
    if let Some(peer) = &listen.peer {
        let tls = tls(&peer.tls.identity, Some(&peer.tls.client_ca));
        all.insert("peer".to_owned(), json!({ "address": peer.address.to_string(), "tls": tls }));
    }
    if let Some(metrics) = &listen.metrics {
        all.insert("metrics".to_owned(), json!({ "address": metrics.address.to_string() }));
    }
    Value::Object(all)
}

fn tls(own: &Tls, client_ca: Option<&Path>) -> Value {
    json!({ "cert": file(&own.cert), "key": file(&own.key), "client_ca": client_ca.map(file) })
}

fn peer(peer: &Peer) -> Value {
    json!({ "datacenter": peer.datacenter.as_str(), "url": peer.url.to_string() })
}

fn pool(settings: &PoolSettings, edge: &Pool) -> Value {
    let labels: Map<_, _> =
        edge.labels.iter().map(|(name, source)| (name.to_string(), Value::from(source.to_string()))).collect();
    let depends: Map<_, _> =
        settings.depends.iter().map(|(name, effect)| (name.clone(), Value::from(effect_word(*effect)))).collect();
    let routes = edge
        .routes
        .iter()
        .map(|route| json!({ "host": route.host.as_ref().map(ToString::to_string), "path": route.path.to_string() }));
    let (handover, domain) = match &edge.handover {
        Handover::Query => ("query", None),
        Handover::Cookie { domain } => ("cookie", Some(domain.to_string())),
        Handover::None => ("none", None),
    };
    let mut servers = Map::new();
    for (name, server) in &settings.servers {
        let reach = edge.servers.get(name);
        let labels: Map<_, _> = server.labels.iter().map(|(name, values)| (name.to_string(), json!(values))).collect();
        servers.insert(
            name.to_string(),
            json!({
                "datacenter": server.datacenter.as_str(),
                "url": &*server.origin,
                "probe_url": reach.and_then(|reach| reach.probe_url.as_ref()).map(ToString::to_string),
                "weight": server.weight,
                "position": server.position,
                "labels": labels,
            }),
        );
    }
    json!({
        "route": routes.collect::<Vec<_>>(),
        "key": edge.key.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "datacenters": settings.datacenters.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "placement": policy_word(settings.placement),
        "load_bound": f64::from(settings.load_bound_permille) / 1000.0,
        "capacity": settings.capacity,
        "session_ttl": time(settings.session_ttl),
        "orphan_grace": time(settings.orphan_grace),
        "allow_multiple": settings.allow_multiple,
        "home": edge.home.to_string(),
        "after_logout": edge.after_logout.to_string(),
        "beats": settings.beats,
        "handover": handover,
        "handover_domain": domain,
        "labels": labels,
        "jsonp": edge.jsonp,
        "embed": edge.embed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "required_labels": settings.required_labels.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "health": health(settings, edge),
        "depends": depends,
        "failover": failover(settings),
        "server": servers,
    })
}

fn health(settings: &PoolSettings, edge: &Pool) -> Value {
    let health = &settings.health;
    let mut value = edge.checks.first().map_or_else(|| json!({}), check);
    let further: Map<_, _> = edge.checks.iter().filter_map(|one| Some((one.name.clone()?, check(one)))).collect();
    if let Some(object) = value.as_object_mut() {
        object.insert("interval".to_owned(), time(health.interval));
        object.insert("timeout".to_owned(), time(health.timeout));
        object.insert("fall".to_owned(), health.fall.into());
        object.insert("rise".to_owned(), health.rise.into());
        object.insert("fast".to_owned(), time(health.fast));
        object.insert("slow_start".to_owned(), time(health.slow_start));
        object.insert("suspect_above".to_owned(), format!("{}%", health.suspect_above_percent).into());
        object.insert("check".to_owned(), Value::Object(further));
    }
    value
}

fn check(check: &Check) -> Value {
    json!({
        "probe": check.probe.as_str(),
        "path": check.path.to_string(),
        "expect": check.expect.to_string(),
        "ca": check.ca.as_deref().map(file),
    })
}

fn failover(settings: &PoolSettings) -> Value {
    let failover = &settings.failover;
    json!({
        "after": time(failover.after),
        "failback": match failover.failback {
            Failback::After(delay) => time(delay),
            Failback::Manual => "manual".into(),
        },
        "min_up": match failover.min_up {
            MinUp::Servers(count) => Value::from(count),
            MinUp::Percent(share) => format!("{share}%").into(),
        },
        "overflow": match failover.overflow {
            Overflow::Refuse => "refuse",
            Overflow::NextDatacenter => "next-datacenter",
        },
        "passive": match failover.passive { Passive::Redirect => "redirect", Passive::Refuse => "refuse" },
        "isolated": match failover.isolated { Isolated::Serve => "serve", Isolated::Hold => "hold" },
        "relogin_rate": failover.relogin_rate,
    })
}

/// The word of a placement policy.
#[must_use]
pub fn policy_word(policy: Policy) -> &'static str {
    match policy {
        Policy::Rendezvous => "rendezvous",
        Policy::LeastSessions => "least-sessions",
        Policy::RoundRobin => "round-robin",
        Policy::FirstAvailable => "first-available",
    }
}

fn effect_word(effect: DependencyEffect) -> &'static str {
    match effect {
        DependencyEffect::Degrade => "degrade",
        DependencyEffect::Down => "down",
        DependencyEffect::Reset => "reset",
    }
}

fn time(duration: std::time::Duration) -> Value {
    humantime::format_duration(duration).to_string().into()
}

fn file(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

/// A few lines for people: who, where it listens, and what it seats.
#[must_use]
pub fn summary(config: &Config) -> Summary<'_> {
    Summary(config)
}

/// Prints as the summary of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'c>(&'c Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.0;
        let listen = &config.listen;
        writeln!(
            f,
            "director {} in {}, config {}",
            config.settings.director, config.settings.datacenter, config.digest
        )?;
        match &config.director.state_dir {
            Some(directory) => {
                writeln!(f, "  journal   {}", super::diagnostic::printable(&directory.to_string_lossy()))?
            }
            None => writeln!(f, "  journal   none: sessions live in memory and in cookies only")?,
        }
        let scheme = if listen.public.tls.is_some() { "https" } else { "http" };
        writeln!(f, "  public    {scheme}://{}  own paths below {}", listen.public.address, listen.public.prefix)?;
        match &listen.internal {
            Some(internal) => writeln!(f, "  internal  https://{}", internal.address)?,
            None => writeln!(f, "  internal  not opened")?,
        }
        match &listen.peer {
            Some(peer) => writeln!(f, "  peer      https://{}", peer.address)?,
            None => writeln!(f, "  peer      not opened")?,
        }
        match &listen.metrics {
            Some(metrics) => writeln!(f, "  metrics   http://{}", metrics.address)?,
            None => writeln!(f, "  metrics   not opened")?,
        }
        for peer in &config.peers {
            writeln!(f, "  peer {} in {} at {}", peer.name, peer.datacenter, peer.url)?;
        }
        for (name, edge) in &config.pools {
            let Some(settings) = config.settings.pools.get(name) else { continue };
            writeln!(f, "pool {name}: {} servers, {}", settings.servers.len(), policy_word(settings.placement))?;
            for route in &edge.routes {
                match &route.host {
                    Some(host) => writeln!(f, "  route {host}{}", route.path)?,
                    None => writeln!(f, "  route any host, {}", route.path)?,
                }
            }
            let keys = edge.key.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            writeln!(f, "  key {keys}, else minted")?;
            for datacenter in &settings.datacenters {
                let servers = settings.servers.values().filter(|server| server.datacenter == *datacenter).count();
                let least = settings.failover.min_up.of(u32::try_from(servers).unwrap_or(u32::MAX));
                writeln!(f, "  {datacenter}: {servers} servers, serves with {least}")?;
            }
            for check in &edge.checks {
                let label = check.name.as_deref().unwrap_or("main");
                let path = if check.probe.is_http() { format!(" {}", check.path.as_str()) } else { String::new() };
                let interval = humantime::format_duration(settings.health.interval);
                writeln!(f, "  check {label}: {}{path} every {interval}", check.probe.as_str())?;
            }
        }
        Ok(())
    }
}
