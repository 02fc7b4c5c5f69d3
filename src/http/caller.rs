//! What kind of caller a request comes from, as far as its headers tell: a browser that navigates, a page that fetches, a
//! prefetch, an API client.

use actix_http::header::{ACCEPT, HeaderMap, HeaderName, UPGRADE};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// Whether a page is wanted for the eyes of a person.
#[must_use]
pub fn wants_page(headers: &HeaderMap) -> bool {
    accepts(headers, "text/html")
}

/// Whether the browser only fetches ahead, perhaps for nobody.
#[must_use]
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    [SEC_PURPOSE, PURPOSE, X_MOZ]
        .iter()
        .any(|name| text(headers, name).is_some_and(|value| contains(value, "prefetch")))
}

/// Whether the answer cannot be followed to another origin by whoever asks: a socket, an event stream, a fetch by script.
/// Browsers either refuse the redirect or hide it from the page, so the caller would only see that something failed.
#[must_use]
pub fn cannot_be_redirected(headers: &HeaderMap) -> bool {
    text(headers, &UPGRADE).is_some_and(|value| contains(value, "websocket"))
        || accepts(headers, "text/event-stream")
        || matches!(text(headers, &SEC_FETCH_MODE), Some("cors" | "websocket"))
}

/// Where a browser says that a request comes from (Fetch Metadata).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchSite {
    /// A page of the very origin that is asked.
    SameOrigin,
    /// The person: an address typed, a bookmark.
    None,
    /// A page of another origin, or a word of a later standard.
    Other,
}

/// What the browser says; `None` when it says nothing, or is none.
#[must_use]
pub fn fetch_site(headers: &HeaderMap) -> Option<FetchSite> {
    headers.get(SEC_FETCH_SITE).map(|value| match value.as_bytes() {
        b"same-origin" => FetchSite::SameOrigin,
        b"none" => FetchSite::None,
        _ => FetchSite::Other,
    })
}

/// Whether a browser says that a page of another site asks.
#[must_use]
pub fn is_cross_site(headers: &HeaderMap) -> bool {
    text(headers, &SEC_FETCH_SITE) == Some("cross-site")
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok()).any(|value| contains(value, media_type))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `value` contains the lower-case `word`, without regard to case.
fn contains(value: &str, word: &str) -> bool {
    value.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_http::header::HeaderValue;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn a_browser_that_navigates_wants_a_page() {
        assert!(wants_page(&headers("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")));
        assert!(!wants_page(&headers("accept", "*/*")));
        assert!(!wants_page(&HeaderMap::new()));
    }

    #[test]
    fn a_prefetch_says_so() {
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("purpose", "prefetch"),
            ("x-moz", "Prefetch"),
        ] {
            assert!(is_prefetch(&headers(name, value)), "{name}: {value}");
        }
        assert!(!is_prefetch(&headers("sec-purpose", "other")));
    }

    #[test]
    fn what_cannot_follow_is_told_apart_from_scripts_and_navigation() {
        for (name, value) in [
            ("upgrade", "websocket"),
            ("upgrade", "WebSocket"),
            ("accept", "text/event-stream"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-mode", "websocket"),
        ] {
            assert!(cannot_be_redirected(&headers(name, value)), "{name}: {value}");
        }
        for (name, value) in
            [("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "no-cors"), ("upgrade", "h2c"), ("accept", "*/*")]
        {
            assert!(!cannot_be_redirected(&headers(name, value)), "{name}: {value}");
        }
    }
}
