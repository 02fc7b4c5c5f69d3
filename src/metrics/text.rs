//! The text format of Prometheus, as far as gauges need it.

use std::fmt::{self, Write as _};

use super::{METRICS, Metric};

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Text {
    page: String,
}

impl Text {
    /// Begins a metric; its samples follow.
    pub(super) fn begin(&mut self, name: &'static str) -> Family<'_> {
        let known: Option<&Metric> = METRICS.iter().find(|metric| metric.name == name);
        if let Some(metric) = known {
            let _ = writeln!(self.page, "# HELP {name} {}\n# TYPE {name} {}", metric.help, metric.kind.as_str());
        }
        Family { name, labels: known.map_or(&[], |metric| metric.labels), page: &mut self.page }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.page)
    }
}

/// One metric's samples.
pub(super) struct Family<'t> {
    name: &'static str,
    labels: &'static [&'static str],
    page: &'t mut String,
}

impl Family<'_> {
    /// One value. Label values come in the order of [`METRICS`]; all of ours are names and words that need no escaping, and what
    /// is not is left out rather than believed.
    pub(super) fn value(&mut self, labels: &[&str], value: f64) {
        debug_assert_eq!(labels.len(), self.labels.len(), "{}", self.name);
        let _ = write!(self.page, "{}", self.name);
        for (at, (label, text)) in self.labels.iter().zip(labels).enumerate() {
            let _ = write!(self.page, "{}{label}=\"", if at == 0 { '{' } else { ',' });
            self.page.extend(text.chars().filter(|c| !matches!(c, '"' | '\\') && !c.is_control()));
            self.page.push('"');
        }
        let _ = writeln!(self.page, "{} {value}", if self.labels.is_empty() { "" } else { "}" });
    }
}
