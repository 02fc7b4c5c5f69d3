//! The id under which one request is found again: the caller's own where it is harmless, else a new one.

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};

use maitred_core::ids::Hex128;

use crate::http::problem::Problem;
use crate::http::random::bits_128;

/// In requests and in every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over, in bytes.
const LENGTH_MAX: usize = 64;

/// A request's id: 1 to 64 of `A-Z a-z 0-9 . _ -`, so that it needs no escaping in a log, header, page or script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the caller's id over, or makes one.
    ///
    /// # Errors
    /// When a new one is needed and the operating system gives no random bits.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match headers.get(&X_REQUEST_ID) {
            Some(value) if is_harmless(value.as_bytes()) => Ok(Self(value.clone())),
            _ => Self::new(),
        }
    }

    fn new() -> Result<Self, Problem> {
        let digits = Hex128::of(bits_128()?);
        HeaderValue::from_str(digits.as_str()).map(Self).map_err(|_| Problem::Internal)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or("-")
    }

    /// The id as a header's value.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_harmless(id: &[u8]) -> bool {
    (1..=LENGTH_MAX).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        RequestId::of(&headers).unwrap().as_str().to_owned()
    }

    #[test]
    fn a_harmless_id_is_taken_over() {
        assert_eq!(of("req-1.a_B"), "req-1.a_B");
    }

    #[test]
    fn any_other_is_replaced() {
        for bad in ["", "a b", "<script>", "a;b", "${jndi:x}", "\u{202e}", &"a".repeat(65)] {
            let id = of(bad);
            assert_ne!(id, bad);
            assert_eq!(id.len(), 32, "{bad:?}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()).unwrap(), RequestId::of(&HeaderMap::new()).unwrap());
    }
}
