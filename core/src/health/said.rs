//! What a server says of itself: its latest report, its lives, its dependencies.
//!
//! Owns what absence means: unknown, so the last word stands, until a server that answers has said nothing for long. Knows no vote;
//! that a report is a failure is returned.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Failure, FailureKind, Report, ServerChange};
use crate::clock::Mono;
use crate::ids::{Incarnation, ServerName};
use crate::settings::{DependencyEffect, PoolSettings};

/// A server that answers and has said nothing of itself for so long says nothing any more: what told it was taken away. Longer than
/// any takes to stop, because what it said last may be that it drains.
const WORD_LASTS: Duration = Duration::from_mins(10);
/// Incarnations that are kept for display.
const INCARNATIONS_MAX: usize = 4;

/// The latest report, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestReport {
    /// What the server said.
    pub report: Report,
    /// When.
    pub at: Mono,
}

/// What one server said of itself.
#[derive(Debug, Clone, Default)]
pub struct Said {
    latest: Option<LatestReport>,
    /// The last few, the present one last.
    incarnations: SmallVec<[Incarnation; INCARNATIONS_MAX]>,
    /// The last word about each configured dependency; no other is kept, so this is bounded by the configuration.
    depends: BTreeMap<String, bool>,
}

impl Said {
    /// The incarnation that the journal knows; ignored once the server has told one itself.
    pub fn restore(&mut self, incarnation: Incarnation) {
        if self.incarnations.is_empty() {
            self.incarnations.push(incarnation);
        }
    }

    /// Takes a report. An empty one says nothing and leaves the latest, as long as that lasts.
    ///
    /// # Errors
    /// The failure that a look with this report is: the name is another one (then nothing of it is taken), or a dependency with
    /// effect `down` is down.
    pub fn take(
        &mut self,
        name: &ServerName,
        report: &Report,
        pool: &PoolSettings,
        now: Mono,
        changes: &mut Vec<ServerChange>,
    ) -> Result<(), Failure> {
        if let Some(other) = report.server.as_ref().filter(|other| *other != name) {
            let detail = format!("says that it is {other}");
            return Err(Failure { kind: FailureKind::WrongName, check: None, detail });
        }
        if *report == Report::default() {
            if self.latest.as_ref().is_some_and(|latest| now.since(latest.at) >= WORD_LASTS) {
                self.latest = None;
                self.depends.clear();
            }
        } else {
            self.latest = Some(LatestReport { report: report.clone(), at: now });
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
        self.depends.retain(|name, _| pool.depends.contains_key(name));
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

    /// It asks for no new sessions.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.latest.as_ref().and_then(|latest| latest.report.draining).unwrap_or(false)
    }

    /// Its latest report, and when it came.
    #[must_use]
    pub fn latest(&self) -> Option<&LatestReport> {
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
}
