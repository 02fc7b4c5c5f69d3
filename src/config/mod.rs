//! The configuration: read strictly from TOML, checked as a whole, and handed on as types that cannot hold a wrong value.
//!
//! ```text
//! file, include, MAITRED__ variables ── read ──> [Config] ──> core Settings, listeners, probes, edge
//!                                          └──> every mistake at once, as FILE:LINE: key: reason
//! ```
//! Owns the meaning and the defaults of every key. Refuses to know sockets, certificates' contents and the running director.

pub mod model;
pub mod words;

pub use model::{
    AffinitySettings, Check, Config, DirectorSettings, Handover, Identity, InternalListener, KeyLog, Limits, Listeners,
    LogFormat, LogSettings, MetricsListener, Peer, PeerListener, Pool, PublicListener, Role, Route, ServerEdge,
    StartLog, TicketAlgorithm, TicketSettings, Tls, TlsWithClients,
};
pub use words::{
    Host, KeySource, LabelSource, Landing, LocalPath, Origin, PathPrefix, ProbeKind, ProbeTarget, ProbeUrl, Scheme,
    StatusSet, WordError,
};
