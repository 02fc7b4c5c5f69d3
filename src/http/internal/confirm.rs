//! `POST /v1/sessions/{pool}/{key}/confirm`: a server says who has logged in. And what all words of servers about a session have
//! in common: the fence, and that a server speaks for itself only.

use maitred_core::director::{Confirm, Confirmed, FenceRefusal, ServerFence};
use maitred_core::entry::SeatEntry;
use maitred_core::ids::{Generation, Incarnation, ServerName, SessionId};
use metrics::counter;
use serde_json::{Value, json};
use tracing::info;

use super::fields::Fields;
use super::sessions::{described, place, session_id};
use super::{Call, json as answered};
use crate::config::Role;
use crate::http::key;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::start_log::key_in_log;

/// Takes a confirm `{"server", "incarnation", "generation"?, "agent"?}`.
pub(super) fn confirm(call: &Call<'_>) -> Result<Reply, Problem> {
    let outcome = take(call);
    let word = match &outcome {
        Ok(confirmed) if confirmed.changed => "changed",
        Ok(_) => "unchanged",
        Err(Problem::Stale { .. }) => "stale",
        Err(_) => "refused",
    };
    counter!("maitred_confirms_total", "outcome" => word).increment(1);
    let confirmed = outcome?;
    if confirmed.changed {
        call.internal.process.perform_effects();
        tell(call, &confirmed);
    }
    let mut shown = described(&confirmed.seat, &call.internal.edge.director, call.ask.now);
    shown["changed"] = confirmed.changed.into();
    shown["superseded"] = confirmed.superseded.iter().map(left).collect();
    Ok(answered(&shown))
}

fn take(call: &Call<'_>) -> Result<Confirmed, Problem> {
    let session = session_asked(call)?;
    let (pool, key) = place(call)?;
    let mut fields = call.fields()?;
    let fence = fence(call, &mut fields)?;
    let agent = fields.optional_text("agent")?.map(|text| key::parse(&text, "agent")).transpose()?;
    fields.end()?;
    let director = &call.internal.edge.director;
    director
        .confirm(&pool, &key, session, &Confirm { fence, agent }, call.ask.now)
        .map_err(|refusal| outside(call, refusal))
}

/// A session that the agent has left.
fn left(seat: &SeatEntry) -> Value {
    json!({ "session": seat.session.to_string(), "server": seat.server, "generation": seat.generation })
}

fn tell(call: &Call<'_>, confirmed: &Confirmed) {
    let seat = &confirmed.seat;
    info!(
        event = "session_confirmed",
        pool = %seat.pool,
        key = key_in_log(call.ask, &seat.key),
        agent = key_in_log(call.ask, &confirmed.agent),
        session = %seat.session,
        generation = seat.generation.get(),
        server = %seat.server,
        superseded = confirmed.superseded.len(),
        director = %call.internal.edge.director.name(),
        request_id = call.ask.id.as_str(),
        "server confirmed who is logged in"
    );
}

/// `?session=`, and nothing else.
pub(super) fn session_asked(call: &Call<'_>) -> Result<Option<SessionId>, Problem> {
    let mut query = call.query()?;
    let session = query.take("session").map(|text| session_id(&text)).transpose()?;
    query.end()?;
    Ok(session)
}

/// The problem of a server that does not mean a current seat.
pub(super) fn outside(call: &Call<'_>, refusal: FenceRefusal) -> Problem {
    match refusal {
        FenceRefusal::Unknown => Problem::NotFound,
        FenceRefusal::Stale(current) => {
            Problem::Stale { current: described(&current, &call.internal.edge.director, call.ask.now) }
        }
        FenceRefusal::Full => Problem::NoRoom,
    }
}

/// Which seat a server means: `{"server", "incarnation", "generation"?}`.
pub(super) fn fence(call: &Call<'_>, fields: &mut Fields) -> Result<ServerFence, Problem> {
    let server = own_server(call, &fields.text("server")?)?;
    let incarnation = Incarnation::parse(&fields.text("incarnation")?)
        .map_err(|fault| Problem::malformed("incarnation", fault.to_string()))?;
    let generation = fields.optional_number("generation")?.map(Generation::parse).transpose();
    let generation = generation.map_err(|fault| Problem::malformed("generation", fault.to_string()))?;
    Ok(ServerFence { server, incarnation: incarnation.tag(), generation })
}

/// A server speaks for itself; an operator may speak for each.
pub(super) fn own_server(call: &Call<'_>, name: &str) -> Result<ServerName, Problem> {
    let server = ServerName::parse(name).map_err(|fault| Problem::malformed("server", fault.to_string()))?;
    match &call.caller.role {
        Role::Operator => Ok(server),
        Role::Server(own) if *own == server => Ok(server),
        Role::Server(_) | Role::Viewer | Role::Metrics => {
            Err(Problem::Forbidden("A server speaks for itself only.".into()))
        }
    }
}
