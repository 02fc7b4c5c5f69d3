//! Every metric by name: what it means, its labels, and how Prometheus reads it.
//!
//! Two kinds. What is COUNTED lies with whoever counts it, as a handle of the `metrics` crate, and is only described here. What is
//! SAMPLED (servers, roles, certificates) is read when Prometheus asks, so that a server that is gone is gone at once, and nothing
//! has to be kept up to date in between. Labels are pool, server, datacenter, peer and fixed words only: never a key, address or path.

mod sample;
mod text;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use metrics::{KeyName, Recorder, SetRecorderError, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use sample::Sources;

/// What Prometheus 2 and later read.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often counted values are put in order while nobody asks: until then each takes a word, and a start counts several.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Seconds of a start: from a table lookup to a stalled machine.
const START_BUCKETS: &[f64] = &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0];
/// Seconds of a probe: from one machine to a timeout.
const PROBE_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];
/// Seconds of a commit: from memory to a disk that hangs.
const COMMIT_BUCKETS: &[f64] = &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name, with the base unit.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in the order of the page.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Counted; only grows.
    Counter,
    /// Set by whoever knows it.
    Gauge,
    /// Counted, with these upper bounds.
    Histogram(&'static [f64]),
    /// A gauge that is read when Prometheus asks.
    Sampled,
    /// A counter that is kept elsewhere and read when Prometheus asks.
    Tallied,
}

impl Kind {
    /// The word after `# TYPE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter | Self::Tallied => "counter",
            Self::Gauge | Self::Sampled => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

const fn metric(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// All metrics, in order of name.
pub const METRICS: &[Metric] = &[
    metric(
        "maitred_agent_state_total",
        Kind::Counter,
        &["operation", "outcome"],
        "Agent states that servers read or wrote: ok, none, stale, changed, not_confirmed or refused",
    ),
    metric("maitred_agent_states", Kind::Sampled, &[], "Agent states in memory"),
    metric(
        "maitred_auth_failures_total",
        Kind::Counter,
        &["reason"],
        "Requests to the internal listener without valid credentials",
    ),
    metric(
        "maitred_beats_total",
        Kind::Counter,
        &["outcome"],
        "Beats of servers: taken, refused, or of a former life of the server",
    ),
    metric("maitred_bounces_total", Kind::Counter, &["pool"], "Browsers that kept coming back and were shown a page"),
    metric("maitred_build_info", Kind::Sampled, &["version"], "Always 1; the version that runs"),
    metric(
        "maitred_certificate_not_after_seconds",
        Kind::Sampled,
        &["listener"],
        "When the certificate that a listener shows ends, in seconds since 1970",
    ),
    metric(
        "maitred_clock_jump_seconds",
        Kind::Sampled,
        &[],
        "How far the machine's clock is from the director's own, when by more than a minute; above 0 it is ahead",
    ),
    metric(
        "maitred_config_info",
        Kind::Sampled,
        &["digest"],
        "Always 1; the configuration in force, equal where directors agree",
    ),
    metric(
        "maitred_config_last_reload_success_timestamp_seconds",
        Kind::Sampled,
        &[],
        "When the configuration in force was taken, in seconds since 1970",
    ),
    metric(
        "maitred_config_last_reload_successful",
        Kind::Sampled,
        &[],
        "0 while the last reload was refused and the old configuration stands",
    ),
    metric(
        "maitred_config_reloads_total",
        Kind::Counter,
        &["outcome"],
        "Attempts to take another configuration, by signal, file change or order: ok or refused",
    ),
    metric("maitred_confirmed_sessions", Kind::Sampled, &[], "Sessions whose server has confirmed who is logged in"),
    metric(
        "maitred_confirms_total",
        Kind::Counter,
        &["outcome"],
        "Servers' words about who is logged in: changed, unchanged, stale or refused",
    ),
    metric(
        "maitred_cookie_rejected_total",
        Kind::Counter,
        &["reason"],
        "Cookies and tokens that were treated as absent",
    ),
    metric(
        "maitred_datacenter_active",
        Kind::Sampled,
        &["pool", "datacenter"],
        "1 for the active datacenter of a pool",
    ),
    metric("maitred_datacenter_serving", Kind::Sampled, &["pool", "datacenter"], "1 while a datacenter serves a pool"),
    metric(
        "maitred_divergent_sessions",
        Kind::Sampled,
        &["peer"],
        "At least so many sessions differed from a linked director's at the latest comparison",
    ),
    metric(
        "maitred_effects_dropped_total",
        Kind::Counter,
        &[],
        "Events and wishes for a look that were dropped, because nobody had taken them for too long",
    ),
    metric("maitred_event_readers", Kind::Gauge, &[], "Readers of the event feed"),
    metric(
        "maitred_event_readers_cut_total",
        Kind::Counter,
        &[],
        "Readers who took nothing for six times `limits.idle` and were cut",
    ),
    metric(
        "maitred_event_readers_lost_total",
        Kind::Counter,
        &[],
        "Readers who were told that events they had not read are not kept any more",
    ),
    metric("maitred_events_kept", Kind::Sampled, &[], "Events that a reader who comes back can still be told"),
    metric(
        "maitred_events_lost_total",
        Kind::Tallied,
        &[],
        "Events of this director that were lost before anybody could read them",
    ),
    metric("maitred_events_sent_total", Kind::Counter, &["event"], "Events sent to readers of the feed, by name"),
    metric(
        "maitred_events_total",
        Kind::Counter,
        &["event"],
        "What changed by itself or by order, by kind: server_up, server_down, role_moved and so on",
    ),
    metric("maitred_internal_requests_total", Kind::Counter, &["route", "status"], "Requests to the internal listener"),
    metric(
        "maitred_journal_behind_seconds",
        Kind::Histogram(COMMIT_BUCKETS),
        &[],
        "Age that the oldest change in a commit may have had when it was on disk; the promise is 0.05",
    ),
    metric("maitred_journal_bytes", Kind::Gauge, &[], "Bytes of records in the journal"),
    metric(
        "maitred_journal_commit_seconds",
        Kind::Histogram(COMMIT_BUCKETS),
        &[],
        "Time from taking the changes to disk",
    ),
    metric("maitred_journal_commits_total", Kind::Counter, &[], "Durable commits of the journal"),
    metric("maitred_journal_errors_total", Kind::Counter, &["kind"], "Failures of the journal by kind"),
    metric("maitred_journal_failing", Kind::Gauge, &[], "1 while changes live in memory only"),
    metric("maitred_journal_records_total", Kind::Counter, &[], "Records written into the journal"),
    metric("maitred_monitors_rebuilt_total", Kind::Counter, &[], "Monitors that had died and were built anew"),
    metric(
        "maitred_orders_total",
        Kind::Counter,
        &["order", "outcome"],
        "Operators' orders and servers' ends: changed, unchanged or refused",
    ),
    metric(
        "maitred_peer_bytes_total",
        Kind::Counter,
        &["peer", "direction"],
        "Bytes of messages between directors: sent or received",
    ),
    metric(
        "maitred_peer_dropped_total",
        Kind::Tallied,
        &["reason"],
        "What came from other directors and was not believed, expired or found no room",
    ),
    metric("maitred_peer_links_closed_total", Kind::Counter, &["reason"], "Links between directors that ended, by why"),
    metric(
        "maitred_peer_links_rebuilt_total",
        Kind::Counter,
        &[],
        "Actors of links to other directors that had died and were built anew",
    ),
    metric(
        "maitred_peer_messages_total",
        Kind::Counter,
        &["peer", "direction"],
        "Messages between directors: sent or received",
    ),
    metric(
        "maitred_peer_refused_total",
        Kind::Counter,
        &["reason"],
        "Links between directors that were not opened: strangers, faults of TLS, nobody there",
    ),
    metric(
        "maitred_peer_round_trip_seconds",
        Kind::Sampled,
        &["peer"],
        "Round trip of the latest ping between two linked directors",
    ),
    metric("maitred_peer_up", Kind::Sampled, &["peer"], "1 while the link to another director stands"),
    metric(
        "maitred_probe_duration_seconds",
        Kind::Histogram(PROBE_BUCKETS),
        &["pool"],
        "How long a look at a server took, all its checks together",
    ),
    metric(
        "maitred_probes_total",
        Kind::Counter,
        &["pool", "outcome"],
        "Looks at servers, by outcome: good, or the word for what was wrong",
    ),
    metric(
        "maitred_replication_lag_seconds",
        Kind::Sampled,
        &["peer"],
        "Age of the oldest change here that a linked director has not acknowledged",
    ),
    metric(
        "maitred_reports_total",
        Kind::Counter,
        &["pool", "outcome"],
        "Clients' reports that their server does not answer: forwarded to a look, or coalesced with another",
    ),
    metric(
        "maitred_resets_total",
        Kind::Counter,
        &["reason"],
        "Sessions that servers were told to reset: moved, superseded, ended or dependency",
    ),
    metric("maitred_role_epoch", Kind::Sampled, &["pool"], "Changes of a pool's active datacenter"),
    metric("maitred_server_capacity", Kind::Sampled, &["pool", "server"], "Sessions that a server can hold"),
    metric(
        "maitred_server_load",
        Kind::Sampled,
        &["pool", "server"],
        "Sessions that a server is taken to hold, placements since its last report included",
    ),
    metric(
        "maitred_server_sessions",
        Kind::Sampled,
        &["pool", "server"],
        "Sessions that this director remembers at a server",
    ),
    metric(
        "maitred_server_up",
        Kind::Sampled,
        &["pool", "server"],
        "1 while a server is usable: neither down nor in maint",
    ),
    metric(
        "maitred_servers",
        Kind::Sampled,
        &["pool", "datacenter", "state"],
        "Servers by the input that decides their state",
    ),
    metric(
        "maitred_start_duration_seconds",
        Kind::Histogram(START_BUCKETS),
        &["pool"],
        "From the complete head of a start to its answer",
    ),
    metric("maitred_start_time_seconds", Kind::Sampled, &[], "When this process started, in seconds since 1970"),
    metric(
        "maitred_starts_refused_total",
        Kind::Counter,
        &["pool", "code"],
        "Starts that got no seat, by problem code",
    ),
    metric(
        "maitred_starts_total",
        Kind::Counter,
        &["pool", "affinity"],
        "Starts that got a seat: placed, kept or moved",
    ),
    metric("maitred_stopping", Kind::Sampled, &[], "1 from SIGTERM to the end"),
    metric(
        "maitred_suspects_itself",
        Kind::Sampled,
        &["pool"],
        "1 while so many servers are silent that the director doubts its own network",
    ),
    metric("maitred_table_records", Kind::Sampled, &[], "Seats and tombstones in the session table"),
    metric(
        "maitred_tickets_refused_total",
        Kind::Counter,
        &["reason"],
        "Tickets that a server asked about and that were refused",
    ),
    metric("maitred_tickets_total", Kind::Counter, &["pool"], "Tickets signed at a handover"),
];

/// What is counted in this process.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Metrics {
    /// A recorder with every description, not yet the one of the process.
    #[must_use]
    pub fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS {
            if let Kind::Histogram(bounds) = metric.kind {
                builder = match builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds) {
                    Ok(builder) => builder,
                    // Only an empty list is refused; `buckets_are_ordered` keeps that from happening.
                    Err(_) => PrometheusBuilder::new(),
                };
            }
        }
        let recorder = Arc::new(builder.build_recorder());
        for metric in METRICS {
            let (name, help) = (KeyName::from_const_str(metric.name), metric.help.into());
            let unit = metric.name.contains("_seconds").then_some(Unit::Seconds);
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, unit, help),
                Kind::Sampled | Kind::Tallied => {}
            }
        }
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Counts for the whole process from now on. Call it before anything is counted: a handle that was taken earlier counts nowhere.
    ///
    /// # Errors
    /// When the process has a recorder already.
    pub fn install(&self) -> Result<(), SetRecorderError<Arc<PrometheusRecorder>>> {
        metrics::set_global_recorder(Arc::clone(&self.recorder))
    }

    /// Everything, as Prometheus reads it.
    #[must_use]
    pub fn render(&self, sources: &Sources<'_>) -> String {
        let mut page = self.handle.render();
        // Never an error: it is a String.
        let _ = write!(page, "{}", sample::sample(sources));
        page
    }

    /// Keeps what is counted small while nobody asks. Runs until the arbiter stops.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            self.handle.run_upkeep();
        }
    }

    /// The recorder, for tests that count apart from the process.
    #[must_use]
    pub fn recorder(&self) -> &impl Recorder {
        &self.recorder
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
