//! Who asks: a client certificate or a bearer token, and the role that follows from it.
//!
//! A token that is shown decides alone, because somebody chose to send it; a certificate is shown by itself. A credential that is
//! right is never braked. Knows no route.

use std::net::IpAddr;

use actix_http::header::{AUTHORIZATION, HeaderMap};
use maitred_core::clock::Mono;
use metrics::counter;

use super::guesses::Guesses;
use super::tokens::{TokenFileError, Tokens};
use crate::config::{Identity, InternalListener, Role};
use crate::credentials::token::bearer;
use crate::http::listener::ShownNames;
use crate::http::problem::Problem;

/// Who is let in. Replaced as a whole by a reload.
pub struct Access {
    tokens: Tokens,
    identities: Vec<Identity>,
    /// Certificates count at all: the listener has authorities for them.
    certificates: bool,
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The token's bearer, or the name in the certificate.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
    /// How they proved it: `certificate` or `token`.
    pub(super) by: &'static str,
}

impl Access {
    /// Reads what the listener's configuration names.
    ///
    /// # Errors
    /// When the token file is refused.
    pub fn load(listener: &InternalListener) -> Result<Self, TokenFileError> {
        let tokens = listener.token_file.as_deref().map(Tokens::load).transpose()?.unwrap_or_default();
        Ok(Self { tokens, identities: listener.identities.clone(), certificates: listener.client_ca.is_some() })
    }

    /// Finds out who asks.
    pub(super) fn who(
        &self,
        headers: &HeaderMap,
        shown: Option<&ShownNames>,
        source: Option<IpAddr>,
        guesses: &Guesses,
        now: Mono,
    ) -> Result<Caller, Problem> {
        let mut given = headers.get_all(AUTHORIZATION);
        match (given.next(), given.next()) {
            (Some(_), Some(_)) => Err(refused("two_tokens", Problem::Unauthenticated)),
            (Some(value), None) => self.by_token(bearer(value.as_bytes()), source, guesses, now),
            (None, _) => match shown.filter(|_| self.certificates) {
                Some(shown) => self.by_certificate(&shown.0),
                None => Err(refused("none", Problem::Unauthenticated)),
            },
        }
    }

    fn by_token(
        &self,
        token: Option<&[u8]>,
        source: Option<IpAddr>,
        guesses: &Guesses,
        now: Mono,
    ) -> Result<Caller, Problem> {
        // First: whoever guesses must not be able to lock out who shares an address with them.
        if let Some(bearer) = token.and_then(|token| self.tokens.find(token)) {
            return Ok(Caller { name: bearer.name.clone(), role: bearer.role.clone(), by: "token" });
        }
        match source.and_then(|source| guesses.count(source, now)) {
            Some(retry_after) => Err(refused("too_many", Problem::Paced { retry_after })),
            None => Err(refused("token", Problem::Unauthenticated)),
        }
    }

    fn by_certificate(&self, names: &[String]) -> Result<Caller, Problem> {
        if self.identities.is_empty() {
            let name = names.first().cloned().unwrap_or_else(|| "-".to_owned());
            return Ok(Caller { name, role: Role::Operator, by: "certificate" });
        }
        let is_shown = |identity: &&Identity| names.iter().any(|name| name.eq_ignore_ascii_case(&identity.san));
        let mut found = self.identities.iter().filter(is_shown);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(Caller { name: one.san.clone(), role: one.role.clone(), by: "certificate" }),
            (Some(_), Some(_)) => {
                let why = "Two names of this certificate have a role here; one certificate is one identity.";
                Err(refused("certificate", Problem::Forbidden(why.into())))
            }
            (None, _) => {
                let why = "No name of this certificate has a role here.";
                Err(refused("certificate", Problem::Forbidden(why.into())))
            }
        }
    }
}

fn refused(reason: &'static str, problem: Problem) -> Problem {
    counter!("maitred_auth_failures_total", "reason" => reason).increment(1);
    problem
}
