//! What a server says of itself: the JSON object with a `"maitred"` key, in a probe's body or in a beat.
//!
//! Owns its syntax and limits (`interface.md`, Health). Refuses to know what a report means: that is the core's. Any other body,
//! JSON or not, is no report and only its status counts.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use maitred_core::health::Report;
use maitred_core::ids::{Incarnation, NAME_BYTES_MAX, ServerName};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use thiserror::Error;

use crate::members::Members;

/// Deepest nesting of a report (`reliability.md`, section 3, row 13).
const DEPTH_MAX: usize = 32;
/// Most dependencies that one server reports.
const DEPENDS_MAX: usize = 64;
/// The version of the report that is understood. Fields may be added within it: unknown ones are ignored.
const VERSION: u64 = 1;
/// The member by which a body claims to be a report.
const CLAIM: &str = "maitred";

/// Why a body that claims to be a report is none. The text is short, printable and quotes nothing that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed report: {0}")]
pub struct ReportError(String);

/// Reads a report from a body: `Ok(None)` is a body that does not claim to be one.
///
/// # Errors
/// When the body has `"maitred"` at its top level and is malformed: not version 1, no or a bad `server`, an incarnation that is
/// empty or longer than 64 bytes, a count that is no whole number, a dependency that is neither `"up"` nor `"down"`, a repeated
/// key, broken JSON after the claim, or nesting below 32 levels.
pub fn parse(body: &[u8]) -> Result<Option<Report>, ReportError> {
    let text = body.trim_ascii_start();
    // Most bodies are no report; this spares them the parser.
    if text.first() != Some(&b'{') || !mentions_claim(text) {
        return Ok(None);
    }
    if depth(text) > DEPTH_MAX {
        return Err(ReportError(format!("nested deeper than {DEPTH_MAX} levels")));
    }
    let claimed = Cell::new(false);
    let mut json = serde_json::Deserializer::from_slice(text);
    let parsed = ReportSeed { claimed: &claimed }.deserialize(&mut json).and_then(|report| json.end().map(|()| report));
    match parsed {
        Ok(report) if claimed.get() => Ok(Some(report)),
        Err(error) if claimed.get() => Err(ReportError(error.to_string())),
        Ok(_) | Err(_) => Ok(None),
    }
}

fn mentions_claim(text: &[u8]) -> bool {
    const QUOTED: &[u8] = b"\"maitred\"";
    text.windows(QUOTED.len()).any(|window| window == QUOTED)
}

/// The deepest nesting of brackets outside strings. Counted beforehand, so that the limit does not depend on the parser's stack.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Reads the object and notes whether it claimed to be a report before any error.
///
/// The fields are judged only after the whole object was read and did claim: another application's `{"server": 7}` is its own
/// business, wherever in the object the claim stands.
struct ReportSeed<'a> {
    claimed: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for ReportSeed<'_> {
    type Value = Report;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Report, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReportSeed<'_> {
    type Value = Report;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Report, A::Error> {
        let mut fields = ReportFields::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == CLAIM {
                self.claimed.set(true);
            }
            if !fields.take(&name, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if !self.claimed.get() {
            return Ok(Report::default());
        }
        fields.judge(true).map_err(de::Error::custom)
    }
}

/// What is wrong with a report. Quotes nothing that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{member} {fault}")]
pub struct ReportFault {
    /// Which member.
    pub member: &'static str,
    /// What is wrong with it.
    pub fault: Cow<'static, str>,
}

fn fault(member: &'static str, fault: impl Into<Cow<'static, str>>) -> ReportFault {
    ReportFault { member, fault: fault.into() }
}

/// The members of a report as they were sent, in a probe's body or among those of a beat.
#[derive(Debug, Default)]
pub struct ReportFields {
    maitred: Option<Value>,
    server: Option<Value>,
    incarnation: Option<Value>,
    sessions: Option<Value>,
    capacity: Option<Value>,
    draining: Option<Value>,
    depends: Option<Words>,
    repeated: Option<&'static str>,
}

impl ReportFields {
    /// Takes a member's value, if it is one of a report's; says whether it was.
    ///
    /// # Errors
    /// When the value is broken JSON.
    pub fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let (name, slot) = match name {
            CLAIM => (CLAIM, &mut self.maitred),
            "server" => ("server", &mut self.server),
            "incarnation" => ("incarnation", &mut self.incarnation),
            "sessions" => ("sessions", &mut self.sessions),
            "capacity" => ("capacity", &mut self.capacity),
            "draining" => ("draining", &mut self.draining),
            "depends" => {
                if self.depends.replace(map.next_value()?).is_some() {
                    self.repeated.get_or_insert("depends");
                }
                return Ok(true);
            }
            _ => return Ok(false),
        };
        if slot.replace(map.next_value()?).is_some() {
            self.repeated.get_or_insert(name);
        }
        Ok(true)
    }

    /// What they say. A body of its own says whose it is and in which version; a beat need not, for its path does.
    ///
    /// # Errors
    /// [`ReportFault`] for the first member that is missing or wrong.
    pub fn judge(self, on_its_own: bool) -> Result<Report, ReportFault> {
        if let Some(name) = self.repeated {
            return Err(fault(name, "is given twice"));
        }
        match given(self.maitred) {
            None if !on_its_own => {}
            Some(version) if version.as_u64() == Some(VERSION) => {}
            None | Some(_) => return Err(fault(CLAIM, format!("is not {VERSION}"))),
        }
        let server = match given(self.server) {
            None if !on_its_own => None,
            Some(Value::String(name)) => {
                Some(ServerName::parse(&name).map_err(|error| fault("server", error.to_string()))?)
            }
            None | Some(_) => return Err(fault("server", "is missing or no text")),
        };
        Ok(Report {
            server,
            incarnation: incarnation(self.incarnation)?,
            sessions: count("sessions", self.sessions)?,
            capacity: count("capacity", self.capacity)?,
            draining: match given(self.draining) {
                None => None,
                Some(Value::Bool(word)) => Some(word),
                Some(_) => return Err(fault("draining", "is neither true nor false")),
            },
            depends: depends(self.depends)?,
        })
    }
}

/// A `null` is absent: unknown, never 0.
fn given(value: Option<Value>) -> Option<Value> {
    value.filter(|value| !value.is_null())
}

fn incarnation(value: Option<Value>) -> Result<Option<Incarnation>, ReportFault> {
    match given(value) {
        None => Ok(None),
        Some(Value::String(text)) => {
            Incarnation::parse(&text).map(Some).map_err(|error| fault("incarnation", error.to_string()))
        }
        Some(_) => Err(fault("incarnation", "is no text")),
    }
}

fn count(name: &'static str, value: Option<Value>) -> Result<Option<u32>, ReportFault> {
    let Some(value) = given(value) else { return Ok(None) };
    match value.as_u64().map(u32::try_from) {
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) | None => Err(fault(name, format!("is no whole number from 0 to {}", u32::MAX))),
    }
}

fn depends(words: Option<Words>) -> Result<BTreeMap<String, bool>, ReportFault> {
    let words = match words {
        None | Some(Words::Null(())) => return Ok(BTreeMap::new()),
        Some(Words::Object(Members(words))) => words,
        Some(Words::Other(_)) => return Err(fault("depends", "is no object")),
    };
    if words.len() > DEPENDS_MAX {
        return Err(fault("depends", format!("has more than {DEPENDS_MAX} names")));
    }
    let mut told = BTreeMap::new();
    for (name, word) in words {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(fault("depends", "has a name that is empty, too long or not printable"));
        }
        let up = match word.as_str() {
            Some("up") => true,
            Some("down") => false,
            Some(_) | None => return Err(fault("depends", "has a word that is neither up nor down")),
        };
        if told.insert(name, up).is_some() {
            return Err(fault("depends", "names one thing twice"));
        }
    }
    Ok(told)
}

/// What stands after `"depends":`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    Null(()),
    Object(Members),
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(body: &str) -> Report {
        parse(body.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_full_report_is_read() {
        let report = report(
            r#"{"maitred": 1, "server": "ua3", "incarnation": "boot-7", "sessions": 412, "capacity": 1000,
                "draining": false, "depends": {"aes": "up", "db": "down"}, "later": {"field": [1, 2]}}"#,
        );
        assert_eq!(report.server.as_ref().map(ServerName::as_str), Some("ua3"));
        assert_eq!(report.incarnation.as_ref().map(Incarnation::as_str), Some("boot-7"));
        assert_eq!((report.sessions, report.capacity, report.draining), (Some(412), Some(1000), Some(false)));
        assert_eq!(report.depends, BTreeMap::from([("aes".to_owned(), true), ("db".to_owned(), false)]));
    }

    #[test]
    fn what_is_absent_or_null_is_unknown_never_zero() {
        let report = report(r#" {"server":"ua3","sessions":null,"maitred":1}"#);
        let expected = Report { server: Some(ServerName::parse("ua3").unwrap()), ..Report::default() };
        assert_eq!(report, expected);
    }

    #[test]
    fn another_applications_body_is_only_a_status() {
        for body in [
            "",
            "ok",
            "<html>maitred</html>",
            "[1]",
            "{}",
            r#"{"server": 7}"#,
            r#"{"status": "maitred"}"#,
            r#"{"components": {"maitred": 2}}"#,
            r#"{"status": "maitred", broken"#,
            "\u{1f}\u{8b}\u{8}",
        ] {
            assert_eq!(parse(body.as_bytes()), Ok(None), "{body}");
        }
        assert_eq!(parse(b"{\"a\": \xff\xfe}"), Ok(None));
    }

    #[test]
    fn a_malformed_report_is_refused_with_its_reason() {
        let long = format!(r#"{{"maitred":1,"server":"a","incarnation":"{}"}}"#, "i".repeat(65));
        let deep = format!(r#"{{"maitred":1,"server":"a","x":{}{}}}"#, "[".repeat(32), "]".repeat(32));
        let crowd: Vec<_> = (0..65).map(|n| format!(r#""d{n}":"up""#)).collect();
        let crowd = format!(r#"{{"maitred":1,"server":"a","depends":{{{}}}}}"#, crowd.join(","));
        for (body, reason) in [
            (r#"{"maitred": 1}"#, "server is missing"),
            (r#"{"maitred": 2, "server": "a"}"#, "maitred is not 1"),
            (r#"{"maitred": "1", "server": "a"}"#, "maitred is not 1"),
            (r#"{"maitred": 1, "server": 7}"#, "server is missing or no text"),
            (r#"{"maitred": 1, "server": "a b"}"#, "server may only hold"),
            (r#"{"maitred": 1, "server": "a", "incarnation": 7}"#, "incarnation is no text"),
            (r#"{"maitred": 1, "server": "a", "incarnation": ""}"#, "incarnation is empty"),
            (r#"{"maitred": 1, "server": "a", "sessions": -1}"#, "sessions is no whole number"),
            (r#"{"maitred": 1, "server": "a", "sessions": 1.5}"#, "sessions is no whole number"),
            (r#"{"maitred": 1, "server": "a", "capacity": 4294967296}"#, "capacity is no whole number"),
            (r#"{"maitred": 1, "server": "a", "draining": "no"}"#, "draining is neither"),
            (r#"{"maitred": 1, "server": "a", "depends": ["aes"]}"#, "depends is no object"),
            (r#"{"maitred": 1, "server": "a", "depends": {"aes": true}}"#, "neither up nor down"),
            (r#"{"maitred": 1, "server": "a", "server": "b"}"#, "given twice"),
            (r#"{"maitred": 1, "server": "a", "depends": {"aes": "up", "aes": "down"}}"#, "one thing twice"),
            (r#"{"maitred": 1, "server": "a""#, "EOF"),
            (r#"{"maitred": 1, "server": "a"} x"#, "trailing"),
            (&long, "longer than 64 bytes"),
            (&deep, "nested deeper"),
            (&crowd, "more than 64 names"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{body}: {error}");
        }
    }

    #[test]
    fn brackets_inside_strings_do_not_count_as_nesting() {
        let body = format!(r#"{{"maitred":1,"server":"a","note":"\"{}"}}"#, "[".repeat(100));
        assert!(parse(body.as_bytes()).unwrap().is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut claimed = br#"{"maitred":1,"server":"a","#.to_vec();
            claimed.extend_from_slice(&body);
            let _ = (parse(&body), parse(&claimed));
        }
    }
}
