//! Many directors' votes about one server become one verdict (R12). A pure function; the order of the votes is of no matter.

use std::time::Duration;

use super::{Failure, Site, Vote};
use crate::ids::DirectorName;

/// Whether a server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It does not.
    Down,
    /// It does.
    Up,
}

/// One director's vote, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CastVote<'a> {
    /// Who votes.
    pub director: &'a DirectorName,
    /// Where the voter stands, seen from the server.
    pub site: Site,
    /// What it says.
    pub vote: &'a Vote,
    /// How long ago it looked, all hops included.
    pub age: Duration,
    /// How old this vote may become, by the voter's own probe interval ([`super::vote_lasts`]).
    pub lasts: Duration,
}

/// What is held to be true about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A fresh vote says that it serves.
    Up {
        /// Whose votes decided.
        by: Site,
    },
    /// All fresh votes say that it does not.
    Down {
        /// Whose votes decided.
        by: Site,
        /// Why, in the words of the first such director by name.
        failure: Failure,
    },
    /// No fresh vote; the last known state is repeated, if there is one.
    Unconfirmed {
        /// The last known state.
        last: Option<State>,
    },
}

impl Verdict {
    /// The state, confirmed or repeated; `None` when nothing was ever known.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        match self {
            Self::Up { .. } => Some(State::Up),
            Self::Down { .. } => Some(State::Down),
            Self::Unconfirmed { last } => *last,
        }
    }

    /// Fresh votes stand behind it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        match self {
            Self::Up { .. } | Self::Down { .. } => true,
            Self::Unconfirmed { .. } => false,
        }
    }

    /// Whether both hold the same, whoever voted and for whatever reason.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.state() == other.state() && self.is_confirmed() == other.is_confirmed()
    }
}

/// Decides: fresh votes of the server's own site, else those of other sites, else the last known state (R12).
///
/// In a group one up is enough and down needs all; who abstains is not counted.
#[must_use]
pub fn verdict<'a>(votes: impl Iterator<Item = CastVote<'a>> + Clone, last: Option<State>) -> Verdict {
    let fresh = votes.filter(|cast| cast.age <= cast.lasts);
    by_site(fresh.clone(), Site::Own).or_else(|| by_site(fresh, Site::Other)).unwrap_or(Verdict::Unconfirmed { last })
}

fn by_site<'a>(fresh: impl Iterator<Item = CastVote<'a>>, site: Site) -> Option<Verdict> {
    let mut down: Option<(&DirectorName, &Failure)> = None;
    for cast in fresh.filter(|cast| cast.site == site) {
        match cast.vote {
            Vote::Up => return Some(Verdict::Up { by: site }),
            Vote::Down(failure) if down.is_none_or(|(first, _)| cast.director < first) => {
                down = Some((cast.director, failure));
            }
            Vote::Down(_) | Vote::Abstain(_) => {}
        }
    }
    down.map(|(_, failure)| Verdict::Down { by: site, failure: failure.clone() })
}
