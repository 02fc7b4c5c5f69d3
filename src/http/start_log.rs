//! The line that each start leaves, refused ones too, on a target of its own so that it can be turned down: `maitred::start`.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use maitred_core::ids::{Hex128, Key, PoolName};
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
        client = ask.client().map(|client| tracing::field::display(Address(client))),
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
            let digits = |hash: u64| Hex128::of((u128::from(hash) << 64).to_be_bytes()).as_str()[..16].to_owned();
            hash.map_or_else(|| "-".to_owned(), digits)
        }
    }
}

/// An address as everybody writes it; the four numbers that most have take the library a tenth of the line's time.
struct Address(IpAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IpAddr::V4(address) = self.0 else { return self.0.fmt(f) };
        let [a, b, c, d] = address.octets();
        f.write_str(itoa::Buffer::new().format(a))?;
        for octet in [b, c, d] {
            f.write_str(".")?;
            f.write_str(itoa::Buffer::new().format(octet))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_library_writes_them() {
        for address in ["0.0.0.0", "127.0.0.1", "10.9.100.255", "::1", "2001:db8::7", "::ffff:1.2.3.4"] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(Address(parsed).to_string(), parsed.to_string());
        }
    }
}
