//! What the process knows about itself, for status and metrics: journal, certificates, reloads.
//!
//! Filled by whoever wires the process; read at any moment without waiting. Owns no rule but one: when a certificate is worth a
//! warning.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use maitred_core::clock::Time;

use crate::store::{Condition, JournalHealth};
use crate::tls::ReloadableServer;

/// A certificate that ends within this time is a warning: long enough for people who renew by hand.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The state of the process beside its decisions.
pub struct Vitals {
    started: Time,
    journal: Option<JournalHealth>,
    listeners: Vec<(&'static str, ReloadableServer)>,
    reloads: Reloads,
}

/// What one listener shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// `public`, `internal` or `peer`.
    pub listener: &'static str,
    /// Its names.
    pub names: Vec<String>,
    /// When it begins.
    pub not_before: Time,
    /// When it ends.
    pub not_after: Time,
}

impl Vitals {
    /// A process that started at this moment and has a valid configuration. `journal` is `None` where nothing is written.
    #[must_use]
    pub fn new(
        started: Time,
        journal: Option<JournalHealth>,
        listeners: Vec<(&'static str, ReloadableServer)>,
    ) -> Self {
        Self { started, journal, listeners, reloads: Reloads::new(started) }
    }

    /// When the process started.
    #[must_use]
    pub fn started(&self) -> Time {
        self.started
    }

    /// The journal; `None` where nothing is written.
    #[must_use]
    pub fn journal(&self) -> Option<&JournalHealth> {
        self.journal.as_ref()
    }

    /// The attempts to take another configuration.
    #[must_use]
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// Whether the certificate that a listener shows now has this name; a listener that shows none has no name.
    #[must_use]
    pub fn is_called(&self, listener: &str, host: &str) -> bool {
        let shown = self.listeners.iter().find(|(name, _)| *name == listener);
        shown.is_some_and(|(_, server)| server.identity().covers(host))
    }

    /// What the listeners show now.
    pub fn certificates(&self) -> impl Iterator<Item = ShownCertificate> {
        self.listeners.iter().map(|(listener, server)| {
            let identity = server.identity();
            let (not_before, not_after) = (identity.not_before(), identity.not_after());
            ShownCertificate { listener, names: identity.names().to_vec(), not_before, not_after }
        })
    }

    /// What an operator should look at, in words. `wall` is the machine's clock: certificates are judged by everybody else's.
    #[must_use]
    pub fn warnings(&self, wall: Time) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.journal.as_ref().map(|journal| journal.status().condition) {
            Some(Condition::Failing { trouble, .. }) => {
                warnings.push(format!(
                    "the journal is not written: {trouble}; a restart now would forget what changed since"
                ));
            }
            Some(Condition::Ok) => {}
            None => warnings.push("there is no state_dir: a restart forgets sessions and orders".to_owned()),
        }
        for (listener, server) in &self.listeners {
            if let Some(warning) = server.identity().validity_warning(wall, WARN_BEFORE) {
                warnings.push(format!("the certificate of the {listener} listener {warning}"));
            }
        }
        if let Some(refused) = &self.reloads.last().refused {
            let faults = refused.faults.len();
            warnings.push(format!("the last reload was refused ({faults} faults); the configuration before it stands"));
        }
        warnings
    }
}

/// The attempts to take another configuration, by signal, file change or order. Whoever reloads notes the outcome here.
pub struct Reloads(ArcSwap<Reloaded>);

/// The outcome so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// When the configuration in force was taken.
    pub taken: Time,
    /// The latest attempt, when it was refused.
    pub refused: Option<ReloadRefused>,
}

/// An attempt that changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadRefused {
    /// When.
    pub at: Time,
    /// Each fault as one line, `FILE:LINE: key: reason`.
    pub faults: Vec<String>,
}

impl Reloads {
    fn new(started: Time) -> Self {
        Self(ArcSwap::from_pointee(Reloaded { taken: started, refused: None }))
    }

    /// A configuration was taken.
    pub fn succeeded(&self, at: Time) {
        self.0.store(Arc::new(Reloaded { taken: at, refused: None }));
    }

    /// One was refused, and what ran before still runs.
    pub fn refused(&self, at: Time, faults: Vec<String>) {
        let taken = self.0.load().taken;
        self.0.store(Arc::new(Reloaded { taken, refused: Some(ReloadRefused { at, faults }) }));
    }

    /// The outcome so far.
    #[must_use]
    pub fn last(&self) -> Arc<Reloaded> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reload_is_a_warning_until_one_is_taken() {
        let vitals = Vitals::new(Time(1), None, Vec::new());
        vitals.reloads().refused(Time(5), vec!["maitred.toml:3: pool.name: is missing".to_owned()]);
        assert!(vitals.warnings(Time(5)).iter().any(|warning| warning.contains("1 faults")));
        assert_eq!(vitals.reloads().last().taken, Time(1), "what ran before still runs");
        vitals.reloads().succeeded(Time(9));
        assert_eq!(*vitals.reloads().last(), Reloaded { taken: Time(9), refused: None });
        assert!(!vitals.warnings(Time(9)).iter().any(|warning| warning.contains("reload")));
    }
}
