//! What a server says of itself: its latest reports, its lives, its dependencies.
//!
//! A server speaks on two ways: it answers looks, and it sends beats. A beat goes to one director, which tells the others, so what
//! is heard of a beat may be some time old. Of two words about the same thing the later one holds, whichever way it came.
//!
//! Owns what absence means: unknown, so the other way's word stands, until it has not been repeated for long. Knows no vote; that a
//! report is a failure is returned.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Failure, FailureKind, Report, ServerChange};
use crate::clock::{Mono, Since};
use crate::ids::{DirectorName, Incarnation, IncarnationTag, ServerName};
use crate::settings::{DependencyEffect, PoolSettings};

/// What a server has not repeated for so long, while it answers, it says no more: what told it was taken away. Longer than any takes
/// to stop, because what it said last may be that it drains.
pub(crate) const WORD_LASTS: Duration = Duration::from_mins(10);
/// Incarnations that are kept for display.
const INCARNATIONS_MAX: usize = 4;

/// How a report came to this director itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In the answer to a look.
    Look,
    /// In a beat.
    Beat,
}

/// The latest report of one way, and when the server made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestReport {
    /// What the server said.
    pub report: Report,
    /// Which life of it.
    pub life: IncarnationTag,
    /// When, all hops included.
    pub said: Since,
    /// The beat that another director heard; `None`: the server told this one.
    pub heard: Option<HeardBeat>,
}

/// Which beat it was that another director heard: two words of one beat are one, by whichever ways they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardBeat {
    /// To whom the server beat.
    pub director: DirectorName,
    /// That director's run.
    pub run: u64,
    /// Rises with each beat of a run.
    pub beat: u64,
}

/// What one server said of itself.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// In its answers to looks.
    looked: Option<LatestReport>,
    /// In its beats, to whichever director.
    beat: Option<LatestReport>,
    /// The last few, the present one last.
    incarnations: SmallVec<[Incarnation; INCARNATIONS_MAX]>,
    /// The last word about each configured dependency; no other is kept, so this is bounded by the configuration.
    depends: BTreeMap<String, (bool, Since)>,
}

impl LatestReport {
    /// Whether it says the same of the server; how many sessions it has may differ.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        let it = |latest: &Self| (latest.life, latest.report.draining, latest.report.capacity);
        it(self) == it(other) && self.report.depends == other.report.depends
    }

    /// Whether it comes after another beat: a later one of the same director, else what was said later.
    fn follows(&self, other: &Self) -> bool {
        match (&self.heard, &other.heard) {
            (Some(a), Some(b)) if a.director == b.director => (a.run, a.beat) > (b.run, b.beat),
            _ => self.said.is_after(other.said),
        }
    }
}

impl Said {
    /// The incarnation that the journal knows; ignored once the server has told one itself.
    pub fn restore(&mut self, incarnation: Incarnation) {
        if self.incarnations.is_empty() {
            self.incarnations.push(incarnation);
        }
    }

    /// Takes a report that came to this director. An empty one says nothing and leaves the latest, as long as that lasts.
    ///
    /// # Errors
    /// The failure that a look with this report is: the name is another one (then nothing of it is taken), or a dependency with
    /// effect `down` is down.
    pub fn take(
        &mut self,
        name: &ServerName,
        (way, report): (Way, &Report),
        pool: &PoolSettings,
        now: Mono,
        changes: &mut Vec<ServerChange>,
    ) -> Result<(), Failure> {
        if let Some(other) = report.server.as_ref().filter(|other| *other != name) {
            let detail = format!("says that it is {other}");
            return Err(Failure { kind: FailureKind::WrongName, check: None, detail });
        }
        self.take_incarnation(report, pool, changes);
        let said = Since::new(now, Duration::ZERO);
        if *report != Report::default() {
            let life = report.incarnation.as_ref().map(Incarnation::tag).unwrap_or_default();
            let latest = Some(LatestReport { report: report.clone(), life, said, heard: None });
            match way {
                Way::Look => self.looked = latest,
                Way::Beat => self.beat = latest,
            }
        }
        self.take_dependencies(report, said, true, pool, changes);
        self.lapse(pool, now, changes);
        self.dependency_down(pool, DependencyEffect::Down).map_or(Ok(()), |name| {
            let detail = format!("dependency {name} is down");
            Err(Failure { kind: FailureKind::Dependency, check: None, detail })
        })
    }

    /// Takes a beat that another director heard, unless it is of a former life or something later is known; says whether it did.
    ///
    /// It tells no life: that is learned from the server itself, or a word that was on its way for long would call back the life
    /// before. A dependency that resets has not turned by it either: the director that heard the beat has counted that, and
    /// tells the outage itself.
    pub fn hear(
        &mut self,
        mut told: LatestReport,
        pool: &PoolSettings,
        now: Mono,
        changes: &mut Vec<ServerChange>,
    ) -> bool {
        let former = match self.incarnations.split_last() {
            Some((_, former)) => former.iter().any(|life| life.tag() == told.life),
            None => false,
        };
        let others = [&self.looked, &self.beat].into_iter().flatten().filter(|it| it.life.contradicts(told.life));
        let others: SmallVec<[Since; 2]> = others.map(|known| known.said).collect();
        let outlived = others.iter().any(|known| !told.said.is_after(*known));
        let late = self.beat.as_ref().is_some_and(|known| !told.follows(known));
        if former || outlived || late || told.said.age(now) >= WORD_LASTS {
            return false;
        }
        if !others.is_empty() {
            self.looked.take_if(|looked| looked.life.contradicts(told.life));
            self.forget(pool, changes, |name, _| !told.report.depends.contains_key(name));
        }
        told.report.depends.retain(|name, _| pool.depends.contains_key(name));
        self.take_dependencies(&told.report, told.said, false, pool, changes);
        self.beat = Some(told);
        true
    }

    fn take_incarnation(&mut self, report: &Report, pool: &PoolSettings, changes: &mut Vec<ServerChange>) {
        let Some(new) = &report.incarnation else { return };
        let mut reborn = false;
        for latest in [&mut self.looked, &mut self.beat] {
            reborn |= latest.take_if(|latest| latest.life.contradicts(new.tag())).is_some();
        }
        let old = self.incarnations.last().cloned();
        if reborn || old.as_ref().is_some_and(|old| old != new) {
            self.forget(pool, changes, |name, _| !report.depends.contains_key(name));
        }
        if old.as_ref() == Some(new) {
            return;
        }
        if self.incarnations.len() == INCARNATIONS_MAX {
            self.incarnations.remove(0);
        }
        self.incarnations.push(new.clone());
        changes.push(ServerChange::Incarnation { old, new: new.clone() });
    }

    fn take_dependencies(
        &mut self,
        report: &Report,
        said: Since,
        turns: bool,
        pool: &PoolSettings,
        changes: &mut Vec<ServerChange>,
    ) {
        self.depends.retain(|name, _| pool.depends.contains_key(name));
        for (name, effect) in &pool.depends {
            let Some(&up) = report.depends.get(name) else { continue };
            let before = self.depends.get(name).copied();
            if before.is_some_and(|(_, known)| known.is_after(said)) {
                continue;
            }
            self.depends.insert(name.clone(), (up, said));
            let known = before.is_some();
            if before.is_none_or(|(before, _)| before) != up && (turns || *effect != DependencyEffect::Reset) {
                changes.push(ServerChange::Dependency { name: name.clone(), effect: *effect, up, known });
            }
        }
    }

    /// What is not repeated lapses while the server speaks.
    fn lapse(&mut self, pool: &PoolSettings, now: Mono, changes: &mut Vec<ServerChange>) {
        for latest in [&mut self.looked, &mut self.beat] {
            latest.take_if(|latest| latest.said.age(now) >= WORD_LASTS);
        }
        self.forget(pool, changes, |_, said| said.age(now) >= WORD_LASTS);
    }

    /// What is unknown again does not degrade. It ends no outage: nobody has said that it is over.
    fn forget(&mut self, pool: &PoolSettings, changes: &mut Vec<ServerChange>, goes: impl Fn(&String, Since) -> bool) {
        self.depends.retain(|name, (up, said)| {
            let stays = !goes(name, *said);
            let effect = pool.depends.get(name).copied().filter(|effect| *effect == DependencyEffect::Degrade);
            if let Some(effect) = effect.filter(|_| !stays && !*up) {
                changes.push(ServerChange::Dependency { name: name.clone(), effect, up: true, known: true });
            }
            stays
        });
    }

    /// Forgets beats that were heard by directors which are not configured any more.
    pub fn forget_all_but(&mut self, configured: impl Fn(&DirectorName) -> bool) {
        self.beat.take_if(|beat| beat.heard.as_ref().is_some_and(|heard| !configured(&heard.director)));
    }

    /// The first dependency with this effect that is down.
    #[must_use]
    pub fn dependency_down<'a>(&self, pool: &'a PoolSettings, effect: DependencyEffect) -> Option<&'a str> {
        let down = |name: &&String| self.dependency(name) == Some(false);
        pool.depends.iter().filter(|(_, it)| **it == effect).map(|(name, _)| name).find(down).map(String::as_str)
    }

    /// The latest report of each way, the later one first.
    fn reports(&self) -> impl Iterator<Item = &LatestReport> {
        let (first, second) = match (&self.looked, &self.beat) {
            (Some(looked), Some(beat)) if looked.said.is_after(beat.said) => (Some(looked), Some(beat)),
            (looked, beat) => (beat.as_ref(), looked.as_ref()),
        };
        first.into_iter().chain(second)
    }

    /// It asks for no new sessions.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.reports().find_map(|latest| latest.report.draining).unwrap_or(false)
    }

    /// Sessions that it can hold, if it says so.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        self.reports().find_map(|latest| latest.report.capacity)
    }

    /// Its latest report, and when it was made; what that leaves out is from the other way's.
    #[must_use]
    pub fn latest(&self) -> Option<LatestReport> {
        let mut reports = self.reports();
        let mut latest = reports.next()?.clone();
        if let Some(other) = reports.next().map(|other| &other.report) {
            let report = &mut latest.report;
            report.sessions = report.sessions.or(other.sessions);
            report.capacity = report.capacity.or(other.capacity);
            report.draining = report.draining.or(other.draining);
            for (name, up) in &other.depends {
                report.depends.entry(name.clone()).or_insert(*up);
            }
        }
        Some(latest)
    }

    /// The latest beat that any director heard, for those who have not.
    #[must_use]
    pub fn beat(&self) -> Option<&LatestReport> {
        self.beat.as_ref()
    }

    /// What it said last of a configured dependency: true is up.
    #[must_use]
    pub fn dependency(&self, name: &str) -> Option<bool> {
        self.depends.get(name).map(|(up, _)| *up)
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
}
