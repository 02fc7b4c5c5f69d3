//! What a ticket states, as it is written and as it is read.
//!
//! Read by type, so that a number is a number: an `exp` as text, as a float or below zero, a list of audiences, a member that
//! occurs twice or that nobody here writes are all refused by the parser itself.

use std::fmt;

use maitred_core::ids::{DirectorName, Generation, Key, PoolName, ServerName, SessionId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a ticket states. Serialised it is the body of the answer to `POST /v1/tickets/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The director that signed.
    pub iss: DirectorName,
    /// The server that the client was sent to; no other one may take it.
    pub aud: ServerName,
    /// The session's key.
    pub sub: Key,
    /// Names this one ticket, so that a server can take each only once.
    pub jti: String,
    /// When it was signed, in seconds since 1970.
    pub iat: u64,
    /// Until when it is valid, in seconds since 1970.
    pub exp: u64,
    /// The pool.
    pub pool: PoolName,
    /// The session's public id.
    #[serde(serialize_with = "write_session", deserialize_with = "read_session")]
    pub session: SessionId,
    /// The seat's generation, which the server names in `confirm`, `end` and `state` (R4).
    pub generation: Generation,
    /// Where a client goes whose ticket is of no use: the front address that it came by.
    #[serde(rename = "return", default, skip_serializing_if = "Option::is_none")]
    pub front: Option<String>,
}

/// The same, borrowed: what is signed. Order and names of the members are those of [`Claims`].
#[derive(Serialize)]
pub(super) struct Written<'a> {
    pub(super) iss: &'a str,
    pub(super) aud: &'a str,
    pub(super) sub: &'a str,
    pub(super) jti: &'a str,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) pool: &'a str,
    pub(super) session: SessionText,
    pub(super) generation: u32,
    #[serde(rename = "return", skip_serializing_if = "Option::is_none")]
    pub(super) front: Option<&'a str>,
}

/// A session's id as its 32 digits.
pub(super) struct SessionText(pub(super) SessionId);

impl Serialize for SessionText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn write_session<S: Serializer>(session: &SessionId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(session)
}

fn read_session<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SessionId, D::Error> {
    let text = String::deserialize(deserializer)?;
    SessionId::parse(&text).map_err(serde::de::Error::custom)
}

impl fmt::Display for Claims {
    /// For a log line: who and where to, without the key and the id that makes the ticket worth something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} generation {} at {}", self.session, self.generation.get(), self.aud)
    }
}
