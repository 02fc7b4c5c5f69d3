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

use super::{Failure, FailureKind, Look, Outcome};
use crate::clock::Mono;
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

/// How long a vote stays fresh after the look that it rests on.
///
/// R12: `fall` × the voter's probe interval. One interval and one timeout are added, so that with `fall = 1` a vote does not
/// lapse while the look that renews it is under way.
#[must_use]
pub fn vote_lasts(settings: &HealthSettings, site: Site) -> Duration {
    let looks = settings.fall.saturating_add(1);
    probe_interval(settings, site).saturating_mul(looks).saturating_add(settings.timeout)
}

/// What one director says about one server. No vote yet is the absence of this.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        self.seen_up = true;
        match self.opinion {
            Opinion::None => self.opinion = Opinion::Up,
            Opinion::Down if self.successes >= settings.rise => self.opinion = Opinion::Up,
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
        if self.failures >= settings.fall.max(1) && !excused {
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

    /// The kind of what the last look found wrong; a metric label.
    #[must_use]
    pub fn failure_kind(&self) -> Option<FailureKind> {
        self.failing().map(|failure| failure.kind)
    }
}
