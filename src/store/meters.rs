//! The journal's metrics.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Handles, looked up once: the journal's thread uses them with every commit.
pub(super) struct Meters {
    commits: Counter,
    records: Counter,
    seconds: Histogram,
    behind: Histogram,
    failing: Gauge,
    bytes: Gauge,
}

impl Meters {
    pub(super) fn new() -> Self {
        describe_counter!("maitred_journal_commits_total", "Durable commits of the journal");
        describe_counter!("maitred_journal_records_total", "Records written into the journal");
        describe_counter!("maitred_journal_errors_total", "Failures of the journal by kind");
        describe_histogram!("maitred_journal_commit_seconds", Unit::Seconds, "Time from taking the changes to disk");
        describe_histogram!(
            "maitred_journal_behind_seconds",
            Unit::Seconds,
            "Age that the oldest change in a commit may have had when it was on disk; the promise is 0.05"
        );
        describe_gauge!("maitred_journal_failing", "1 while changes live in memory only");
        describe_gauge!("maitred_journal_bytes", Unit::Bytes, "Bytes of records in the journal");
        Self {
            commits: counter!("maitred_journal_commits_total"),
            records: counter!("maitred_journal_records_total"),
            seconds: histogram!("maitred_journal_commit_seconds"),
            behind: histogram!("maitred_journal_behind_seconds"),
            failing: gauge!("maitred_journal_failing"),
            bytes: gauge!("maitred_journal_bytes"),
        }
    }

    /// `behind`: how old the oldest of them may have been.
    pub(super) fn committed(&self, records: u64, took: Duration, behind: Duration) {
        self.commits.increment(1);
        self.records.increment(records);
        self.seconds.record(took);
        self.behind.record(behind);
    }

    /// `kind` is one of a few fixed words.
    pub(super) fn error(&self, kind: &'static str, number: u64) {
        counter!("maitred_journal_errors_total", "kind" => kind).increment(number);
    }

    pub(super) fn state(&self, well: bool, bytes: u64) {
        self.failing.set(if well { 0.0 } else { 1.0 });
        // Exact up to 2^53 bytes.
        self.bytes.set(bytes as f64);
    }
}
