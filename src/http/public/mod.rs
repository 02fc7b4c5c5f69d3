//! The public listener: browsers and API clients, and nothing internal.
//!
//! Owns which request means what. Own paths live under one prefix (`/maitred`) and `/health/`; every other path that routes to a
//! pool is a start. What is internal does not exist here: such a path is a start where it is routed, else 404, never 401.

mod bounce;
mod intent;
mod listener;
mod logout;
mod own;
mod reports;
mod scripts;
mod seat;
mod sessions;
mod start;
#[cfg(test)]
mod tests;

pub use crate::http::listener::ListenerOptions;
pub use listener::{PublicService, serve};
pub use own::ROUTES;

use actix_http::{Method, StatusCode};
use bytes::Bytes;

use crate::http::ask::Ask;
use crate::http::health;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};
use crate::http::request_id::X_REQUEST_ID;

/// What came with a request to an own path, or why it is not read.
pub type Body = Result<Bytes, Problem>;

/// Answers a request that has passed the door.
#[must_use]
pub fn answer(ask: &Ask<'_>, body: Body) -> Reply {
    let mut reply = route(ask, body);
    reply.headers_mut().insert(X_REQUEST_ID, ask.id.header());
    reply
}

fn route(ask: &Ask<'_>, body: Body) -> Reply {
    let path = ask.target.path;
    if let Some(endpoint) = path.strip_prefix("/health/") {
        return health::answer(ask, endpoint);
    }
    if is_greeting(ask) {
        return greeting();
    }
    if let Some(rest) = ask.site.prefix.rest(path) {
        return own::answer(ask, rest, body);
    }
    start::answer(ask)
}

/// Old balancers check with `OPTIONS * HTTP/1.0`, `OPTIONS /` or `GET /` without a Host: they hear who is here, and leave no
/// seat behind.
fn is_greeting(ask: &Ask<'_>) -> bool {
    match (&ask.head.method, ask.target.path) {
        (_, "*") => true,
        (&Method::OPTIONS, "/") => !start::is_preflight(ask),
        (_, _) => ask.target.host.is_none(),
    }
}

fn greeting() -> Reply {
    reply::full(StatusCode::OK, "text/plain; charset=utf-8", "maitred\n")
}
