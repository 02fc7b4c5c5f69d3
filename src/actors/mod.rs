//! The actors: thin. Each holds connections and a timer, never a rule.
//!
//! They live on an arbiter of their own, one thread apart from the HTTP workers, so that neither delays the other's timers.

pub mod effects;
pub mod keeper;
pub mod peer_link;
pub mod peer_links;
mod peer_talk;
mod probe_metrics;
pub mod server_monitor;
#[cfg(test)]
mod testing;
pub mod watchdog;

pub use probe_metrics::describe as describe_metrics;
