//! JSONP: the same answers as scripts, for pages that can do nothing else. Off until the pool turns it on.
//!
//! A script element cannot read a status, so a refusal comes through the callback too, with 200. Which page asks is known by
//! its `Referer` alone.

use actix_http::header::SET_COOKIE;
use maitred_core::ids::PoolName;
use maitred_core::placement::KeyHash;
use maitred_core::seating::{RequestKey, Shortage};
use serde::Serialize;

use crate::http::ask::Ask;
use crate::http::callback::Callback;
use crate::http::edge::PoolSite;
use crate::http::key;
use crate::http::problem::Problem;
use crate::http::public::seat::{self, ALTERNATES_EXPIRE_IN, ServerBody, Wish, WithToken};
use crate::http::public::sessions::server_name;
use crate::http::public::start::given_or_shown;
use crate::http::query::{Parameter, parameter};
use crate::http::random::bits_128;
use crate::http::reply::{self, Reply};

/// `GET /v1/start.js?callback=&pool=&key=[&avoid=]`.
pub(super) fn start(ask: &Ask<'_>) -> Result<Reply, Problem> {
    let callback = Callback::from_query(ask.target.query)?;
    let started = || {
        let pool = pool_of(ask)?;
        let shown = seat::shown_by_cookie(ask, pool);
        let wish = Wish {
            key: given_or_shown(key_of(ask)?, shown.as_ref()),
            shown,
            labels: pool.labels.read(ask.target, ask.headers())?,
            avoid: text_of(ask, "avoid")?.as_deref().map(server_name).transpose()?,
        };
        Ok((seat::start(ask, pool, wish)?, pool))
    };
    let (seat, pool) = match started() {
        Ok(started) => started,
        Err(problem) => return Ok(refused(ask, &callback, &problem)),
    };
    let alternates = ask.edge.director.alternates(&seat);
    let handed = pool.handover.hand_over(ask, &seat, None);
    let mut reply = reply::script(&callback, &seat::body(ask, pool, &seat, &alternates, &handed, WithToken::Never));
    handed.set_cookie(&mut reply);
    if let Some(cookie) = seat::cookie(ask, pool, &seat) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(reply)
}

#[derive(Serialize)]
struct ServersBody<'a> {
    pool: &'a str,
    servers: Vec<ServerBody<'a>>,
    expires_in: u64,
}

/// `GET /v1/servers.js?callback=[&pool=][&key=]`: what a client stores for the day when it reaches no director.
///
/// Without `pool` it is about the only pool that has JSONP on. Where no server is usable it is refused as a start would be: an empty
/// list would take the place of a good one that the client still has.
pub(super) fn servers(ask: &Ask<'_>) -> Result<Reply, Problem> {
    let callback = Callback::from_query(ask.target.query)?;
    let listed = || {
        let pool = match text_of(ask, "pool")? {
            None => only_pool(ask)?,
            Some(_) => pool_of(ask)?,
        };
        // Rotated by the key, or by chance: a thousand clients shall not all have the same first one.
        let rotation = match key_of(ask)? {
            Some(key) => KeyHash::of(key.key()),
            None => KeyHash::of_text(&u128::from_be_bytes(bits_128()?).to_string()),
        };
        let servers = ask.edge.director.servers(&pool.name, rotation).ok_or(Problem::NotFound)?;
        if servers.is_empty() { Err(Problem::NoServer(Shortage::default())) } else { Ok((pool, servers)) }
    };
    match listed() {
        Err(problem) => Ok(refused(ask, &callback, &problem)),
        Ok((pool, servers)) => {
            let servers = servers.iter().map(|server| ServerBody::of(server, pool)).collect();
            let body = ServersBody { pool: pool.name.as_str(), servers, expires_in: ALTERNATES_EXPIRE_IN };
            Ok(reply::script(&callback, &body))
        }
    }
}

#[derive(Serialize)]
struct Refused<'a> {
    error: crate::http::problem::Body<'a>,
}

fn refused(ask: &Ask<'_>, callback: &Callback, problem: &Problem) -> Reply {
    reply::script(callback, &Refused { error: reply::body_of(problem, ask.id.as_str()) })
}

/// The pool that is named, if the calling page may use JSONP with it. Where it is off, the pool is as unknown as any other.
fn pool_of<'a>(ask: &Ask<'a>) -> Result<&'a PoolSite, Problem> {
    let name = text_of(ask, "pool")?.ok_or_else(|| Problem::malformed("pool", "is missing"))?;
    let name = PoolName::parse(&name).map_err(|_| Problem::NotFound)?;
    for_page(ask, ask.site.pools.get(&name).filter(|pool| pool.jsonp).ok_or(Problem::NotFound)?)
}

/// The only pool that has JSONP on; with several the caller has to say which one.
fn only_pool<'a>(ask: &Ask<'a>) -> Result<&'a PoolSite, Problem> {
    let mut pools = ask.site.pools.values().filter(|pool| pool.jsonp);
    match (pools.next(), pools.next()) {
        (Some(pool), None) => for_page(ask, pool),
        _ => Err(Problem::malformed("pool", "is missing")),
    }
}

fn for_page<'a>(ask: &Ask<'a>, pool: &'a PoolSite) -> Result<&'a PoolSite, Problem> {
    if pool.origins.allows_referer(ask.headers()) { Ok(pool) } else { Err(Problem::OriginUnknown) }
}

fn key_of(ask: &Ask<'_>) -> Result<Option<RequestKey>, Problem> {
    text_of(ask, "key")?.map(|text| key::parse(&text, "key").map(RequestKey::Given)).transpose()
}

fn text_of<'a>(ask: &Ask<'a>, name: &'static str) -> Result<Option<std::borrow::Cow<'a, str>>, Problem> {
    match parameter(ask.target.query, name) {
        Parameter::Absent => Ok(None),
        Parameter::One(text) => Ok(Some(text)),
        Parameter::Repeated => Err(Problem::malformed(name, "is given twice")),
        Parameter::NotText => Err(Problem::malformed(name, "is not UTF-8")),
    }
}
