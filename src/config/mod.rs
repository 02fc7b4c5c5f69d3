//! The configuration: read strictly from TOML, checked as a whole, and handed on as types that cannot hold a wrong value.
//!
//! ```text
//! file, include, MAITRED__ variables ── read ──> [Config] ──> core Settings, listeners, probes, edge
//!                                          └──> every mistake at once, as FILE:LINE: key: reason
//! ```
//! Owns the meaning and the defaults of every key. Refuses to know sockets, certificates' contents and the running director.

pub mod check;
mod cross;
pub mod describe;
pub mod diagnostic;
pub mod difference;
pub mod files;
mod health;
mod listeners;
pub mod load;
pub mod model;
mod pools;
mod reader;
mod sections;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod values;
mod warnings;
pub mod words;

pub use check::{CheckReport, Findings, check};
pub use describe::{Summary, policy_word, redacted, summary};
pub use diagnostic::{Diagnostic, Place, drives_a_terminal, printable};
pub use difference::{Change, difference, difference_from};
pub use files::{FileKind, FileUse};
pub use load::{Loaded, load};

pub use model::{
    AffinitySettings, Check, Config, DirectorSettings, Handover, Identity, InternalListener, KeyLog, Limits, Listeners,
    LogFormat, LogSettings, MetricsListener, Peer, PeerListener, Pool, PublicListener, Role, Route, ServerEdge,
    StartLog, TicketAlgorithm, TicketSettings, Tls, TlsWithClients,
};
pub use reader::{SERVERS_MAX, or_nearest};
pub use source::{FILE_BYTES_MAX, INCLUDES_MAX, VARIABLE_PREFIX, process_environment};
pub use words::{
    Host, KeySource, LabelSource, Landing, LocalPath, Origin, PathPrefix, ProbeKind, ProbeTarget, ProbeUrl, Scheme,
    StatusSet, WordError,
};
