//! The pure part of `maitred check`: what is wrong, what will hurt, what would run, and what differs from what runs.
//!
//! Knows no terminal, socket or certificate: what is inside files is judged by the caller, the running configuration is given.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use super::describe::{redacted, summary};
use super::diagnostic::{Diagnostic, Place};
use super::difference::{Change, difference_from};
use super::load::{Loaded, load};
use super::model::Config;

/// What somebody found who looked inside the files of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Refuse the configuration.
    pub errors: Vec<Diagnostic>,
    /// Will hurt.
    pub warnings: Vec<Diagnostic>,
}

/// The answer of `maitred check`.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// Every mistake, in order of place; empty where it may be used.
    pub errors: Vec<Diagnostic>,
    /// What is allowed and will hurt.
    pub warnings: Vec<Diagnostic>,
    /// What would run; `None` where it is refused.
    pub config: Option<Config>,
    /// What a reload would change; `None` where no running director was asked.
    pub changes: Option<Vec<Change>>,
}

/// Checks a file as `run` and a reload do.
///
/// `look_inside` judges the contents of files (certificates, keys, tokens) and what only they tell, such as a certificate that does
/// not cover a server's name; it is asked only where the configuration itself is right. `running` is what `GET /v1/config` of a
/// running director answered, the same object as [`redacted`] gives; no running director is no mistake.
pub fn check(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    look_inside: impl FnOnce(&Loaded) -> Findings,
    running: Option<&Value>,
) -> CheckReport {
    let mut loaded = match load(path, environment) {
        Ok(loaded) => loaded,
        Err(errors) => return CheckReport { errors, warnings: Vec::new(), config: None, changes: None },
    };
    let found = look_inside(&loaded);
    let mut errors = found.errors;
    errors.sort();
    loaded.warnings.extend(found.warnings);
    loaded.warnings.sort();
    let changes = running.map(|running| difference_from(running, &loaded.config));
    let config = errors.is_empty().then_some(loaded.config);
    CheckReport { changes: changes.filter(|_| config.is_some()), errors, warnings: loaded.warnings, config }
}

impl CheckReport {
    /// Whether it may run: warnings refuse nothing.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// For `--json`: `{valid, errors, warnings, config, digest, changes}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let list = |diagnostics: &[Diagnostic]| diagnostics.iter().map(diagnostic).collect::<Vec<_>>();
        json!({
            "valid": self.is_valid(),
            "errors": list(&self.errors),
            "warnings": list(&self.warnings),
            "config": self.config.as_ref().map(redacted),
            "digest": self.config.as_ref().map(|config| config.digest.clone()),
            "changes": self.changes,
        })
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let (file, line) = match &diagnostic.place {
        Place::File { path, line } => (path.to_string_lossy().into_owned(), Some(*line)),
        Place::Environment { variable } => (variable.clone(), None),
    };
    json!({ "file": file, "line": line, "key": diagnostic.key, "reason": diagnostic.reason })
}

impl fmt::Display for CheckReport {
    /// Mistakes as `FILE:LINE: key: reason` and nothing else on their lines; warnings begin with their place too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(f, "{error}")?;
        }
        for Diagnostic { place, key, reason } in &self.warnings {
            writeln!(f, "{place}: {key}: warning: {reason}")?;
        }
        let Some(config) = &self.config else {
            return match self.errors.len() {
                1 => writeln!(f, "refused: 1 mistake"),
                count => writeln!(f, "refused: {count} mistakes"),
            };
        };
        write!(f, "{}", summary(config))?;
        match &self.changes {
            None => {}
            Some(changes) if changes.is_empty() => writeln!(f, "the running director has the same configuration")?,
            Some(changes) => {
                writeln!(f, "a reload of the running director would change:")?;
                for change in changes {
                    writeln!(f, "  {change}")?;
                }
            }
        }
        writeln!(f, "valid")
    }
}
