//! What a reload changes, key by key, and which changes only a restart brings.

use std::fmt;

use serde_json::Value;

use super::describe::redacted;
use super::diagnostic::printable;
use super::model::Config;

/// One key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The key; elements of named lists stand under their name: `pool.ua.server.ua3.weight`.
    pub key: String,
    /// What runs; `None` where the key is new.
    pub before: Option<String>,
    /// What would run; `None` where the key goes.
    pub after: Option<String>,
    /// A reload cannot bring it: what runs stays until the next start.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), printable);
        write!(f, "{}: {} -> {}", printable(&self.key), shown(&self.before), shown(&self.after))?;
        if self.needs_restart { f.write_str(" (needs a restart)") } else { Ok(()) }
    }
}

/// Every key that differs, in order of key. Empty when a reload changes nothing (files may still have other contents).
#[must_use]
pub fn difference(running: &Config, wanted: &Config) -> Vec<Change> {
    difference_from(&redacted(running), wanted)
}

/// [`difference`], where what runs is known only by what the director tells of it: the object of [`redacted`].
#[must_use]
pub fn difference_from(running: &Value, wanted: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", Some(running), Some(&redacted(wanted)), &mut changes);
    changes
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
        let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            compare(&super::tree::join(path, key), old.get(key), new.get(key), changes);
        }
        return;
    }
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    changes.push(Change {
        key: path.to_owned(),
        before: text(before),
        after: text(after),
        needs_restart: needs_restart(path),
    });
}

/// Who a director is, where its journal lies and which sockets it has opened are settled at start.
fn needs_restart(key: &str) -> bool {
    let listener = key.strip_prefix("listen.");
    let opens = listener.is_some_and(|rest| !rest.contains('.') || rest.ends_with(".address"));
    opens || matches!(key, "director.name" | "director.datacenter" | "director.state_dir" | "listen.public.tls")
}
