//! What changes about one server, for whoever must do something about it.

use super::Standing;
use super::verdict::Verdict;
use super::vote::Vote;
use crate::ids::Incarnation;
use crate::settings::DependencyEffect;

/// What changed about one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerChange {
    /// This director votes otherwise; `None` is no vote yet. For peers.
    Vote(Option<Vote>),
    /// The verdict changed; a confirmed one is to be persisted.
    Verdict {
        /// What held.
        from: Verdict,
        /// What holds.
        to: Verdict,
    },
    /// The server told its incarnation for the first time (`old` is `None`: nothing is lost) or another one (what it held is gone).
    Incarnation {
        /// The one before.
        old: Option<Incarnation>,
        /// The present one.
        new: Incarnation,
    },
    /// A configured dependency went down or came back. Its first word is no change, except that a dependency is down.
    Dependency {
        /// Its name.
        name: String,
        /// What it means here.
        effect: DependencyEffect,
        /// Where it is now.
        up: bool,
        /// It is known to have been otherwise before; only then does `reset` reset anything.
        known: bool,
    },
    /// The directors of its own site fell silent or abstain: this one is to look now.
    Asked,
    /// Decisions see it otherwise.
    Standing {
        /// Before.
        from: Standing,
        /// Now.
        to: Standing,
    },
}
