//! Which pages of other origins may call: the pool's `embed` list, compared exactly and without credentials.

use actix_http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER,
};

use crate::config::Origin;

/// How long a browser may keep the answer to a preflight, in seconds: the longest that Chromium honours.
pub const MAX_AGE: &str = "7200";
/// Headers that a calling page may set anywhere.
pub const HEADERS: &str = "authorization, content-type, x-request-id";
/// Headers that a calling page may read.
pub const EXPOSED: &str = "retry-after, x-request-id";

/// A set of origins, as the browser writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl<'a> FromIterator<&'a Origin> for AllowedOrigins {
    fn from_iter<I: IntoIterator<Item = &'a Origin>>(origins: I) -> Self {
        let mut list: Vec<String> = origins.into_iter().map(Origin::to_string).collect();
        list.sort();
        list.dedup();
        Self(list)
    }
}

/// Where a request comes from, by its `Origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// No `Origin`: no page of another origin, or no page at all.
    Unnamed,
    /// One of the list; to be repeated in `Access-Control-Allow-Origin`.
    Allowed(&'a HeaderValue),
    /// Another one, `null` included.
    Foreign,
}

impl AllowedOrigins {
    /// The list, for `frame-ancestors`.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    fn contains(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed == origin)
    }

    /// Reads the `Origin` of a request.
    #[must_use]
    pub fn caller<'a>(&self, headers: &'a HeaderMap) -> Caller<'a> {
        let mut given = headers.get_all(ORIGIN);
        match (given.next(), given.next()) {
            (None, _) => Caller::Unnamed,
            (Some(origin), None) if origin.to_str().is_ok_and(|text| self.contains(text)) => Caller::Allowed(origin),
            _ => Caller::Foreign,
        }
    }

    /// Whether the page that loads a script is one of the list, by its `Referer`. A missing one is not.
    #[must_use]
    pub fn allows_referer(&self, headers: &HeaderMap) -> bool {
        let referer = headers.get(REFERER).and_then(|value| value.to_str().ok());
        referer.and_then(origin_of).is_some_and(|origin| self.contains(origin))
    }
}

/// The origin part of a URL, as far as a browser writes one: everything before the path.
fn origin_of(url: &str) -> Option<&str> {
    let authority = url.find("://")? + 3;
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    Some(&url[..end])
}

/// [`HEADERS`] and those that a pool reads: a page may send them, if only to be told in words that it can read what it did wrong.
#[must_use]
pub fn headers_with<'a>(read: impl IntoIterator<Item = &'a HeaderName>) -> HeaderValue {
    let mut list = HEADERS.to_owned();
    for name in read {
        if !is_listed(&list, name.as_str()) {
            list.push_str(", ");
            list.push_str(name.as_str());
        }
    }
    // Names of headers are plain ASCII.
    HeaderValue::from_str(&list).unwrap_or(HeaderValue::from_static(HEADERS))
}

fn is_listed(list: &str, word: &str) -> bool {
    list.split(',').any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// Whether a preflight asks for nothing but what a path with these `methods` and these `allowed` headers allows.
#[must_use]
pub fn is_allowed_preflight(headers: &HeaderMap, methods: &str, allowed: &str) -> bool {
    let text = |name| headers.get(name).map_or(Some(""), |value| value.to_str().ok());
    let Some(method) = text(ACCESS_CONTROL_REQUEST_METHOD) else { return false };
    let Some(wanted) = text(ACCESS_CONTROL_REQUEST_HEADERS) else { return false };
    methods.split(',').any(|item| item.trim() == method)
        && wanted.split(',').map(str::trim).all(|name| name.is_empty() || is_listed(allowed, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> AllowedOrigins {
        [Origin::parse("https://good.example").unwrap(), Origin::parse("https://crm.example:8443").unwrap()]
            .iter()
            .collect()
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_a_listed_origin_is_repeated() {
        for origin in ["https://good.example", "https://crm.example:8443"] {
            assert!(
                matches!(origins().caller(&headers(&[(ORIGIN, origin)])), Caller::Allowed(value) if value == origin)
            );
        }
        for origin in [
            "null",
            "https://good.example.evil",
            "https://goodexample",
            "http://good.example",
            "https://good.example:8443",
            "*",
            "https://good.example/",
            "https://evil",
            "",
            "https://GOOD.example.evil",
        ] {
            assert_eq!(origins().caller(&headers(&[(ORIGIN, origin)])), Caller::Foreign, "{origin}");
        }
        assert_eq!(origins().caller(&headers(&[])), Caller::Unnamed);
        let twice = headers(&[(ORIGIN, "https://good.example"), (ORIGIN, "https://good.example")]);
        assert_eq!(origins().caller(&twice), Caller::Foreign);
    }

    #[test]
    fn a_script_is_allowed_by_its_referer() {
        for (referer, allowed) in [
            ("https://good.example/", true),
            ("https://good.example/page?x=1#y", true),
            ("https://good.example", true),
            ("https://crm.example:8443/a", true),
            ("https://good.example@evil/", false),
            ("https://evil/https://good.example/", false),
            ("https://good.example.evil/", false),
            ("http://good.example/", false),
            ("good.example", false),
            ("", false),
        ] {
            assert_eq!(origins().allows_referer(&headers(&[(REFERER, referer)])), allowed, "{referer}");
        }
        assert!(!origins().allows_referer(&headers(&[])), "a missing one is unknown");
        assert!(!AllowedOrigins::default().allows_referer(&headers(&[(REFERER, "https://good.example/")])));
    }

    #[test]
    fn a_preflight_is_exact() {
        let asks = |method: &str, wanted: &str| {
            headers(&[(ACCESS_CONTROL_REQUEST_METHOD, method), (ACCESS_CONTROL_REQUEST_HEADERS, wanted)])
        };
        let is_allowed = |headers: &HeaderMap, methods: &str| is_allowed_preflight(headers, methods, HEADERS);
        assert!(is_allowed(&asks("POST", "content-type"), "POST"));
        assert!(is_allowed(&asks("DELETE", "Authorization, Content-Type"), "GET, DELETE"));
        assert!(is_allowed(&headers(&[(ACCESS_CONTROL_REQUEST_METHOD, "GET")]), "GET"));
        for (method, wanted) in
            [("PUT", ""), ("post", ""), ("", ""), ("POST", "x-evil"), ("POST", "content-type, x-evil")]
        {
            assert!(!is_allowed(&asks(method, wanted), "POST"), "{method} {wanted}");
        }
        let read = headers_with(&[HeaderName::from_static("x-agent-id"), HeaderName::from_static("content-type")]);
        assert_eq!(read, "authorization, content-type, x-request-id, x-agent-id", "each once");
        assert!(is_allowed_preflight(&asks("GET", "X-Agent-Id"), "GET", read.to_str().unwrap()));
        assert!(!is_allowed_preflight(&asks("GET", "x-agent-id, x-evil"), "GET", read.to_str().unwrap()));
    }
}
