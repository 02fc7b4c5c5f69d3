//! Servers as operators see them: every input in a member of its own, and which of them won.

use maitred_core::clock::Now;
use maitred_core::entry::OperatorWord;
use maitred_core::health::{Failure, Report, ServerHealth, Site, State, Tier, Verdict, Vote};
use maitred_core::settings::DependencyEffect;
use maitred_core::view::{PoolView, ServerView};
use serde_json::{Map, Value, json};

use super::moment::{on_clock, written};
use super::{Call, json as answered};
use crate::http::problem::Problem;
use crate::http::reply::Reply;

/// `GET /v1/servers[?pool=]`.
pub(super) fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    let mut query = call.query()?;
    let wanted = query.take("pool");
    query.end()?;
    let view = call.internal.edge.director.view();
    if let Some(wanted) = &wanted
        && !view.pools().any(|pool| pool.settings().name.as_str() == wanted)
    {
        return Err(Problem::NotFound);
    }
    let pools =
        view.pools().filter(|pool| wanted.as_ref().is_none_or(|wanted| pool.settings().name.as_str() == wanted));
    let servers: Vec<Value> =
        pools.flat_map(|pool| pool.servers().iter().map(|server| described(call, pool, server))).collect();
    Ok(answered(&json!({ "servers": servers })))
}

/// `GET /v1/servers/{name}`.
pub(super) fn read(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    let view = call.internal.edge.director.view();
    let (pool, server) = view.server(&call.server()?).ok_or(Problem::NotFound)?;
    Ok(answered(&described(call, pool, server)))
}

fn described(call: &Call<'_>, pool: &PoolView, server: &ServerView) -> Value {
    let now = call.ask.now;
    let settings = &server.settings;
    let config = call.internal.config.load();
    let edge = config.pools.get(&pool.settings().name).and_then(|edge| edge.servers.get(&settings.name));
    let mut value = json!({
        "name": settings.name,
        "pool": pool.settings().name,
        "datacenter": settings.datacenter,
        "url": &*settings.origin,
        "probe_url": edge.and_then(|edge| edge.probe_url.as_ref()).map(ToString::to_string),
        "weight": settings.weight,
        "position": settings.position,
        "labels": settings.labels,
        "state": server.standing.input.as_str(),
        "usable": server.standing.is_usable(),
        "placeable": server.standing.is_placeable(),
        "tier": match server.standing.tier() { Tier::Normal => "normal", Tier::Last => "last" },
        "weight_step": server.standing.weight_step,
        "sessions": server.load.seats(),
        "load": server.load.load(now.time),
        "capacity": server.load.capacity(),
    });
    let health = call.internal.edge.director.server_health(&settings.name);
    if let (Some(value), Some(health)) = (value.as_object_mut(), health) {
        add_inputs(value, &health, call, pool, now);
    }
    value
}

/// Every input of a server's state, with its age.
pub(super) fn add_inputs(
    value: &mut Map<String, Value>,
    health: &ServerHealth,
    call: &Call<'_>,
    pool: &PoolView,
    now: Now,
) {
    let at = |moment| written(on_clock(moment, now));
    let said = health.said();
    let depends: Map<String, Value> = pool
        .settings()
        .depends
        .iter()
        .map(|(name, effect)| (name.clone(), json!({ "up": said.dependency(name), "effect": effect_word(*effect) })))
        .collect();
    let voter = health.voter();
    let parts = [
        ("operator", operator(health, now)),
        ("verdict", verdict(health.verdict())),
        ("since", at(health.since()).into()),
        ("votes", votes(health, call, now)),
        ("draining", said.is_draining().into()),
        ("dependencies", Value::Object(depends)),
        (
            "report",
            said.latest().map_or(Value::Null, |latest| {
                let mut report = report(&latest.report);
                report["at"] = written(now.time - latest.said.age(now.mono)).into();
                report["told_by"] = json!(latest.heard.map(|heard| heard.director));
                report
            }),
        ),
        ("incarnation", json!(said.incarnation())),
        ("incarnations", json!(said.incarnations())),
        (
            "last_look",
            voter.looked().map_or(Value::Null, |looked| {
                json!({
                    "at": at(looked),
                    "took_seconds": voter.took().as_secs_f64(),
                    "good": voter.failing().is_none(),
                    "failure": voter.failing().map(failure),
                    "failures_in_a_row": voter.failures(),
                    "good_in_a_row": voter.successes(),
                })
            }),
        ),
        ("falls", health.steadiness().falls_at(now.mono).into()),
        (
            "held_until",
            health
                .steadiness()
                .held_until()
                .filter(|until| *until > now.mono)
                .map_or(Value::Null, |until| at(until).into()),
        ),
    ];
    value.extend(parts.map(|(name, part)| (name.to_owned(), part)));
}

/// The operator's word in force, with the order behind it.
pub(super) fn operator(health: &ServerHealth, now: Now) -> Value {
    let order = health.operator().filter(|order| order.deadline.is_none_or(|deadline| now.time < deadline));
    match order {
        None => json!({ "state": word(OperatorWord::Ready), "reason": null, "deadline": null }),
        Some(order) => json!({
            "state": word(order.word),
            "reason": Some(&order.reason).filter(|reason| !reason.is_empty()),
            "deadline": order.deadline.map(written),
            "ordered": written(order.stamp.time()),
            "director": order.writer,
        }),
    }
}

/// The word of an order.
pub(super) fn word(word: OperatorWord) -> &'static str {
    match word {
        OperatorWord::Ready => "ready",
        OperatorWord::Drain => "drain",
        OperatorWord::Maint => "maint",
    }
}

fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Up { by } => json!({ "state": "up", "by": site(*by) }),
        Verdict::Down { by, failure: why } => json!({ "state": "down", "by": site(*by), "failure": failure(why) }),
        Verdict::Unconfirmed { last } => json!({
            "state": "unconfirmed",
            "last_known": last.map(|state| match state { State::Up => "up", State::Down => "down" }),
        }),
    }
}

/// Servers about which somebody who voted does not say up, and what each director says: at most so many.
pub(super) fn disputed(call: &Call<'_>, most: usize) -> Vec<Value> {
    let view = call.internal.edge.director.view();
    let servers = view.pools().flat_map(|pool| pool.servers().iter());
    let one = |server: &ServerView| {
        let health = call.internal.edge.director.server_health(&server.settings.name)?;
        let votes = votes(&health, call, call.ask.now);
        let up = votes.as_array().is_some_and(|votes| votes.iter().all(|vote| vote["vote"] == "up"));
        let (name, state) = (&server.settings.name, server.standing.input.as_str());
        (!up).then(|| json!({ "server": name, "state": state, "votes": votes }))
    };
    servers.filter_map(one).take(most).collect()
}

fn votes(health: &ServerHealth, call: &Call<'_>, now: Now) -> Value {
    let voter = health.voter();
    let own = voter.vote().zip(voter.looked()).map(|(vote, looked)| {
        let mut value = said_by(&vote, voter.site(), now.mono.since(looked).as_secs_f64());
        value["director"] = json!(call.internal.edge.director.name());
        value
    });
    let heard = health.heard().iter().map(|(director, heard)| {
        let age = heard.looked.age(now.mono);
        let mut value = said_by(&heard.vote, heard.site, age.as_secs_f64());
        value["director"] = json!(director);
        value
    });
    own.into_iter().chain(heard).collect()
}

fn said_by(vote: &Vote, from: Site, age_seconds: f64) -> Value {
    let (said, why) = match vote {
        Vote::Up => ("up", Value::Null),
        Vote::Down(why) => ("down", failure(why)),
        Vote::Abstain(_) => ("abstains", Value::Null),
    };
    let abstains = match vote {
        Vote::Abstain(why) => Some(why.as_str()),
        Vote::Up | Vote::Down(_) => None,
    };
    json!({ "vote": said, "site": site(from), "failure": why, "abstains_because": abstains, "age_seconds": age_seconds })
}

fn site(site: Site) -> &'static str {
    match site {
        Site::Own => "own",
        Site::Other => "other",
    }
}

fn failure(failure: &Failure) -> Value {
    json!({ "kind": failure.kind.as_str(), "check": failure.check, "detail": failure.detail })
}

fn report(report: &Report) -> Value {
    json!({
        "server": report.server,
        "incarnation": report.incarnation,
        "sessions": report.sessions,
        "capacity": report.capacity,
        "draining": report.draining,
        "depends": report.depends,
    })
}

fn effect_word(effect: DependencyEffect) -> &'static str {
    match effect {
        DependencyEffect::Degrade => "degrade",
        DependencyEffect::Down => "down",
        DependencyEffect::Reset => "reset",
    }
}
