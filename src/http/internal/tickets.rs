//! What servers need to believe tickets: the keys, and `POST /v1/tickets/verify` for those that have no JWT library. A server may ask
//! about its own tickets only.

use actix_http::StatusCode;
use metrics::counter;

use super::{Call, JSON};
use crate::config::Role;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};

/// `GET /v1/jwks.json`: the keys, as on the public listener, for servers that reach this one only.
pub(super) fn keys(call: &Call<'_>) -> Result<Reply, Problem> {
    call.no_query()?;
    Ok(reply::full(StatusCode::OK, "application/jwk-set+json", call.ask.edge.tickets.jwks()))
}

/// The claims of a ticket that is good, else 400 with the reason.
pub(super) fn verify(call: &Call<'_>) -> Result<Reply, Problem> {
    let mut fields = call.fields()?;
    let ticket = fields.text("ticket")?;
    fields.end()?;
    let audience = match &call.caller.role {
        Role::Server(name) => Some(name),
        Role::Operator | Role::Viewer | Role::Metrics => None,
    };
    let edge = &call.ask.edge;
    match edge.tickets.verify(ticket.as_bytes(), audience, edge.clock.wall()) {
        Ok(claims) => Ok(reply::json(StatusCode::OK, JSON, &claims)),
        Err(fault) => {
            counter!("maitred_tickets_refused_total", "reason" => fault.as_str()).increment(1);
            Err(Problem::Ticket(fault))
        }
    }
}
