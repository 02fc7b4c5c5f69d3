//! What affinity is about: reading the key and the labels out of a request, as the pool says.
//!
//! The first source that is present counts, even when its value is bad: a bad key is refused by name and never replaced by a
//! guess, because another key is another agent's session.

use std::borrow::Cow;

use actix_http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use maitred_core::ids::{Key, LabelName};
use maitred_core::seating::RequestKey;
use percent_encoding::percent_decode_str;

use crate::config::{KeySource, LabelSource};
use crate::credentials::cookie::values_of;
use crate::http::problem::Problem;
use crate::http::query::{Parameter, parameter};
use crate::http::random::bits_128;
use crate::http::target::RequestTarget;

/// Longest value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 128;

/// Labels of a request.
pub type Labels<'a> = Vec<(LabelName, Cow<'a, str>)>;

/// Where a value stands in a request, ready to be looked up.
#[derive(Debug, Clone)]
enum Place {
    Query(String),
    Header(HeaderName),
    Path(usize),
    Cookie(String),
    Affinity,
}

/// Where a pool's key stands, in the pool's order.
#[derive(Debug, Clone)]
pub struct KeyRule(Vec<(Place, String)>);

impl KeyRule {
    /// Prepares the sources of a pool.
    #[must_use]
    pub fn new(sources: &[KeySource]) -> Self {
        let place = |source: &KeySource| match source {
            KeySource::Query(name) => Some(Place::Query(name.clone())),
            KeySource::Header(name) => header_place(name),
            KeySource::Path(segment) => Some(Place::Path(usize::from(segment.get()))),
            KeySource::Cookie(name) => Some(Place::Cookie(name.clone())),
            KeySource::Affinity => Some(Place::Affinity),
        };
        Self(sources.iter().filter_map(|source| Some((place(source)?, source.to_string()))).collect())
    }

    /// The headers that are read.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|(place, _)| header_of(place))
    }

    /// Reads the key; `None` when nothing gives one. `shown` is the key of the caller's valid affinity cookie.
    ///
    /// # Errors
    /// 400 that names the source when the first one present has no usable value.
    pub fn read(
        &self,
        target: RequestTarget<'_>,
        headers: &HeaderMap,
        shown: Option<&Key>,
    ) -> Result<Option<RequestKey>, Problem> {
        for (place, source) in &self.0 {
            if matches!(place, Place::Affinity) {
                if let Some(key) = shown {
                    return Ok(Some(RequestKey::Shown(key.clone())));
                }
                continue;
            }
            if let Some(text) = look_up(place, source, target, headers)? {
                return parse(&text, source).map(|key| Some(RequestKey::Given(key)));
            }
        }
        Ok(None)
    }
}

fn header_of(place: &Place) -> Option<&HeaderName> {
    match place {
        Place::Header(name) => Some(name),
        Place::Query(_) | Place::Path(_) | Place::Cookie(_) | Place::Affinity => None,
    }
}

/// Where a pool's labels stand.
#[derive(Debug, Clone, Default)]
pub struct LabelRule(Vec<(LabelName, Place)>);

impl LabelRule {
    /// Prepares the sources of a pool.
    #[must_use]
    pub fn new<'a>(sources: impl IntoIterator<Item = (&'a LabelName, &'a LabelSource)>) -> Self {
        let place = |source: &LabelSource| match source {
            LabelSource::Query(name) => Some(Place::Query(name.clone())),
            LabelSource::Header(name) => header_place(name),
        };
        Self(sources.into_iter().filter_map(|(name, source)| Some((name.clone(), place(source)?))).collect())
    }

    /// The headers that are read.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|(_, place)| header_of(place))
    }

    /// Reads the labels that are present.
    ///
    /// # Errors
    /// 400 that names the label whose value is unusable.
    pub fn read<'a>(&self, target: RequestTarget<'a>, headers: &'a HeaderMap) -> Result<Labels<'a>, Problem> {
        let mut labels = Vec::new();
        for (name, place) in &self.0 {
            let attribute = || format!("labels.{name}");
            if let Some(value) = look_up(place, name.as_str(), target, headers)? {
                check_label(&value).map_err(|fault| Problem::malformed(attribute(), fault))?;
                labels.push((name.clone(), value));
            }
        }
        Ok(labels)
    }
}

/// Whether a text can be a label's value.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_label(value: &str) -> Result<(), &'static str> {
    match value {
        "" => Err("is empty"),
        _ if value.len() > LABEL_BYTES_MAX => Err("is longer than 128 bytes"),
        _ if value.chars().any(char::is_control) => Err("has a control character"),
        _ => Ok(()),
    }
}

/// A key for a request that gives none: 128 random bits.
///
/// # Errors
/// When the operating system gives no random bits.
pub fn mint() -> Result<Key, Problem> {
    let bits = bits_128()?;
    let mut text = [0; 22];
    let length = BASE64_URL_SAFE_NO_PAD.encode_slice(bits, &mut text).map_err(|_| Problem::Internal)?;
    let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok()).ok_or(Problem::Internal)?;
    Key::parse(text).map_err(|_| Problem::Internal)
}

/// Parses a key that a client gave.
///
/// # Errors
/// 400 that names `attribute`.
pub fn parse(text: &str, attribute: &str) -> Result<Key, Problem> {
    Key::parse(text).map_err(|fault| Problem::malformed(attribute.to_owned(), fault.to_string()))
}

fn header_place(name: &str) -> Option<Place> {
    HeaderName::from_bytes(name.as_bytes()).ok().map(Place::Header)
}

fn look_up<'a>(
    place: &Place,
    source: &str,
    target: RequestTarget<'a>,
    headers: &'a HeaderMap,
) -> Result<Option<Cow<'a, str>>, Problem> {
    let fault = |fault: &'static str| Problem::malformed(source.to_owned(), fault);
    match place {
        Place::Query(name) => match parameter(target.query, name) {
            Parameter::Absent => Ok(None),
            Parameter::One(text) => Ok(Some(text)),
            Parameter::Repeated => Err(fault("is given twice")),
            Parameter::NotText => Err(fault("is not UTF-8")),
        },
        Place::Header(name) => {
            let mut given = headers.get_all(name);
            let Some(value) = given.next() else { return Ok(None) };
            if given.next().is_some() {
                return Err(fault("is given twice"));
            }
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| fault("is not UTF-8"))?;
            Ok(Some(Cow::Borrowed(text)))
        }
        Place::Path(segment) => match target.path.split('/').nth(*segment) {
            None | Some("") => Ok(None),
            Some(raw) => percent_decode_str(raw).decode_utf8().map(Some).map_err(|_| fault("is not UTF-8")),
        },
        Place::Cookie(name) => {
            let lines = headers.get_all(COOKIE).map(HeaderValue::as_bytes);
            let value = values_of(lines, name.as_bytes()).find(|value| !value.is_empty());
            value.map(|raw| std::str::from_utf8(raw).map(Cow::Borrowed).map_err(|_| fault("is not UTF-8"))).transpose()
        }
        Place::Affinity => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(sources: &[&str]) -> KeyRule {
        KeyRule::new(&sources.iter().map(|source| KeySource::parse(source).unwrap()).collect::<Vec<_>>())
    }

    fn target(path_and_query: &str) -> RequestTarget<'_> {
        let (path, query) =
            path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
        RequestTarget { host: None, path, query }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn read(
        rule: &KeyRule,
        uri: &str,
        pairs: &[(&'static str, &str)],
        shown: Option<&Key>,
    ) -> Result<Option<String>, Problem> {
        rule.read(target(uri), &headers(pairs), shown).map(|key| key.map(|key| key.key().as_str().to_owned()))
    }

    #[test]
    fn the_first_source_that_is_present_counts() {
        let rule = rule(&["query:agent", "header:x-agent-id", "path:2", "cookie:login", "cookie"]);
        let shown = Key::parse("shown").unwrap();
        let all = [("x-agent-id", "h"), ("cookie", "login=c")];
        for (uri, pairs, key) in [
            ("/a/p?agent=q", &all[..], "q"),
            ("/a/p?x=1", &all[..], "h"),
            ("/a/p", &all[1..], "p"),
            ("/a", &all[1..], "c"),
            ("/a/", &all[1..], "c"),
            ("/", &[][..], "shown"),
        ] {
            assert_eq!(read(&rule, uri, pairs, Some(&shown)), Ok(Some(key.to_owned())), "{uri}");
        }
        assert_eq!(read(&rule, "/", &[], None), Ok(None), "then one is minted");
    }

    #[test]
    fn values_are_decoded_like_the_servers_do() {
        let rule = rule(&["query:agent", "path:1"]);
        assert_eq!(read(&rule, "/?agent=J%C3%BCrgen+M", &[], None), Ok(Some("J\u{fc}rgen M".to_owned())));
        assert_eq!(read(&rule, "/a%20b+c", &[], None), Ok(Some("a b+c".to_owned())), "a plus in a path is a plus");
    }

    #[test]
    fn a_bad_key_is_refused_by_name_and_never_replaced() {
        let rule = rule(&["query:agent", "header:x-agent-id", "cookie"]);
        let shown = Key::parse("shown").unwrap();
        let long = format!("/?agent={}", "k".repeat(129));
        for uri in
            ["/?agent=", "/?agent", "/?agent=a%00", "/?agent=a%0d%0a", "/?agent=%c0%af", "/?agent=1&agent=2", &long]
        {
            let problem = read(&rule, uri, &[("x-agent-id", "h")], Some(&shown)).unwrap_err();
            assert_eq!((problem.status(), problem.code()), (400, 1000), "{uri}");
            assert!(problem.detail().starts_with("query:agent "), "{uri}");
        }
        let twice = [("x-agent-id", "a"), ("x-agent-id", "b")];
        assert_eq!(read(&rule, "/", &twice, None).unwrap_err().status(), 400);
    }

    #[test]
    fn a_cookie_of_another_name_is_no_key() {
        let rule = rule(&["cookie:login"]);
        let pair = [(COOKIE.as_str(), "xlogin=1; login=; other=2")];
        let mut map = HeaderMap::new();
        map.append(COOKIE, HeaderValue::from_str(pair[0].1).unwrap());
        assert_eq!(rule.read(target("/"), &map, None), Ok(None));
    }

    #[test]
    fn minted_keys_are_long_and_fit_everywhere() {
        let (one, two) = (mint().unwrap(), mint().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 22, "128 bits in base64url");
    }

    #[test]
    fn labels_are_read_where_present() {
        let media = (LabelName::parse("media").unwrap(), LabelSource::parse("query:media").unwrap());
        let tenant = (LabelName::parse("tenant").unwrap(), LabelSource::parse("header:x-tenant").unwrap());
        let rule = LabelRule::new([(&media.0, &media.1), (&tenant.0, &tenant.1)]);
        let none = headers(&[]);
        let labels = rule.read(target("/?media=voice"), &none).unwrap();
        assert_eq!(labels, [(media.0.clone(), Cow::Borrowed("voice"))]);
        let problem = rule.read(target("/?media="), &none).unwrap_err();
        assert_eq!(problem.detail(), "labels.media is empty");
    }

    use proptest::prelude::*;
    proptest! {
        #[test]
        fn no_request_makes_a_key_that_the_core_would_refuse(query in ".{0,200}", header in "[ -~]{0,200}") {
            let rule = rule(&["query:a", "header:x-agent-id"]);
            let uri = format!("/?{query}");
            let target = RequestTarget { host: None, path: "/", query: Some(&uri[2..]) };
            if let Ok(Some(key)) = rule.read(target, &headers(&[("x-agent-id", &header)]), None) {
                prop_assert!((1..=128).contains(&key.key().as_str().len()));
            }
        }
    }
}
