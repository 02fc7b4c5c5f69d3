//! All checks of one server, performed together: one look.

use std::sync::Arc;

use futures_util::future::join_all;
use maitred_core::health::{Failure, Look, Outcome, Report};
use tokio::time::Instant;

use super::address::{Lookup, SystemLookup};
use super::fault::Fault;
use super::line::Line;
use super::target::Target;

/// Looks at one server, with the connections that it keeps between looks.
pub struct Prober {
    target: Arc<Target>,
    lookup: Arc<dyn Lookup>,
    pub(super) lines: Vec<Line>,
}

impl Prober {
    /// Resolves names by the system.
    #[must_use]
    pub fn new(target: Arc<Target>) -> Self {
        Self::with_lookup(target, Arc::new(SystemLookup))
    }

    /// Resolves names by `lookup`.
    #[must_use]
    pub fn with_lookup(target: Arc<Target>, lookup: Arc<dyn Lookup>) -> Self {
        let lines = target.checks.iter().map(|check| Line::new(check.clone(), &target.server, &lookup)).collect();
        Self { target, lookup, lines }
    }

    /// What is looked at.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Looks at something else from now on. A connection stays where a check dials and verifies the same as before. True when
    /// one does not, so that what was seen before says nothing about the new target.
    pub fn retarget(&mut self, target: Arc<Target>) -> bool {
        let mut old = std::mem::take(&mut self.lines);
        let mut moved = false;
        for check in &target.checks {
            let same = old.iter().position(|line| line.check().shares_wire_with(check));
            self.lines.push(match same {
                Some(position) => {
                    let mut line = old.swap_remove(position);
                    line.redefine(check.clone());
                    line
                }
                None => {
                    moved = true;
                    Line::new(check.clone(), &target.server, &self.lookup)
                }
            });
        }
        self.target = target;
        moved
    }

    /// Performs all checks at once. Good when all are; else the first of the configuration that failed is told.
    ///
    /// Takes no longer than the target's timeout.
    pub async fn look(&mut self) -> Look {
        let started = Instant::now();
        let deadline = started + self.target.timeout;
        let server = &self.target.server;
        let outcomes = match self.lines.as_mut_slice() {
            // The usual case, without the cost of the general one.
            [line] => vec![line.look(server, deadline).await],
            lines => join_all(lines.iter_mut().map(|line| line.look(server, deadline))).await,
        };
        Look { took: started.elapsed(), outcome: self.sum_up(outcomes) }
    }

    fn sum_up(&self, outcomes: Vec<Result<Report, Fault>>) -> Outcome {
        let mut told: Option<Report> = None;
        for (outcome, line) in outcomes.into_iter().zip(&self.lines) {
            match outcome {
                Ok(report) => told = told.filter(|report| report.server.is_some()).or(Some(report)),
                Err(Fault { kind, detail }) => {
                    return Outcome::Bad(Failure { kind, check: line.check().name.clone(), detail });
                }
            }
        }
        Outcome::Good(told.unwrap_or_default())
    }
}
