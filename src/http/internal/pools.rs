//! Pools, datacenters and peers: who is active, who serves, and what stands behind it.

use std::collections::BTreeMap;

use maitred_core::clock::Time;
use maitred_core::health::Input;
use maitred_core::ids::DatacenterName;
use maitred_core::view::PoolView;
use serde_json::{Map, Value, json};

use super::{Call, json as answered};
use crate::http::problem::Problem;
use crate::http::reply::Reply;

/// `GET /v1/pools`.
pub(super) fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    let view = call.internal.edge.director.view();
    let pools: Vec<Value> = view.pools().map(|pool| described(call, pool)).collect();
    Ok(answered(&json!({ "pools": pools })))
}

/// `GET /v1/pools/{pool}`.
pub(super) fn read(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    let view = call.internal.edge.director.view();
    let pool = view.pool(&call.pool()?).ok_or(Problem::NotFound)?;
    Ok(answered(&described(call, pool)))
}

/// `GET /v1/pools/{pool}/active`.
pub(super) fn active(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    let view = call.internal.edge.director.view();
    let pool = view.pool(&call.pool()?).ok_or(Problem::NotFound)?;
    Ok(answered(&role(pool, call.ask.now.time)))
}

/// `GET /v1/datacenters`.
pub(super) fn datacenters(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    let view = call.internal.edge.director.view();
    let config = call.internal.config.load();
    let here = &view.settings().datacenter;
    let mut sites: BTreeMap<&DatacenterName, (Map<String, Value>, Vec<Value>)> = BTreeMap::new();
    sites.entry(here).or_default();
    for pool in view.pools() {
        for site in pool.sites() {
            let pools = &mut sites.entry(&site.datacenter).or_default().0;
            pools.insert(pool.settings().name.to_string(), site_of(pool, &site.datacenter, call.ask.now.time));
        }
    }
    for peer in &config.peers {
        sites.entry(&peer.datacenter).or_default().1.push(json!(peer.name));
    }
    let own = call.internal.edge.director.name();
    let sites: Vec<Value> = sites
        .into_iter()
        .map(|(name, (pools, peers))| {
            let own = (name == here).then(|| json!(own));
            let directors: Vec<Value> = own.into_iter().chain(peers).collect();
            json!({ "name": name, "here": name == here, "directors": directors, "pools": pools })
        })
        .collect();
    Ok(answered(&json!({ "datacenters": sites })))
}

/// `GET /v1/peers`: each link, and how far this director and the peer are apart.
pub(super) fn peers(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    Ok(answered(&json!({ "peers": linked(call) })))
}

/// All configured peers.
pub(super) fn linked(call: &Call<'_>) -> Vec<Value> {
    let config = call.internal.config.load();
    let known = call.internal.edge.director.peers(call.ask.now);
    config
        .peers
        .iter()
        .map(|peer| {
            let status = known.iter().find(|status| status.name == peer.name && status.linked);
            json!({
                "name": peer.name,
                "datacenter": peer.datacenter,
                "url": peer.url.to_string(),
                "state": if status.is_some() { "linked" } else { "unlinked" },
                "in_step": status.is_some_and(|status| status.in_step),
                "warm": status.is_some_and(|status| status.warm),
                "round_trip_seconds": status.and_then(|status| status.round_trip).map(|it| it.as_secs_f64()),
                "lag_seconds": status.map(|status| status.lag.as_secs_f64()),
                "divergent_buckets": status.map(|status| status.divergent_buckets),
                "config_differs": status.is_some_and(|status| status.config_differs),
                "clock_ahead_seconds": status.map(|status| status.clock_ahead_ms as f64 / 1000.0),
            })
        })
        .collect()
}

fn described(call: &Call<'_>, pool: &PoolView) -> Value {
    let now = call.ask.now;
    let settings = pool.settings();
    let suspicion = call.internal.edge.director.suspicion(&settings.name).map(|suspicion| {
        json!({
            "since": super::moment::written(super::moment::on_clock(suspicion.since, now)),
            "silent": suspicion.silent,
            "of": suspicion.servers,
            "abstains": !suspicion.lifted,
        })
    });
    json!({
        "name": settings.name,
        "servers": pool.servers().len(),
        "states": states(pool, None),
        "sessions": sum(pool, None, |server| server.load.seats()),
        "load": sum(pool, None, |server| server.load.load(now.time)),
        "capacity": sum(pool, None, |server| server.load.capacity()),
        "can_seat": pool.can_seat(),
        "suspicion": suspicion,
        "role": role(pool, now.time),
    })
}

/// The role of a pool, with what it rests on.
pub(super) fn role(pool: &PoolView, now: Time) -> Value {
    let role = pool.role();
    let sites: Vec<Value> = pool.sites().iter().map(|site| site_of(pool, &site.datacenter, now)).collect();
    json!({
        "pool": pool.settings().name,
        "active": role.active,
        "epoch": role.epoch,
        "order": order_word(role.order.as_ref()),
        "datacenters": sites,
    })
}

/// The word of an order about the role.
pub(super) fn order_word(order: Option<&DatacenterName>) -> &str {
    order.map_or("auto", DatacenterName::as_str)
}

fn site_of(pool: &PoolView, datacenter: &DatacenterName, now: Time) -> Value {
    let service = pool.sites().iter().find(|site| site.datacenter == *datacenter).map(|site| site.service.as_str());
    json!({
        "name": datacenter,
        "active": pool.role().active == *datacenter,
        "service": service,
        "states": states(pool, Some(datacenter)),
        "sessions": sum(pool, Some(datacenter), |server| server.load.seats()),
        "load": sum(pool, Some(datacenter), |server| server.load.load(now)),
        "capacity": sum(pool, Some(datacenter), |server| server.load.capacity()),
    })
}

/// Servers by state; states that no server is in are left out.
pub(super) fn states(pool: &PoolView, datacenter: Option<&DatacenterName>) -> Value {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for server in of(pool, datacenter) {
        let input: Input = server.standing.input;
        *counts.entry(input.as_str()).or_default() += 1;
    }
    json!(counts)
}

fn sum(
    pool: &PoolView,
    datacenter: Option<&DatacenterName>,
    of_one: impl Fn(&maitred_core::view::ServerView) -> u32,
) -> u64 {
    of(pool, datacenter).map(|server| u64::from(of_one(server))).sum()
}

fn of<'v>(
    pool: &'v PoolView,
    datacenter: Option<&'v DatacenterName>,
) -> impl Iterator<Item = &'v maitred_core::view::ServerView> {
    pool.servers().iter().filter(move |server| datacenter.is_none_or(|site| server.settings.datacenter == *site))
}
