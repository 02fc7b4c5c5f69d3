//! The request target and Host, checked before anything is routed, and the `Location` that is built from them.
//!
//! "Targets are built, never echoed": the origin of every `Location` comes from the configuration; of the request only path and
//! query survive, and a path always begins with one `/` behind that origin, so `//evil` stays a path of the chosen server.
//!
//! `http::Uri` has already dropped a `#fragment` and refused bytes that are no visible ASCII when these checks run.

use actix_http::header::{HOST, HeaderMap, HeaderValue};
use actix_http::{Method, Uri, Version};

use crate::http::host::RequestHost;
use crate::http::problem::Problem;

/// A request target that may be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    /// The host it was sent to. Without one only health and `/` are answered.
    pub host: Option<RequestHost<'a>>,
    /// The path, raw; begins with `/`, or is `*` for `OPTIONS`.
    pub path: &'a str,
    /// The query, raw, without its `?`.
    pub query: Option<&'a str>,
}

/// Checks form, length and Host of a request.
///
/// # Errors
/// 400 for anything but origin form (or an absolute form that names the Host), for a missing, doubled or malformed Host and
/// for control characters and backslashes in the path; 405 for CONNECT; 414 above `limit` bytes.
pub fn check<'a>(
    method: &Method,
    version: Version,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    limit: usize,
) -> Result<RequestTarget<'a>, Problem> {
    if method == Method::CONNECT {
        return Err(Problem::Method { allow: "GET, HEAD, POST, OPTIONS" });
    }
    let Some(target) = uri.path_and_query() else {
        return Err(Problem::malformed("request target", "must begin with /"));
    };
    if target.as_str().len() > limit {
        return Err(Problem::TooLong { limit });
    }
    let (path, query) = (target.path(), target.query());
    check_path(method, path)?;
    let host = if is_health(path) { None } else { check_host(version, uri, headers, path)? };
    Ok(RequestTarget { host, path, query })
}

/// Health is asked by balancers with any Host or none.
fn is_health(path: &str) -> bool {
    path.starts_with("/health/")
}

fn check_path(method: &Method, path: &str) -> Result<(), Problem> {
    if path == "*" && method == Method::OPTIONS {
        return Ok(());
    }
    if !path.starts_with('/') {
        return Err(Problem::malformed("request target", "must begin with /"));
    }
    if path.contains('\\') {
        return Err(Problem::malformed("request target", "has a backslash in its path"));
    }
    if has_encoded_control(path.as_bytes()) {
        return Err(Problem::malformed("request target", "has a control character in its path"));
    }
    Ok(())
}

/// `%00` to `%1f` and `%7f`: no application has them in a path, and many a log, proxy and servlet trips over them.
fn has_encoded_control(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some([b'0' | b'1', _] | [b'7', b'f' | b'F']) => return true,
            _ => rest = &rest[at + 1..],
        }
    }
    false
}

fn check_host<'a>(
    version: Version,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    path: &str,
) -> Result<Option<RequestHost<'a>>, Problem> {
    let fault = |fault: &'static str| Problem::malformed("Host", fault);
    let mut given = headers.get_all(HOST);
    let header = given.next();
    if given.next().is_some() {
        return Err(fault("is given twice"));
    }
    let header = header.map(|value| parse_host(value).ok_or_else(|| fault("is malformed"))).transpose()?;
    let named = match (uri.scheme_str(), uri.authority()) {
        (_, None) => None,
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            let host = RequestHost::parse(authority.as_str()).ok_or_else(|| fault("is malformed"))?;
            Some((host, if scheme == "http" { 80 } else { 443 }))
        }
        _ => return Err(Problem::malformed("request target", "must begin with /")),
    };
    match (header, named) {
        // RFC 9113: a request of HTTP/2 names its host in the target and needs no Host.
        (None, Some((host, _))) if version == Version::HTTP_2 => Ok(Some(host)),
        (Some(header), Some((host, port))) if header.is_same(host, port) => Ok(Some(header)),
        (Some(_), Some(_)) => Err(fault("is not the one of the request target")),
        (None, Some(_)) => Err(fault("is missing")),
        (Some(header), None) => Ok(Some(header)),
        (None, None) if version < Version::HTTP_11 && matches!(path, "/" | "*") => Ok(None),
        (None, None) => Err(fault("is missing")),
    }
}

fn parse_host(value: &HeaderValue) -> Option<RequestHost<'_>> {
    RequestHost::parse(std::str::from_utf8(value.as_bytes()).ok()?)
}

/// Reads a path and query that came in another way than as the request target, by the same rules.
///
/// # Errors
/// As [`check`].
pub fn local<'a>(uri: &'a Uri, host: Option<RequestHost<'a>>, limit: usize) -> Result<RequestTarget<'a>, Problem> {
    let target = uri.path_and_query().filter(|_| uri.authority().is_none() && uri.scheme().is_none());
    let Some(target) = target else { return Err(Problem::malformed("to", "must begin with /")) };
    if target.as_str().len() > limit {
        return Err(Problem::TooLong { limit });
    }
    check_path(&Method::GET, target.path())?;
    Ok(RequestTarget { host, path: target.path(), query: target.query() })
}

/// Builds the `Location` of a start: the server's origin and the same path and query, byte for byte; `/` becomes `home`.
///
/// `origin` has no path and `home` begins with `/` (both checked by the configuration). Returns `None` when the result is no
/// header value, which the checks above make impossible.
#[must_use]
pub fn location(origin: &str, home: &str, target: RequestTarget<'_>) -> Option<HeaderValue> {
    let path = if target.path == "/" { home } else { target.path };
    let mut text = String::with_capacity(origin.len() + path.len() + target.query.map_or(0, |query| query.len() + 1));
    text.push_str(origin);
    text.push_str(path);
    if let Some(query) = target.query {
        text.push(if path.contains('?') { '&' } else { '?' });
        text.push_str(query);
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

#[cfg(test)]
pub(in crate::http) mod tests {
    use super::*;

    const ORIGIN: &str = "https://ua3-east.example.com";

    struct Case {
        method: Method,
        version: Version,
        uri: Uri,
        headers: HeaderMap,
    }

    fn case(uri: &str, hosts: &[&str]) -> Case {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        Case { method: Method::GET, version: Version::HTTP_11, uri: uri.parse().unwrap(), headers }
    }

    impl Case {
        fn check(&self) -> Result<RequestTarget<'_>, Problem> {
            check(&self.method, self.version, &self.uri, &self.headers, 8192)
        }

        fn status(&self) -> u16 {
            self.check().map_or_else(|problem| problem.status(), |_| 200)
        }
    }

    /// What tries to leave the origin that it is put behind, or the path that it is.
    pub(in crate::http) const LEAVING: &[&str] = &[
        "/",
        "//evil.example",
        "///evil",
        "/%5Cevil",
        "/%5C%5Cevil",
        "/%2F%2Fevil",
        "/.//evil",
        "/..//evil",
        "/;//evil",
        "/@evil",
        "//user@evil",
        "/http://evil",
        "/x?path=https://evil",
        "/?path=//evil",
        "/?path=javascript:alert(1)",
        "/x?u=//evil",
        "/%c0%af",
        "/%EF%BC%8Fevil",
        "/api../",
        "/a;jsessionid=1/..;/admin",
        "/jk-status;x",
        "/{|}^",
        "/x?a=\\evil",
        "/:443@evil",
        "/:1/x",
        "/x?path=//evil",
        "/?path=data:x",
    ];

    #[test]
    fn what_tries_to_leave_the_origin_stays_a_path_of_the_server_or_is_refused() {
        for &path in LEAVING {
            let case = case(path, &["agents.example.com"]);
            let target = case.check().unwrap_or_else(|problem| panic!("{path}: {problem:?}"));
            let built = location(ORIGIN, "/", target).unwrap();
            assert_eq!(built.to_str().unwrap(), format!("{ORIGIN}{path}"), "byte for byte");
            let seen = url::Url::parse(built.to_str().unwrap()).unwrap();
            assert_eq!(seen.origin().ascii_serialization(), ORIGIN, "{path}");
            assert!(seen.username().is_empty(), "{path}");
        }
        for path in ["/\\evil", "/\\/evil", "/%09/evil", "/%0d%0aSet-Cookie:x=1", "/a%00", "/a%7F", "/%1b[2J"] {
            assert_eq!(case(path, &["agents.example.com"]).status(), 400, "{path}");
        }
    }

    #[test]
    fn only_origin_form_and_the_absolute_form_of_the_same_host_are_taken() {
        for (uri, host, status) in [
            ("http://agents.example.com/x", "agents.example.com", 200),
            ("https://AGENTS.example.com:443/x", "agents.example.com", 200),
            ("http://evil/", "agents.example.com", 400),
            ("http://agents.example.com:8080/", "agents.example.com", 400),
            ("http://user@agents.example.com/", "agents.example.com", 400),
            ("ftp://agents.example.com/", "agents.example.com", 400),
            ("agents.example.com:443", "agents.example.com", 400),
            ("evil", "agents.example.com", 400),
            ("*", "agents.example.com", 400),
        ] {
            assert_eq!(case(uri, &[host]).status(), status, "{uri}");
        }
    }

    #[test]
    fn connect_is_a_method_that_does_not_exist_here() {
        let mut case = case("evil:443", &["evil:443"]);
        case.method = Method::CONNECT;
        assert_eq!(case.status(), 405);
    }

    #[test]
    fn options_may_ask_the_server_as_a_whole() {
        let mut case = case("*", &["agents.example.com"]);
        case.method = Method::OPTIONS;
        assert_eq!(case.check().map(|target| target.path), Ok("*"));
    }

    #[test]
    fn a_host_is_given_once_and_well_formed() {
        for (hosts, status) in [
            (vec!["agents.example.com"], 200),
            (vec![], 400),
            (vec!["a", "a"], 400),
            (vec![""], 400),
            (vec!["a, b"], 400),
            (vec!["a:99999"], 400),
            (vec!["a@b"], 400),
            (vec!["[::1"], 400),
            (vec!["a#b"], 400),
            (vec!["a/b"], 400),
            (vec!["a\tb"], 400),
        ] {
            assert_eq!(case("/x", &hosts).status(), status, "{hosts:?}");
        }
    }

    #[test]
    fn old_balancers_without_host_may_ask_for_health_and_the_root_only() {
        for (uri, version, status) in [
            ("/", Version::HTTP_10, 200),
            ("/health/ready", Version::HTTP_10, 200),
            ("/x", Version::HTTP_10, 400),
            ("/", Version::HTTP_11, 400),
            ("/health/ready", Version::HTTP_11, 200),
        ] {
            let mut case = case(uri, &[]);
            case.version = version;
            assert_eq!(case.status(), status, "{uri} {version:?}");
        }
        assert_eq!(case("/health/live", &["a#b"]).status(), 200, "health takes any Host");
    }

    #[test]
    fn http2_names_its_host_in_the_target() {
        let mut both = case("https://agents.example.com/x", &[]);
        both.version = Version::HTTP_2;
        assert_eq!(both.check().unwrap().host.unwrap().name(), "agents.example.com");
        let mut differing = case("https://agents.example.com/x", &["evil"]);
        differing.version = Version::HTTP_2;
        assert_eq!(differing.status(), 400);
    }

    #[test]
    fn too_long_is_414() {
        assert_eq!(case(&format!("/{}", "a".repeat(8192)), &["a"]).status(), 414);
        assert_eq!(case(&format!("/{}", "a".repeat(8191)), &["a"]).status(), 200);
    }

    #[test]
    fn the_root_becomes_home_and_keeps_its_query() {
        let case = case("/?agent=1001", &["a"]);
        let built = location(ORIGIN, "/ua/", case.check().unwrap()).unwrap();
        assert_eq!(built, "https://ua3-east.example.com/ua/?agent=1001");
        let built = location(ORIGIN, "/ua/?v=2", case.check().unwrap()).unwrap();
        assert_eq!(built, "https://ua3-east.example.com/ua/?v=2&agent=1001");
    }
}
