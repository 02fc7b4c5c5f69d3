//! File descriptors: every connection and every probe holds one, and most systems begin a process with a limit (1,024) that is
//! lower than what it may have. The limit is raised as far as the system allows; whoever needs more hears so at the start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::config::Config;

/// Listeners, journal, log, timers, watched files, and what an operator's commands open.
const OWN: u64 = 128;

/// Raises the limit to what the system allows, and warns when the configuration may need more than that.
pub(super) fn raise(config: &Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut limit = current;
    if current != maximum {
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => limit = maximum,
            Err(error) => warn!(%error, "the limit of open files cannot be raised"),
        }
    }
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let servers: usize = config.settings.pools.values().map(|pool| pool.servers.len()).sum();
    let needed = needed(count(config.limits.connections), count(servers), count(config.peers.len()));
    // No limit at all is written as none.
    let shown = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    if limit.is_some_and(|limit| limit < needed) {
        warn!(
            limit = shown,
            needed,
            "fewer files may be open than limits.connections, servers and peers need together: raise the process's limit \
             (systemd: LimitNOFILE) or lower limits.connections"
        );
    } else {
        info!(limit = shown, needed, "open files");
    }
}

/// A server is looked at over one connection, and a second one while a reload replaces it; a peer's link is dialled from both sides.
fn needed(connections: u64, servers: u64, peers: u64) -> u64 {
    [connections, servers, servers, peers, peers, OWN].into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_may_be_open_at_once_is_counted() {
        assert_eq!(needed(10_000, 100, 3), 10_000 + 200 + 6 + OWN);
        assert_eq!(needed(u64::MAX, 1, 1), u64::MAX);
    }
}
