//! The words for what the parser of HTTP/1 refuses by itself.
//!
//! Actix answers a head that it cannot read, that is too large or that does not come to an end, with a status and nothing else, and
//! that is always the last thing it writes on a connection. Here such an answer is recognised on its way to the socket and said
//! in our words: a problem with a code, and an id to find it again.

use std::time::SystemTime;

use bytes::Bytes;
use memchr::memrchr_iter;

use crate::http::heads::FIRST_LINE_BYTES_MAX;
use crate::http::problem::{MEDIA_TYPE, Problem};
use crate::http::reply;
use crate::http::request_id::RequestId;

/// No refusal of the parser is longer.
const LENGTH_MAX: usize = 256;

/// Where in an outgoing buffer the parser's refusal begins, if it ends with one. All our own answers say how long they may be
/// stored; the parser's never do.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let window = bytes.len().saturating_sub(LENGTH_MAX);
    let tail = &bytes[window..];
    let begins = |at: &usize| tail[*at..].starts_with(b"HTTP/1.") && tail[*at..].get(8..10) == Some(b" 4");
    let start = memrchr_iter(b'H', tail).find(begins)?;
    let refusal = &tail[start..];
    let is_bare = contains(refusal, b"\r\ncontent-length: 0\r\n") && !contains(refusal, b"\r\ncache-control:");
    (is_bare && problem(refusal).is_some()).then_some(window + start)
}

/// The whole answer instead of the parser's. `long_line`: it may have failed because of the first line's length alone.
pub(super) fn in_our_words(refusal: &[u8], long_line: bool) -> Bytes {
    let problem = match problem(refusal) {
        Some(Problem::Malformed { .. } | Problem::Headers { .. }) if long_line => {
            Problem::TooLong { limit: FIRST_LINE_BYTES_MAX }
        }
        problem => problem.unwrap_or(Problem::Internal),
    };
    let id = RequestId::of(&actix_http::header::HeaderMap::new()).ok();
    let id = id.as_ref().map_or("-", RequestId::as_str);
    let status = actix_http::StatusCode::from_u16(problem.status()).unwrap_or_default();
    let body = serde_json::to_vec(&reply::body_of(&problem, id)).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-length: {}\r\nconnection: close\r\ndate: {}\r\ncache-control: no-store\r\n\
         content-type: {MEDIA_TYPE}\r\nx-content-type-options: nosniff\r\nx-request-id: {id}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
        httpdate::fmt_http_date(SystemTime::now()),
    );
    [head.into_bytes(), body].concat().into()
}

fn problem(refusal: &[u8]) -> Option<Problem> {
    match refusal.get(b"HTTP/1.x ".len()..)?.get(..3)? {
        b"400" => Some(Problem::malformed("request", "is not well-formed")),
        b"408" => Some(Problem::TooSlow),
        b"431" => Some(Problem::Headers { fault: "The header of the request is too long." }),
        _ => None,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|at| at == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: x\r\n\r\n";
    const OURS: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\ncache-control: no-store\r\n\r\n";

    #[test]
    fn only_the_parsers_refusal_is_found_and_only_at_the_end() {
        assert_eq!(find(BARE.as_bytes()), Some(0));
        assert_eq!(find([OURS, BARE].concat().as_bytes()), Some(OURS.len()));
        let found = ["HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: /HTTP/1.1\r\n\r\n", OURS, "", "\r\n\r\n"];
        let cut = [&BARE[..BARE.len() - 1], &[BARE, "x"].concat()].map(str::to_owned);
        for other in found.map(str::to_owned).iter().chain(&cut) {
            assert_eq!(find(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn our_words_have_a_code_and_an_id() {
        let answer = String::from_utf8(in_our_words(BARE.as_bytes(), false).to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.contains("\r\nconnection: close\r\n"),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], 1000);
        assert!(head.contains(&format!("x-request-id: {}", body["request_id"].as_str().unwrap())));
        assert_eq!(find(answer.as_bytes()), None);
    }
}
