//! What can go wrong on a listener, with the stable code of each (`interface.md`, "Errors"), as RFC 9457 writes it.
//!
//! Owns codes, statuses and words. Knows no response type: [`crate::http::page`] makes a page of it, [`crate::http::jsonp`] a
//! script, and the listeners a body.

use std::borrow::Cow;
use std::time::Duration;

use maitred_core::ids::{DatacenterName, ServerName};
use maitred_core::seating::{AvoidRefusal, Refusal, Shortage};
use serde_json::Value;

pub use super::problem_body::Body;
use super::problem_body::in_words;
use crate::credentials::TicketFault;

/// Media type of [`Body`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Shortest and longest wait that a refused start is told, in seconds; between them by chance, so that a crowd does not return
/// as one.
const RETRY_SECONDS: (u32, u32) = (3, 9);

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// The request is malformed; names the attribute that is missing or wrong.
    Malformed {
        /// `key`, `pool`, `Host`, `labels.media` ...
        attribute: Cow<'static, str>,
        /// What is wrong with it. Never holds what the client sent.
        fault: Cow<'static, str>,
    },
    /// A ticket that is no statement of a director, or whose time has passed.
    Ticket(TicketFault),
    /// The configuration on disk is refused, and the one before it stands.
    Config {
        /// Every mistake, one line each: `FILE:LINE: key: reason`.
        faults: Vec<String>,
    },
    /// The request names a seat (server, incarnation, generation) that is not the current one (R4).
    Stale {
        /// The current seat, as the listener shows it to this caller.
        current: Value,
    },
    /// What the request would replace is not what it expects (R9).
    Changed {
        /// The ETag of what is there.
        etag: Option<String>,
        /// The request said what it expects (`If-Match`, `If-None-Match`).
        conditional: bool,
    },
    /// The server has not confirmed who is logged in at the session, or the agent has gone on to another one.
    NotConfirmed,
    /// The director's memory is full.
    NoRoom,
    /// The body is longer than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// One attribute of the body holds more than it may.
    OverLimit {
        /// Which.
        attribute: &'static str,
        /// The limit.
        limit: usize,
        /// Of what: `entries`, `bytes`.
        unit: &'static str,
    },
    /// The request target is longer than the limit.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body is encoded, or is no JSON.
    Media {
        /// What would be accepted.
        expected: &'static str,
    },
    /// Too many header fields, or too many bytes of them.
    Headers {
        /// What was exceeded.
        fault: &'static str,
    },
    /// No credentials, or none that are valid.
    Unauthenticated,
    /// The caller's role does not allow this.
    Forbidden(Cow<'static, str>),
    /// The calling page's origin is not one of the pool's `embed`.
    OriginUnknown,
    /// No such path, pool or session. One text for all three: a stranger learns nothing from it.
    NotFound,
    /// No such pool or server is configured, said to whoever may read all of them anyway.
    NoSuch(String),
    /// The path does not have this method.
    Method {
        /// Those it has, for `Allow`.
        allow: &'static str,
    },
    /// The request took too long to arrive.
    TooSlow,
    /// No route names this host.
    UnknownHost,
    /// Too many starts after a failover.
    Paced {
        /// When to come back.
        retry_after: Duration,
    },
    /// This datacenter is passive and refuses.
    Passive {
        /// The active one, when it is known.
        active: Option<DatacenterName>,
    },
    /// A request that cannot be done this way.
    Unsupported(Cow<'static, str>),
    /// No server accepts this.
    NoServer(Shortage),
    /// There is nothing to hand out just now, although nothing is known to be broken (a prefetch without a seat).
    NothingYet,
    /// The connection to one of the asked servers was lost.
    LostConnection(Option<ServerName>),
    /// Not found so far, and not every server could be asked.
    NotAccessible,
    /// An order, lease or locate for this key is in progress.
    InProgress,
    /// More than one server contains this id.
    Ambiguous(Vec<ServerName>),
    /// The snapshot has expired, or its server is gone.
    SnapshotGone,
    /// Every server has answered, and none has it.
    DoesNotExist,
    /// A fault of the director itself. Counted and logged where it arises; the client learns nothing of it.
    Internal,
}

impl Problem {
    /// A missing or wrong attribute.
    pub fn malformed(attribute: impl Into<Cow<'static, str>>, fault: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed { attribute: attribute.into(), fault: fault.into() }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed { .. } | Self::Ticket(_) | Self::Config { .. } | Self::Unsupported(_) => 400,
            Self::Changed { conditional: true, .. } => 412,
            Self::Changed { .. } | Self::Stale { .. } | Self::InProgress | Self::Ambiguous(_) => 409,
            Self::TooLarge { .. } | Self::OverLimit { .. } => 413,
            Self::TooLong { .. } => 414,
            Self::Media { .. } => 415,
            Self::Headers { .. } => 431,
            Self::Unauthenticated => 401,
            Self::Forbidden(_) | Self::OriginUnknown | Self::NotConfirmed => 403,
            Self::NotFound | Self::NoSuch(_) | Self::DoesNotExist => 404,
            Self::Method { .. } => 405,
            Self::TooSlow => 408,
            Self::UnknownHost => 421,
            Self::Paced { .. } => 429,
            Self::SnapshotGone => 410,
            Self::Passive { .. }
            | Self::NoServer(_)
            | Self::NothingYet
            | Self::NoRoom
            | Self::LostConnection(_)
            | Self::NotAccessible => 503,
            Self::Internal => 500,
        }
    }

    /// The stable code of the interface.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed { .. } | Self::Ticket(_) | Self::Config { .. } => 1000,
            Self::Paced { .. } => 1001,
            Self::Passive { .. } => 1002,
            Self::Stale { .. } | Self::Changed { .. } => 1003,
            Self::TooLarge { .. }
            | Self::OverLimit { .. }
            | Self::TooLong { .. }
            | Self::Media { .. }
            | Self::Headers { .. } => 1004,
            Self::Unauthenticated => 1005,
            Self::Forbidden(_) | Self::OriginUnknown | Self::NotConfirmed => 1006,
            Self::NotFound | Self::NoSuch(_) => 1007,
            Self::Method { .. } => 1008,
            Self::TooSlow => 1009,
            Self::UnknownHost => 1010,
            Self::Internal => 1011,
            Self::Unsupported(_) => 2000,
            Self::NoServer(_) | Self::NothingYet | Self::NoRoom => 2001,
            Self::LostConnection(_) => 2002,
            Self::NotAccessible => 2003,
            Self::InProgress => 2004,
            Self::Ambiguous(_) => 2005,
            Self::SnapshotGone => 2006,
            Self::DoesNotExist => 2009,
        }
    }

    /// A few words that are the same for every occurrence of the code and status.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "Malformed request",
            Self::Ticket(_) => "Ticket refused",
            Self::Config { .. } => "Configuration refused",
            Self::Stale { .. } => "Stale: this is not the current seat",
            Self::Changed { .. } => "Changed: something else is there",
            Self::NotConfirmed => "Not confirmed",
            Self::NoRoom => "No room",
            Self::TooLarge { .. } | Self::OverLimit { .. } => "Body too large",
            Self::TooLong { .. } => "Address too long",
            Self::Media { .. } => "Body of another kind",
            Self::Headers { .. } => "Header too large",
            Self::Unauthenticated => "Credentials needed",
            Self::Forbidden(_) => "Not allowed",
            Self::OriginUnknown => "Origin not allowed",
            Self::NotFound | Self::NoSuch(_) => "Not found",
            Self::Method { .. } => "Method not allowed",
            Self::TooSlow => "Request too slow",
            Self::UnknownHost => "Unknown host",
            Self::Paced { .. } => "Paced: come back a little later",
            Self::Passive { .. } => "Another datacenter is active",
            Self::Unsupported(_) => "Unsupported operation",
            Self::NoServer(_) | Self::NothingYet => "No server available",
            Self::LostConnection(_) => "Connection to a server lost",
            Self::NotAccessible => "Not accessible",
            Self::InProgress => "In progress",
            Self::Ambiguous(_) => "More than one server has it",
            Self::SnapshotGone => "Snapshot not accessible",
            Self::DoesNotExist => "Does not exist",
            Self::Internal => "Internal fault",
        }
    }

    /// One sentence about this occurrence. Holds nothing that the client sent.
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed { attribute, fault } => format!("{attribute} {fault}").into(),
            Self::Ticket(fault) => format!("The ticket {fault}.").into(),
            Self::Config { faults } => {
                format!("The configuration has {} mistakes; the one that runs stays.", faults.len()).into()
            }
            Self::Stale { .. } => {
                "What the request names is not the current seat, which is shown in \"current\".".into()
            }
            Self::Changed { .. } => "What is there is not what the request expects; its ETag is in \"current\".".into(),
            Self::NotConfirmed => {
                "Only the server that has confirmed who is logged in may read this; the newest confirm counts.".into()
            }
            Self::NoRoom => "This director remembers as many sessions as it can.".into(),
            Self::OverLimit { attribute, limit, unit } => {
                format!("{attribute} may have at most {limit} {unit}.").into()
            }
            Self::TooLarge { limit } => format!("The body may have at most {limit} bytes.").into(),
            Self::TooLong { limit } => format!("The address may have at most {limit} bytes.").into(),
            Self::Media { expected } => format!("The body must be {expected}.").into(),
            Self::Headers { fault } => (*fault).into(),
            Self::Unauthenticated => "This needs valid credentials.".into(),
            Self::Forbidden(why) => why.clone(),
            Self::OriginUnknown => "The calling page is not known to be one of the allowed origins.".into(),
            Self::NotFound => "There is nothing here.".into(),
            Self::NoSuch(says) => format!("{says}.").into(),
            Self::Method { allow } => format!("This path has {allow}.").into(),
            Self::TooSlow => "The request did not arrive in time.".into(),
            Self::UnknownHost => "No route names this host.".into(),
            Self::Paced { .. } => "Many sessions are returning at once; yours is let in shortly.".into(),
            Self::Passive { active: Some(active) } => {
                format!("This datacenter is passive and refuses; {active} is active.").into()
            }
            Self::Passive { active: None } => {
                "Nothing is heard from the active datacenter, and an operator has to say what is next.".into()
            }
            Self::Unsupported(why) => why.clone(),
            Self::NoServer(shortage) => in_words(shortage).into(),
            Self::NothingYet => "This caller has no seat yet.".into(),
            Self::LostConnection(Some(server)) => format!("The connection to {server} was lost.").into(),
            Self::LostConnection(None) => "The connection to one of the asked servers was lost.".into(),
            Self::NotAccessible => "Not found so far, and not every server could be asked.".into(),
            Self::InProgress => "An order for this key is in progress.".into(),
            Self::Ambiguous(_) => "More than one server contains this id.".into(),
            Self::SnapshotGone => "The snapshot has expired, or its server is gone.".into(),
            Self::DoesNotExist => "Every server has answered, and none has it.".into(),
            Self::Internal => "The director could not answer; the request id finds the reason in its log.".into(),
        }
    }

    /// Seconds for `Retry-After`, where the status has one. `chance` is a random number.
    #[must_use]
    pub fn retry_after(&self, chance: u32) -> Option<u32> {
        let (shortest, longest) = RETRY_SECONDS;
        let spread = |span: u32| chance % (span + 1);
        match self {
            Self::Paced { retry_after } => {
                let seconds = u32::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).clamp(1, 3600);
                Some(seconds + spread(seconds.div_ceil(2)))
            }
            _ if self.status() == 503 => Some(shortest + spread(longest - shortest)),
            _ => None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // The edge asks again with a minted key, so a client never sees an ended session's refusal.
            Refusal::UnknownPool | Refusal::SessionEnded => Self::NotFound,
            Refusal::UnknownLabel(name) => Self::malformed(format!("labels.{name}"), "is not a label of this pool"),
            Refusal::NoServer(shortage) => Self::NoServer(shortage),
            Refusal::Passive { active } => Self::Passive { active: Some(active) },
            Refusal::Isolated => Self::Passive { active: None },
            Refusal::Paced { retry_after } => Self::Paced { retry_after },
            Refusal::AvoidRefused(AvoidRefusal::NotOwner) => {
                Self::Forbidden("Only the owner of a session may avoid its server.".into())
            }
            Refusal::AvoidRefused(AvoidRefusal::TooOften) => Self::Paced { retry_after: Duration::from_secs(60) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(problem: &Problem) -> Value {
        serde_json::to_value(problem.body("r1", problem.retry_after(0))).unwrap_or_default()
    }

    #[test]
    fn every_row_of_the_table_has_its_status_and_code() {
        let active = DatacenterName::parse("west").ok();
        let rows = [
            (Problem::malformed("key", "is empty"), 400, 1000),
            (Problem::Stale { current: Value::Null }, 409, 1003),
            (Problem::Changed { etag: None, conditional: false }, 409, 1003),
            (Problem::Changed { etag: None, conditional: true }, 412, 1003),
            (Problem::NotConfirmed, 403, 1006),
            (Problem::NoRoom, 503, 2001),
            (Problem::OverLimit { attribute: "held", limit: 1, unit: "entries" }, 413, 1004),
            (Problem::TooLarge { limit: 1 }, 413, 1004),
            (Problem::TooLong { limit: 1 }, 414, 1004),
            (Problem::Media { expected: "JSON" }, 415, 1004),
            (Problem::Headers { fault: "too many" }, 431, 1004),
            (Problem::Unauthenticated, 401, 1005),
            (Problem::Forbidden("no".into()), 403, 1006),
            (Problem::OriginUnknown, 403, 1006),
            (Problem::NotFound, 404, 1007),
            (Problem::Method { allow: "GET" }, 405, 1008),
            (Problem::TooSlow, 408, 1009),
            (Problem::UnknownHost, 421, 1010),
            (Problem::Paced { retry_after: Duration::ZERO }, 429, 1001),
            (Problem::Passive { active }, 503, 1002),
            (Problem::Unsupported("no".into()), 400, 2000),
            (Problem::NoServer(Shortage::default()), 503, 2001),
            (Problem::LostConnection(None), 503, 2002),
            (Problem::NotAccessible, 503, 2003),
            (Problem::InProgress, 409, 2004),
            (Problem::Ambiguous(Vec::new()), 409, 2005),
            (Problem::SnapshotGone, 410, 2006),
            (Problem::DoesNotExist, 404, 2009),
        ];
        for (problem, status, code) in rows {
            assert_eq!((problem.status(), problem.code()), (status, code), "{problem:?}");
            let body = shown(&problem);
            for member in ["type", "title", "status", "detail", "code", "request_id"] {
                assert!(!body[member].is_null(), "{problem:?} lacks {member}");
            }
        }
    }

    #[test]
    fn a_malformed_request_names_the_attribute() {
        let body = shown(&Problem::malformed("key", "is empty"));
        assert_eq!(body["attribute"], "key");
        assert_eq!(body["detail"], "key is empty");
    }

    #[test]
    fn a_shortage_says_which_reason_stands_in_the_way() {
        let shortage = Shortage { servers: 4, down: 3, full: 1, ..Shortage::default() };
        let body = shown(&Problem::NoServer(shortage));
        assert_eq!(body["detail"], "No server accepts this: of 4 servers 3 are down, 1 is full.");
        assert_eq!(body["blocked"]["down"], 3);
    }

    #[test]
    fn the_wait_is_spread_and_never_zero() {
        let problem = Problem::NoServer(Shortage::default());
        let waits: std::collections::BTreeSet<_> = (0..100).filter_map(|chance| problem.retry_after(chance)).collect();
        assert_eq!(waits, (3..=9).collect());
        let paced = Problem::Paced { retry_after: Duration::from_millis(1) };
        assert!((0..100).all(|chance| paced.retry_after(chance) >= Some(1)));
        assert_eq!(Problem::NotFound.retry_after(7), None);
    }

    #[test]
    fn an_unknown_origin_says_so_in_one_word() {
        assert_eq!(shown(&Problem::OriginUnknown)["reason"], "origin_unknown");
    }
}
