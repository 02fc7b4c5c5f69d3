//! The bounce brake: a browser that its server sends back here at once, again and again, gets a page instead of the next redirect.
//!
//! A return is a visit of the same session within [`SOON`] of the one before; the fourth in a row shows the page, and the count begins
//! anew. It rides in the signed cookie: every director knows it, and none keeps a table. Only browsers are counted; every other
//! caller always gets its redirect.

use std::time::Duration;

use actix_http::header::{CONTENT_TYPE, HeaderValue, SET_COOKIE};
use actix_http::{Method, StatusCode, Uri};
use maitred_core::ids::{PoolName, ServerName};
use maitred_core::seating::{Affinity, Seat};
use metrics::counter;

use crate::credentials::Opened;
use crate::http::ask::Ask;
use crate::http::caller;
use crate::http::edge::PoolSite;
use crate::http::page::{self, Another};
use crate::http::problem::Problem;
use crate::http::public::seat::{self, Wish};
use crate::http::public::{intent, logout};
use crate::http::query::{Parameter, parameter};
use crate::http::reply::{self, Reply};
use crate::http::target::{self, RequestTarget};

/// A visit so soon after the one before is a return: nobody works at the server for so short a time.
const SOON: Duration = Duration::from_secs(20);
/// Returns that show the page.
const RETURNS: u8 = 4;
/// The path, behind the prefix, that the page's form is sent to.
pub(super) const ANOTHER: &str = "/another";

/// The returns in a row that this visit makes, by the cookie that came with it.
pub(super) fn returns(ask: &Ask<'_>, came: Option<&Opened>, seat: &Seat) -> u8 {
    let is_return = |came: &&Opened| {
        ask.head.method == Method::GET
            && caller::wants_page(ask.headers())
            && seat.affinity == Affinity::Kept
            && came.shown.seat.session == seat.session()
            && ask.now.time.since(came.issued) < SOON
    };
    came.filter(is_return).map_or(0, |came| came.returns + 1)
}

/// The page, when this is one return too many.
pub(super) fn brake(ask: &Ask<'_>, pool: &PoolSite, seat: &Seat, returns: u8) -> Option<Reply> {
    if returns < RETURNS {
        return None;
    }
    let action = format!("{}{ANOTHER}", ask.site.prefix.stem());
    let to = ask.head.uri.path_and_query().map_or("/", |target| target.as_str());
    let another = Another { action: &action, pool: pool.name.as_str(), server: seat.server.name.as_str(), to };
    // Only the owner may leave a server.
    let page = page::bounce(ask.id.as_str(), seat.owner.then_some(another)).ok()?;
    let mut reply = logout::with_button(pool, page);
    if let Some(cookie) = seat::cookie(ask, pool, seat) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    counter!("maitred_bounces_total", "pool" => pool.name.to_string()).increment(1);
    Some(reply)
}

/// `POST /another`, the page's button: leaves the server and goes on to the same address at another one.
pub(super) fn another(ask: &Ask<'_>, body: &[u8]) -> Result<Reply, Problem> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let is_form =
        |value: &HeaderValue| value.as_bytes().split(|b| *b == b';').next().is_some_and(|text| text == FORM.as_bytes());
    if !ask.headers().get(CONTENT_TYPE).is_some_and(is_form) {
        return Err(Problem::Media { expected: FORM });
    }
    let body = std::str::from_utf8(body).map_err(|_| Problem::malformed("body", "is not UTF-8"))?;
    let field = |name: &'static str| match parameter(Some(body), name) {
        Parameter::One(value) => Ok(value),
        _ => Err(Problem::malformed(name, "must be given once")),
    };
    let pool = PoolName::parse(&field("pool")?).map_err(|_| Problem::NotFound)?;
    let pool = ask.site.pools.get(&pool).ok_or(Problem::NotFound)?;
    let server = ServerName::parse(&field("server")?).map_err(|_| Problem::NotFound)?;
    let to: Uri = field("to")?.parse().map_err(|_| Problem::malformed("to", "is no path"))?;
    let to = target::local(&to, ask.target.host, ask.site.limits.url)?;
    intent::check(ask, pool)?;

    let shown = seat::shown_by_cookie(ask, pool);
    let wish = Wish {
        key: pool.key.read(to, ask.headers(), shown.as_ref().map(|shown| &shown.seat.key))?,
        shown,
        labels: pool.labels.read(to, ask.headers())?,
        avoid: Some(server),
    };
    let seat = seat::start(ask, pool, wish)?;
    let handed = pool.handover.hand_over(ask, &seat, Some(to));
    let query = handed.query(to.query);
    let at = RequestTarget { query: query.as_deref(), ..to };
    let location = target::location(&seat.server.origin, &pool.home, at).ok_or(Problem::Internal)?;
    let mut reply = reply::redirect(StatusCode::SEE_OTHER, location);
    handed.protect(&mut reply);
    handed.set_cookie(&mut reply);
    if let Some(cookie) = seat::cookie(ask, pool, &seat) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(reply)
}
