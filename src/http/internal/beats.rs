//! `PUT /v1/servers/{name}/heartbeat`: what a server says of itself, and what it is told in return.
//!
//! Long lists are read beside the threads that answer, so that a thousand servers that all list at once delay nobody. Owns no
//! rule: the director takes the beat, or says why not.

use std::sync::Arc;
use std::time::Duration;

use maitred_core::clock::Now;
use maitred_core::director::{BeatAnswer, BeatRefusal, DONE_MAX, Director, ResetOrder, ResetReason};
use maitred_core::held::HELD_MAX;
use maitred_core::ids::ServerName;
use metrics::counter;
use serde_json::{Value, json};
use tracing::info;

use super::{Call, beat_body, json as answered};
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::start_log::key_in_log;

/// Bodies up to here are read where they arrive, in well under a millisecond.
const SHORT_BYTES_MAX: usize = 16 << 10;

/// Takes a beat.
pub(super) async fn take(call: &Call<'_>) -> Result<Reply, Problem> {
    let outcome = take_or_refuse(call).await;
    let word = match &outcome {
        Ok(_) => "taken",
        Err(Problem::Stale { .. }) => "former_life",
        Err(_) => "refused",
    };
    counter!("maitred_beats_total", "outcome" => word).increment(1);
    let answer = outcome?;
    call.internal.process.perform_effects();
    answer.orders.iter().filter(|order| order.first).for_each(|order| tell(call, order));
    Ok(answered(&described(call, &answer)))
}

async fn take_or_refuse(call: &Call<'_>) -> Result<BeatAnswer, Problem> {
    call.no_query()?;
    let server = call.server()?;
    let (depth, now) = (call.ask.site.limits.json_depth, call.ask.now);
    if call.body.len() <= SHORT_BYTES_MAX {
        return hear(&call.internal.edge.director, &server, &call.body, depth, now);
    }
    let (director, body) = (Arc::clone(&call.internal.edge.director), call.body.clone());
    let turn = call.internal.lists.acquire().await.map_err(|_| Problem::Internal)?;
    let heard = actix_rt::task::spawn_blocking(move || hear(&director, &server, &body, depth, now)).await;
    drop(turn);
    heard.map_err(|_| Problem::Internal)?
}

fn hear(director: &Director, server: &ServerName, body: &[u8], depth: usize, now: Now) -> Result<BeatAnswer, Problem> {
    let beat = beat_body::parse(body, depth)?;
    director.handle_beat(server, &beat, now).map_err(|refusal| match refusal {
        BeatRefusal::UnknownServer => Problem::NotFound,
        BeatRefusal::NoIncarnation => Problem::malformed("incarnation", "is missing"),
        BeatRefusal::WrongName(_) => Problem::malformed("server", "is another one than the path names"),
        BeatRefusal::FormerLife => {
            let health = director.server_health(server);
            let present = health.as_ref().and_then(|health| health.said().incarnation());
            Problem::Stale { current: json!({ "server": server, "incarnation": present }) }
        }
        BeatRefusal::TooLong(_) => Problem::OverLimit { attribute: "held", limit: HELD_MAX, unit: "entries" },
        BeatRefusal::TooManyDone => Problem::OverLimit { attribute: "done", limit: DONE_MAX, unit: "ids" },
    })
}

fn described(call: &Call<'_>, answer: &BeatAnswer) -> Value {
    let orders: Vec<Value> = answer.orders.iter().map(order).collect();
    json!({
        "orders": orders,
        "interval": seconds(answer.interval),
        "directors": directors(call),
        "need_held": answer.need_held,
    })
}

fn order(order: &ResetOrder) -> Value {
    let mut value = json!({
        "id": order.id.to_string(),
        "reset": order.key,
        "pool": order.pool,
        "session": order.session.map(|session| session.to_string()),
        "generation": order.generation,
        "reason": order.reason.as_str(),
    });
    if let ResetReason::Dependency(name) = &order.reason {
        value["dependency"] = json!(name);
    }
    value
}

/// Whole ones as a whole number.
fn seconds(interval: Duration) -> Value {
    if interval.subsec_nanos() == 0 { json!(interval.as_secs()) } else { json!(interval.as_secs_f64()) }
}

/// The directors of this datacenter; each of them takes beats.
fn directors(call: &Call<'_>) -> Value {
    let director = &call.internal.edge.director;
    let config = call.internal.config.load();
    let linked = director.peers(call.ask.now);
    let peers = config.peers.iter().filter(|peer| peer.datacenter == config.settings.datacenter).map(|peer| {
        let up = linked.iter().any(|status| status.name == peer.name && status.linked);
        json!({ "name": peer.name, "up": up })
    });
    std::iter::once(json!({ "name": director.name(), "up": true })).chain(peers).collect()
}

/// One line for each order, when it is given for the first time.
fn tell(call: &Call<'_>, order: &ResetOrder) {
    counter!("maitred_resets_total", "reason" => order.reason.as_str()).increment(1);
    info!(
        event = "session_reset",
        pool = %order.pool,
        server = call.parameter(0),
        key = key_in_log(call.ask, &order.key),
        generation = order.generation.map(maitred_core::ids::Generation::get),
        reason = order.reason.as_str(),
        order = %order.id,
        director = %call.internal.edge.director.name(),
        "server is told to reset a session"
    );
}
