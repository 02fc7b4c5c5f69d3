//! One look at one server.
//!
//! Owns sockets, TLS sessions and the translation of what the network did into [`maitred_core::health::Look`]. Refuses to know
//! what a look means: how many failures make a server down, and when to look again, is the core's.

mod expect;
mod report;

pub use expect::{Expect, ExpectError};
pub use report::{ReportError, parse as parse_report};
