//! Sessions as JSON: begin, read and end one. Only the bearer of a session's token may read and end it; anybody else gets the same
//! 404 as for a session that never was.

use std::borrow::Cow;

use actix_http::StatusCode;
use actix_http::header::SET_COOKIE;
use bytes::Bytes;
use maitred_core::director::EndRefusal;
use maitred_core::ids::{LabelName, PoolName, ServerName, SessionId};
use maitred_core::seating::{Affinity, RequestKey, Shown};
use serde_json::{Map, Value, json};

use crate::http::ask::Ask;
use crate::http::body;
use crate::http::caller;
use crate::http::cors::Caller;
use crate::http::edge::{PoolSite, Site};
use crate::http::key;
use crate::http::problem::Problem;
use crate::http::public::intent;
use crate::http::public::seat::{self, Wish, WithToken};
use crate::http::public::start::given_or_shown;
use crate::http::reply::{self, Reply};

const JSON: &str = "application/json";

/// `POST /v1/sessions`: 201 when a session was placed, 200 when it was kept or moved.
pub(super) fn create(ask: &Ask<'_>, body: &Bytes) -> Result<Reply, Problem> {
    if !body::is_json(ask.headers()) {
        return Err(Problem::Media { expected: "application/json" });
    }
    let wanted = Wanted::parse(body::object(body, ask.site.limits.json_depth)?)?;
    let pool = ask.site.pools.get(&wanted.pool).ok_or(Problem::NotFound)?;
    check_origin(ask, pool)?;
    let of_this_pool = |shown: &Shown| shown.seat.pool == pool.name;
    let shown = seat::shown_by_token(ask).filter(of_this_pool).or_else(|| seat::shown_by_cookie(ask, pool));
    let wish =
        Wish { key: given_or_shown(wanted.key, shown.as_ref()), shown, labels: wanted.labels, avoid: wanted.avoid };
    let seat = seat::start(ask, pool, wish)?;
    let alternates = ask.edge.director.alternates(&seat);
    let status = if seat.affinity == Affinity::Placed { StatusCode::CREATED } else { StatusCode::OK };
    let handed = pool.handover.hand_over(ask, &seat, None);
    let mut reply = reply::json(status, JSON, &seat::body(ask, pool, &seat, &alternates, &handed, WithToken::Owner));
    handed.set_cookie(&mut reply);
    if let Some(cookie) = seat::cookie(ask, pool, &seat) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(reply)
}

/// What the body asks for.
struct Wanted {
    pool: PoolName,
    key: Option<RequestKey>,
    labels: Vec<(LabelName, Cow<'static, str>)>,
    avoid: Option<ServerName>,
}

impl Wanted {
    /// Reads each attribute by name, so that a refusal can name it.
    fn parse(members: Map<String, Value>) -> Result<Self, Problem> {
        let (mut pool, mut key, mut labels, mut avoid) = (None, None, Vec::new(), None);
        for (name, value) in members {
            match (name.as_str(), value) {
                // Absent and null are the same to most clients' JSON writers.
                ("key" | "labels" | "avoid", Value::Null) => {}
                ("pool", Value::String(text)) => pool = Some(PoolName::parse(&text).map_err(|_| Problem::NotFound)?),
                ("key", Value::String(text)) => key = Some(RequestKey::Given(key::parse(&text, "key")?)),
                ("avoid", Value::String(text)) => avoid = Some(server_name(&text)?),
                ("labels", Value::Object(members)) => labels = labels_of(members)?,
                ("pool" | "key" | "avoid", _) => return Err(Problem::malformed(name, "is not a string")),
                ("labels", _) => return Err(Problem::malformed("labels", "is not an object")),
                _ => return Err(body::unknown(&name)),
            }
        }
        let pool = pool.ok_or_else(|| Problem::malformed("pool", "is missing"))?;
        Ok(Self { pool, key, labels, avoid })
    }
}

/// Reads `avoid`.
pub(super) fn server_name(text: &str) -> Result<ServerName, Problem> {
    ServerName::parse(text).map_err(|fault| Problem::malformed("avoid", fault.to_string()))
}

fn labels_of(members: Map<String, Value>) -> Result<Vec<(LabelName, Cow<'static, str>)>, Problem> {
    let mut labels = Vec::with_capacity(members.len().min(16));
    for (name, value) in members {
        let name = LabelName::parse(&name).map_err(|_| Problem::malformed("labels", "has an impossible name"))?;
        let Value::String(value) = value else {
            return Err(Problem::malformed(format!("labels.{name}"), "is not a string"));
        };
        key::check_label(&value).map_err(|fault| Problem::malformed(format!("labels.{name}"), fault))?;
        labels.push((name, Cow::Owned(value)));
    }
    Ok(labels)
}

/// A page of another origin may start only where the pool allows it. A caller that is no page has no origin.
pub(super) fn check_origin(ask: &Ask<'_>, pool: &PoolSite) -> Result<(), Problem> {
    match pool.origins.caller(ask.headers()) {
        Caller::Allowed(_) => Ok(()),
        Caller::Unnamed if !caller::is_cross_site(ask.headers()) => Ok(()),
        Caller::Foreign if intent::is_own_origin(ask) => Ok(()),
        Caller::Unnamed | Caller::Foreign => Err(Problem::OriginUnknown),
    }
}

/// `GET /v1/sessions/{session}`.
pub(super) fn read(ask: &Ask<'_>, session: &str) -> Result<Reply, Problem> {
    let (shown, pool) = bearer(ask.site, session, seat::shown_by_token(ask))?;
    let key = shown.seat.key.clone();
    let now = ask.now;
    if let Some(seat) = ask.edge.director.seated(&pool.name, Some(&key), Some(&shown), now) {
        if seat.session() != shown.seat.session {
            return Err(Problem::NotFound);
        }
        let alternates = ask.edge.director.alternates(&seat);
        let handed = pool.handover.hand_over(ask, &seat, None);
        let body = seat::body(ask, pool, &seat, &alternates, &handed, WithToken::Owner);
        return Ok(reply::json(StatusCode::OK, JSON, &body));
    }
    // It is known and its server is not usable: the next start gives it another one.
    let known = ask.edge.director.find(&pool.name, &key, Some(shown.seat.session), now);
    match known.filter(|entry| entry.life == maitred_core::entry::Life::Live && entry.session == shown.seat.session) {
        Some(entry) => Err(Problem::LostConnection(Some(entry.server))),
        None => Err(Problem::NotFound),
    }
}

/// `DELETE /v1/sessions/{session}`.
pub(super) fn delete(ask: &Ask<'_>, session: &str) -> Result<Reply, Problem> {
    end(ask, session, seat::shown_by_token(ask))
}

/// `POST /v1/sessions/{session}/end`: a page that is being closed can only send a beacon, with the token as its text.
pub(super) fn end_by_beacon(ask: &Ask<'_>, session: &str, body: &Bytes) -> Result<Reply, Problem> {
    let shown = match body.trim_ascii() {
        b"" => seat::shown_by_token(ask),
        token => seat::open_token(ask, token),
    };
    end(ask, session, shown)
}

fn end(ask: &Ask<'_>, session: &str, shown: Option<Shown>) -> Result<Reply, Problem> {
    let (shown, pool) = bearer(ask.site, session, shown)?;
    match ask.edge.director.end_shown(&shown, ask.now) {
        Ok(_) => {
            ask.edge.bell().ring();
            let mut reply = reply::empty(StatusCode::NO_CONTENT);
            let cleared = pool.cookie.clear(pool.same_site);
            if let Ok(cookie) = actix_http::header::HeaderValue::from_str(&cleared) {
                reply.headers_mut().insert(SET_COOKIE, cookie);
            }
            Ok(reply)
        }
        Err(EndRefusal::Unknown) => Err(Problem::NotFound),
        Err(EndRefusal::Stale(current)) if current.session == shown.seat.session => {
            let current = json!({
                "session": current.session.to_string(), "pool": current.pool, "key": current.key,
                "generation": current.generation, "server": current.server,
            });
            Err(Problem::Stale { current })
        }
        // Another session has the key by now: not this bearer's business.
        Err(EndRefusal::Stale(_)) => Err(Problem::NotFound),
    }
}

/// The seat of the owner who names this session, and its pool. Nothing else is asked: a guess is judged by the token that comes with it,
/// so whether there is such a session tells nobody by the time that the answer takes.
fn bearer<'a>(site: &'a Site, session: &str, shown: Option<Shown>) -> Result<(Shown, &'a PoolSite), Problem> {
    let named = SessionId::parse(session).ok();
    let shown = shown.filter(|shown| shown.owner && Some(shown.seat.session) == named).ok_or(Problem::NotFound)?;
    let pool = site.pools.get(&shown.seat.pool).ok_or(Problem::NotFound)?;
    Ok((shown, pool))
}
