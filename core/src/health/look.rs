//! One look at a server: what a probe saw, as the core hears of it.
//!
//! Knows no socket. The shell translates what the network did into a [`FailureKind`]; whether that is evidence about the server
//! or only silence on the path is decided here, in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, ServerName};

/// The outcome of one round of all checks of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// How long the slowest check took.
    pub took: Duration,
    /// What was seen.
    pub outcome: Outcome,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every check passed; the report is empty when the body said nothing.
    Good(Report),
    /// The first check that failed.
    Bad(Failure),
}

/// What a server says of itself, in a probe's body or in a beat. Absent means unknown, never 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Its name, as it believes; another name than the configured one means that addresses were swapped.
    pub server: Option<ServerName>,
    /// The life of its process.
    pub incarnation: Option<Incarnation>,
    /// Sessions that it holds.
    pub sessions: Option<u32>,
    /// Sessions that it can hold.
    pub capacity: Option<u32>,
    /// It asks for no new sessions.
    pub draining: Option<bool>,
    /// Its dependencies by name: true is up.
    pub depends: BTreeMap<String, bool>,
}

/// Why a look failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind; a metric label.
    pub kind: FailureKind,
    /// The check that failed, by its configured name; `None` is the pool's main check.
    pub check: Option<String>,
    /// One short printable line for people, at most 200 bytes, with nothing secret in it.
    pub detail: String,
}

/// The kinds of failure. Each has a stable word for metrics, logs and the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// No complete answer in time (also: half-open connection, slow drip).
    Timeout,
    /// No route, or the network says unreachable.
    Unreachable,
    /// The name does not resolve.
    NoName,
    /// Connection refused.
    Refused,
    /// Connection reset.
    Reset,
    /// Closed without a complete answer.
    Closed,
    /// TLS handshake failed: certificate expired, unknown issuer, name not covered, or another TLS fault.
    Tls,
    /// The status is not the expected one (a redirect is one of these, never followed).
    Status,
    /// The body is longer than the limit or endless.
    TooLarge,
    /// Not the protocol: malformed HTTP, or a wrong CPong.
    Protocol,
    /// A body that claims to be a report (`"maitred"`) and is malformed.
    Body,
    /// The server says that it is another one: addresses are swapped.
    WrongName,
    /// A dependency with effect `down` is down.
    Dependency,
}

impl FailureKind {
    /// Silence may be about the path; everything else is an answer, and evidence about the server (R11).
    #[must_use]
    pub fn is_silence(self) -> bool {
        matches!(self, Self::Timeout | Self::Unreachable | Self::NoName)
    }

    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::NoName => "no_name",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Tls => "tls",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Protocol => "protocol",
            Self::Body => "body",
            Self::WrongName => "wrong_name",
            Self::Dependency => "dependency",
        }
    }
}
