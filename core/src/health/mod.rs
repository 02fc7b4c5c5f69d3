//! How looks at a server become a vote, and votes a verdict.
//!
//! ```text
//! look ─▶ vote (one director, one server) ─▶ verdict (all directors) ─▶ standing ─▶ decisions
//!           ▲ observer: does silence count?      operator's word, draining, dependencies, steadiness ─▲
//! ```
//! [`Watch`] holds it all for one director. Nothing here knows a socket, a session or the active role; time is a parameter.

mod change;
mod look;
mod observer;
mod said;
mod standing;
mod status;
mod steady;
#[cfg(test)]
mod testing;
mod verdict;
mod vote;
mod watch;

pub use change::ServerChange;
pub use look::{Failure, FailureKind, Look, Outcome, Report};
pub use observer::{Hearing, Observer, Suspicion, Turn};
pub(crate) use said::WORD_LASTS;
pub use said::{HeardBeat, LatestReport, Said, Way};
pub use standing::{Input, Standing, Tier};
pub use status::{HeardVote, ServerHealth};
pub use steady::{Steadiness, WEIGHT_STEPS};
pub use verdict::{CastVote, State, Verdict, verdict};
pub use vote::{Abstention, Silence, Site, Vote, Voter, probe_interval, vote_lasts};
pub use watch::{Change, Watch};
