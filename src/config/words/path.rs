//! Paths that cannot be taken for another origin.

use std::fmt;

use super::{WordError, refuse};

/// Longest path in the configuration; the default limit of a request's URL is eight times that.
const PATH_BYTES_MAX: usize = 1024;

/// A path with an optional query on one's own or a server's origin; cannot be taken for another origin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPath(String);

impl LocalPath {
    /// Parses a path that begins with exactly one `/`.
    ///
    /// # Errors
    /// When it could be read as an authority, or has a fragment, a space or a character outside visible ASCII.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if !text.starts_with('/') || text.starts_with("//") {
            return refuse("must begin with exactly one '/'");
        }
        if text.len() > PATH_BYTES_MAX {
            return refuse(format!("is longer than {PATH_BYTES_MAX} bytes"));
        }
        if let Some(bad) = text.bytes().find(|b| !b.is_ascii_graphic() || b"\\#<>\"^`{|}".contains(b)) {
            return refuse(format!("has the byte 0x{bad:02x}, which must be percent-encoded in a path"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LocalPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a logout leads: a path of the front address, or an absolute URL from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landing {
    /// On the origin that was asked.
    Path(LocalPath),
    /// Elsewhere.
    Url(url::Url),
}

impl Landing {
    /// Parses a path, or an `http(s)` URL without a user.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if text.starts_with('/') {
            return LocalPath::parse(text).map(Self::Path);
        }
        match url::Url::parse(text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && text.len() <= PATH_BYTES_MAX =>
            {
                Ok(Self::Url(url))
            }
            _ => refuse("is neither a path that begins with '/' nor an https:// URL"),
        }
    }
}

impl Default for Landing {
    fn default() -> Self {
        Self::Path(LocalPath::default())
    }
}

impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path.as_str()),
            Self::Url(url) => f.write_str(url.as_str()),
        }
    }
}

/// The first segments of a path. `/ua` covers `/ua` and `/ua/x`, not `/uax`; `/` covers everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Parses a path prefix; a slash at the end means nothing and is dropped.
    ///
    /// # Errors
    /// When it is no path, has a query, or a `.` or `..` segment.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let path = LocalPath::parse(text)?.0;
        if path.contains(['?', '*']) {
            return refuse("is a path: no query, and no '*' (it covers everything below it anyway)");
        }
        let path = path.strip_suffix('/').unwrap_or(&path);
        if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse("has an empty, '.' or '..' segment");
        }
        Ok(Self(path.to_owned()))
    }

    /// Whether `path` (without query) is this or lies below it.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What follows the prefix in `path`: empty, or beginning with `/`. `None` when it is not covered.
    #[must_use]
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.0.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The prefix without a slash at its end: empty for `/`. The longest covering one wins a route.
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.0
    }

    /// Whether it covers every path.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_path_stays_where_it_is() {
        for good in ["/", "/ua/", "/ua?x=1&y=//z", "/a%20b", "/@evil"] {
            assert!(LocalPath::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "ua", "//evil.example", "/\\evil", "/a b", "/a#b", "/a\r\nb", "/\u{e9}", "https://evil.example"]
        {
            assert!(LocalPath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_segments() {
        let ua = PathPrefix::parse("/ua/").unwrap();
        assert_eq!(ua.to_string(), "/ua");
        assert!(ua.covers("/ua") && ua.covers("/ua/") && ua.covers("/ua/x"));
        assert!(!ua.covers("/uax") && !ua.covers("/") && !ua.covers("ua"));
        assert_eq!((ua.rest("/ua/x"), ua.rest("/ua"), ua.rest("/uax")), (Some("/x"), Some(""), None));
        let root = PathPrefix::parse("/").unwrap();
        assert!(root.is_root() && root.covers("/") && root.covers("/x/y"));
        for bad in ["", "ua", "/a//b", "/a/../b", "/./a", "/a?x", "/a/*"] {
            assert!(PathPrefix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_logout_may_lead_elsewhere_but_not_by_accident() {
        assert!(matches!(Landing::parse("/bye"), Ok(Landing::Path(_))));
        assert!(matches!(Landing::parse("https://portal.example.com/bye?x=1"), Ok(Landing::Url(_))));
        for bad in ["", "bye", "//evil.example", "javascript:alert(1)", "data:text/html,x", "https://a@evil.example/"] {
            assert!(Landing::parse(bad).is_err(), "{bad}");
        }
    }
}
