//! One look at one server.
//!
//! ```text
//! Target ─> Prober::look ─┬─ Line (check 1) ─ Addresses ─ dial ─ http | ajp | knock ─> Report or Fault ─┐
//!                         └─ Line (check 2) …                                                           ┴─> Look
//! ```
//! Owns sockets, TLS sessions and the translation of what the network did into [`maitred_core::health::Look`]. Refuses to know
//! what a look means: how many failures make a server down, and when to look again, is the core's.
//!
//! Each check keeps one connection where the server allows it, for at most [`KEEP_MAX`].

mod address;
mod ajp;
mod dial;
mod fault;
mod http;
mod knock;
mod line;
mod plan;
mod prober;
mod report;
mod target;
#[cfg(test)]
mod tests;

pub use address::{Found, Lookup, SystemLookup};
pub use line::KEEP_MAX;
pub use plan::Planner;
pub use prober::Prober;
pub use report::{ReportError, ReportFault, ReportFields, parse as parse_report};
pub use target::{Ask, Check, Clients, HttpAsk, Target, TargetError, TlsAsk};
