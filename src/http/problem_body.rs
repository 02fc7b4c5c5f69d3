//! A problem as RFC 9457 writes it: the members of the object, and a shortage of servers in words.
//!
//! Which members a problem has is the interface (`interface.md`, "Errors"); codes, statuses and sentences are [`Problem`]'s.

use std::borrow::Cow;

use maitred_core::ids::{DatacenterName, ServerName};
use maitred_core::seating::Shortage;
use serde::Serialize;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::credentials::TicketFault;

impl Problem {
    /// The body of `application/problem+json`, and of `error` in a JSONP answer.
    #[must_use]
    pub fn body<'a>(&'a self, request_id: &'a str, retry_after: Option<u32>) -> Body<'a> {
        let mut body = Body {
            kind: format!("urn:maitred:problem:{}", self.code()),
            title: self.title(),
            status: self.status(),
            detail: self.detail(),
            code: self.code(),
            request_id,
            retry_after,
            attribute: None,
            faults: None,
            reason: None,
            front: None,
            active: None,
            current: None,
            servers: None,
            blocked: None,
        };
        match self {
            Self::Malformed { attribute, .. } => body.attribute = Some(attribute),
            Self::Ticket(fault) => {
                body.attribute = Some("ticket");
                body.reason = Some(fault.as_str());
                // Authentic and too old: the client still has to be sent somewhere.
                if let TicketFault::Expired(claims) = fault {
                    body.front = claims.front.as_deref();
                }
            }
            Self::Config { faults } => body.faults = Some(faults),
            Self::OriginUnknown => body.reason = Some("origin_unknown"),
            Self::Passive { active } => body.active = active.as_ref().map(DatacenterName::as_str),
            Self::Stale { current } => body.current = Some(Cow::Borrowed(current)),
            Self::Changed { etag, .. } => body.current = Some(Cow::Owned(json!({ "etag": etag }))),
            Self::OverLimit { attribute, .. } => body.attribute = Some(attribute),
            Self::Ambiguous(servers) => body.servers = Some(servers),
            Self::NoServer(shortage) => body.blocked = Some(Blocked::from(shortage)),
            _ => {}
        }
        body
    }
}

/// The members of the object that clients get.
#[derive(Debug, Clone, Serialize)]
pub struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: Cow<'static, str>,
    code: u16,
    request_id: &'a str,
    /// Seconds; the same as the header, which a script cannot read.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Where to send the client of an expired ticket.
    #[serde(rename = "return", skip_serializing_if = "Option::is_none")]
    front: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Cow<'a, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<&'a [ServerName]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<Blocked>,
}

/// Which of the reasons keeps how many servers from accepting.
#[derive(Debug, Clone, Copy, Serialize)]
struct Blocked {
    servers: u32,
    down: u32,
    maint: u32,
    drain: u32,
    full: u32,
    labels: u32,
    elsewhere: u32,
    avoided: u32,
}

impl From<&Shortage> for Blocked {
    fn from(shortage: &Shortage) -> Self {
        let Shortage { servers, down, maint, drain, full, labels, elsewhere, avoided } = *shortage;
        Self { servers, down, maint, drain, full, labels, elsewhere, avoided }
    }
}

/// The shortage as people say it: "No server accepts this: of 4 servers 3 are down, 1 is full."
pub(super) fn in_words(shortage: &Shortage) -> String {
    let Shortage { servers, down, maint, drain, full, labels, elsewhere, avoided } = *shortage;
    if servers == 0 {
        return "No server is configured.".to_owned();
    }
    let reasons = [
        (down, "down"),
        (maint, "in maintenance"),
        (drain, "draining"),
        (full, "full"),
        (labels, "without what was asked for"),
        (elsewhere, "in a datacenter that is not active"),
        (avoided, "avoided by the caller"),
    ];
    let counted: Vec<String> = reasons
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {} {words}", if *count == 1 { "is" } else { "are" }))
        .collect();
    if counted.is_empty() {
        return "No server accepts this.".to_owned();
    }
    format!("No server accepts this: of {servers} servers {}.", counted.join(", "))
}
