//! The director at a glance, and the configuration that runs.

use maitred_core::ids::PoolName;
use serde_json::{Map, Value, json};

use super::moment::written;
use super::{Call, json as answered, pools, servers};
use crate::clock::WallJump;
use crate::config::redacted;
use crate::http::health;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::store::Condition;

/// Servers without unanimous votes that a glance shows; `GET /v1/servers` has all.
const DISPUTED_MAX: usize = 100;

/// `GET /v1/status`.
pub(super) fn read(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    let internal = call.internal;
    let (edge, vitals) = (&internal.edge, &internal.vitals);
    let view = edge.director.view();
    let config = internal.config.load();
    let ready = health::readiness(edge);
    let pools: Map<String, Value> = view
        .pools()
        .map(|pool| {
            let role = pool.role();
            let value = json!({
                "active": role.active,
                "here": if role.active == view.settings().datacenter { "active" } else { "passive" },
                "epoch": role.epoch,
                "order": pools::order_word(role.order.as_ref()),
                "servers": pool.servers().len(),
                "states": pools::states(pool, None),
                "can_seat": pool.can_seat(),
                "sessions": pool.servers().iter().map(|server| u64::from(server.load.seats())).sum::<u64>(),
                "suspects_itself": suspects(call, &pool.settings().name),
            });
            (pool.settings().name.to_string(), value)
        })
        .collect();
    let started = vitals.started();
    Ok(answered(&json!({
        "director": edge.director.name(),
        "datacenter": view.settings().datacenter,
        "version": env!("CARGO_PKG_VERSION"),
        "started": written(started),
        "uptime_seconds": call.ask.now.mono.0 / 1000,
        "ready": { "state": ready.word(), "reason": ready.reason() },
        "stopping": edge.is_stopping(),
        "records": edge.director.sessions(),
        "servers": view.pools().map(|pool| pool.servers().len()).sum::<usize>(),
        "pools": pools,
        "peers": pools::linked(call),
        "disputed": servers::disputed(call, DISPUTED_MAX),
        "journal": journal(call),
        "config": {
            "digest": config.digest,
            "taken": written(vitals.reloads().last().taken),
            "refused": vitals.reloads().last().refused.as_ref().map(|refused| {
                json!({ "at": written(refused.at), "faults": refused.faults })
            }),
        },
        "clock": {
            "time": written(call.ask.now.time),
            "wall_ahead_seconds": edge.clock.wall_jump().map(|jump| match jump {
                WallJump::Ahead(by) => by.as_secs_f64(),
                WallJump::Behind(by) => -by.as_secs_f64(),
            }),
        },
        "certificates": vitals.certificates().map(|shown| json!({
            "listener": shown.listener,
            "names": shown.names,
            "not_before": written(shown.not_before),
            "not_after": written(shown.not_after),
        })).collect::<Vec<_>>(),
        "warnings": vitals.warnings(edge.clock.wall()),
    })))
}

/// `GET /v1/config`: what runs, with every default filled in. Secrets are named by their files and nothing more.
pub(super) fn config(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    let config = call.internal.config.load();
    let sources: Vec<String> = config.sources.iter().map(|path| path.display().to_string()).collect();
    Ok(answered(&json!({ "digest": config.digest, "sources": sources, "config": redacted(&config) })))
}

fn suspects(call: &Call<'_>, pool: &PoolName) -> bool {
    call.internal.edge.director.suspicion(pool).is_some_and(|suspicion| !suspicion.lifted)
}

fn journal(call: &Call<'_>) -> Value {
    let Some(journal) = call.internal.vitals.journal() else { return json!({ "state": "none" }) };
    let status = journal.status();
    let (state, trouble) = match status.condition {
        Condition::Ok => ("ok", None),
        Condition::Failing { trouble, .. } => ("failing", Some(trouble)),
    };
    json!({
        "state": state,
        "trouble": trouble.map(|trouble| trouble.as_str()),
        "detail": trouble.map(|trouble| trouble.to_string()),
        "bytes": status.bytes,
        "commits": status.commits,
        "records": status.records,
        "last_commit_seconds_ago": status.last_commit.map(|at| at.elapsed().as_secs_f64()),
    })
}
