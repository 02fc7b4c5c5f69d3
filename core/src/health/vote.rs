//! One director's own opinion of one server, and the vote that follows from it.
//!
//! Counts looks in a row; knows no other director, no operator and no clock. What it refuses to know about the own network's
//! trouble comes in as [`Silence`], decided by the observer over all servers.
//!
//! ```text
//!   (no opinion) ── first good look ──▶ Up ── `fall` failures in a row ──▶ Down ── `rise` good looks in a row ──▶ Up
//!        └────────── `fall` failures in a row ─────────────────────────────▶ Down
//! ```
//! R11 wants no vote before `fall` looks. That guards against a hasty *down*: the first good look votes up at once, since an
//! unconfirmed server is usable anyway and a director that starts should confirm within one round, not within `fall` of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, Look, Outcome};
use crate::clock::Mono;
use crate::fault::{Fault, planted};
use crate::settings::HealthSettings;

/// Other sites are looked at every so many intervals (R11).
const OTHER_SITE_INTERVALS: u32 = 5;

/// Where the voter stands, seen from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// In the server's datacenter.
    Own,
    /// In another one.
    Other,
}

/// The probe interval of a voter: the configured one, five times that for other sites' servers (R11).
#[must_use]
pub fn probe_interval(settings: &HealthSettings, site: Site) -> Duration {
    match site {
        Site::Own => settings.interval,
        Site::Other => settings.interval.saturating_mul(OTHER_SITE_INTERVALS),
    }
}

/// How long a vote stays fresh after the look that it rests on: as long as a death may go unseen.
///
/// R12: `fall` × the voter's probe interval, and the timeout of the look that renews it; with `fall = 1` two intervals, so that
/// it does not lapse while that look is on its way. Not longer: the last word of a director that died with the server keeps the
/// server up, and the delay of a failover begins when it lapses.
#[must_use]
pub fn vote_lasts(settings: &HealthSettings, site: Site) -> Duration {
    probe_interval(settings, site).saturating_mul(settings.fall.max(2)).saturating_add(settings.timeout)
}

/// What one director says about one server. No vote yet is the absence of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vote {
    /// It serves.
    Up,
    /// It does not.
    Down(Failure),
    /// This director cannot tell.
    Abstain(Abstention),
}

impl Vote {
    /// Whether both say the same, whatever the reason.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Up, Self::Up) | (Self::Down(_), Self::Down(_)) => true,
            (Self::Abstain(a), Self::Abstain(b)) => a == b,
            (Self::Up | Self::Down(_) | Self::Abstain(_), _) => false,
        }
    }
}

/// Why a director cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Abstention {
    /// Another site's server that this run never saw up: perhaps it cannot be reached from here at all.
    NeverSeenUp,
    /// Too many servers are silent: perhaps it is this director that is cut off.
    Suspect,
}

impl Abstention {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverSeenUp => "never_seen_up",
            Self::Suspect => "suspect",
        }
    }
}

/// Whether silence is evidence about the server just now; the observer's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Silence {
    /// It counts as any failure.
    #[default]
    Counts,
    /// It is counted, but no down follows from it.
    Excused,
}

/// What the looks so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opinion {
    None,
    Up,
    Down,
}

/// What the last look was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLook {
    None,
    Good,
    /// Bad, but an answer.
    Answer,
    Silent,
}

/// A run of silent looks that count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SilentRun {
    since: Mono,
    /// What was thought before, for when it turns out that the silence was about the path.
    before: Opinion,
}

/// The vote of this director about one server.
#[derive(Debug, Clone)]
pub struct Voter {
    site: Site,
    opinion: Opinion,
    /// Failed looks in a row, and good ones; one of both is zero.
    failures: u32,
    successes: u32,
    seen_up: bool,
    last: LastLook,
    looked: Option<Mono>,
    took: Duration,
    /// The latest failure; kept while good looks are still being counted, since the vote is still down for it.
    failure: Option<Failure>,
    silent: Option<SilentRun>,
    silence: Silence,
}

impl Voter {
    /// A server that has never been looked at.
    #[must_use]
    pub fn new(site: Site) -> Self {
        Self {
            site,
            opinion: Opinion::None,
            failures: 0,
            successes: 0,
            seen_up: false,
            last: LastLook::None,
            looked: None,
            took: Duration::ZERO,
            failure: None,
            silent: None,
            silence: Silence::Counts,
        }
    }

    /// Time was lost: what the looks before it amounted to is nobody's opinion now, and the next ones are counted anew. A good one
    /// must not make a down of long ago young again.
    pub fn lapse(&mut self) {
        *self = Self { seen_up: self.seen_up, silence: self.silence, ..Self::new(self.site) };
    }

    /// Counts one look.
    pub fn look(&mut self, look: &Look, settings: &HealthSettings, now: Mono) {
        self.looked = Some(now);
        self.took = look.took;
        match &look.outcome {
            Outcome::Good(_) => self.count_good(settings),
            Outcome::Bad(failure) => self.count_bad(failure, settings, now),
        }
    }

    fn count_good(&mut self, settings: &HealthSettings) {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        self.last = LastLook::Good;
        self.silent = None;
        // Of a server that this run never saw up it said nothing (R11): there is no down to rise from.
        let unsaid = self.site == Site::Other && !self.seen_up;
        self.seen_up = true;
        match self.opinion {
            Opinion::None => self.opinion = Opinion::Up,
            Opinion::Down if unsaid || self.successes >= settings.rise => self.opinion = Opinion::Up,
            Opinion::Down | Opinion::Up => {}
        }
    }

    fn count_bad(&mut self, failure: &Failure, settings: &HealthSettings, now: Mono) {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        if failure.kind.is_silence() {
            self.last = LastLook::Silent;
            self.silent.get_or_insert(SilentRun { since: now, before: self.opinion });
        } else {
            self.last = LastLook::Answer;
            self.silent = None;
        }
        self.failure = Some(failure.clone());
        self.settle(settings);
    }

    /// Falls when enough failures stand in a row and the last of them is evidence.
    fn settle(&mut self, settings: &HealthSettings) {
        let excused = self.is_silent() && self.silence == Silence::Excused;
        let early = u32::from(planted(Fault::FallEarly));
        if self.failures + early >= settings.fall.max(1) && !excused {
            self.opinion = Opinion::Down;
        }
    }

    /// The observer's word about silence, from now on and for what lies just behind.
    ///
    /// When it becomes excused, a fall by silence that began less than [`vote_lasts`] ago is taken back: servers are looked at
    /// one after the other, so the first ones fall before enough are silent to raise the suspicion. When it counts again,
    /// because the share went down (`forget`), counting starts anew: the way has just come back, and a server that has not had
    /// its turn yet must not fall for what the way did. Otherwise the failures so far count at once.
    /// Says whether a fall was taken back.
    pub fn set_silence(&mut self, silence: Silence, forget: bool, settings: &HealthSettings, now: Mono) -> bool {
        if silence == self.silence {
            return false;
        }
        self.silence = silence;
        match (silence, self.silent) {
            (_, None) => false,
            (Silence::Excused, Some(run)) => {
                let recent = now.since(run.since) <= vote_lasts(settings, self.site);
                let fell = recent && self.opinion == Opinion::Down && run.before != Opinion::Down;
                if fell {
                    self.opinion = run.before;
                }
                fell
            }
            (Silence::Counts, Some(_)) => {
                if forget {
                    self.failures = 0;
                    self.silent = None;
                } else {
                    self.settle(settings);
                }
                false
            }
        }
    }

    /// The vote; `None` before there is one.
    #[must_use]
    pub fn vote(&self) -> Option<Vote> {
        if self.is_silent() && self.silence == Silence::Excused {
            return Some(Vote::Abstain(Abstention::Suspect));
        }
        match self.opinion {
            Opinion::None => None,
            Opinion::Up => Some(Vote::Up),
            Opinion::Down if self.site == Site::Other && !self.seen_up => Some(Vote::Abstain(Abstention::NeverSeenUp)),
            Opinion::Down => self.failure.clone().map(Vote::Down),
        }
    }

    /// When to look again, counted from the start of the last look.
    ///
    /// Constant work (R11): the rate does not depend on how sick a server is, only `fast` while a count is running. A server
    /// that `flaps` is counted at the usual pace: that bounds its changes to two in `fall + rise` intervals.
    #[must_use]
    pub fn next_probe(&self, settings: &HealthSettings, flaps: bool) -> Duration {
        let usual = probe_interval(settings, self.site);
        if self.is_counting(settings) && !flaps { usual.min(settings.fast) } else { usual }
    }

    fn is_counting(&self, settings: &HealthSettings) -> bool {
        match self.opinion {
            Opinion::None => self.failures < settings.fall,
            Opinion::Up => self.failures > 0 && self.failures < settings.fall,
            Opinion::Down => self.successes > 0,
        }
    }

    /// Where this director stands, seen from the server.
    #[must_use]
    pub fn site(&self) -> Site {
        self.site
    }

    /// When the last look ended.
    #[must_use]
    pub fn looked(&self) -> Option<Mono> {
        self.looked
    }

    /// How long the last look took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// What the last look found wrong; `None` when it was good or there was none.
    #[must_use]
    pub fn failing(&self) -> Option<&Failure> {
        match self.last {
            LastLook::None | LastLook::Good => None,
            LastLook::Answer | LastLook::Silent => self.failure.as_ref(),
        }
    }

    /// Failed looks in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Good looks in a row.
    #[must_use]
    pub fn successes(&self) -> u32 {
        self.successes
    }

    /// The last look heard nothing.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.last == LastLook::Silent
    }

    /// When the last look ended, if it got an answer, good or bad.
    #[must_use]
    pub fn answered(&self) -> Option<Mono> {
        if self.is_silent() { None } else { self.looked }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::FailureKind;
    use super::super::testing::{bad, good, settings};
    use super::*;

    /// Feeds one letter per look, a second apart: `g` good, `r` refused, `t` timeout. Writes the opinion after each: `?` no
    /// vote, `U` up, `D` down, `s` suspect, `n` never seen up.
    fn trace(voter: &mut Voter, looks: &str, from: u64) -> String {
        let settings = settings();
        let look = |(number, letter): (u64, char)| {
            let look = match letter {
                'g' => good(),
                'r' => bad(FailureKind::Refused),
                't' => bad(FailureKind::Timeout),
                other => panic!("{other}"),
            };
            voter.look(&look, &settings, Mono((from + number) * 1000));
            letter_of(voter.vote().as_ref())
        };
        (0..).zip(looks.chars()).map(look).collect()
    }

    fn letter_of(vote: Option<&Vote>) -> char {
        match vote {
            None => '?',
            Some(Vote::Up) => 'U',
            Some(Vote::Down(_)) => 'D',
            Some(Vote::Abstain(Abstention::Suspect)) => 's',
            Some(Vote::Abstain(Abstention::NeverSeenUp)) => 'n',
        }
    }

    #[test]
    fn looks_become_votes_exactly_at_the_fall_th_and_the_rise_th() {
        // fall 3, rise 2
        for (site, looks, votes) in [
            (Site::Own, "g", "U"),
            (Site::Own, "rrrr", "??DD"),
            (Site::Own, "rrg", "??U"),
            (Site::Own, "grrgrrr", "UUUUUUD"),
            (Site::Own, "rrrgrgg", "??DDDDU"),
            (Site::Own, "ttt", "??D"),
            (Site::Own, "rtr", "??D"),
            (Site::Own, "grgrgrgrgr", "UUUUUUUUUU"),
            (Site::Other, "rrrr", "??nn"),
            (Site::Other, "rrrg", "??nU"),
            (Site::Other, "rrrgrrr", "??nUUUD"),
            (Site::Other, "grrrgg", "UUUDDU"),
            (Site::Other, "grrr", "UUUD"),
        ] {
            assert_eq!(trace(&mut Voter::new(site), looks, 0), votes, "{site:?} {looks}");
        }
    }

    #[test]
    fn excused_silence_fells_nobody_and_an_answer_does() {
        let settings = settings();
        let mut voter = Voter::new(Site::Own);
        assert_eq!(trace(&mut voter, "gt", 0), "UU");
        assert!(!voter.set_silence(Silence::Excused, false, &settings, Mono(1500)));
        assert_eq!(trace(&mut voter, "tttttg", 2), "sssssU");
        assert_eq!(trace(&mut voter, "rrr", 10), "UUD");
    }

    #[test]
    fn a_fresh_fall_by_silence_is_taken_back_and_an_old_one_is_not() {
        let settings = settings();
        let lasts = vote_lasts(&settings, Site::Own);
        for (wait, taken_back) in [(lasts, true), (lasts + Duration::from_millis(1), false)] {
            let mut voter = Voter::new(Site::Own);
            assert_eq!(trace(&mut voter, "gttt", 0), "UUUD");
            let now = Mono(1000) + wait;
            assert_eq!(voter.set_silence(Silence::Excused, false, &settings, now), taken_back);
            assert_eq!(voter.vote(), Some(Vote::Abstain(Abstention::Suspect)));
            voter.look(&good(), &settings, now);
            assert_eq!(letter_of(voter.vote().as_ref()), if taken_back { 'U' } else { 'D' });
        }
    }

    #[test]
    fn a_fall_by_answers_is_never_taken_back() {
        let settings = settings();
        let mut voter = Voter::new(Site::Own);
        assert_eq!(trace(&mut voter, "grrr", 0), "UUUD");
        assert!(!voter.set_silence(Silence::Excused, false, &settings, Mono(4000)));
        assert_eq!(letter_of(voter.vote().as_ref()), 'D');
    }

    #[test]
    fn after_the_suspicion_silence_counts_from_zero_and_after_lifting_at_once() {
        let settings = settings();
        for (forget, votes) in [(true, "UUD"), (false, "DDD")] {
            let mut voter = Voter::new(Site::Own);
            assert_eq!(trace(&mut voter, "g", 0), "U");
            voter.set_silence(Silence::Excused, false, &settings, Mono(500));
            assert_eq!(trace(&mut voter, "tttt", 1), "ssss");
            voter.set_silence(Silence::Counts, forget, &settings, Mono(5000));
            assert_eq!(trace(&mut voter, "ttt", 6), votes);
        }
    }

    #[test]
    fn only_a_running_count_is_fast_and_a_flapping_server_never() {
        let settings = settings();
        let next = |site: Site, looks: &str, flaps: bool| {
            let mut voter = Voter::new(site);
            trace(&mut voter, looks, 0);
            voter.next_probe(&settings, flaps)
        };
        let (fast, usual) = (settings.fast, settings.interval);
        for looks in ["", "r", "rr", "gr", "grr", "rrrg"] {
            assert_eq!(next(Site::Own, looks, false), fast, "{looks}");
            assert_eq!(next(Site::Own, looks, true), usual, "{looks}");
        }
        for looks in ["g", "rrr", "grrr", "rrrr", "rrrgg", "grrrgr"] {
            assert_eq!(next(Site::Own, looks, false), usual, "{looks}");
            assert_eq!(next(Site::Other, looks, false), usual * 5, "{looks}");
        }
    }

    #[test]
    fn excused_silence_is_looked_at_no_faster_than_usual() {
        let settings = settings();
        let mut voter = Voter::new(Site::Own);
        trace(&mut voter, "g", 0);
        voter.set_silence(Silence::Excused, false, &settings, Mono(500));
        trace(&mut voter, "tttt", 1);
        assert_eq!(voter.next_probe(&settings, false), settings.interval);
    }

    proptest! {
        /// Down needs `fall` bad looks in a row just before it, up needs `rise` good ones (or to be the first vote).
        #[test]
        fn no_vote_changes_on_fewer_contrary_looks(looks in "[grt]{1,200}", fall in 1u32..6, rise in 1u32..6) {
            let settings = HealthSettings { fall, rise, ..settings() };
            let mut voter = Voter::new(Site::Own);
            let mut before = '?';
            for (index, letter) in looks.char_indices() {
                let look = match letter { 'g' => good(), 'r' => bad(FailureKind::Refused), _ => bad(FailureKind::Timeout) };
                voter.look(&look, &settings, Mono(u64::try_from(index).unwrap() * 1000));
                let after = letter_of(voter.vote().as_ref());
                let goods = looks[..=index].chars().rev().take_while(|it| *it == 'g').count();
                let bads = looks[..=index].chars().rev().take_while(|it| *it != 'g').count();
                let expected = match before {
                    'D' if goods >= rise as usize => 'U',
                    '?' if goods > 0 => 'U',
                    '?' | 'U' if bads >= fall as usize => 'D',
                    same => same,
                };
                prop_assert_eq!(after, expected);
                before = after;
            }
        }
    }
}
