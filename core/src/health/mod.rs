//! How looks at a server become a vote, and votes a verdict.

mod look;

pub use look::{Failure, FailureKind, Look, Outcome, Report};
