//! Logout: gives a browser's session up. `GET` shows a page with a button, because what a link or an image can do must change nothing.

use actix_http::StatusCode;
use actix_http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, SET_COOKIE};
use maitred_core::director::EndRefusal;
use maitred_core::ids::PoolName;

use crate::http::ask::Ask;
use crate::http::edge::PoolSite;
use crate::http::page;
use crate::http::problem::Problem;
use crate::http::public::{intent, seat};
use crate::http::query::{Parameter, parameter};
use crate::http::reply::{self, Reply};

/// `GET /logout?pool=`.
pub(super) fn ask_first(ask: &Ask<'_>) -> Result<Reply, Problem> {
    let pool = pool_of(ask)?;
    let page = page::logout().map_err(|_| Problem::Internal)?;
    Ok(with_button(pool, page))
}

/// A page with a button. Its own form must say where it comes from, so the page tells its address to its own origin.
pub(super) fn with_button(pool: &PoolSite, page: String) -> Reply {
    let mut reply = reply::full(StatusCode::OK, page::MEDIA_TYPE, page);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, pool.form_policy.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    reply
}

/// `POST /logout?pool=`: ends the caller's session, where the cookie gives the right to; takes the cookie away and leads on in any
/// case, because a person who logs out twice has logged out.
pub(super) fn end(ask: &Ask<'_>) -> Result<Reply, Problem> {
    let pool = pool_of(ask)?;
    intent::check(ask, pool)?;
    if let Some(mut shown) = seat::shown_by_cookie(ask, pool).filter(|shown| shown.owner) {
        let ended = ask.edge.director.end_shown(&shown, ask.now);
        // The session has moved since this cookie was set: a person who logs out means the session, not the seat.
        if let Err(EndRefusal::Stale(current)) = ended
            && current.session == shown.seat.session
        {
            shown.seat.generation = current.generation;
            let again = ask.edge.director.end_shown(&shown, ask.now);
            tracing::debug!(pool = %pool.name, ended = again.is_ok(), "a moved session was logged out");
        }
    }
    let mut reply = reply::redirect(StatusCode::SEE_OTHER, pool.after_logout.clone());
    let affinity = HeaderValue::from_str(&pool.cookie.clear(pool.same_site)).ok();
    for cookie in [affinity, pool.handover.clear()].into_iter().flatten() {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(reply)
}

fn pool_of<'a>(ask: &Ask<'a>) -> Result<&'a PoolSite, Problem> {
    match parameter(ask.target.query, "pool") {
        Parameter::One(name) => {
            let name = PoolName::parse(&name).map_err(|_| Problem::NotFound)?;
            Ok(ask.site.pools.get(&name).ok_or(Problem::NotFound)?)
        }
        Parameter::Absent => Err(Problem::malformed("pool", "is missing")),
        Parameter::Repeated | Parameter::NotText => Err(Problem::malformed("pool", "must be given once")),
    }
}
