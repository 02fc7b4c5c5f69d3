//! One director's process: the real core, its clock, its journal, and what its machine would do around it.

use std::collections::BTreeMap;

use maitred_core::clock::{Mono, Now, Time};
use maitred_core::director::Director;
use maitred_core::entry::Entry;
use maitred_core::session::TableOptions;
use maitred_core::settings::Settings;

use crate::plan::{EPOCH, Journal};

/// How old a journal of [`Journal::Old`] is at least.
const COPY_EVERY_MS: u64 = 30_000;

/// A director's machine.
#[derive(Debug, Default)]
pub struct Host {
    /// The running process.
    pub director: Option<Director>,
    /// Counts starts; what was meant for a former life is dropped.
    pub life: u64,
    /// When it started, in milliseconds of the run.
    pub up_since: u64,
    /// The wall clock against the true one.
    pub skew_ms: i64,
    /// Extra delay of its frames.
    pub slow_ms: u64,
    /// It is stopped, and since when.
    pub stopped_at: Option<u64>,
    /// When it went on last.
    pub went_on_at: u64,
    /// How long it had been stopped then.
    pub lost_ms: u64,
    base: u64,
    journal: BTreeMap<String, Entry>,
    copy: BTreeMap<String, Entry>,
    copied_at: u64,
    clock: u64,
}

impl Host {
    /// A machine on which nothing runs yet.
    #[must_use]
    pub fn new(skew_ms: i64) -> Self {
        Self { skew_ms, ..Self::default() }
    }

    /// Starts the process with what is left of its journal.
    pub fn start(&mut self, settings: Settings, seed: u64, journal: Journal, at: u64) {
        match journal {
            Journal::Whole => {}
            Journal::Old => self.journal = self.copy.clone(),
            Journal::Gone => {
                self.journal.clear();
                self.clock = 0;
            }
        }
        self.life += 1;
        self.up_since = at;
        let wall = EPOCH.saturating_add(at).saturating_add_signed(self.skew_ms);
        self.base = wall.max(self.clock);
        let now = self.now(at);
        let options = TableOptions { shards: 2, seed, records_max: 10_000 };
        let Ok(director) = Director::new(settings, options, now) else { return };
        director.restore(self.journal.values().cloned(), now);
        self.director = Some(director);
    }

    /// Kills the process.
    pub fn die(&mut self) {
        self.director = None;
        self.stopped_at = None;
        self.life += 1;
    }

    /// Since when it lives without a break.
    #[must_use]
    pub fn lives_since(&self) -> u64 {
        self.up_since.max(self.went_on_at)
    }

    /// What the process would read now.
    #[must_use]
    pub fn now(&self, at: u64) -> Now {
        let mono = at.saturating_sub(self.up_since);
        Now { mono: Mono(mono + 1), time: Time(self.base + mono) }
    }

    /// Writes down what changed, and follows the others' clocks (R2).
    pub fn write(&mut self, at: u64) {
        let Some(director) = &self.director else { return };
        if at >= self.copied_at + COPY_EVERY_MS {
            self.copied_at = at;
            self.copy = self.journal.clone();
        }
        let journal = &mut self.journal;
        director.drain_dirty(&mut |entry| {
            journal.insert(identity(&entry), entry);
        });
        if let Some(behind) = director.take_clock_behind() {
            self.base += u64::try_from(behind.as_millis()).unwrap_or(0);
        }
        self.clock = self.now(at).time.0;
    }
}

fn identity(entry: &Entry) -> String {
    match entry {
        Entry::Seat(seat) => format!("seat {}", seat.key.as_str()),
        Entry::State(state) => format!("state {}", state.key.as_str()),
        Entry::ServerOrder(order) => format!("order {}", order.server),
        Entry::RoleOrder(order) => format!("role order {}", order.pool),
        Entry::LastVerdict(last) => format!("verdict {}", last.server),
        Entry::LastRole(last) => format!("role {}", last.pool),
        Entry::Clock(_) => "clock".to_owned(),
        Entry::Confirmed(confirmed) => format!("confirmed {}", confirmed.key.as_str()),
        Entry::Outage(outage) => format!("outage {} {}", outage.server, outage.dependency),
    }
}
