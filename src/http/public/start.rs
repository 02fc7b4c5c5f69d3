//! A start by navigation: any path that routes to a pool becomes the same path at the caller's server.

use actix_http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ALLOW, HeaderValue, ORIGIN, SET_COOKIE,
};
use actix_http::{Method, StatusCode};
use maitred_core::seating::{RequestKey, Seat};

use crate::http::ask::Ask;
use crate::http::caller;
use crate::http::cors::{self, Caller, is_allowed_preflight};
use crate::http::edge::PoolSite;
use crate::http::handover::Handed;
use crate::http::problem::Problem;
use crate::http::public::bounce;
use crate::http::public::seat::{self, Wish};
use crate::http::reply::{self, Reply};
use crate::http::route::Routed;
use crate::http::target::{RequestTarget, location};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Answers a path that is not one of the own ones.
pub(super) fn answer(ask: &Ask<'_>) -> Reply {
    let Some(host) = ask.target.host else { return ask.refuse(&Problem::NotFound, None) };
    let pool = match ask.site.routes.find(host, ask.target.path) {
        Routed::Pool { by_root: true, .. } if is_asked_of_every_host(ask.target.path) => return reply::not_here(),
        Routed::UnknownPath if is_asked_of_every_host(ask.target.path) => return reply::not_here(),
        Routed::Pool { pool, .. } => pool,
        Routed::UnknownHost => return ask.refuse(&Problem::UnknownHost, None),
        Routed::UnknownPath => return ask.refuse(&Problem::NotFound, None),
    };
    let mut reply = match visit(ask, pool) {
        Ok(reply) => reply,
        Err(problem) => ask.refuse(&problem, Some(pool)),
    };
    if let caller @ (Caller::Allowed(_) | Caller::Foreign) = pool.origins.caller(ask.headers()) {
        reply::share(&mut reply, caller);
    }
    reply
}

/// What browsers and crawlers ask of every host by themselves: nobody's visit, unless a route names it.
fn is_asked_of_every_host(path: &str) -> bool {
    matches!(path, "/favicon.ico" | "/robots.txt") || path.starts_with("/.well-known/")
}

/// One visit: only a navigation takes a seat.
fn visit(ask: &Ask<'_>, pool: &PoolSite) -> Result<Reply, Problem> {
    match ask.head.method {
        Method::OPTIONS => return Ok(options(ask, METHODS, &pool.page_headers)),
        Method::TRACE => return Err(Problem::Method { allow: METHODS }),
        _ if caller::cannot_be_redirected(ask.headers()) => return Err(cannot_be_redirected(ask)),
        Method::HEAD => return peek(ask, pool, Problem::NotFound),
        _ if caller::is_prefetch(ask.headers()) => return peek(ask, pool, Problem::NothingYet),
        _ => {}
    }
    let came = seat::opened_by_cookie(ask, pool);
    let shown = came.as_ref().map(|came| came.shown.clone());
    let key = pool.key.read(ask.target, ask.headers(), shown.as_ref().map(|shown| &shown.seat.key))?;
    let labels = pool.labels.read(ask.target, ask.headers())?;
    let seat = seat::start(ask, pool, Wish { key, shown, labels, avoid: None })?;
    let returns = bounce::returns(ask, came.as_ref(), &seat);
    if let Some(page) = bounce::brake(ask, pool, &seat, returns) {
        return Ok(page);
    }
    let handed = pool.handover.hand_over(ask, &seat, Some(ask.target));
    let mut reply = redirect(ask, pool, &seat, &handed)?;
    handed.set_cookie(&mut reply);
    if let Some(cookie) = seat::cookie_after(ask, pool, &seat, returns) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(reply)
}

/// The redirect to the seat that the caller already has, or `none`. Creates nothing and sets nothing.
fn peek(ask: &Ask<'_>, pool: &PoolSite, none: Problem) -> Result<Reply, Problem> {
    match seat::seated(ask, pool)? {
        Some(seat) => redirect(ask, pool, &seat, &pool.handover.hand_over(ask, &seat, Some(ask.target))),
        None => Err(none),
    }
}

fn redirect(ask: &Ask<'_>, pool: &PoolSite, seat: &Seat, handed: &Handed<'_>) -> Result<Reply, Problem> {
    let status = match ask.head.method {
        Method::GET | Method::HEAD => StatusCode::FOUND,
        // 302 would let the browser turn a POST into a GET.
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    let query = handed.query(ask.target.query);
    let target = RequestTarget { query: query.as_deref(), ..ask.target };
    let location = location(&seat.server.origin, &pool.home, target).ok_or(Problem::Internal)?;
    let mut reply = reply::redirect(status, location);
    handed.protect(&mut reply);
    Ok(reply)
}

fn cannot_be_redirected(ask: &Ask<'_>) -> Problem {
    let sessions = format!("{}/v1/sessions", ask.site.prefix.stem());
    let way = format!("This cannot be redirected; start with POST {sessions}, then open the seat's URL.");
    Problem::Unsupported(way.into())
}

/// Whether the browser asks on behalf of a page what it may send.
pub(super) fn is_preflight(ask: &Ask<'_>) -> bool {
    ask.headers().contains_key(ORIGIN) && ask.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// `OPTIONS` of a path with these methods: what there is, and what a page of an allowed origin may send, `sent` of headers.
pub(super) fn options(ask: &Ask<'_>, methods: &'static str, sent: &HeaderValue) -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    let allowed = matches!(ask.caller(), Caller::Allowed(_));
    let list = sent.to_str().unwrap_or_default();
    if allowed && is_preflight(ask) && is_allowed_preflight(ask.headers(), methods, list) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, sent.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(cors::MAX_AGE));
    }
    reply
}

/// A key that the request gives in another way than the pool's rule: in a body or a parameter.
pub(super) fn given_or_shown(
    given: Option<RequestKey>,
    shown: Option<&maitred_core::seating::Shown>,
) -> Option<RequestKey> {
    given.or_else(|| shown.map(|shown| RequestKey::Shown(shown.seat.key.clone())))
}
