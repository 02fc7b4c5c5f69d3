//! The small languages inside configuration values: origins, hosts, paths, key sources, expected statuses.
//!
//! Each is parsed once from its text and prints as the text that would be parsed again. Knows no file and no line.

use thiserror::Error;

mod origin;
mod path;
mod probe;
mod source;
mod status;

pub use origin::{Host, Origin, Scheme};
pub use path::{Landing, LocalPath, PathPrefix};
pub use probe::{ProbeKind, ProbeTarget, ProbeUrl};
pub use source::{KeySource, LabelSource};
pub use status::StatusSet;

/// Why a text is no such word: a sentence that continues "KEY: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct WordError(String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, WordError> {
    Err(WordError(reason.into()))
}
