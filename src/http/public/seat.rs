//! One start, whatever form its answer has: who asks, the question to the director, the line in the log, and the answer's parts.

use std::borrow::Cow;
use std::sync::Arc;

use actix_http::header::{AUTHORIZATION, COOKIE, HeaderValue};
use maitred_core::ids::{LabelName, ServerName, SessionId};
use maitred_core::seating::{Affinity, Refusal, RequestKey, Seat, Shown, StartRequest};
use maitred_core::settings::ServerSettings;
use serde::Serialize;

use crate::credentials::{Opened, token};
use crate::http::ask::Ask;
use crate::http::edge::{PoolSite, count_fault, count_refused};
use crate::http::handover::Handed;
use crate::http::problem::Problem;
use crate::http::random::bits_128;
use crate::http::{key, start_log};

/// How long a client may trust a list of alternates, in seconds.
pub(super) const ALTERNATES_EXPIRE_IN: u64 = 3600;

/// A start as the edge has read it.
pub(super) struct Wish<'a> {
    /// The key, if the request gives one.
    pub(super) key: Option<RequestKey>,
    /// The seat that the caller proved to know.
    pub(super) shown: Option<Shown>,
    /// What the server must offer.
    pub(super) labels: Vec<(LabelName, Cow<'a, str>)>,
    /// A server that is of no use to the caller.
    pub(super) avoid: Option<ServerName>,
}

/// Seats the caller, and leaves the line and the counts of a start behind.
pub(super) fn start(ask: &Ask<'_>, pool: &PoolSite, wish: Wish<'_>) -> Result<Seat, Problem> {
    // A cookie says where a key sits; no peer needs to be asked for it.
    let unknown = match &wish.key {
        Some(RequestKey::Given(key)) if wish.shown.is_none() => Some(key),
        _ => None,
    };
    if ask.must_ask(&pool.name, unknown) {
        // Nobody sees this: the request is answered anew when the peers have answered.
        return Err(Problem::NothingYet);
    }
    let answer = ask_director(ask, pool, wish);
    match &answer {
        Ok(seat) => {
            if seat.affinity != Affinity::Kept {
                ask.edge.bell().ring();
            }
            pool.counts.starts(seat.affinity).increment(1);
            let took = ask.begun.elapsed();
            pool.counts.seconds.record(took);
            start_log::write(ask, seat, took);
        }
        Err(problem) => count_refused(&pool.name, problem.code()),
    }
    answer
}

fn ask_director(ask: &Ask<'_>, pool: &PoolSite, wish: Wish<'_>) -> Result<Seat, Problem> {
    let key = match wish.key {
        Some(key) => key,
        None => RequestKey::Minted(key::mint()?),
    };
    let mut request = StartRequest {
        pool: &pool.name,
        key,
        shown: wish.shown,
        labels: &wish.labels,
        avoid: wish.avoid.as_ref(),
        session: SessionId(bits_128()?),
    };
    let answer = match ask.edge.director.start(&request, ask.now) {
        // The cookie's session has ended: it is treated as absent, and a NEW session begins under a new key.
        Err(Refusal::SessionEnded) => {
            request.key = RequestKey::Minted(key::mint()?);
            request.shown = None;
            ask.edge.director.start(&request, ask.now)
        }
        answer => answer,
    };
    answer.map_err(|refusal| {
        let problem = Problem::from(refusal);
        start_log::refused(ask, &pool.name, request.key.key(), &problem);
        problem
    })
}

/// The seat that the caller already has at a usable server. Creates nothing.
pub(super) fn seated(ask: &Ask<'_>, pool: &PoolSite) -> Result<Option<Seat>, Problem> {
    let shown = shown_by_cookie(ask, pool);
    let key = pool.key.read(ask.target, ask.headers(), shown.as_ref().map(|shown| &shown.seat.key))?;
    Ok(key.and_then(|key| ask.edge.director.seated(&pool.name, Some(key.key()), shown.as_ref(), ask.now)))
}

/// The seat in the caller's affinity cookie; any other cookie of that name is counted and treated as absent.
pub(super) fn shown_by_cookie(ask: &Ask<'_>, pool: &PoolSite) -> Option<Shown> {
    opened_by_cookie(ask, pool).map(|opened| opened.shown)
}

/// The same with what the cookie says beside the seat.
pub(super) fn opened_by_cookie(ask: &Ask<'_>, pool: &PoolSite) -> Option<Opened> {
    let lines = ask.headers().get_all(COOKIE).map(HeaderValue::as_bytes);
    let found = pool.cookie.find(&ask.edge.seals, lines, pool.ttl, ask.now.time);
    found.faults.iter().for_each(|fault| count_fault(*fault));
    found.newest
}

/// The seat in the caller's bearer token.
pub(super) fn shown_by_token(ask: &Ask<'_>) -> Option<Shown> {
    open_token(ask, token::bearer(ask.headers().get(AUTHORIZATION)?.as_bytes())?)
}

/// The seat in a token; anything else is counted and treated as absent.
pub(super) fn open_token(ask: &Ask<'_>, token: &[u8]) -> Option<Shown> {
    let pool_of = |name: &str| {
        let pool = ask.site.pools.values().find(|pool| pool.name.as_str() == name)?;
        Some((pool.name.clone(), pool.ttl))
    };
    match ask.edge.seals.open_token(token, ask.now.time, pool_of) {
        Ok(Opened { shown, .. }) => Some(shown),
        Err(fault) => {
            count_fault(fault);
            None
        }
    }
}

/// `Set-Cookie` for a seat. A fault of the seal costs the caller the cookie, not the seat.
pub(super) fn cookie(ask: &Ask<'_>, pool: &PoolSite, seat: &Seat) -> Option<HeaderValue> {
    cookie_after(ask, pool, seat, 0)
}

/// The same for a browser that has come back soon so many times in a row.
pub(super) fn cookie_after(ask: &Ask<'_>, pool: &PoolSite, seat: &Seat, returns: u8) -> Option<HeaderValue> {
    let sealed = ask.edge.seals.seal_cookie_after(&seat.entry, seat.owner, returns, ask.now.time);
    let line = sealed.map(|value| pool.cookie.set(&value, pool.ttl, pool.same_site));
    match line {
        Ok(line) => HeaderValue::from_maybe_shared(bytes::Bytes::from(line)).ok(),
        Err(error) => {
            tracing::error!(%error, pool = %pool.name, "no affinity cookie could be sealed");
            None
        }
    }
}

/// The seat as clients get it; the order of members is that of the interface.
#[derive(Debug, Serialize)]
pub(super) struct SeatBody<'a> {
    session: SessionText,
    pool: &'a str,
    key: &'a str,
    generation: u32,
    affinity: &'static str,
    owner: bool,
    server: ServerBody<'a>,
    alternates: Vec<ServerBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    expires_in: u64,
    alternates_expires_in: u64,
}

#[derive(Debug)]
struct SessionText(SessionId);

impl Serialize for SessionText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A server as clients get it.
#[derive(Debug, Serialize)]
pub(super) struct ServerBody<'a> {
    name: &'a str,
    url: String,
    datacenter: &'a str,
}

impl<'a> ServerBody<'a> {
    /// Its `url` is its origin and the pool's home.
    pub(super) fn of(server: &'a ServerSettings, pool: &PoolSite) -> Self {
        Self {
            name: server.name.as_str(),
            url: format!("{}{}", server.origin, pool.home),
            datacenter: server.datacenter.as_str(),
        }
    }
}

/// Whether the answer's form may carry the token: JSON may, a script never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithToken {
    /// For the owner.
    Owner,
    /// Not at all.
    Never,
}

/// Writes a seat out. `alternates` and `handed` are borrowed, so the caller keeps them.
pub(super) fn body<'a>(
    ask: &Ask<'_>,
    pool: &'a PoolSite,
    seat: &'a Seat,
    alternates: &'a [Arc<ServerSettings>],
    handed: &'a Handed<'_>,
    token: WithToken,
) -> SeatBody<'a> {
    let may = token == WithToken::Owner && seat.owner;
    let token = may.then(|| ask.edge.seals.seal_token(&seat.entry, true, ask.now.time).ok()).flatten();
    SeatBody {
        session: SessionText(seat.session()),
        pool: pool.name.as_str(),
        key: seat.entry.key.as_str(),
        generation: seat.generation().get(),
        affinity: seat.affinity.as_str(),
        owner: seat.owner,
        server: ServerBody::of(&seat.server, pool),
        alternates: alternates.iter().map(|server| ServerBody::of(server, pool)).collect(),
        ticket: handed.ticket(),
        token,
        expires_in: seat.ttl.as_secs(),
        alternates_expires_in: ALTERNATES_EXPIRE_IN,
    }
}
