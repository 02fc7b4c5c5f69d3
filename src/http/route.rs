//! Routing: a host and a path prefix to a pool.
//!
//! The host is compared without case and port. A prefix matches on a segment boundary, the longest wins, and a route that names
//! the host goes before one for any host. Owns no pool: `T` is whatever the listener keeps per pool.

use std::cmp::Reverse;

use crate::config::{Host, PathPrefix};
use crate::http::host::RequestHost;

/// Routes in the order in which they are tried.
#[derive(Debug, Clone)]
pub struct Routes<T> {
    routes: Vec<(Option<Host>, PathPrefix, T)>,
    any_host: bool,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Routed<'a, T> {
    /// To this pool.
    Pool {
        /// The pool.
        pool: &'a T,
        /// Only because a route covers everything, not because anybody wrote down this path.
        by_root: bool,
    },
    /// No route names the host, and none is for any host: 421.
    UnknownHost,
    /// The host is known, the path is not: 404.
    UnknownPath,
}

impl<T> Routes<T> {
    /// Orders the routes for lookup. A host of `None` is any.
    #[must_use]
    pub fn new(mut routes: Vec<(Option<Host>, PathPrefix, T)>) -> Self {
        routes.sort_by_key(|(host, path, _)| (host.is_none(), Reverse(path.stem().len())));
        let any_host = routes.iter().any(|(host, ..)| host.is_none());
        Self { routes, any_host }
    }

    /// Finds the pool of a request.
    #[must_use]
    pub fn find(&self, host: RequestHost<'_>, path: &str) -> Routed<'_, T> {
        let mut host_known = self.any_host;
        for (named, prefix, pool) in &self.routes {
            if named.as_ref().is_some_and(|named| !named.as_str().eq_ignore_ascii_case(host.name())) {
                continue;
            }
            host_known = true;
            if prefix.covers(path) {
                return Routed::Pool { pool, by_root: prefix.is_root() };
            }
        }
        if host_known { Routed::UnknownPath } else { Routed::UnknownHost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(Option<&str>, &str, &'static str)]) -> Routes<&'static str> {
        let route = |&(host, path, pool): &(Option<&str>, &str, &'static str)| {
            (host.map(|host| Host::parse(host).unwrap()), PathPrefix::parse(path).unwrap(), pool)
        };
        Routes::new(list.iter().map(route).collect())
    }

    fn find<'a>(routes: &'a Routes<&'static str>, host: &str, path: &str) -> Routed<'a, &'static str> {
        routes.find(RequestHost::parse(host).unwrap(), path)
    }

    fn pool_of(routes: &Routes<&'static str>, host: &str, path: &str) -> Option<&'static str> {
        match find(routes, host, path) {
            Routed::Pool { pool, .. } => Some(pool),
            Routed::UnknownHost | Routed::UnknownPath => None,
        }
    }

    #[test]
    fn a_path_that_only_the_root_covers_is_told_apart() {
        let routes = routes(&[(None, "/", "ua"), (None, "/.well-known", "known")]);
        assert_eq!(find(&routes, "a", "/favicon.ico"), Routed::Pool { pool: &"ua", by_root: true });
        assert_eq!(find(&routes, "a", "/.well-known/x"), Routed::Pool { pool: &"known", by_root: false });
    }

    #[test]
    fn the_longest_prefix_wins_on_a_segment_boundary() {
        let routes = routes(&[(None, "/", "ua"), (None, "/iwd/", "iwd"), (None, "/iwd/admin", "admin")]);
        for (path, pool) in [
            ("/", "ua"),
            ("/iwd", "iwd"),
            ("/iwd/", "iwd"),
            ("/iwd/x", "iwd"),
            ("/iwdx", "ua"),
            ("/iwd;x", "ua"),
            ("/iwd/administrator", "iwd"),
            ("/iwd/admin/x", "admin"),
            ("//iwd", "ua"),
        ] {
            assert_eq!(pool_of(&routes, "a", path), Some(pool), "{path}");
        }
    }

    #[test]
    fn a_host_is_compared_without_case_and_port() {
        let routes = routes(&[(Some("agents.example.com"), "/", "ua"), (Some("::1"), "/", "six")]);
        assert_eq!(pool_of(&routes, "Agents.EXAMPLE.com:8443", "/x"), Some("ua"));
        assert_eq!(pool_of(&routes, "agents.example.com.", "/x"), Some("ua"));
        assert_eq!(pool_of(&routes, "[::1]:8443", "/x"), Some("six"));
        assert_eq!(find(&routes, "evil", "/x"), Routed::UnknownHost);
    }

    #[test]
    fn a_route_that_names_the_host_goes_first_and_any_host_catches_the_rest() {
        let routes = routes(&[(None, "/deep/path", "any"), (Some("a"), "/", "named")]);
        assert_eq!(pool_of(&routes, "a", "/deep/path"), Some("named"));
        assert_eq!(pool_of(&routes, "b", "/deep/path"), Some("any"));
        assert_eq!(find(&routes, "b", "/"), Routed::UnknownPath);
    }

    #[test]
    fn a_known_host_with_an_unknown_path_is_no_unknown_host() {
        let routes = routes(&[(Some("a"), "/ua", "ua")]);
        assert_eq!(find(&routes, "a", "/"), Routed::UnknownPath);
        assert_eq!(find(&routes, "b", "/ua"), Routed::UnknownHost);
    }
}
