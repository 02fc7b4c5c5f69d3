//! The check of a ticket that came back: strict, in an order in which nothing is believed before the signature holds.
//!
//! A header may say three things only (`alg`, `kid`, `typ`), so `crit`, `b64`, `zip`, `jwk`, `jku` and `x5u` need no rule of their
//! own. Everything is bounded by the length of the text before it is decoded.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maitred_core::clock::Time;
use maitred_core::ids::ServerName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::keys::TicketKeys;
use super::{Claims, LEEWAY, TICKET_BYTES_MAX};

/// Longest life that is believed, in seconds: ours is a minute, an older or newer director's may differ a little.
const LIFETIME_MAX: u64 = 600;

/// Why a ticket is refused. Each has a stable word.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TicketFault {
    /// Longer than [`TICKET_BYTES_MAX`].
    #[error("is too long")]
    TooLong,
    /// Not three parts of base64url without padding.
    #[error("is no JWT in compact form")]
    Malformed,
    /// Its header says something else than `alg`, `kid` and `typ`.
    #[error("has a header that no director writes")]
    Header,
    /// None of the keys in force has its `kid`.
    #[error("was signed with an unknown key")]
    UnknownKey,
    /// It names another algorithm than its key's.
    #[error("names another algorithm than its key has")]
    Algorithm,
    /// Altered or made up.
    #[error("is forged")]
    Forged,
    /// Authentic, and yet not what a director writes.
    #[error("has claims that no director writes")]
    Claims,
    /// Meant for another server.
    #[error("is meant for another server")]
    Audience,
    /// Signed ahead of this clock by more than the leeway.
    #[error("lies in the future")]
    Future,
    /// Authentic, and its time has passed: the claims say where to send the client.
    #[error("has expired")]
    Expired(Box<Claims>),
}

impl TicketFault {
    /// The stable word, for the answer and the counter.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Header => "header",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Forged => "forged",
            Self::Claims => "claims",
            Self::Audience => "audience",
            Self::Future => "future",
            Self::Expired(_) => "expired",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: Option<String>,
}

pub(super) fn verify(
    keys: &TicketKeys,
    ticket: &[u8],
    audience: Option<&ServerName>,
    wall: Time,
) -> Result<Claims, TicketFault> {
    if ticket.len() > TICKET_BYTES_MAX {
        return Err(TicketFault::TooLong);
    }
    let mut parts = ticket.split(|byte| *byte == b'.');
    let (Some(head), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TicketFault::Malformed);
    };
    // Without padding, blanks or stray bits at the end: one value has one text.
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| TicketFault::Malformed);
    let (header, claims, signature_bytes) = (decode(head)?, decode(payload)?, decode(signature)?);
    let header: Header = object(&header).ok_or(TicketFault::Header)?;
    if header.typ.is_some_and(|typ| typ != "JWT") {
        return Err(TicketFault::Header);
    }
    let key = keys.find(&header.kid).ok_or(TicketFault::UnknownKey)?;
    if header.alg != key.algorithm_name() {
        return Err(TicketFault::Algorithm);
    }
    let signed = &ticket[..head.len() + 1 + payload.len()];
    if !key.accepts(signed, &signature_bytes) {
        return Err(TicketFault::Forged);
    }
    let claims: Claims = object(&claims).ok_or(TicketFault::Claims)?;
    if claims.exp < claims.iat || claims.exp - claims.iat > LIFETIME_MAX {
        return Err(TicketFault::Claims);
    }
    if audience.is_some_and(|audience| *audience != claims.aud) {
        return Err(TicketFault::Audience);
    }
    let now = wall.0 / 1000;
    if claims.iat > now.saturating_add(LEEWAY.as_secs()) {
        return Err(TicketFault::Future);
    }
    if claims.exp.saturating_add(LEEWAY.as_secs()) <= now {
        return Err(TicketFault::Expired(Box::new(claims)));
    }
    Ok(claims)
}

/// Parses a JSON object; an array, which would fill the members in their order, is none.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.starts_with(b"{").then(|| serde_json::from_slice(json).ok()).flatten()
}
