//! Many directors' votes about one server become one verdict (R12). A pure function; the order of the votes is of no matter.

use std::time::Duration;

use super::{Failure, Site, Vote};
use crate::fault::{Fault, planted};
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
    let freezes = planted(Fault::FreezeAlone)
        && fresh.clone().any(|cast| cast.site == Site::Own && matches!(cast.vote, Vote::Abstain(_)));
    if freezes {
        return Verdict::Unconfirmed { last };
    }
    by_site(fresh.clone(), Site::Own).or_else(|| by_site(fresh, Site::Other)).unwrap_or(Verdict::Unconfirmed { last })
}

/// Whether a fresh vote says that it serves, whatever the verdict is.
#[must_use]
pub(super) fn is_seen_up<'a>(mut votes: impl Iterator<Item = CastVote<'a>>) -> bool {
    votes.any(|cast| cast.age <= cast.lasts && *cast.vote == Vote::Up)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Abstention, FailureKind};
    use super::*;

    #[derive(Debug, Clone)]
    struct Told {
        director: DirectorName,
        site: Site,
        vote: Vote,
        age: u64,
    }

    const LASTS: u64 = 9;

    fn decide(votes: &[Told], last: Option<State>) -> Verdict {
        let cast = votes.iter().map(|told| CastVote {
            director: &told.director,
            site: told.site,
            vote: &told.vote,
            age: Duration::from_secs(told.age),
            lasts: Duration::from_secs(LASTS),
        });
        verdict(cast, last)
    }

    fn failure(detail: &str) -> Failure {
        Failure { kind: FailureKind::Refused, check: None, detail: detail.to_owned() }
    }

    /// `U` up, `D` down, `a` suspect, `n` never seen up; capital first letter of a pair is the site: `OU3` is own site, up, 3 s.
    fn told(text: &str) -> Vec<Told> {
        let one = |(index, word): (usize, &str)| {
            let site = if word.starts_with('O') { Site::Own } else { Site::Other };
            let vote = match &word[1..2] {
                "U" => Vote::Up,
                "D" => Vote::Down(failure(word)),
                "a" => Vote::Abstain(Abstention::Suspect),
                _ => Vote::Abstain(Abstention::NeverSeenUp),
            };
            let director = DirectorName::parse(&format!("d{index}")).unwrap();
            Told { director, site, vote, age: word[2..].parse().unwrap() }
        };
        text.split_whitespace().enumerate().map(one).collect()
    }

    #[test]
    fn own_site_first_then_others_then_last_known() {
        use Site::{Other, Own};
        let down = |by, word: &str| Verdict::Down { by, failure: failure(word) };
        for (votes, expected) in [
            ("", Verdict::Unconfirmed { last: Some(State::Up) }),
            ("OU0", Verdict::Up { by: Own }),
            ("OD0 OU0", Verdict::Up { by: Own }),
            ("OD0 OD1", down(Own, "OD0")),
            ("OD0 Oa0", down(Own, "OD0")),
            ("OD0 XU0", down(Own, "OD0")),
            ("Oa0 XU0 XD0", Verdict::Up { by: Other }),
            ("OU10 XD0", down(Other, "XD0")),
            ("OU9 XD0", Verdict::Up { by: Own }),
            ("OU10 OD0", down(Own, "OD0")),
            ("Oa0 Xn0", Verdict::Unconfirmed { last: Some(State::Up) }),
            ("OD10 XD10", Verdict::Unconfirmed { last: Some(State::Up) }),
        ] {
            assert_eq!(decide(&told(votes), Some(State::Up)), expected, "{votes}");
        }
    }

    fn votes() -> impl Strategy<Value = Vec<Told>> {
        proptest::collection::vec("[OX][UDan](0|5|9|10|99)", 0..6).prop_map(|words| told(&words.join(" ")))
    }

    proptest! {
        #[test]
        fn the_order_of_votes_is_of_no_matter((there, shuffled) in votes().prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle()))) {
            prop_assert_eq!(decide(&there, None), decide(&shuffled, None));
        }

        /// One director's broken path changes no verdict elsewhere.
        #[test]
        fn who_abstains_changes_nothing(votes in votes(), who in "[OX][an]0", at in 0usize..6) {
            let mut more = votes.clone();
            let mut abstains = told(&who).remove(0);
            abstains.director = DirectorName::parse("zz").unwrap();
            more.insert(at.min(votes.len()), abstains);
            prop_assert_eq!(decide(&votes, Some(State::Down)), decide(&more, Some(State::Down)));
        }

        #[test]
        fn stale_votes_are_as_good_as_none(votes in votes()) {
            let fresh: Vec<Told> = votes.iter().filter(|told| told.age <= LASTS).cloned().collect();
            prop_assert_eq!(decide(&votes, None), decide(&fresh, None));
        }

        #[test]
        fn nobody_is_down_without_a_fresh_down(votes in votes()) {
            if decide(&votes, None).state() == Some(State::Down) {
                prop_assert!(votes.iter().any(|told| told.age <= LASTS && matches!(told.vote, Vote::Down(_))));
            }
        }
    }
}
