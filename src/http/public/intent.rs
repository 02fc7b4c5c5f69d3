//! Whether whoever holds the cookie meant it: requests that change something and carry no token (CSRF).
//!
//! A browser says where a form was sent from. Own pages, the application's pages at the pool's servers and `embed` origins may; any
//! other page may not. What says nothing is no browser, and has no cookie that somebody else could use.

use actix_http::header::{HOST, ORIGIN};

use crate::http::ask::Ask;
use crate::http::caller::{self, FetchSite};
use crate::http::cors::Caller;
use crate::http::edge::PoolSite;
use crate::http::problem::Problem;

/// Refuses what a foreign page sends in its visitor's name.
pub(super) fn check(ask: &Ask<'_>, pool: &PoolSite) -> Result<(), Problem> {
    let fetch_site = caller::fetch_site(ask.headers());
    match (fetch_site, pool.origins.caller(ask.headers())) {
        (Some(FetchSite::SameOrigin | FetchSite::None), _) => Ok(()),
        (_, Caller::Allowed(_)) => Ok(()),
        (None, Caller::Unnamed) => Ok(()),
        (None, Caller::Foreign) if is_own_origin(ask) => Ok(()),
        (_, Caller::Foreign) if is_of_a_server(ask, pool) => Ok(()),
        (_, Caller::Unnamed | Caller::Foreign) => Err(Problem::OriginUnknown),
    }
}

/// Whether the page comes from the address that it calls.
pub(super) fn is_own_origin(ask: &Ask<'_>) -> bool {
    let text = |name| ask.headers().get(name).and_then(|value| value.to_str().ok());
    let own = text(HOST).or_else(|| ask.head.uri.authority().map(|authority| authority.as_str()));
    let origin = text(ORIGIN).and_then(|origin| origin.strip_prefix("https://").or(origin.strip_prefix("http://")));
    matches!((own, origin), (Some(own), Some(origin)) if own.eq_ignore_ascii_case(origin))
}

/// Whether the page comes from a server of the pool: the application's own button.
fn is_of_a_server(ask: &Ask<'_>, pool: &PoolSite) -> bool {
    let Some(origin) = ask.headers().get(ORIGIN) else { return false };
    let view = ask.edge.director.view();
    view.pool(&pool.name).is_some_and(|pool| pool.servers().iter().any(|server| *origin == *server.settings.origin))
}
