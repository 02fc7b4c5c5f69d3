//! The affinity cookie in HTTP: its name, its `Set-Cookie` line, and how it is found in what browsers and attackers send.
//!
//! Knows RFC 6265 and the `__Host-` prefix; the value's meaning is the envelope's.

use std::fmt;
use std::time::Duration;

use maitred_core::clock::Time;
use maitred_core::ids::PoolName;
use smallvec::SmallVec;

use super::envelope::{CookieFault, Opened, Seals};

/// How many cookies of one name are looked at. A browser sends one; `__Host-` keeps neighbours from planting more.
pub const CANDIDATES_MAX: usize = 8;

/// Room for what stands behind the value: the words, and a number of seconds.
const ATTRIBUTES_BYTES_MAX: usize = 96;

/// A pool's affinity cookie name, `__Host-maitred-<pool>`, made once per pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName {
    name: Box<str>,
    pool: PoolName,
}

impl CookieName {
    /// The name for this pool. Pool names are cookie-safe as they are.
    #[must_use]
    pub fn of(pool: &PoolName) -> Self {
        Self { name: format!("__Host-maitred-{pool}").into(), pool: pool.clone() }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The value of a `Set-Cookie` header that keeps `value` for the pool's session TTL.
    #[must_use]
    pub fn set(&self, value: &str, ttl: Duration, site: SameSite) -> String {
        // In one piece: every start sets one.
        let mut line = String::with_capacity(self.name.len() + value.len() + ATTRIBUTES_BYTES_MAX);
        for part in [&*self.name, "=", value, "; Path=/; Max-Age="] {
            line.push_str(part);
        }
        line.push_str(itoa::Buffer::new().format(ttl.as_secs()));
        line.push_str("; Secure; HttpOnly; ");
        line.push_str(site.as_str());
        line
    }

    /// The value of a `Set-Cookie` header that removes the cookie; `site` must be what it was set with.
    #[must_use]
    pub fn clear(&self, site: SameSite) -> String {
        self.set("", Duration::ZERO, site)
    }

    /// The newest valid cookie of this name among all `Cookie` header lines, and why the others do not count.
    #[must_use]
    pub fn find<'h>(
        &self,
        seals: &Seals,
        headers: impl IntoIterator<Item = &'h [u8]>,
        ttl: Duration,
        now: Time,
    ) -> CookiesFound {
        let mut found = CookiesFound::default();
        for (index, value) in values_of(headers, self.name.as_bytes()).take(CANDIDATES_MAX + 1).enumerate() {
            if index == CANDIDATES_MAX {
                found.faults.push(CookieFault::TooMany);
                break;
            }
            match seals.open_cookie(&self.pool, ttl, value, now) {
                Ok(opened) if found.newest.as_ref().is_none_or(|newest| newest.issued < opened.issued) => {
                    found.newest = Some(opened);
                }
                Ok(_) => {}
                Err(fault) => found.faults.push(fault),
            }
        }
        found
    }
}

/// What was found in a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CookiesFound {
    /// The newest valid one.
    pub newest: Option<Opened>,
    /// Why others are treated as absent; each is counted.
    pub faults: SmallVec<[CookieFault; 2]>,
}

/// From which pages a browser sends the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// Own pages and top-level navigation to them.
    #[default]
    Lax,
    /// Also inside frames of other sites, kept apart per embedding site (CHIPS): pools with `embed`.
    NonePartitioned,
}

impl SameSite {
    /// The mode for a pool.
    #[must_use]
    pub fn of(embedded: bool) -> Self {
        if embedded { Self::NonePartitioned } else { Self::Lax }
    }

    /// The attributes of the cookie.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "SameSite=Lax",
            Self::NonePartitioned => "SameSite=None; Partitioned",
        }
    }
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The values of all cookies of one name, in order, without decoding: names are compared exactly, blanks around a pair are
/// dropped, a pair without `=` or with another delimiter is somebody else's. A comma is part of a value (RFC 6265 has no lists).
pub fn values_of<'h>(headers: impl IntoIterator<Item = &'h [u8]>, name: &[u8]) -> impl Iterator<Item = &'h [u8]> {
    headers.into_iter().flat_map(|header| header.split(|byte| *byte == b';')).filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::envelope::tests::{NOW, TTL, pool, seals, seat};
    use super::*;

    fn name() -> CookieName {
        CookieName::of(&pool())
    }

    fn found(headers: &[&str]) -> CookiesFound {
        name().find(&seals(), headers.iter().map(|h| h.as_bytes()), TTL, NOW)
    }

    fn sealed(issued: Time) -> String {
        seals().seal_cookie(&seat(), true, issued).unwrap()
    }

    #[test]
    fn the_cookie_is_locked_to_this_host_and_lives_as_long_as_the_session() {
        assert_eq!(
            name().set("VALUE", TTL, SameSite::Lax),
            "__Host-maitred-ua=VALUE; Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            name().clear(SameSite::of(true)),
            "__Host-maitred-ua=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=None; Partitioned"
        );
    }

    #[test]
    fn it_is_found_among_others_and_over_several_header_lines() {
        let header = format!("a=b;  {}={} ; c=d", name().as_str(), sealed(NOW));
        assert!(found(&[&header]).newest.is_some());
        assert!(found(&["x=y", &header]).newest.is_some());
        assert_eq!(found(&["x=y"]), CookiesFound::default());
    }

    #[test]
    fn of_several_the_newest_valid_one_counts_whatever_the_order() {
        let (old, new) = (sealed(NOW - Duration::from_secs(5)), sealed(NOW));
        for (first, second) in [(&old, &new), (&new, &old)] {
            let header = format!("__Host-maitred-ua={first}; __Host-maitred-ua=forged; __Host-maitred-ua={second}");
            let found = found(&[&header]);
            assert_eq!(found.newest.unwrap().issued, NOW);
            assert_eq!(found.faults.as_slice(), [CookieFault::Malformed]);
        }
    }

    #[test]
    fn only_so_many_are_looked_at() {
        let mut header = "__Host-maitred-ua=x; ".repeat(CANDIDATES_MAX);
        header.push_str(&format!("__Host-maitred-ua={}; __Host-maitred-ua=x", sealed(NOW)));
        let found = found(&[&header]);
        assert_eq!(found.newest, None);
        assert_eq!(found.faults.len(), CANDIDATES_MAX + 1);
        assert_eq!(found.faults.last(), Some(&CookieFault::TooMany));
    }

    #[test]
    fn hostile_headers_are_absent_cookies() {
        let long = format!("__Host-maitred-ua={}", "A".repeat(4096));
        let quoted = format!("__Host-maitred-ua=\"{}\"", sealed(NOW));
        let spaced = format!("__Host-maitred-ua = {}", sealed(NOW));
        let cases: [(&str, &[CookieFault]); 11] = [
            (";=", &[]),
            ("=x", &[]),
            (",a=b", &[]),
            ("$Version=1; $Path=/", &[]),
            ("__Host-maitred-ua", &[]),
            ("__host-maitred-ua=x", &[]),
            ("__Host-maitred-ua2=x; x__Host-maitred-ua=x", &[]),
            (&spaced, &[]),
            ("__Host-maitred-ua=", &[CookieFault::Malformed]),
            (&quoted, &[CookieFault::Malformed]),
            (&long, &[CookieFault::TooLong]),
        ];
        for (header, faults) in cases {
            let found = found(&[header]);
            assert_eq!(found.newest, None, "{header}");
            assert_eq!(found.faults.as_slice(), faults, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(header in prop::collection::vec(any::<u8>(), 0..4096)) {
            let marked = [b"__Host-maitred-ua=", header.as_slice()].concat();
            for header in [header.as_slice(), &marked] {
                prop_assert_eq!(name().find(&seals(), [header], TTL, NOW).newest, None);
            }
        }
    }
}
