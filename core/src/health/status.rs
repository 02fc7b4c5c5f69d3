//! Everything known about one server's health, each input in a field of its own, and the standing that follows.
//!
//! Owns no rule about other servers: whether silence counts is told ([`ServerHealth::set_silence`]), who else votes is told
//! ([`ServerHealth::hear`]). The operator's word and the observed health never touch each other; they meet in
//! [`ServerHealth::standing`] only.

use std::collections::BTreeMap;
use std::time::Duration;

use super::steady::{Steadiness, WEIGHT_STEPS};
use super::verdict::{CastVote, State, Verdict, is_seen_up, verdict};
use super::vote::{Silence, Site, Vote, Voter, vote_lasts};
use super::{Abstention, Failure, Input, LatestReport, Look, Outcome, Report, Said, ServerChange, Standing, Way};
use crate::clock::{Mono, Now, Since, Time};
use crate::entry::{LastVerdict, OperatorWord, ServerOrder};
use crate::ids::{DatacenterName, DirectorName, Incarnation, ServerName};
use crate::settings::{DependencyEffect, PoolSettings};

/// Another director's vote, as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardVote {
    /// Where the voter stands, seen from the server.
    pub site: Site,
    /// What it says.
    pub vote: Vote,
    /// When the voter looked, all hops included.
    pub looked: Since,
    /// How old it may become, by the voter's own probe interval.
    pub lasts: Duration,
}

/// One server's health.
#[derive(Debug, Clone)]
pub struct ServerHealth {
    name: ServerName,
    voter: Voter,
    heard: BTreeMap<DirectorName, HeardVote>,
    verdict: Verdict,
    /// It is down by the verdict, and somebody sees it serve.
    disputed: bool,
    /// The last confirmed state, of this run or from the journal.
    known: Option<State>,
    /// The last confirmed state of this run.
    decided: Option<State>,
    /// What was remembered before the last fall, for when the fall is taken back.
    before_fall: Option<BeforeFall>,
    since: Mono,
    order: Option<ServerOrder>,
    said: Said,
    steadiness: Steadiness,
    standing: Standing,
    /// Nobody of its own site votes any more: this director's looks are what there is (R11).
    alone: Option<Alone>,
}

/// This director of another site is asked about a server, because the directors of its own site fell silent or abstain.
#[derive(Debug, Clone, Copy, Default)]
struct Alone {
    /// Looks since then.
    looks: u32,
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
            disputed: false,
            known: None,
            decided: None,
            before_fall: None,
            since: now.mono,
            order: None,
            said: Said::default(),
            steadiness: Steadiness::default(),
            standing: Standing::UNKNOWN,
            alone: None,
        }
    }

    /// What the journal knows, repeated as unconfirmed. Ignored once this run has decided itself.
    pub fn restore(&mut self, last: &LastVerdict) {
        if self.decided.is_none() {
            self.known = Some(if last.up { State::Up } else { State::Down });
        }
        let incarnation = last.incarnation.as_deref().and_then(|text| Incarnation::parse(text).ok());
        if let Some(incarnation) = incarnation {
            self.said.restore(incarnation);
        }
    }

    /// What the journal is to keep; `None` while nothing was ever decided.
    #[must_use]
    pub fn last_verdict(&self, time: Time) -> Option<LastVerdict> {
        self.known.map(|state| LastVerdict {
            server: self.name.clone(),
            up: state == State::Up,
            incarnation: self.said.incarnation().map(|it| it.as_str().to_owned()),
            time,
        })
    }

    /// Counts one look, with what the server said in it. Call [`Self::refresh`] afterwards.
    pub fn look(&mut self, look: &Look, pool: &PoolSettings, now: Now, changes: &mut Vec<ServerChange>) {
        let before = self.voter.vote();
        if let Some(alone) = &mut self.alone {
            alone.looks = alone.looks.saturating_add(1);
        }
        match &look.outcome {
            Outcome::Bad(_) => self.voter.look(look, &pool.health, now.mono),
            Outcome::Good(report) => match self.take_report((Way::Look, report), pool, now, changes) {
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
        report: (Way, &Report),
        pool: &PoolSettings,
        now: Now,
        changes: &mut Vec<ServerChange>,
    ) -> Result<(), Failure> {
        self.said.take(&self.name, report, pool, now.mono, changes)
    }

    /// Takes what a server said of itself to another director; see [`Said::hear`]. Call [`Self::refresh`] afterwards.
    pub fn hear_report(
        &mut self,
        told: LatestReport,
        pool: &PoolSettings,
        now: Now,
        changes: &mut Vec<ServerChange>,
    ) -> bool {
        self.said.hear(told, pool, now.mono, changes)
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

    /// Time was lost: see [`Voter::lapse`].
    pub fn lapse(&mut self) {
        self.voter.lapse();
    }

    /// Forgets the words of directors that are no longer configured. Beats that this one (`me`) heard in a former run stay.
    pub fn forget_all_but(&mut self, me: &DirectorName, peers: &BTreeMap<DirectorName, DatacenterName>) {
        self.heard.retain(|director, _| peers.contains_key(director));
        self.said.forget_all_but(|director| director == me || peers.contains_key(director));
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
        let (next, seen_up) = self.decide(me, pool, now.mono);
        self.disputed = seen_up && matches!(next, Verdict::Down { .. });
        self.ask_others(now.mono, changes);
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

    fn decide(&self, me: &DirectorName, pool: &PoolSettings, now: Mono) -> (Verdict, bool) {
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
            age: heard.looked.age(now),
            lasts: heard.lasts,
        });
        let votes = own.into_iter().chain(heard);
        (verdict(votes.clone(), self.known), is_seen_up(votes))
    }

    /// R11: when no director of the server's own site votes any more, the others look at once and often until they know, then as
    /// often as its own directors did. A site that never had a vote is looked at as always: perhaps no director stands there.
    fn ask_others(&mut self, now: Mono, changes: &mut Vec<ServerChange>) {
        if self.voter.site() == Site::Own {
            return;
        }
        let mut known = false;
        let votes = self.heard.values().filter(|heard| heard.site == Site::Own).any(|heard| {
            known = true;
            heard.looked.age(now) <= heard.lasts && !matches!(heard.vote, Vote::Abstain(_))
        });
        if votes || !known {
            self.alone = None;
        } else if self.alone.is_none() {
            self.alone = Some(Alone::default());
            changes.push(ServerChange::Asked);
        }
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
            (Verdict::Down { .. }, OperatorWord::Ready) if self.disputed && !self.said.is_draining() => Input::Disputed,
            (Verdict::Down { .. }, _) => Input::Down,
            (Verdict::Unconfirmed { last: Some(State::Down) }, _) => Input::LastKnownDown,
            (_, OperatorWord::Drain) => Input::Drain,
            _ if self.said.is_draining() => Input::Draining,
            _ if self.said.dependency_down(pool, DependencyEffect::Degrade).is_some() => Input::Degraded,
            _ if self.steadiness.is_held(now.mono) => Input::HeldDown,
            (Verdict::Unconfirmed { last: None }, _) if self.is_unseen(pool, now.mono) => Input::Unseen,
            (Verdict::Unconfirmed { .. }, _) => Input::Unconfirmed,
            (Verdict::Up { .. }, _) if weight_step < WEIGHT_STEPS => Input::SlowStart,
            (Verdict::Up { .. }, _) => Input::Up,
        }
    }

    /// Nothing is known of it by anybody, and this director has looked long enough to say that it serves nobody who is sent from here.
    fn is_unseen(&self, pool: &PoolSettings, now: Mono) -> bool {
        self.voter.vote() == Some(Vote::Abstain(Abstention::NeverSeenUp)) && now >= self.since + pool.failover.after
    }

    /// When time alone may change verdict or standing next.
    #[must_use]
    pub fn next_deadline(&self, pool: &PoolSettings, now: Now) -> Option<Mono> {
        let lapse = self.order.as_ref().and_then(|order| order.deadline).filter(|at| *at > now.time);
        let lapse = lapse.map(|at| now.mono + at.since(now.time));
        let past = Duration::from_millis(1);
        let own = self.voter.looked().map(|looked| looked + vote_lasts(&pool.health, self.voter.site()) + past);
        let heard = self.heard.values().map(|it| it.looked.lapses(it.lasts) + past);
        let votes = own.into_iter().chain(heard).filter(|at| *at > now.mono);
        let steady = self.steadiness.deadline(pool.health.slow_start, now.mono);
        let unseen = Some(self.since + pool.failover.after).filter(|at| *at > now.mono && self.known.is_none());
        votes.chain(lapse).chain(steady).chain(unseen).min()
    }

    /// When to look again, counted from the start of the last look.
    #[must_use]
    pub fn next_probe(&self, pool: &PoolSettings, now: Mono) -> Duration {
        let usual = self.voter.next_probe(&pool.health, self.steadiness.flaps(now));
        match self.alone {
            Some(alone) if alone.looks < pool.health.fall => usual.min(pool.health.fast),
            Some(_) => usual.min(pool.health.interval),
            None => usual,
        }
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

    /// The present incarnation.
    #[must_use]
    pub fn incarnation(&self) -> Option<&Incarnation> {
        self.said.incarnation()
    }

    /// Everything that it said of itself.
    #[must_use]
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// Its falls, hold-down and slow start.
    #[must_use]
    pub fn steadiness(&self) -> &Steadiness {
        &self.steadiness
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::FailureKind;
    use super::super::testing::{at, bad, good, pool, says, server, site};
    use super::*;
    use crate::clock::Stamp;
    use crate::settings::Settings;

    struct One {
        settings: Settings,
        health: ServerHealth,
    }

    impl One {
        fn new() -> Self {
            Self::depending(&[])
        }

        fn depending(depends: &[(&str, DependencyEffect)]) -> Self {
            let mut settings = site(1, 0);
            let pool = Arc::make_mut(settings.pools.get_mut(&pool()).unwrap());
            pool.depends = depends.iter().map(|(name, effect)| ((*name).to_owned(), *effect)).collect();
            Self { settings, health: ServerHealth::new(server("e1"), Site::Own, at(0)) }
        }

        fn pool(&self) -> Arc<PoolSettings> {
            Arc::clone(&self.settings.pools[&pool()])
        }

        fn look(&mut self, look: &Look, millis: u64) -> Vec<ServerChange> {
            let (pool, mut changes) = (self.pool(), Vec::new());
            self.health.look(look, &pool, at(millis), &mut changes);
            self.health.refresh(&self.settings.director, &pool, at(millis), &mut changes);
            changes
        }

        fn input(&mut self, millis: u64) -> Input {
            let pool = self.pool();
            self.health.refresh(&self.settings.director, &pool, at(millis), &mut Vec::new());
            self.health.standing().input
        }

        fn order(&mut self, word: OperatorWord, deadline: Option<Time>, stamp: u64) -> bool {
            self.health.order(&ServerOrder {
                server: server("e1"),
                word,
                reason: String::new(),
                deadline,
                stamp: Stamp::at(Time(stamp)),
                writer: self.settings.director.clone(),
            })
        }

        fn fall_and_rise(&mut self, from: u64) {
            for step in 0..3 {
                self.look(&bad(FailureKind::Refused), from + step);
            }
            assert_eq!(self.health.standing().input, Input::Down);
            self.look(&good(), from + 3);
            assert_eq!(self.health.standing().input, Input::Down);
            self.look(&good(), from + 4);
        }
    }

    fn report(change: impl FnOnce(&mut Report)) -> Look {
        let mut report = Report { server: Some(server("e1")), ..Report::default() };
        change(&mut report);
        says(report)
    }

    #[test]
    fn unknown_is_usable_last_and_the_first_good_look_confirms_with_full_weight() {
        let mut one = One::new();
        assert_eq!(one.input(0), Input::Unconfirmed);
        assert!(one.health.standing().is_placeable());
        one.look(&good(), 10);
        assert_eq!(one.health.standing(), Standing { input: Input::Up, weight_step: 16 });
    }

    #[test]
    fn the_last_known_state_is_repeated_until_looks_decide() {
        for (up, input) in [(true, Input::Unconfirmed), (false, Input::LastKnownDown)] {
            let mut one = One::new();
            one.health.restore(&LastVerdict { server: server("e1"), up, incarnation: None, time: Time(1) });
            assert_eq!(one.input(0), input);
            one.look(&bad(FailureKind::Refused), 1);
            assert_eq!(one.health.standing().input, input, "one look decides nothing");
            one.look(&good(), 2);
            assert_eq!(
                one.health.standing(),
                Standing { input: Input::Up, weight_step: 16 },
                "no slow start at start-up"
            );
            one.health.restore(&LastVerdict { server: server("e1"), up: false, incarnation: None, time: Time(1) });
            assert_eq!(one.input(3), Input::Up, "the journal comes too late");
        }
    }

    #[test]
    fn votes_that_nobody_renews_lapse_to_unconfirmed() {
        let mut one = One::new();
        one.look(&good(), 0);
        let lasts = 7_000;
        assert_eq!(one.health.next_deadline(&one.pool(), at(0)), Some(Mono(lasts + 1)));
        assert_eq!(one.input(lasts), Input::Up);
        assert_eq!(one.input(lasts + 1), Input::Unconfirmed);
        assert_eq!(*one.health.verdict(), Verdict::Unconfirmed { last: Some(State::Up) });
    }

    #[test]
    fn slow_start_after_the_first_fall_and_hold_down_after_the_second() {
        let mut one = One::new();
        one.look(&good(), 0);
        one.fall_and_rise(10);
        assert_eq!(one.health.standing(), Standing { input: Input::SlowStart, weight_step: 1 });
        one.fall_and_rise(20);
        assert_eq!(one.health.standing(), Standing { input: Input::HeldDown, weight_step: 1 });
        assert!(one.health.standing().is_placeable());
        let pool = one.pool();
        for step in (0..30_000).step_by(500) {
            one.look(&good(), 24 + step);
        }
        assert_eq!(one.input(30_023), Input::HeldDown);
        assert_eq!(one.input(30_024), Input::Up);
        assert!(one.health.next_deadline(&pool, at(30_024)).is_some());
    }

    #[test]
    fn the_operators_word_and_the_health_are_kept_apart() {
        let mut one = One::new();
        one.look(&good(), 0);
        assert!(one.order(OperatorWord::Maint, None, 5));
        assert_eq!(one.input(1), Input::Maint);
        assert_eq!(one.health.verdict().state(), Some(State::Up));
        assert!(!one.order(OperatorWord::Ready, None, 4), "an older order changes nothing");
        assert_eq!(one.input(2), Input::Maint);
        assert!(one.order(OperatorWord::Drain, None, 6));
        assert_eq!(one.input(3), Input::Drain);
        assert!(one.health.standing().is_usable());
        assert!(!one.health.standing().is_placeable());
        for millis in 4..7 {
            one.look(&bad(FailureKind::Refused), millis);
        }
        assert_eq!(one.input(7), Input::Down, "down wins over drain");
        assert_eq!(one.health.operator_word(at(7).time), OperatorWord::Drain);
    }

    #[test]
    fn an_order_lapses_at_its_deadline() {
        let mut one = One::new();
        one.look(&good(), 0);
        one.order(OperatorWord::Maint, Some(at(5_000).time), 1);
        assert_eq!(one.input(10), Input::Maint);
        assert_eq!(one.health.next_deadline(&one.pool(), at(10)), Some(Mono(5_000)));
        assert_eq!(one.input(4_999), Input::Maint);
        assert_eq!(one.input(5_000), Input::Up);
        assert_eq!(one.health.operator().map(|order| order.word), Some(OperatorWord::Maint), "still shown");
    }

    #[test]
    fn a_server_drains_by_its_own_word_and_an_empty_report_takes_nothing_back() {
        let mut one = One::new();
        one.look(&report(|it| it.draining = Some(true)), 0);
        assert_eq!(one.input(0), Input::Draining);
        one.look(&good(), 1);
        assert_eq!(one.input(1), Input::Draining);
        one.look(&report(|it| it.sessions = Some(1)), 2);
        assert_eq!(one.input(2), Input::Up);
        assert_eq!(one.health.said().latest().map(|latest| latest.said), Some(Since::new(Mono(2), Duration::ZERO)));
    }

    #[test]
    fn who_answers_and_says_nothing_of_himself_for_long_has_said_nothing() {
        let mut one = One::new();
        one.look(&report(|it| it.draining = Some(true)), 0);
        one.look(&good(), 599_999);
        assert_eq!(one.input(599_999), Input::Draining);
        one.look(&bad(FailureKind::Timeout), 700_000);
        assert_eq!(one.input(700_000), Input::Draining, "who does not answer takes nothing back");
        one.look(&good(), 700_001);
        assert_eq!((one.input(700_001), one.health.said().latest()), (Input::Up, None));
    }

    #[test]
    fn swapped_addresses_are_down_and_nothing_of_that_report_is_taken() {
        let mut one = One::new();
        let other = report(|it| {
            it.server = Some(server("e2"));
            it.incarnation = Incarnation::parse("other").ok();
            it.sessions = Some(7);
        });
        for millis in 0..3 {
            one.look(&other, millis);
        }
        let Verdict::Down { failure, .. } = one.health.verdict() else { panic!("{:?}", one.health.verdict()) };
        assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::WrongName, "says that it is e2"));
        assert_eq!(one.health.said().latest(), None);
        assert_eq!(one.health.incarnation(), None);
    }

    #[test]
    fn dependencies_degrade_fell_or_are_only_told() {
        let depends = [
            ("aes", DependencyEffect::Reset),
            ("database", DependencyEffect::Down),
            ("mail", DependencyEffect::Degrade),
        ];
        let mut one = One::depending(&depends);
        let state = |name: &str, up: bool| {
            let name = name.to_owned();
            report(move |it| it.depends = BTreeMap::from([(name, up)]))
        };
        one.look(&state("unheard-of", false), 0);
        assert_eq!(one.input(0), Input::Up, "what is not configured means nothing");
        one.look(&state("mail", false), 1);
        assert_eq!(one.input(1), Input::Degraded);
        assert!(one.health.standing().is_placeable());
        one.look(&good(), 2);
        assert_eq!(one.input(2), Input::Degraded, "absent is unknown, not up");
        one.look(&state("mail", true), 3);
        assert_eq!(one.input(3), Input::Up);

        for millis in 4..7 {
            assert_eq!(one.input(millis), Input::Up);
            one.look(&state("database", false), millis);
        }
        let Verdict::Down { failure, .. } = one.health.verdict() else { panic!("{:?}", one.health.verdict()) };
        assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::Dependency, "dependency database is down"));

        let reset = |up, known| {
            let (name, effect) = ("aes".to_owned(), DependencyEffect::Reset);
            vec![ServerChange::Dependency { name, effect, up, known }]
        };
        let mut one = One::depending(&depends);
        one.look(&good(), 0);
        assert_eq!(
            one.look(&state("aes", false), 1),
            reset(false, false),
            "down at first sight: nothing was lost meanwhile"
        );
        assert_eq!(one.look(&state("aes", true), 2), reset(true, true));
        assert_eq!(one.look(&state("aes", true), 3), vec![]);
        assert_eq!(one.look(&state("aes", false), 4), reset(false, true));
        assert_eq!(one.input(5), Input::Up);
    }

    #[test]
    fn the_first_incarnation_is_learned_and_another_one_is_a_change() {
        let mut one = One::new();
        let life = |number: u32| Incarnation::parse(&format!("boot-{number}")).unwrap();
        let told = |number: u32| report(|it| it.incarnation = Some(life(number)));
        let changes = one.look(&told(1), 0);
        assert!(changes.contains(&ServerChange::Incarnation { old: None, new: life(1) }), "{changes:?}");
        assert_eq!(one.look(&told(1), 1), vec![]);
        assert_eq!(one.look(&good(), 2), vec![], "saying nothing changes nothing");
        for number in 2..8 {
            let changes = one.look(&told(number), u64::from(number));
            assert_eq!(changes, vec![ServerChange::Incarnation { old: Some(life(number - 1)), new: life(number) }]);
        }
        assert_eq!(one.health.said().incarnations(), [life(4), life(5), life(6), life(7)]);
    }

    #[test]
    fn a_restart_of_the_server_while_the_director_was_away_is_seen() {
        let mut one = One::new();
        let old = Some("boot-1".to_owned());
        one.health.restore(&LastVerdict { server: server("e1"), up: true, incarnation: old, time: Time(1) });
        let new = Incarnation::parse("boot-2").unwrap();
        let changes = one.look(&report(|it| it.incarnation = Some(new.clone())), 0);
        let old = Incarnation::parse("boot-1").ok();
        assert!(changes.contains(&ServerChange::Incarnation { old, new }), "{changes:?}");
    }

    #[test]
    fn other_directors_of_the_own_site_hold_it_up_until_their_votes_lapse() {
        let mut one = One::new();
        let peer = DirectorName::parse("d2").unwrap();
        let (looked, lasts) = (Since::new(Mono(0), Duration::from_secs(1)), Duration::from_secs(6));
        one.health.hear(peer.clone(), HeardVote { site: Site::Own, vote: Vote::Up, looked, lasts });
        for millis in 0..4 {
            one.look(&bad(FailureKind::Refused), millis);
        }
        assert_eq!(one.health.verdict().state(), Some(State::Up));
        assert_eq!(one.health.next_deadline(&one.pool(), at(4)), Some(Mono(5_001)));
        one.look(&bad(FailureKind::Refused), 5_000);
        assert_eq!(one.health.verdict().state(), Some(State::Up));
        one.look(&bad(FailureKind::Refused), 5_001);
        assert_eq!(one.health.verdict().state(), Some(State::Down));
        one.health.forget_all_but(&peer, &BTreeMap::new());
        assert!(one.health.heard().is_empty());
    }

    #[test]
    fn refreshing_twice_says_nothing_new() {
        let mut one = One::new();
        one.look(&good(), 0);
        let (pool, mut changes) = (one.pool(), Vec::new());
        one.health.refresh(&one.settings.director, &pool, at(0), &mut changes);
        one.health.refresh(&one.settings.director, &pool, at(0), &mut changes);
        assert_eq!(changes, vec![]);
    }
}
