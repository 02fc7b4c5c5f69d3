//! `GET /v1/explain`: why a key gets the server that it gets, from the director's own decision.
//!
//! Owns the words and members of the answer; decides nothing. Every candidate comes with what it was judged by and how old that is.

use std::borrow::Cow;

use actix_http::header::{COOKIE, HeaderValue};
use maitred_core::clock::Now;
use maitred_core::director::{Answer, Candidate, Explanation, Obstacle, Outcome, Rule};
use maitred_core::entry::{ConfirmedEntry, SeatEntry};
use maitred_core::health::Tier;
use maitred_core::ids::{LabelName, PoolName, ServerName, SessionId};
use maitred_core::role::{Because, RoleCause, RoleStory, SiteStory};
use maitred_core::seating::{Affinity, Refusal, RequestKey, Shown, StartRequest};
use maitred_core::view::{PoolView, ServerView};
use serde_json::{Map, Value, json};

use super::fields::Query;
use super::moment::written;
use super::servers::add_inputs;
use super::sessions::{described as session_of, session_id};
use super::{Call, json as answered, pools};
use crate::config::policy_word;
use crate::http::key;
use crate::http::problem::Problem;
use crate::http::reply::Reply;

/// `GET /v1/explain?pool&key[&session][&avoid][&labels[name]=value]`, with the affinity cookie that a caller would show.
pub(super) fn explain(call: &Call<'_>) -> Result<Reply, Problem> {
    let mut query = call.query()?;
    let missing = |name| move || Problem::malformed(name, "is missing");
    let pool = query.take("pool").ok_or_else(missing("pool"))?;
    let pool = PoolName::parse(&pool).map_err(|_| Problem::NotFound)?;
    let given = query.take("key").map(|text| key::parse(&text, "key")).transpose()?;
    let session = query.take("session").map(|text| session_id(&text)).transpose()?;
    let avoid = query.take("avoid").map(|text| ServerName::parse(&text)).transpose();
    let avoid = avoid.map_err(|fault| Problem::malformed("avoid", fault.to_string()))?;
    let labels = labels(&mut query)?;
    query.end()?;
    let (shown, cookie) = shown(call, &pool);
    let by_cookie = || shown.as_ref().map(|shown| RequestKey::Shown(shown.seat.key.clone()));
    let request = StartRequest {
        pool: &pool,
        key: given.map(RequestKey::Given).or_else(by_cookie).ok_or_else(missing("key"))?,
        shown: shown.clone(),
        labels: &labels,
        avoid: avoid.as_ref(),
        session: session.unwrap_or(SessionId([0; 16])),
    };
    let now = call.ask.now;
    let director = &call.internal.edge.director;
    let told = director.explain(&request, now)?;
    let role = director.explain_role(&pool, now).ok_or(Problem::NotFound)?;
    let view = director.view();
    let seen = view.pool(&pool).ok_or(Problem::NotFound)?;
    let settings = seen.settings();
    Ok(answered(&json!({
        "pool": pool,
        "key": told.key,
        "at": written(now.time),
        "director": director.name(),
        "cookie": cookie,
        "answer": answer(&told, role.active.as_str()),
        "alias": told.alias.as_ref().map(alias),
        "seat": told.seat.as_ref().map(|seat| fenced(call, seat, seen.server_named(&seat.server))),
        "placement": {
            "policy": policy_word(settings.placement),
            "load_bound": f64::from(settings.load_bound_permille) / 1000.0,
            "server": told.placement.as_ref().ok(),
            "refused": told.placement.as_ref().err().map(refusal),
        },
        "candidates": told.candidates.iter().map(|it| candidate(call, seen, it, now)).collect::<Vec<_>>(),
        "role": story(&role),
    })))
}

/// What the start would ask of its server: `labels[media]=voice`.
fn labels<'q>(query: &mut Query<'q>) -> Result<Vec<(LabelName, Cow<'q, str>)>, Problem> {
    let read = |(name, value): (String, Cow<'q, str>)| {
        let label = LabelName::parse(&name).map_err(|fault| Problem::malformed("labels", fault.to_string()))?;
        key::check_label(&value).map_err(|fault| Problem::malformed(format!("labels.{label}"), fault))?;
        Ok((label, value))
    };
    query.take_group("labels").into_iter().map(read).collect()
}

/// The seat in an affinity cookie that is sent along. A header, because what stands in an address ends up in logs.
fn shown(call: &Call<'_>, pool: &PoolName) -> (Option<Shown>, Value) {
    let Some(site) = call.ask.site.pools.get(pool) else { return (None, Value::Null) };
    let lines = call.ask.headers().get_all(COOKIE).map(HeaderValue::as_bytes);
    let found = site.cookie.find(&call.internal.edge.seals, lines, site.ttl, call.ask.now.time);
    let faults: Vec<&str> = found.faults.iter().map(|fault| fault.as_str()).collect();
    let cookie = match &found.newest {
        None if faults.is_empty() => Value::Null,
        newest => json!({
            "counts": newest.is_some(),
            "owner": newest.as_ref().is_some_and(|opened| opened.shown.owner),
            "faults": faults,
        }),
    };
    (found.newest.map(|opened| opened.shown), cookie)
}

fn answer(told: &Explanation, active: &str) -> Value {
    match &told.answer {
        Ok(answer) => json!({
            "affinity": answer.affinity.as_str(),
            "server": answer.server,
            "reason": answer.reason,
            "rule": answer.rule.as_str(),
            "refused": null,
            "says": in_words(answer, active),
        }),
        Err(refused) => json!({
            "affinity": null, "server": null, "reason": null, "rule": null,
            "refused": refusal(refused),
            "says": Problem::from(refused.clone()).detail(),
        }),
    }
}

fn in_words(answer: &Answer, active: &str) -> String {
    let server = &answer.server;
    match (answer.rule, answer.affinity) {
        (Rule::Affinity, _) if answer.reason == "reborn" => {
            format!("the session stays at {server}, which is usable, although its process is another one now")
        }
        (Rule::Affinity, _) => format!("the session has a seat at {server}, which is usable, so it stays there"),
        (Rule::Listed, _) => format!("{server} lists the session and is usable, so it goes there"),
        (Rule::Ladder, Affinity::Moved) => {
            format!("the session cannot stay where it is ({}), and the ladder leads to {server}", answer.reason)
        }
        (Rule::Ladder, _) => format!("no live session has this key, and the ladder from {active} leads to {server}"),
    }
}

fn refusal(refusal: &Refusal) -> Value {
    let problem = Problem::from(refusal.clone());
    json!({ "status": problem.status(), "code": problem.code(), "detail": problem.detail() })
}

/// The login that led from an agent's id to another key.
fn alias(entry: &ConfirmedEntry) -> Value {
    json!({
        "agent": entry.agent,
        "key": entry.key,
        "session": entry.session.to_string(),
        "server": entry.server,
        "generation": entry.generation,
        "confirmed": written(entry.stamp.time()),
        "director": entry.writer,
    })
}

/// The session, and what a word about it must name to be taken (R4).
fn fenced(call: &Call<'_>, seat: &SeatEntry, server: Option<&ServerView>) -> Value {
    let mut value = session_of(seat, &call.internal.edge.director, call.ask.now);
    value["state"] = call.internal.edge.director.session_state(seat).as_str().into();
    value["fence"] = json!({
        "server": seat.server,
        "generation": seat.generation,
        "session": seat.session.to_string(),
        "same_process": server.map(|server| !seat.incarnation.contradicts(server.tag())),
    });
    value
}

fn candidate(call: &Call<'_>, pool: &PoolView, candidate: &Candidate, now: Now) -> Value {
    let weighed = candidate.weighed;
    let server = pool.server_named(&candidate.server);
    let mut value = json!({
        "server": candidate.server,
        "datacenter": server.map(|server| &server.settings.datacenter),
        "outcome": candidate.outcome.as_str(),
        "why": why(candidate, server),
        "rung": candidate.rung,
        "tier": candidate.tier().map(|tier| match tier { Tier::Normal => "normal", Tier::Last => "last" }),
        "score": weighed.map(|weighed| weighed.score_millionths),
        "weight": server.map(|server| server.settings.weight),
        "weight_step": server.map(|server| server.standing.weight_step),
        "load": server.map(|server| server.load.load(now.time)),
        "capacity": server.map(|server| server.load.capacity()),
        "bound": weighed.and_then(|weighed| weighed.bound),
        "state": server.map(|server| server.standing.input.as_str()),
    });
    let health = call.internal.edge.director.server_health(&candidate.server);
    if let (Some(value), Some(health)) = (value.as_object_mut(), health) {
        let mut inputs = Map::new();
        add_inputs(&mut inputs, &health, call, pool, now);
        value.insert("inputs".to_owned(), Value::Object(inputs));
    }
    value
}

/// Why a server is the place, or is not, in words for people.
fn why(candidate: &Candidate, server: Option<&ServerView>) -> String {
    let load = server.map_or(0, |server| server.load.capacity());
    let bound = candidate.weighed.and_then(|weighed| weighed.bound).unwrap_or(load);
    let carried = candidate.weighed.map_or(0, |weighed| weighed.load);
    match candidate.outcome {
        Outcome::Taken if candidate.weighed.is_some_and(|weighed| weighed.above_bound) => {
            "every server stands at its bound, and this one has the least load for its weight".to_owned()
        }
        Outcome::Taken => "the first that can take the session".to_owned(),
        Outcome::Obstacle(Obstacle::Standing(input)) => format!("takes no new session: {}", input.as_str()),
        Outcome::Obstacle(Obstacle::Avoided) => "the caller avoids it".to_owned(),
        Outcome::Obstacle(Obstacle::Labels) => "lacks a label that is asked for".to_owned(),
        Outcome::Obstacle(Obstacle::Full) => format!("full: {carried} of {load}"),
        Outcome::Weightless => "has weight 0".to_owned(),
        Outcome::Bound => format!("at its bound: {carried} of {bound}"),
        Outcome::RanksLower => "another one comes first".to_owned(),
        Outcome::NotReached => "the ladder ends before it".to_owned(),
    }
}

/// Why the active datacenter is the active one.
pub(super) fn story(role: &RoleStory) -> Value {
    json!({
        "active": role.active,
        "because": role.because.as_str(),
        "says": because(role),
        "since_seconds": role.since.map(|since| since.as_secs_f64()),
        "epoch": role.epoch,
        "order": pools::order_word(role.order.as_ref()),
        "held": role.held,
        "failovers_last_hour": role.failovers,
        "next": role.next.as_ref().map(|next| json!({
            "datacenter": next.to, "cause": next.cause.as_str(), "in_seconds": next.wait.as_secs_f64(),
        })),
        "claims": role.claims.iter().map(|claim| json!({
            "director": claim.director, "active": claim.active, "since_seconds": claim.began.as_secs_f64(), "epoch": claim.epoch,
            "failovers_last_hour": claim.failovers,
        })).collect::<Vec<_>>(),
        "datacenters": role.sites.iter().map(site).collect::<Vec<_>>(),
    })
}

fn site(site: &SiteStory) -> Value {
    json!({
        "name": site.datacenter,
        "service": site.service.as_str(),
        "since_seconds": site.since.as_secs_f64(),
        "served_seconds_ago": site.served_ago.as_secs_f64(),
        "serves_for_seconds": site.serves_for.map(|time| time.as_secs_f64()),
        "servers": {
            "configured": site.count.configured, "up": site.count.up,
            "unknown": site.count.unknown, "needed": site.count.needed,
        },
    })
}

fn because(role: &RoleStory) -> String {
    let active = &role.active;
    match role.because {
        _ if role.held => format!("nothing is heard from {active}, and an operator has to say what is next"),
        Because::Ordered => format!("an operator's order names {active}"),
        Because::Preferred => format!("{active} is the first in order, and nothing has made the role leave it"),
        Because::LastKnown => format!("{active} was active when this director was last told"),
        Because::Moved(cause) => match cause {
            RoleCause::Failover => format!("the site before did not serve for failover.after, and {active} does"),
            RoleCause::Failback => format!("{active} is preferred and has served long enough again"),
            RoleCause::Order => format!("an operator's order led to {active}"),
            RoleCause::Isolated => format!("nothing is heard from the site before: {active} serves whoever reaches it"),
            RoleCause::Agreed => format!("other directors have held {active} to be active for longer"),
            RoleCause::Configuration => format!("the configuration no longer names the site before {active}"),
        },
    }
}
