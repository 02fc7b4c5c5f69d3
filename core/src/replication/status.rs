//! How the links are, as status pages and metrics show it.

use std::time::Duration;

use super::Peers;
use crate::clock::Mono;
use crate::ids::{DatacenterName, DirectorName};

/// One peer, for status and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its name.
    pub name: DirectorName,
    /// Where it stands.
    pub datacenter: DatacenterName,
    /// The link is up and both have introduced themselves.
    pub linked: bool,
    /// This director has everything that the peer had.
    pub in_step: bool,
    /// The peer says that it has synchronised since it started.
    pub warm: bool,
    /// Round trip of the latest ping.
    pub round_trip: Option<Duration>,
    /// Age of the oldest own change that the peer has not acknowledged.
    pub lag: Duration,
    /// Buckets of 4096 that differed at the latest comparison.
    pub divergent_buckets: u32,
    /// Its configuration is another one.
    pub config_differs: bool,
    /// Bytes on their way to it.
    pub in_flight_bytes: usize,
    /// How far its clock is ahead of the own one, in milliseconds.
    pub clock_ahead_ms: i64,
}

impl Peers {
    /// All configured peers in order of name.
    #[must_use]
    pub fn status(&self, now: Mono) -> Vec<PeerStatus> {
        let one = |(name, datacenter): (&DirectorName, &DatacenterName)| {
            let link = self.links.get(name).filter(|link| link.is_linked());
            PeerStatus {
                name: name.clone(),
                datacenter: datacenter.clone(),
                linked: link.is_some(),
                in_step: link.is_some_and(|link| link.in_step),
                warm: link.is_some_and(|link| link.peer_is_warm),
                round_trip: link.and_then(|link| link.round_trip),
                lag: link.map_or(Duration::ZERO, |link| link.lag(&self.log, now)),
                divergent_buckets: link.map_or(0, |link| link.divergent_buckets),
                config_differs: link.is_some_and(|link| link.config.is_some_and(|config| config != self.config)),
                in_flight_bytes: link.map_or(0, |link| link.window.bytes()),
                clock_ahead_ms: link.and_then(|link| link.clock_ahead_ms).unwrap_or(0),
            }
        };
        self.configured.iter().map(one).collect()
    }
}
