//! Everything known about one server's health, each input in a field of its own, and the standing that follows.
//!
//! Owns no rule about other servers: whether silence counts is told ([`ServerHealth::set_silence`]), who else votes is told
//! ([`ServerHealth::hear`]). The operator's word and the observed health never touch each other; they meet in
//! [`ServerHealth::standing`] only.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::steady::{Steadiness, WEIGHT_STEPS};
use super::verdict::{CastVote, State, Verdict, verdict};
use super::vote::{Silence, Site, Vote, Voter, vote_lasts};
use super::{Failure, FailureKind, Input, Look, Outcome, Report, Standing};
use crate::clock::{Mono, Now, Time};
use crate::entry::{LastVerdict, OperatorWord, ServerOrder};
use crate::ids::{DatacenterName, DirectorName, Incarnation, ServerName};
use crate::settings::{DependencyEffect, PoolSettings};

/// Incarnations that are kept for display.
const INCARNATIONS_MAX: usize = 4;

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
    /// Decisions see it otherwise.
    Standing {
        /// Before.
        from: Standing,
        /// Now.
        to: Standing,
    },
}

/// Another director's vote, as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardVote {
    /// Where the voter stands, seen from the server.
    pub site: Site,
    /// What it says.
    pub vote: Vote,
    /// When it was heard.
    pub heard: Mono,
    /// How old it was then, all hops included.
    pub age: Duration,
    /// How old it may become, by the voter's own probe interval.
    pub lasts: Duration,
}

/// The latest report, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestReport {
    /// What the server said.
    pub report: Report,
    /// When.
    pub at: Mono,
}

/// One server's health.
#[derive(Debug, Clone)]
pub struct ServerHealth {
    name: ServerName,
    voter: Voter,
    heard: BTreeMap<DirectorName, HeardVote>,
    verdict: Verdict,
    /// The last confirmed state, of this run or from the journal.
    known: Option<State>,
    /// The last confirmed state of this run.
    decided: Option<State>,
    /// What was remembered before the last fall, for when the fall is taken back.
    before_fall: Option<BeforeFall>,
    since: Mono,
    order: Option<ServerOrder>,
    latest: Option<LatestReport>,
    /// The last few, the present one last.
    incarnations: SmallVec<[Incarnation; INCARNATIONS_MAX]>,
    /// The last word about each configured dependency.
    depends: BTreeMap<String, bool>,
    steadiness: Steadiness,
    standing: Standing,
}

#[derive(Debug, Clone)]
struct BeforeFall {
    known: Option<State>,
    decided: Option<State>,
    steadiness: Steadiness,
}

impl ServerHealth {
    /// A server that nothing is known of.
    #[must_use]
    pub fn new(name: ServerName, site: Site, now: Now) -> Self {
        Self {
            name,
            voter: Voter::new(site),
            heard: BTreeMap::new(),
            verdict: Verdict::Unconfirmed { last: None },
            known: None,
            decided: None,
            before_fall: None,
            since: now.mono,
            order: None,
            latest: None,
            incarnations: SmallVec::new(),
            depends: BTreeMap::new(),
            steadiness: Steadiness::default(),
            standing: Standing::UNKNOWN,
        }
    }

    /// What the journal knows, repeated as unconfirmed. Ignored once this run has decided itself.
    pub fn restore(&mut self, last: &LastVerdict) {
        if self.decided.is_none() {
            self.known = Some(if last.up { State::Up } else { State::Down });
        }
        let incarnation = last.incarnation.as_deref().and_then(|text| Incarnation::parse(text).ok());
        if let (Some(incarnation), true) = (incarnation, self.incarnations.is_empty()) {
            self.incarnations.push(incarnation);
        }
    }

    /// What the journal is to keep; `None` while nothing was ever decided.
    #[must_use]
    pub fn last_verdict(&self, time: Time) -> Option<LastVerdict> {
        self.known.map(|state| LastVerdict {
            server: self.name.clone(),
            up: state == State::Up,
            incarnation: self.incarnation().map(|it| it.as_str().to_owned()),
            time,
        })
    }

    /// Counts one look, with what the server said in it. Call [`Self::refresh`] afterwards.
    pub fn look(&mut self, look: &Look, pool: &PoolSettings, now: Now, changes: &mut Vec<ServerChange>) {
        let before = self.voter.vote();
        match &look.outcome {
            Outcome::Bad(_) => self.voter.look(look, &pool.health, now.mono),
            Outcome::Good(report) => match self.take_report(report, pool, now, changes) {
                Ok(()) => self.voter.look(look, &pool.health, now.mono),
                Err(failure) => {
                    let look = Look { took: look.took, outcome: Outcome::Bad(failure) };
                    self.voter.look(&look, &pool.health, now.mono);
                }
            },
        }
        self.tell_vote(before.as_ref(), changes);
    }

    /// Takes what a server says of itself, from a look or a beat. A beat is no look: it says nothing about the way to the
    /// server, so it moves no vote. An empty report says nothing and leaves the latest one.
    ///
    /// # Errors
    /// The failure that a look with this report is: the name is another one (then nothing of it is taken), or a dependency with
    /// effect `down` is down.
    pub fn take_report(
        &mut self,
        report: &Report,
        pool: &PoolSettings,
        now: Now,
        changes: &mut Vec<ServerChange>,
    ) -> Result<(), Failure> {
        if let Some(other) = report.server.as_ref().filter(|other| **other != self.name) {
            let detail = format!("says that it is {other}");
            return Err(Failure { kind: FailureKind::WrongName, check: None, detail });
        }
        if *report != Report::default() {
            self.latest = Some(LatestReport { report: report.clone(), at: now.mono });
        }
        self.take_incarnation(report, changes);
        self.take_dependencies(report, pool, changes);
        self.dependency_down(pool, DependencyEffect::Down).map_or(Ok(()), |name| {
            let detail = format!("dependency {name} is down");
            Err(Failure { kind: FailureKind::Dependency, check: None, detail })
        })
    }

    fn take_incarnation(&mut self, report: &Report, changes: &mut Vec<ServerChange>) {
        let Some(new) = report.incarnation.as_ref().filter(|new| self.incarnations.last() != Some(*new)) else {
            return;
        };
        let old = self.incarnations.last().cloned();
        if self.incarnations.len() == INCARNATIONS_MAX {
            self.incarnations.remove(0);
        }
        self.incarnations.push(new.clone());
        changes.push(ServerChange::Incarnation { old, new: new.clone() });
    }

    fn take_dependencies(&mut self, report: &Report, pool: &PoolSettings, changes: &mut Vec<ServerChange>) {
        for (name, effect) in &pool.depends {
            let Some(&up) = report.depends.get(name) else { continue };
            let before = self.depends.insert(name.clone(), up);
            if before.unwrap_or(true) != up {
                changes.push(ServerChange::Dependency {
                    name: name.clone(),
                    effect: *effect,
                    up,
                    known: before.is_some(),
                });
            }
        }
    }

    /// The first dependency with this effect that is down.
    #[must_use]
    pub fn dependency_down<'a>(&self, pool: &'a PoolSettings, effect: DependencyEffect) -> Option<&'a str> {
        let down = |name: &&String| self.depends.get(*name) == Some(&false);
        pool.depends.iter().filter(|(_, it)| **it == effect).map(|(name, _)| name).find(down).map(String::as_str)
    }

    /// The observer's word (see [`Voter::set_silence`]). Call [`Self::refresh`] afterwards.
    pub fn set_silence(
        &mut self,
        silence: Silence,
        forget: bool,
        pool: &PoolSettings,
        now: Now,
        changes: &mut Vec<ServerChange>,
    ) {
        let before = self.voter.vote();
        let taken_back = self.voter.set_silence(silence, forget, &pool.health, now.mono);
        if let Some(before) = self.before_fall.take_if(|_| taken_back) {
            // The fall was this director's mistake: neither "last known" nor the hold-down may remember it.
            self.known = before.known;
            self.decided = before.decided;
            self.steadiness = before.steadiness;
        }
        self.tell_vote(before.as_ref(), changes);
    }

    fn tell_vote(&self, before: Option<&Vote>, changes: &mut Vec<ServerChange>) {
        let vote = self.voter.vote();
        let same = match (before, &vote) {
            (None, None) => true,
            (Some(a), Some(b)) => a.agrees(b),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !same {
            changes.push(ServerChange::Vote(vote));
        }
    }

    /// Another director's vote replaces its earlier one. Call [`Self::refresh`] afterwards.
    pub fn hear(&mut self, director: DirectorName, vote: HeardVote) {
        self.heard.insert(director, vote);
    }

    /// Forgets the votes of directors that are no longer configured.
    pub fn forget_all_but(&mut self, peers: &BTreeMap<DirectorName, DatacenterName>) {
        self.heard.retain(|director, _| peers.contains_key(director));
    }

    /// Takes an order if it is newer than the present one (R15); says whether it was. Call [`Self::refresh`] afterwards.
    pub fn order(&mut self, order: &ServerOrder) -> bool {
        let newer = self.order.as_ref().is_none_or(|old| (order.stamp, &order.writer) > (old.stamp, &old.writer));
        if newer {
            self.order = Some(order.clone());
        }
        newer
    }

    /// Brings verdict and standing up to date with votes and time, and says what changed. Harmless when called twice.
    pub fn refresh(&mut self, me: &DirectorName, pool: &PoolSettings, now: Now, changes: &mut Vec<ServerChange>) {
        let next = self.decide(me, pool, now.mono);
        if let (Some(state), true) = (next.state(), next.is_confirmed()) {
            self.settle(state, now.mono);
        }
        if next.agrees(&self.verdict) {
            self.verdict = next;
        } else {
            self.since = now.mono;
            let from = std::mem::replace(&mut self.verdict, next.clone());
            changes.push(ServerChange::Verdict { from, to: next });
        }
        let standing = self.standing_at(pool, now);
        if standing != self.standing {
            changes.push(ServerChange::Standing { from: self.standing, to: standing });
            self.standing = standing;
        }
    }

    fn decide(&self, me: &DirectorName, pool: &PoolSettings, now: Mono) -> Verdict {
        let own = self.voter.vote();
        let own = own.as_ref().zip(self.voter.looked()).map(|(vote, looked)| CastVote {
            director: me,
            site: self.voter.site(),
            vote,
            age: now.since(looked),
            lasts: vote_lasts(&pool.health, self.voter.site()),
        });
        let heard = self.heard.iter().map(|(director, heard)| CastVote {
            director,
            site: heard.site,
            vote: &heard.vote,
            age: heard.age.saturating_add(now.since(heard.heard)),
            lasts: heard.lasts,
        });
        verdict(own.into_iter().chain(heard), self.known)
    }

    fn settle(&mut self, state: State, now: Mono) {
        if state == State::Up {
            self.before_fall = None;
        } else if self.decided != Some(State::Down) {
            let (known, decided, steadiness) = (self.known, self.decided, self.steadiness.clone());
            self.before_fall = Some(BeforeFall { known, decided, steadiness });
        }
        match (self.decided, state) {
            (Some(State::Up), State::Down) => self.steadiness.fall(now),
            (Some(State::Down), State::Up) => self.steadiness.rise(true, now),
            (None, State::Up) => self.steadiness.rise(false, now),
            (None | Some(State::Down), State::Down) | (Some(State::Up), State::Up) => {}
        }
        self.decided = Some(state);
        self.known = Some(state);
    }

    fn standing_at(&self, pool: &PoolSettings, now: Now) -> Standing {
        let weight_step = self.steadiness.weight_step(pool.health.slow_start, now.mono);
        Standing { input: self.input_at(pool, now, weight_step), weight_step }
    }

    fn input_at(&self, pool: &PoolSettings, now: Now, weight_step: u8) -> Input {
        let word = self.operator_word(now.time);
        match (&self.verdict, word) {
            (_, OperatorWord::Maint) => Input::Maint,
            (Verdict::Down { .. }, _) => Input::Down,
            (Verdict::Unconfirmed { last: Some(State::Down) }, _) => Input::LastKnownDown,
            (_, OperatorWord::Drain) => Input::Drain,
            _ if self.is_draining() => Input::Draining,
            _ if self.dependency_down(pool, DependencyEffect::Degrade).is_some() => Input::Degraded,
            _ if self.steadiness.is_held(now.mono) => Input::HeldDown,
            (Verdict::Unconfirmed { .. }, _) => Input::Unconfirmed,
            (Verdict::Up { .. }, _) if weight_step < WEIGHT_STEPS => Input::SlowStart,
            (Verdict::Up { .. }, _) => Input::Up,
        }
    }

    /// When time alone may change verdict or standing next.
    #[must_use]
    pub fn next_deadline(&self, pool: &PoolSettings, now: Now) -> Option<Mono> {
        let lapse = self.order.as_ref().and_then(|order| order.deadline).filter(|at| *at > now.time);
        let lapse = lapse.map(|at| now.mono + at.since(now.time));
        let past = Duration::from_millis(1);
        let own = self.voter.looked().map(|looked| looked + vote_lasts(&pool.health, self.voter.site()) + past);
        let heard = self.heard.values().map(|it| it.heard + it.lasts.saturating_sub(it.age) + past);
        let votes = own.into_iter().chain(heard).filter(|at| *at > now.mono);
        let steady = self.steadiness.deadline(pool.health.slow_start, now.mono);
        votes.chain(lapse).chain(steady).min()
    }

    /// When to look again, counted from the start of the last look.
    #[must_use]
    pub fn next_probe(&self, pool: &PoolSettings, now: Mono) -> Duration {
        self.voter.next_probe(&pool.health, self.steadiness.flaps(now))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ServerName {
        &self.name
    }

    /// As decisions see it, at the last refresh.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The verdict at the last refresh.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Since when that verdict holds.
    #[must_use]
    pub fn since(&self) -> Mono {
        self.since
    }

    /// This director's own vote, with the looks behind it.
    #[must_use]
    pub fn voter(&self) -> &Voter {
        &self.voter
    }

    /// Other directors' votes by name.
    #[must_use]
    pub fn heard(&self) -> &BTreeMap<DirectorName, HeardVote> {
        &self.heard
    }

    /// The operator's order as it was given, lapsed or not.
    #[must_use]
    pub fn operator(&self) -> Option<&ServerOrder> {
        self.order.as_ref()
    }

    /// The operator's word in force; ready when there is none or it has lapsed.
    #[must_use]
    pub fn operator_word(&self, time: Time) -> OperatorWord {
        let order = self.order.as_ref().filter(|order| order.deadline.is_none_or(|deadline| time < deadline));
        order.map_or(OperatorWord::Ready, |order| order.word)
    }

    /// The server itself asks for no new sessions.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.latest.as_ref().and_then(|latest| latest.report.draining).unwrap_or(false)
    }

    /// What it said last, and when.
    #[must_use]
    pub fn latest_report(&self) -> Option<&LatestReport> {
        self.latest.as_ref()
    }

    /// The configured dependencies that it spoke of: true is up.
    #[must_use]
    pub fn dependencies(&self) -> &BTreeMap<String, bool> {
        &self.depends
    }

    /// The present incarnation.
    #[must_use]
    pub fn incarnation(&self) -> Option<&Incarnation> {
        self.incarnations.last()
    }

    /// The last few incarnations, the present one last.
    #[must_use]
    pub fn incarnations(&self) -> &[Incarnation] {
        &self.incarnations
    }

    /// Its falls, hold-down and slow start.
    #[must_use]
    pub fn steadiness(&self) -> &Steadiness {
        &self.steadiness
    }
}
