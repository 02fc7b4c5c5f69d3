//! What probes count. Per pool and outcome only: what a single server did stands in the status, not in a label.

use maitred_core::health::{FailureKind, Look, Outcome};
use maitred_core::ids::PoolName;
use metrics::{Counter, Histogram};

/// The handles of one monitor, looked up once: a cached handle costs a few nanoseconds, the macro with labels ten times that.
pub(super) struct ProbeMetrics {
    pool: String,
    duration: Histogram,
    good: Counter,
    /// Few kinds ever occur at one server, so a list is the quickest map.
    bad: Vec<(FailureKind, Counter)>,
}

impl ProbeMetrics {
    pub(super) fn new(pool: &PoolName) -> Self {
        let pool = pool.as_str().to_owned();
        let duration = metrics::histogram!("maitred_probe_duration_seconds", "pool" => pool.clone());
        let good = metrics::counter!("maitred_probes_total", "pool" => pool.clone(), "outcome" => "good");
        Self { pool, duration, good, bad: Vec::new() }
    }

    pub(super) fn count(&mut self, look: &Look) {
        self.duration.record(look.took.as_secs_f64());
        let kind = match &look.outcome {
            Outcome::Good(_) => return self.good.increment(1),
            Outcome::Bad(failure) => failure.kind,
        };
        if let Some((_, counter)) = self.bad.iter().find(|(known, _)| *known == kind) {
            return counter.increment(1);
        }
        let counter =
            metrics::counter!("maitred_probes_total", "pool" => self.pool.clone(), "outcome" => kind.as_str());
        counter.increment(1);
        self.bad.push((kind, counter));
    }
}

/// Names and units for the metrics page. Called once at start.
pub fn describe() {
    metrics::describe_histogram!(
        "maitred_probe_duration_seconds",
        metrics::Unit::Seconds,
        "How long a look at a server took, all its checks together"
    );
    metrics::describe_counter!(
        "maitred_probes_total",
        "Looks at servers, by outcome: good, or the word for what was wrong"
    );
    metrics::describe_counter!("maitred_monitors_rebuilt_total", "Monitors that had died and were built anew");
}
