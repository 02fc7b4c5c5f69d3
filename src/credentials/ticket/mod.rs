//! The ticket: a signed statement that a client carries to its server, "the director seated this key here".
//!
//! A JWT in the compact form of JWS (RFC 7515, 7519), of one shape only: this module writes it, and believes nothing else. The
//! algorithm is a property of the key, and the key is found by the `kid`: what a token says about its own algorithm can only be
//! agreed with, never followed. Owns keys, claims and their check. Refuses to know URLs, cookies and pools' handover rules.
//!
//! ```text
//! ticket.pem -> TicketKeys -> Tickets --sign(seat)--> text --verify(text, now)--> Claims | TicketFault
//!                                  \--jwks()--> what servers verify with
//! ```
//! Times are those of the machine's wall clock, because servers compare them with theirs.

mod claims;
mod keys;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use maitred_core::clock::Time;
use maitred_core::entry::SeatEntry;
use maitred_core::ids::{DirectorName, ServerName};
use ring::rand::SystemRandom;
use thiserror::Error;

use crate::config::TicketAlgorithm;

pub use claims::Claims;
pub use keys::{TicketKeyError, TicketKeys};
pub use verify::TicketFault;

/// Name of the query parameter and of the cookie that carry a ticket.
pub const NAME: &str = "maitred_ticket";
/// How long a ticket is valid: long enough for a redirect over a slow line, too short to be worth a theft from a log.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// How far the clocks of a director and a server may differ.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// Longest ticket that is looked at, in bytes; the longest that is made is below 3 KiB, so that it also fits a cookie.
pub const TICKET_BYTES_MAX: usize = 4096;
/// Longest `return` address that is put into a ticket, in bytes: it stands in a URL beside the address itself.
pub const RETURN_BYTES_MAX: usize = 512;

/// No ticket could be signed: the system gives no randomness, or the key cannot sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("signing failed")]
pub struct SignError;

/// Signs and verifies with the keys in force; shared by all threads, its keys swapped by a reload.
#[derive(Debug)]
pub struct Tickets {
    issuer: DirectorName,
    keys: ArcSwap<TicketKeys>,
    random: SystemRandom,
}

impl Tickets {
    /// With these keys, in the name of this director.
    #[must_use]
    pub fn new(issuer: DirectorName, keys: TicketKeys) -> Self {
        Self { issuer, keys: ArcSwap::from_pointee(keys), random: SystemRandom::new() }
    }

    /// With one key made now; see [`TicketKeys::ephemeral`].
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn ephemeral(issuer: DirectorName, algorithm: TicketAlgorithm) -> Result<Self, TicketKeyError> {
        Ok(Self::new(issuer, TicketKeys::ephemeral(algorithm)?))
    }

    /// Puts other keys in force, in one step.
    pub fn replace(&self, keys: TicketKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// The keys in force.
    #[must_use]
    pub fn keys(&self) -> Arc<TicketKeys> {
        self.keys.load_full()
    }

    /// The public halves of all keys, as RFC 7517 writes them.
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.keys.load().jwks()
    }

    /// A ticket for whoever is sent to this seat. `jti` is fresh and random, `front` is where a server sends a client whose ticket
    /// is of no use to it (left out when it is longer than [`RETURN_BYTES_MAX`]), `wall` is the machine's clock.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn sign(&self, seat: &SeatEntry, jti: [u8; 16], front: Option<&str>, wall: Time) -> Result<String, SignError> {
        let keys = self.keys.load();
        let key = keys.signing();
        let issued = wall.0 / 1000;
        let jti = URL_SAFE_NO_PAD.encode(jti);
        let claims = claims::Written {
            iss: self.issuer.as_str(),
            aud: seat.server.as_str(),
            sub: seat.key.as_str(),
            jti: &jti,
            iat: issued,
            exp: issued + LIFETIME.as_secs(),
            pool: seat.pool.as_str(),
            session: claims::SessionText(seat.session),
            generation: seat.generation.get(),
            front: front.filter(|front| front.len() <= RETURN_BYTES_MAX),
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| SignError)?;
        let mut text = String::with_capacity(key.head().len() + claims.len() * 4 / 3 + 96);
        text.push_str(key.head());
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = key.sign(text.as_bytes(), &self.random)?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    /// What a ticket states, if one of the keys in force signed it, it is meant for `audience` (where one is given) and its time
    /// has not passed.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub fn verify(&self, ticket: &[u8], audience: Option<&ServerName>, wall: Time) -> Result<Claims, TicketFault> {
        verify::verify(&self.keys.load(), ticket, audience, wall)
    }
}
