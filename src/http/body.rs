//! Reading what a request carries: bounded in bytes and time, never decompressed.

use std::borrow::Cow;

use actix_http::Payload;
use actix_http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

use crate::config::Limits;
use crate::http::problem::Problem;

/// Longest foreign name that a refusal repeats, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Reads a whole body.
///
/// # Errors
/// 413 above the limit, 415 when it is encoded, 408 when it does not arrive in time, 400 when it breaks off.
pub(super) async fn read(headers: &HeaderMap, payload: Payload, limits: &Limits) -> Result<Bytes, Problem> {
    read_at_most(limits.body, headers, payload, limits).await
}

/// Reads a whole body of another size than most.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_at_most(
    limit: usize,
    headers: &HeaderMap,
    payload: Payload,
    limits: &Limits,
) -> Result<Bytes, Problem> {
    if headers.get_all(CONTENT_ENCODING).any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::Media { expected: "sent without a Content-Encoding" });
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Problem::TooLarge { limit });
    }
    tokio::time::timeout(limits.body_timeout, collect(payload, limit)).await.unwrap_or(Err(Problem::TooSlow))
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("body", "is incomplete or badly framed"))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Whether the body says that it is JSON. Nothing said is taken for JSON: what a form of another page could send does say.
#[must_use]
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
    })
}

/// Parses a JSON object.
///
/// # Errors
/// 400 for anything else, and for more than `depth` levels.
pub(super) fn object(body: &[u8], depth: usize) -> Result<Map<String, Value>, Problem> {
    if is_deeper(body, depth) {
        return Err(Problem::malformed("body", "is nested too deeply"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::malformed("body", "is not a JSON object")),
        Err(_) => Err(Problem::malformed("body", "is not JSON")),
    }
}

/// An attribute that nobody asks for.
pub(super) fn unknown(name: &str) -> Problem {
    Problem::malformed(shown(name), "is not known here")
}

/// A foreign name, if it is harmless everywhere.
pub(super) fn shown(name: &str) -> Cow<'static, str> {
    let harmless = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if harmless && (1..=NAME_BYTES_MAX).contains(&name.len()) { name.to_owned().into() } else { "an attribute".into() }
}

/// Counts brackets outside of strings, before any of them costs a stack frame.
pub(super) fn is_deeper(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_http::header::HeaderValue;

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_deeper(nested(32).as_bytes(), 32));
        assert!(is_deeper(nested(33).as_bytes(), 32));
        assert!(is_deeper("[".repeat(100_000).as_bytes(), 32));
        assert!(!is_deeper(format!("\"\\\"{}\"", "[".repeat(100)).as_bytes(), 32));
    }

    #[test]
    fn only_an_object_is_taken() {
        assert!(object(b"{\"pool\": \"ua\"}", 32).is_ok());
        for bad in [&b""[..], b"[]", b"1", b"{", b"{} {}", b"\xff", b"{\"a\": 1e999}", b"NaN"] {
            assert_eq!(object(bad, 32).map_err(|problem| problem.code()), Err(1000), "{bad:?}");
        }
    }

    #[test]
    fn what_a_form_can_send_is_not_json() {
        let is = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            is_json(&headers)
        };
        assert!(is("application/json") && is("Application/JSON; charset=utf-8"));
        for form in [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "application/jsonx",
            "",
        ] {
            assert!(!is(form), "{form}");
        }
        assert!(is_json(&HeaderMap::new()));
    }
}
