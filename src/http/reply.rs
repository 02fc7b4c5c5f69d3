//! Putting answers together: status, headers that every answer has, and a body that is complete.

use actix_http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use actix_http::{Response, StatusCode};
use bytes::Bytes;
use serde::Serialize;

use crate::http::cors::{Caller, EXPOSED};
use crate::http::problem::{self, Problem};
use crate::http::random::bits_128;
use crate::http::{jsonp, page};

/// An answer with its whole body.
pub type Reply = Response<Bytes>;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::with_body(status, Bytes::new());
    reply.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    reply
}

/// An answer with a body of one of the own media types.
#[must_use]
pub fn full(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::with_body(status, body.into());
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    reply
}

/// A redirect.
#[must_use]
pub fn redirect(status: StatusCode, location: HeaderValue) -> Reply {
    let mut reply = empty(status);
    reply.headers_mut().insert(LOCATION, location);
    reply
}

/// A value as JSON.
#[must_use]
pub fn json(status: StatusCode, media_type: &'static str, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => full(status, media_type, body),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A value as a script.
#[must_use]
pub fn script(callback: &crate::http::callback::Callback, value: &impl Serialize) -> Reply {
    match jsonp::script(callback, value) {
        Ok(body) => full(StatusCode::OK, jsonp::MEDIA_TYPE, body),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A problem as `application/problem+json`.
#[must_use]
pub fn problem(problem: &Problem, request_id: &str) -> Reply {
    let wait = retry_after(problem);
    let mut reply = json(status_of(problem), problem::MEDIA_TYPE, &problem.body(request_id, wait));
    decorate(&mut reply, problem, wait);
    reply
}

/// A problem as an object inside another answer.
#[must_use]
pub fn body_of<'a>(problem: &'a Problem, request_id: &'a str) -> problem::Body<'a> {
    problem.body(request_id, retry_after(problem))
}

/// A problem as a page, framed by nobody but what `policy` allows.
#[must_use]
pub fn problem_page(problem: &Problem, request_id: &str, policy: HeaderValue) -> Reply {
    let wait = retry_after(problem);
    let Ok(body) = page::of(problem, request_id, wait) else { return self::problem(problem, request_id) };
    let mut reply = full(status_of(problem), page::MEDIA_TYPE, body);
    decorate(&mut reply, problem, wait);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    reply
}

/// Lets the page that asks read the answer, where its origin is one of the allowed ones.
pub fn share(reply: &mut Reply, caller: Caller<'_>) {
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Caller::Allowed(origin) = caller {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn retry_after(problem: &Problem) -> Option<u32> {
    let [a, b, c, d, ..] = bits_128().unwrap_or_default();
    problem.retry_after(u32::from_be_bytes([a, b, c, d]))
}

fn decorate(reply: &mut Reply, problem: &Problem, retry_after: Option<u32>) {
    let headers = reply.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match problem {
        Problem::Method { allow } => headers.insert(ALLOW, HeaderValue::from_static(allow)),
        Problem::Unauthenticated => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        _ => return,
    };
}

/// For what browsers ask of every host by themselves and nobody here has: they may remember that for an hour.
#[must_use]
pub fn not_here() -> Reply {
    let mut reply = empty(StatusCode::NOT_FOUND);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    reply
}
