//! The bearer token: the same seat as in the cookie, for API clients, with a purpose of its own.
//!
//! It travels as `Authorization: Bearer` or as the body of the end beacon, and names its pool itself.

use std::time::Duration;

use maitred_core::clock::Time;
use maitred_core::entry::SeatEntry;
use maitred_core::ids::PoolName;

use super::envelope::{CookieFault, Opened, Purpose, SealError, Seals};

impl Seals {
    /// A bearer token for this seat. Whoever holds it may end, move and read the session, if `owner`.
    ///
    /// # Errors
    /// When the seat is a tombstone, or the system gives no randomness.
    pub fn seal_token(&self, seat: &SeatEntry, owner: bool, now: Time) -> Result<String, SealError> {
        self.seal(Purpose::Token, seat, owner, now)
    }

    /// The seat that a token carries; `pool_of` gives the configured pool of that name and its session TTL.
    ///
    /// # Errors
    /// The reason to treat it as absent.
    pub fn open_token(
        &self,
        value: &[u8],
        now: Time,
        pool_of: impl FnOnce(&str) -> Option<(PoolName, Duration)>,
    ) -> Result<Opened, CookieFault> {
        self.open(Purpose::Token, value, now, pool_of)
    }
}

/// The token of an `Authorization` header; `None` for any other scheme. The scheme's case does not matter (RFC 9110, 11.1).
#[must_use]
pub fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = authorization.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::super::envelope::tests::{NOW, TTL, pool, seals, seat};
    use super::*;

    #[test]
    fn a_token_names_its_own_pool() {
        let token = seals().seal_token(&seat(), false, NOW).unwrap();
        let opened = seals().open_token(token.as_bytes(), NOW, |name| (name == "ua").then(|| (pool(), TTL))).unwrap();
        assert_eq!(opened.shown.seat, seat());
        assert!(!opened.shown.owner);
        assert_eq!(seals().open_token(token.as_bytes(), NOW, |_| None), Err(CookieFault::ForeignPool));
    }

    #[test]
    fn only_the_bearer_scheme_carries_one() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER  abc "), Some(&b"abc"[..]));
        for other in [&b""[..], b"Bearer", b"Basic abc", b"Bearerabc", b"\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}
