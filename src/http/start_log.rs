//! The line that each start leaves, refused ones too, on a target of its own so that it can be turned down: `maitred::start`.

use std::time::Duration;

use maitred_core::ids::{Key, PoolName};
use maitred_core::seating::{Affinity, Seat};
use tracing::{Level, enabled, info};

use crate::config::{KeyLog, StartLog};
use crate::http::ask::Ask;
use crate::http::problem::Problem;

/// The target.
pub const TARGET: &str = "maitred::start";

/// Writes the line of a start that took so long, if anybody listens and the configuration wants it.
pub fn write(ask: &Ask<'_>, seat: &Seat, took: Duration) {
    let wanted = ask.site.log_starts == StartLog::All || seat.affinity != Affinity::Kept;
    if !wanted || !enabled!(target: TARGET, Level::INFO) {
        return;
    }
    let entry = &seat.entry;
    info!(
        target: TARGET,
        pool = %entry.pool,
        key = key_in_log(ask, &entry.key),
        session = %entry.session,
        generation = entry.generation.get(),
        server = %seat.server.name,
        datacenter = %seat.server.datacenter,
        affinity = seat.affinity.as_str(),
        reason = seat.reason,
        director = %ask.edge.director.name(),
        client = ask.client().map(tracing::field::display),
        request_id = ask.id.as_str(),
        duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "start"
    );
}

/// Writes the line of a start that nobody could serve: its page shows a request id that somebody will search for.
///
/// A caller who is only to come back later (429) leaves none: a crowd that does not wait would fill the log.
pub fn refused(ask: &Ask<'_>, pool: &PoolName, key: &Key, problem: &Problem) {
    if problem.status() != 503 || !enabled!(target: TARGET, Level::INFO) {
        return;
    }
    info!(
        target: TARGET,
        pool = %pool,
        key = key_in_log(ask, key),
        code = problem.code(),
        why = %problem.detail(),
        director = %ask.edge.director.name(),
        client = ask.client().map(tracing::field::display),
        request_id = ask.id.as_str(),
        "refused"
    );
}

/// The key as the configuration wants it written: a keyed hash, so that a log names no agent to whoever reads it.
#[must_use]
pub fn key_in_log(ask: &Ask<'_>, key: &Key) -> String {
    match ask.site.log_keys {
        KeyLog::Clear => key.as_str().to_owned(),
        KeyLog::Hash => {
            let keyring = ask.edge.seals.keyring();
            let hash = keyring.sealing(ask.now.time).map(|sealing| sealing.hash_for_log(key));
            hash.map_or_else(|| "-".to_owned(), |hash| format!("{hash:016x}"))
        }
    }
}
