//! Sessions as operators find them: one by its key, or all in one order, page by page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maitred_core::clock::{Now, Time};
use maitred_core::director::{Director, SessionsFilter};
use maitred_core::entry::{EndReason, Life, SeatEntry};
use maitred_core::ids::{Key, PoolName, ServerName, SessionId};
use serde_json::{Value, json};

use super::moment::written;
use super::{Call, json as answered};
use crate::http::key;
use crate::http::problem::Problem;
use crate::http::reply::Reply;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// Where a list goes on.
type Place = (PoolName, Key, SessionId);

/// `GET /v1/sessions?pool&server&key&agent&cursor&limit`. Walks the whole table, so it runs beside the threads that answer.
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    let mut query = call.query()?;
    let named = |attribute, fault: maitred_core::ids::IdError| Problem::malformed(attribute, fault.to_string());
    let pool =
        query.take("pool").map(|text| PoolName::parse(&text)).transpose().map_err(|fault| named("pool", fault))?;
    let server = query.take("server").map(|text| ServerName::parse(&text));
    let server = server.transpose().map_err(|fault| named("server", fault))?;
    let key = query.take("key").map(|text| key::parse(&text, "key")).transpose()?;
    let agent = query.take("agent").map(|text| key::parse(&text, "agent")).transpose()?;
    let after = query.take("cursor").map(|text| read_cursor(&text)).transpose()?;
    let limit = query.take("limit").map_or(Ok(LIMIT), |text| {
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or_else(|| Problem::malformed("limit", "is not a number from 1 to 1000"))
    })?;
    query.end()?;
    let director = std::sync::Arc::clone(&call.internal.edge.director);
    let (filter, now) = (SessionsFilter { pool, server, key, agent }, call.ask.now);
    let walk = call.internal.walks.acquire().await.map_err(|_| Problem::Internal)?;
    let walked = actix_rt::task::spawn_blocking(move || {
        let page = director.list(&filter, after.as_ref(), limit, now);
        let moves = director.moves(&page.sessions, now);
        (page, moves)
    });
    let walked = walked.await;
    drop(walk);
    let (page, moves) = walked.map_err(|_| Problem::Internal)?;
    let director = &call.internal.edge.director;
    let rows = page.sessions.iter().zip(moves);
    let sessions: Vec<Value> = rows.map(|(entry, moves)| row(entry, director, moves)).collect();
    let last = page.sessions.last().filter(|_| page.more);
    let cursor = last.map(|last| written_cursor(&(last.pool.clone(), last.key.clone(), last.session)));
    Ok(answered(&json!({ "sessions": sessions, "cursor": cursor })))
}

/// `GET /v1/sessions/{pool}/{key}[?session=]`.
pub(super) fn read(call: &Call<'_>) -> Result<Reply, Problem> {
    let mut query = call.query()?;
    let session = query.take("session").map(|text| session_id(&text)).transpose()?;
    query.end()?;
    let entry = find(call, session)?;
    let director = &call.internal.edge.director;
    let mut shown = described(&entry, director, call.ask.now);
    shown["servers_seen"] = json!(director.servers_seen(&entry, call.ask.now));
    Ok(answered(&shown))
}

/// The session that the path names; a tombstone too, which says who ended it.
pub(super) fn find(call: &Call<'_>, session: Option<SessionId>) -> Result<SeatEntry, Problem> {
    let (pool, key) = place(call)?;
    let director = &call.internal.edge.director;
    let view = director.view();
    let several = view.pool(&pool).ok_or(Problem::NotFound)?.settings().allow_multiple;
    if several && session.is_none() {
        return Err(Problem::malformed("session", "is missing: this pool allows several sessions of one key"));
    }
    let entry = director.find(&pool, &key, session, call.ask.now).ok_or(Problem::NotFound)?;
    if session.is_some_and(|session| session != entry.session) { Err(Problem::NotFound) } else { Ok(entry) }
}

/// Pool and key of the path.
pub(super) fn place(call: &Call<'_>) -> Result<(PoolName, Key), Problem> {
    Ok((call.pool()?, key::parse(call.parameter(1), "key")?))
}

/// A session's id, as a caller names it.
pub(super) fn session_id(text: &str) -> Result<SessionId, Problem> {
    SessionId::parse(text).map_err(|fault| Problem::malformed("session", fault.to_string()))
}

/// A session with everything that is known of it.
pub(super) fn described(entry: &SeatEntry, director: &Director, now: Now) -> Value {
    let moves = director.moves(std::slice::from_ref(entry), now);
    row(entry, director, moves.first().copied().unwrap_or(0))
}

fn row(entry: &SeatEntry, director: &Director, moves: u32) -> Value {
    let view = director.view();
    let ttl = view.pool(&entry.pool).map(|pool| pool.settings().session_ttl);
    let server = view.server(&entry.server).map(|(_, server)| server);
    let started = entry.stamp.time();
    let ended = match entry.life {
        Life::Live => None,
        Life::Ended(reason) => Some(ended_by(reason)),
    };
    json!({
        "pool": entry.pool,
        "key": entry.key,
        "session": entry.session.to_string(),
        "generation": entry.generation,
        "moves": moves,
        "state": director.session_state(entry).as_str(),
        "reason": reason(entry, moves),
        "ended_by": ended,
        "server": entry.server,
        "datacenter": server.map(|server| &server.settings.datacenter),
        "server_state": server.map(|server| server.standing.input.as_str()),
        "agent": director.agent_of(entry),
        "minted": entry.minted,
        "director": entry.writer,
        "decided": Some(started).filter(|time| *time > Time::default()).map(written),
        "seen": written(entry.seen),
        "expires": ttl.map(|ttl| written(started.max(entry.seen) + ttl)),
    })
}

/// Why the record says what it says.
fn reason(entry: &SeatEntry, moves: u32) -> &'static str {
    match entry.life {
        Life::Ended(reason) => ended_by(reason),
        Life::Live if entry.stamp.time() == Time::default() => "walk_in",
        Life::Live if moves == 0 => "new",
        Life::Live => "moved",
    }
}

/// The word for who ended a session.
pub(super) fn ended_by(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Client => "client",
        EndReason::Server => "server",
        EndReason::Operator => "operator",
        EndReason::Superseded => "superseded",
    }
}

fn written_cursor(place: &Place) -> String {
    let (pool, key, session) = place;
    URL_SAFE_NO_PAD.encode(format!("{pool}\n{session}\n{}", key.as_str()))
}

fn read_cursor(text: &str) -> Result<Place, Problem> {
    let place = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let mut parts = std::str::from_utf8(&bytes).ok()?.splitn(3, '\n');
        let (pool, session, key) = (parts.next()?, parts.next()?, parts.next()?);
        Some((PoolName::parse(pool).ok()?, Key::parse(key).ok()?, SessionId::parse(session).ok()?))
    };
    place().ok_or_else(|| Problem::malformed("cursor", "is none that this list has given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_no_other_text_is_one() {
        let place = (PoolName::parse("ua").unwrap(), Key::parse("J\u{fc}rgen M/1").unwrap(), SessionId([7; 16]));
        let text = written_cursor(&place);
        assert_eq!(read_cursor(&text), Ok(place));
        for bad in ["", "x", "!!", &text[1..], &format!("{text}=")] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
