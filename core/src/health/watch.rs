//! All servers' health as one director sees it: hands each look to its server and lets the observer judge over all.
//!
//! Call order: any input (`look`, `order`, `hear`, `handle_timeout` …) returns what changed; `next_deadline` afterwards.

use std::collections::BTreeMap;

use super::ServerChange;
use super::observer::{Hearing, Observer, Suspicion, Turn};
use super::status::{HeardVote, ServerHealth};
use super::vote::Site;
use super::{LatestReport, Look, Report, Way};
use crate::clock::{Mono, Now};
use crate::entry::{LastVerdict, OperatorWord, ServerOrder};
use crate::ids::{DirectorName, PoolName, ServerName};
use crate::settings::{PoolSettings, Settings};

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// About one server.
    Server(ServerName, ServerChange),
    /// This director began or ceased to suspect itself, for the servers of this pool.
    Observer(PoolName, Turn),
}

/// The health of all configured servers.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    servers: BTreeMap<ServerName, Watched>,
    observers: BTreeMap<PoolName, Observer>,
    /// No later than the first moment at which time alone changes something. Looks mostly put that off, so it is kept as a lower
    /// bound and made exact by the timeout: no input has to walk over all servers.
    deadline: Option<Mono>,
}

#[derive(Debug, Clone)]
struct Watched {
    pool: PoolName,
    health: ServerHealth,
}

impl Watch {
    /// Nothing is known of any server.
    #[must_use]
    pub fn new(settings: &Settings, now: Now) -> Self {
        let mut watch = Self::default();
        watch.configure(settings, now);
        watch
    }

    /// Follows the configuration: new servers are unknown, gone ones forgotten, others keep what is known of them, unless they
    /// moved to another pool or site.
    pub fn configure(&mut self, settings: &Settings, now: Now) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.servers);
        for pool in settings.pools.values() {
            for server in pool.servers.values() {
                let site = if server.datacenter == settings.datacenter { Site::Own } else { Site::Other };
                let known =
                    before.remove(&server.name).filter(|it| it.pool == pool.name && it.health.voter().site() == site);
                let health = known.map_or_else(|| ServerHealth::new(server.name.clone(), site, now), |it| it.health);
                self.servers.insert(server.name.clone(), Watched { pool: pool.name.clone(), health });
            }
        }
        self.observers.retain(|pool, _| settings.pools.contains_key(pool));
        for pool in settings.pools.keys() {
            self.observers.entry(pool.clone()).or_default();
        }
        let mut changes = Vec::new();
        for watched in self.servers.values_mut() {
            watched.health.forget_all_but(&settings.director, &settings.peers);
            let (Some(pool), Some(observer)) = (settings.pools.get(&watched.pool), self.observers.get(&watched.pool))
            else {
                continue;
            };
            let mut found = Vec::new();
            watched.health.set_silence(observer.silence(), false, pool, now, &mut found);
            watched.refresh(settings, pool, now, found, &mut changes);
        }
        changes.append(&mut self.refresh_all(settings, now));
        changes
    }

    /// What the journal knows; unknown servers are ignored.
    pub fn restore(&mut self, last: &LastVerdict, settings: &Settings, now: Now) -> Vec<Change> {
        self.with(&last.server, settings, now, |health, _, _| health.restore(last))
    }

    /// One look at one server. Unknown servers (a look that outlived a reload) are ignored.
    pub fn look(&mut self, server: &ServerName, look: &Look, settings: &Settings, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        let Some((watched, pool)) = self.find(server, settings) else { return changes };
        let was_silent = watched.health.voter().is_silent();
        let mut found = Vec::new();
        watched.health.look(look, pool, now, &mut found);
        let turned = watched.health.voter().is_silent() != was_silent;
        // The observer first: the look that makes enough silent must not fell a server by the way.
        if turned || self.observers.values().any(|observer| observer.suspicion().is_some()) {
            self.weigh(settings, now, &mut changes);
        }
        self.refresh(server, settings, now, found, &mut changes);
        changes
    }

    /// What a server says of itself by a beat.
    pub fn beat(&mut self, server: &ServerName, report: &Report, settings: &Settings, now: Now) -> Vec<Change> {
        // A beat under a wrong name is refused at the door; a dependency that is down counts with the next look.
        self.with(server, settings, now, |health, pool, changes| {
            drop(health.take_report((Way::Beat, report), pool, now, changes));
        })
    }

    /// What a server says of itself by a beat that another director heard; `None`: that was known, or something later is.
    pub fn hear_beat(
        &mut self,
        server: &ServerName,
        told: LatestReport,
        settings: &Settings,
        now: Now,
    ) -> Option<Vec<Change>> {
        let mut taken = false;
        let changes = self.with(server, settings, now, |health, pool, changes| {
            taken = health.hear_report(told, pool, now, changes);
        });
        taken.then_some(changes)
    }

    /// An operator's order; an older one changes nothing.
    pub fn order(&mut self, order: &ServerOrder, settings: &Settings, now: Now) -> Vec<Change> {
        let mut changes = self.with(&order.server, settings, now, |health, _, _| {
            health.order(order);
        });
        self.weigh(settings, now, &mut changes);
        changes
    }

    /// Another director's vote.
    pub fn hear(
        &mut self,
        server: &ServerName,
        director: DirectorName,
        vote: HeardVote,
        settings: &Settings,
        now: Now,
    ) -> Vec<Change> {
        self.with(server, settings, now, |health, _, _| health.hear(director, vote))
    }

    /// Lets time pass. Early, late or twice is harmless, and early costs nothing, however many servers there are.
    pub fn handle_timeout(&mut self, settings: &Settings, now: Now) -> Vec<Change> {
        if self.deadline.is_some_and(|deadline| now.mono < deadline) {
            return Vec::new();
        }
        self.refresh_all(settings, now)
    }

    fn refresh_all(&mut self, settings: &Settings, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        self.deadline = None;
        self.weigh(settings, now, &mut changes);
        for watched in self.servers.values_mut() {
            let Some(pool) = settings.pools.get(&watched.pool) else { continue };
            let deadline = watched.refresh(settings, pool, now, Vec::new(), &mut changes);
            self.deadline = earlier(self.deadline, deadline);
        }
        changes
    }

    /// When [`Self::handle_timeout`] may change something: never too late, perhaps too early. A call at that time moves it on.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadline
    }

    /// Time was lost: this director's own votes are void until it has looked again. What is last known stays.
    pub fn lapse(&mut self) {
        self.deadline = None;
        self.servers.values_mut().for_each(|watched| watched.health.lapse());
    }

    /// How long after the start of the last look the next one is due.
    #[must_use]
    pub fn next_probe(&self, server: &ServerName, settings: &Settings, now: Mono) -> Option<std::time::Duration> {
        let watched = self.servers.get(server)?;
        settings.pools.get(&watched.pool).map(|pool| watched.health.next_probe(pool, now))
    }

    /// One server.
    #[must_use]
    pub fn server(&self, name: &ServerName) -> Option<&ServerHealth> {
        self.servers.get(name).map(|watched| &watched.health)
    }

    /// All servers by name.
    pub fn servers(&self) -> impl Iterator<Item = &ServerHealth> {
        self.servers.values().map(|watched| &watched.health)
    }

    /// This director's suspicion against itself, for the servers of a pool.
    #[must_use]
    pub fn suspicion(&self, pool: &PoolName) -> Option<&Suspicion> {
        self.observers.get(pool).and_then(Observer::suspicion)
    }

    fn find<'a>(&mut self, server: &ServerName, settings: &'a Settings) -> Option<(&mut Watched, &'a PoolSettings)> {
        let watched = self.servers.get_mut(server)?;
        settings.pools.get(&watched.pool).map(|pool| (watched, pool.as_ref()))
    }

    fn with(
        &mut self,
        server: &ServerName,
        settings: &Settings,
        now: Now,
        act: impl FnOnce(&mut ServerHealth, &PoolSettings, &mut Vec<ServerChange>),
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some((watched, pool)) = self.find(server, settings) {
            let mut found = Vec::new();
            act(&mut watched.health, pool, &mut found);
            self.refresh(server, settings, now, found, &mut changes);
        }
        changes
    }

    fn refresh(
        &mut self,
        server: &ServerName,
        settings: &Settings,
        now: Now,
        found: Vec<ServerChange>,
        changes: &mut Vec<Change>,
    ) {
        let Some((watched, pool)) = self.find(server, settings) else { return };
        let deadline = watched.refresh(settings, pool, now, found, changes);
        self.deadline = earlier(self.deadline, deadline);
    }

    /// Asks each pool's observer whether silence counts, and tells the pool's servers when that changed.
    fn weigh(&mut self, settings: &Settings, now: Now, changes: &mut Vec<Change>) {
        let hearing = self.hearing(now);
        for (name, observer) in &mut self.observers {
            let Some(pool) = settings.pools.get(name) else { continue };
            let after = pool.failover.after;
            let turn = observer.weigh(&hearing, pool.health.suspect_above_percent, after, now.mono);
            self.deadline = earlier(self.deadline, observer.deadline(after));
            let Some(turn) = turn else { continue };
            changes.push(Change::Observer(name.clone(), turn));
            for watched in self.servers.values_mut().filter(|it| it.pool == *name) {
                let mut found = Vec::new();
                let forget = turn == Turn::Trusted;
                watched.health.set_silence(observer.silence(), forget, pool, now, &mut found);
                let deadline = watched.refresh(settings, pool, now, found, changes);
                self.deadline = earlier(self.deadline, deadline);
            }
        }
    }

    fn hearing(&self, now: Now) -> Hearing {
        let mut hearing = Hearing::default();
        for health in self.servers() {
            let voter = health.voter();
            hearing.answered = hearing.answered.max(voter.answered());
            if voter.site() == Site::Own && health.operator_word(now.time) != OperatorWord::Maint {
                hearing.servers += 1;
                hearing.silent += u32::from(voter.is_silent());
            }
        }
        hearing
    }
}

impl Watched {
    /// Brings the server up to date; returns when time alone may change it next.
    fn refresh(
        &mut self,
        settings: &Settings,
        pool: &PoolSettings,
        now: Now,
        mut found: Vec<ServerChange>,
        changes: &mut Vec<Change>,
    ) -> Option<Mono> {
        self.health.refresh(&settings.director, pool, now, &mut found);
        let name = self.health.name();
        changes.extend(found.into_iter().map(|change| Change::Server(name.clone(), change)));
        self.health.next_deadline(pool, now)
    }
}

fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{at, bad, good, pool, server, site};
    use super::super::{FailureKind, Input, State, Tier};
    use super::*;
    use crate::clock::{Stamp, millis};

    /// What a server answers at a millisecond; `None` is good.
    type World<'a> = &'a dyn Fn(&ServerName, u64) -> Option<FailureKind>;

    /// Plays the shell: looks when due, lets time pass when asked to, and writes down what changed and when.
    struct Play {
        settings: Settings,
        watch: Watch,
        due: BTreeMap<(u64, ServerName), ()>,
        now: u64,
        log: Vec<(u64, Change)>,
        looks: u64,
    }

    impl Play {
        fn new(settings: Settings) -> Self {
            let watch = Watch::new(&settings, at(0));
            let interval = millis(settings.pools[&pool()].health.interval);
            let names: Vec<ServerName> = watch.servers().map(|health| health.name().clone()).collect();
            let count = names.len() as u64;
            let due = (0..).zip(names).map(|(index, name)| ((index * interval / count, name), ())).collect();
            Self { settings, watch, due, now: 0, log: Vec::new(), looks: 0 }
        }

        fn until(&mut self, end: u64, world: World<'_>) {
            loop {
                let look = self.due.keys().next().map_or(u64::MAX, |(time, _)| *time);
                let timer = self.watch.next_deadline().map_or(u64::MAX, |deadline| deadline.0);
                let next = look.min(timer);
                if next > end {
                    self.now = end;
                    return;
                }
                assert!(next >= self.now, "time runs forwards: {next} after {}", self.now);
                self.now = next;
                let changes = if timer <= look {
                    let changes = self.watch.handle_timeout(&self.settings, at(next));
                    assert!(self.watch.next_deadline().is_none_or(|deadline| deadline.0 > next), "a deadline moves on");
                    changes
                } else {
                    let Some(((_, name), ())) = self.due.pop_first() else { return };
                    let look = world(&name, next).map_or_else(good, bad);
                    self.looks += 1;
                    let changes = self.watch.look(&name, &look, &self.settings, at(next));
                    let wait = self.watch.next_probe(&name, &self.settings, Mono(next)).unwrap();
                    self.due.insert((next + millis(wait), name), ());
                    changes
                };
                self.log.extend(changes.into_iter().map(|change| (next, change)));
            }
        }

        fn input(&self, name: &str) -> Input {
            self.watch.server(&server(name)).unwrap().standing().input
        }

        fn usable(&self, name: &str) -> bool {
            self.watch.server(&server(name)).unwrap().standing().is_usable()
        }

        /// When a server's verdict became this state, confirmed.
        fn decided(&self, name: &str, state: State) -> Vec<u64> {
            let matches = |(time, change): &(u64, Change)| match change {
                Change::Server(who, ServerChange::Verdict { to, .. })
                    if *who == server(name) && to.is_confirmed() && to.state() == Some(state) =>
                {
                    Some(*time)
                }
                _ => None,
            };
            self.log.iter().filter_map(matches).collect()
        }

        fn turns(&self) -> Vec<(u64, Turn)> {
            let turn = |(time, change): &(u64, Change)| match change {
                Change::Observer(_, turn) => Some((*time, *turn)),
                Change::Server(..) => None,
            };
            self.log.iter().filter_map(turn).collect()
        }
    }

    const SILENT: Option<FailureKind> = Some(FailureKind::Unreachable);
    const REFUSED: Option<FailureKind> = Some(FailureKind::Refused);

    #[test]
    fn one_dead_server_of_three_goes_down_at_once_whatever_it_dies_of() {
        for death in [FailureKind::Timeout, FailureKind::Refused] {
            let mut play = Play::new(site(3, 0));
            play.until(10_000, &|_, _| None);
            play.until(20_000, &|name, _| (*name == server("e2")).then_some(death));
            let down = play.decided("e2", State::Down);
            assert!(matches!(down[..], [time] if time <= 13_000), "{death:?} {down:?}");
            assert_eq!(play.turns(), []);
            assert_eq!(play.input("e1"), Input::Up);
        }
    }

    #[test]
    fn refusals_are_answers_and_all_go_down_without_suspicion() {
        let mut play = Play::new(site(3, 0));
        play.until(10_000, &|_, _| None);
        play.until(14_000, &|_, _| REFUSED);
        assert_eq!(play.turns(), []);
        for name in ["e1", "e2", "e3"] {
            assert_eq!(play.input(name), Input::Down, "{name}");
        }
    }

    #[test]
    fn all_silent_at_once_keeps_the_last_good_set_for_ever() {
        for count in [2, 3, 5, 20] {
            let mut play = Play::new(site(count, 0));
            play.until(10_000, &|_, _| None);
            play.until(3_600_000, &|_, _| SILENT);
            assert!(matches!(play.turns()[..], [(_, Turn::Suspected)]), "{:?}", play.turns());
            for number in 1..=count {
                assert_eq!(play.input(&format!("e{number}")), Input::Unconfirmed, "e{number} of {count}");
            }
            // The way comes back: nobody falls, nobody starts slowly, nobody is held down.
            let healed = play.log.len();
            play.until(3_700_000, &|_, _| None);
            for number in 1..=count {
                let name = format!("e{number}");
                assert_eq!(play.input(&name), Input::Up);
                let steadiness = play.watch.server(&server(&name)).unwrap().steadiness();
                assert_eq!(steadiness.falls_at(Mono(0)), 0, "a fall that was taken back costs nothing later");
            }
            for (time, change) in &play.log[healed..] {
                if let Change::Server(_, ServerChange::Standing { to, .. }) = change {
                    assert!(to.is_usable() && to.weight_step == 16, "{time} {to:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_down_before_the_cut_stays_down_in_it() {
        let mut play = Play::new(site(4, 0));
        play.until(10_000, &|_, _| None);
        play.until(100_000, &|name, _| if *name == server("e1") { SILENT } else { None });
        assert_eq!(play.input("e1"), Input::Down);
        play.until(200_000, &|_, _| SILENT);
        assert_eq!(play.input("e1"), Input::LastKnownDown);
        assert_eq!(play.input("e2"), Input::Unconfirmed);
    }

    #[test]
    fn most_silent_while_another_answers_go_down_after_the_delay() {
        for own_answers in [true, false] {
            let mut play = Play::new(site(3, 1));
            play.until(20_000, &|_, _| None);
            let dead = |name: &ServerName| name.as_str().starts_with('e') && !(own_answers && *name == server("e3"));
            let world = |name: &ServerName, _| if dead(name) { SILENT } else { None };
            play.until(34_000, &world);
            assert!(play.usable("e1") && play.usable("e2"), "not before `after`");
            // `after`, and one look at whoever answers: 2 s at the own site, 10 s at the other.
            play.until(48_000, &world);
            assert!(!play.usable("e1") && !play.usable("e2"), "{:?}", play.turns());
            assert_eq!(play.usable("e3"), own_answers);
        }
    }

    #[test]
    fn a_lone_silent_server_goes_down_after_the_delay() {
        let mut play = Play::new(site(1, 0));
        play.until(10_000, &|_, _| None);
        play.until(24_000, &|_, _| SILENT);
        assert_eq!(play.input("e1"), Input::Unconfirmed);
        play.until(28_000, &|_, _| SILENT);
        assert_eq!(play.input("e1"), Input::Down);
    }

    #[test]
    fn servers_in_maint_raise_no_suspicion() {
        let mut play = Play::new(site(3, 0));
        let order = |name: &str| ServerOrder {
            server: server(name),
            word: OperatorWord::Maint,
            reason: "moved".to_owned(),
            deadline: None,
            stamp: Stamp::at(at(0).time),
            writer: play.settings.director.clone(),
        };
        for name in [order("e1"), order("e2")] {
            play.watch.order(&name, &play.settings, at(0));
        }
        play.until(20_000, &|name, _| if *name == server("e3") { None } else { SILENT });
        assert_eq!(play.turns(), []);
        assert_eq!(play.input("e3"), Input::Up);
    }

    #[test]
    fn answers_that_alternate_for_an_hour_change_nothing_after_the_first() {
        let mut play = Play::new(site(1, 0));
        let count = std::cell::Cell::new(0u32);
        play.until(3_600_000, &|_, _| {
            count.set(count.get() + 1);
            count.get().is_multiple_of(2).then_some(FailureKind::Status)
        });
        assert_eq!(play.decided("e1", State::Down), []);
        assert_eq!(play.decided("e1", State::Up).len(), 1);
    }

    #[test]
    fn the_worst_flapper_changes_at_most_twice_in_five_intervals_and_ranks_last() {
        let mut play = Play::new(site(1, 0));
        let count = std::cell::Cell::new(0u32);
        play.until(3_600_000, &|_, _| {
            count.set(count.get() + 1);
            (count.get() % 5 < 3).then_some(FailureKind::Status)
        });
        let changes = play.decided("e1", State::Down).len() + play.decided("e1", State::Up).len();
        assert!((2..=2 * 3_600 / 10 + 10).contains(&changes), "{changes}");
        for (time, change) in &play.log {
            if let Change::Server(_, ServerChange::Standing { to, .. }) = change {
                let early = *time < 30_000;
                assert!(early || !to.is_usable() || to.tier() == Tier::Last, "{time} {to:?}");
            }
        }
    }

    #[test]
    fn a_reload_keeps_what_is_known_and_forgets_who_is_gone() {
        let mut play = Play::new(site(2, 0));
        play.until(10_000, &|_, _| None);
        let settings = site(3, 0);
        play.watch.configure(&settings, at(10_000));
        assert_eq!(play.input("e1"), Input::Up);
        assert_eq!(play.input("e3"), Input::Unconfirmed);
        let settings = site(1, 0);
        play.watch.configure(&settings, at(10_001));
        assert!(play.watch.server(&server("e2")).is_none());
        assert_eq!(play.watch.look(&server("e2"), &good(), &settings, at(10_002)), vec![], "a look that came too late");
    }

    #[test]
    fn a_server_that_is_added_during_a_suspicion_is_suspected_with_the_others() {
        let mut play = Play::new(site(2, 0));
        play.until(10_000, &|_, _| None);
        play.until(20_000, &|_, _| SILENT);
        play.settings = site(3, 0);
        play.watch.configure(&play.settings, at(20_000));
        play.due.insert((20_100, server("e3")), ());
        play.until(60_000, &|_, _| SILENT);
        assert_eq!(play.input("e3"), Input::Unconfirmed);
    }

    #[test]
    fn sick_or_well_the_number_of_looks_is_the_same() {
        let looks = |world: World<'_>| {
            let mut play = Play::new(site(10, 10));
            play.until(600_000, world);
            play.looks
        };
        let well = looks(&|_, _| None);
        for sick in [looks(&|_, _| SILENT), looks(&|_, _| REFUSED)] {
            assert!(sick.abs_diff(well) <= 60, "{sick} for {well}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Timeouts called early, twice or at odd times decide nothing by themselves: the same looks end in the same standing.
        #[test]
        fn extra_timeouts_are_harmless(looks in proptest::collection::vec((0u32..3, 0u8..3, 1u64..3000), 1..80)) {
            let settings = site(3, 0);
            let (mut plain, mut eager) = (Watch::new(&settings, at(0)), Watch::new(&settings, at(0)));
            let mut now = 0;
            for (who, what, wait) in looks {
                for step in [wait / 3, wait / 2] {
                    eager.handle_timeout(&settings, at(now + step));
                    eager.handle_timeout(&settings, at(now + step));
                }
                now += wait;
                let name = server(&format!("e{}", who + 1));
                let look = match what { 0 => good(), 1 => bad(FailureKind::Refused), _ => bad(FailureKind::Timeout) };
                plain.look(&name, &look, &settings, at(now));
                eager.look(&name, &look, &settings, at(now));
                for watch in [&mut plain, &mut eager] {
                    watch.handle_timeout(&settings, at(now));
                }
                let standings = |watch: &Watch| watch.servers().map(ServerHealth::standing).collect::<Vec<_>>();
                prop_assert_eq!(standings(&plain), standings(&eager));
            }
        }

        /// No server is unusable unless a failed look says so, and hold-down or slow start alone never do it.
        #[test]
        fn unusable_only_by_failures_in_a_row(answers in "[grt]{1,300}") {
            let mut play = Play::new(site(1, 0));
            let settings = play.settings.clone();
            for (index, letter) in answers.char_indices() {
                let look = match letter { 'g' => good(), 'r' => bad(FailureKind::Refused), _ => bad(FailureKind::Timeout) };
                play.watch.look(&server("e1"), &look, &settings, at(index as u64 * 500));
                let done = &answers[..=index];
                if done.ends_with("gg") {
                    prop_assert!(play.usable("e1"), "{}", done);
                }
                if done.ends_with("rrr") {
                    prop_assert!(!play.usable("e1"), "{}", done);
                }
            }
        }
    }
}
