//! `POST /v1/reports`: somebody who was seated says that the server does not answer. One look at it comes sooner, and nothing else follows.

use actix_http::StatusCode;
use bytes::Bytes;
use maitred_core::ids::ServerName;
use maitred_core::seating::Shown;
use metrics::counter;
use serde_json::Value;

use crate::http::ask::Ask;
use crate::http::body;
use crate::http::problem::Problem;
use crate::http::public::{seat, sessions};
use crate::http::reply::{self, Reply};

/// Longest reason that is taken, in bytes. It is read for its form and written nowhere: it is a client's text.
const REASON_BYTES_MAX: usize = 256;

/// Takes a report. The bearer of a seat may name the seat's own server; for anybody and anything else there is nothing here.
pub(super) fn take(ask: &Ask<'_>, body: &Bytes) -> Result<Reply, Problem> {
    if !body::is_json(ask.headers()) {
        return Err(Problem::Media { expected: "application/json" });
    }
    let server = server_of(ask, body)?;
    let view = ask.edge.director.view();
    let pool = view.server(&server).and_then(|(pool, _)| ask.site.pools.get(&pool.settings().name));
    let sits_there = |shown: &Shown| shown.seat.server == server;
    let by_token = seat::shown_by_token(ask);
    let shown = match (by_token, pool) {
        (Some(shown), Some(_)) => Some(shown),
        (None, Some(pool)) => {
            sessions::check_origin(ask, pool)?;
            seat::shown_by_cookie(ask, pool)
        }
        (shown, None) => shown,
    };
    let shown = shown.ok_or(Problem::Unauthenticated)?;
    let pool = pool.filter(|_| sits_there(&shown)).ok_or(Problem::NotFound)?;
    let reported = ask.edge.director.report(&server, ask.now);
    ask.edge.perform_effects();
    counter!("maitred_reports_total", "pool" => pool.name.to_string(), "outcome" => reported.as_str()).increment(1);
    Ok(reply::empty(StatusCode::ACCEPTED))
}

fn server_of(ask: &Ask<'_>, body: &Bytes) -> Result<ServerName, Problem> {
    let mut server = None;
    for (name, value) in body::object(body, ask.site.limits.json_depth)? {
        match (name.as_str(), value) {
            ("reason", Value::Null) => {}
            ("reason", Value::String(reason)) if reason.len() <= REASON_BYTES_MAX => {}
            ("reason", _) => return Err(Problem::malformed("reason", "is not a text of at most 256 bytes")),
            ("server", Value::String(text)) => server = Some(ServerName::parse(&text).map_err(|_| Problem::NotFound)?),
            ("server", _) => return Err(Problem::malformed("server", "is not a string")),
            _ => return Err(body::unknown(&name)),
        }
    }
    server.ok_or_else(|| Problem::malformed("server", "is missing"))
}
