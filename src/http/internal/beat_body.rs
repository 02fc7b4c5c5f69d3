//! The body of a beat, read strictly where it says something and leniently where it says more than this director knows: members
//! may be added within the version, so unknown ones are passed over, as in a probe's body.
//!
//! Owns syntax and bounds. Reads the list in one pass, without a tree of it in memory, and keeps no more than its bound. Quotes
//! nothing that was sent.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use maitred_core::director::{Beat, DONE_MAX, OrderId};
use maitred_core::held::{HELD_MAX, HeldSession, Via};
use maitred_core::ids::{Generation, Key, SessionId};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use crate::http::body;
use crate::http::problem::Problem;
use crate::probe::ReportFields;

/// Reads a beat.
///
/// # Errors
/// 400 that names the member, 413 for a list that is too long.
pub(super) fn parse(bytes: &[u8], depth: usize) -> Result<Beat, Problem> {
    if body::is_deeper(bytes, depth) {
        return Err(Problem::malformed("body", "is nested too deeply"));
    }
    let reading = Cell::new(("body", "is not a JSON object"));
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = BeatSeed(&reading).deserialize(&mut json).and_then(|fields| json.end().map(|()| fields));
    let fields = read.map_err(|error| match error.classify() {
        Category::Data => Problem::malformed(reading.get().0, reading.get().1),
        Category::Io | Category::Syntax | Category::Eof => Problem::malformed("body", "is not JSON"),
    })?;
    fields.judge()
}

/// The members of a beat as they were sent.
#[derive(Default)]
struct BeatFields<'a> {
    report: ReportFields,
    held: Option<Option<AtMost<HeldWords<'a>, HELD_MAX>>>,
    held_seq: Option<Value>,
    done: Option<Option<AtMost<Cow<'a, str>, DONE_MAX>>>,
    repeated: Option<&'static str>,
}

/// One entry of a list.
#[derive(Deserialize)]
struct HeldWords<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    session: Option<Cow<'a, str>>,
    #[serde(default)]
    generation: Option<u64>,
    #[serde(borrow, default)]
    via: Option<Cow<'a, str>>,
}

impl BeatFields<'_> {
    fn judge(self) -> Result<Beat, Problem> {
        if let Some(member) = self.repeated {
            return Err(Problem::malformed(member, "is given twice"));
        }
        let report = self.report.judge(false).map_err(|it| Problem::malformed(it.member, it.fault))?;
        let held_seq = match self.held_seq {
            None | Some(Value::Null) => None,
            Some(number) => {
                let fault = || Problem::malformed("held_seq", "is no whole number from 0");
                Some(number.as_u64().ok_or_else(fault)?)
            }
        };
        let held = self.held.flatten().map(|list| {
            let entries = list.within("held", "entries")?;
            (1..).zip(entries).map(|(number, words)| words.judge(number)).collect::<Result<Vec<_>, _>>()
        });
        let done = self.done.flatten().map(|list| {
            let ids = list.within("done", "ids")?;
            let fault = || Problem::malformed("done", "holds what is no id of an order");
            ids.iter().map(|id| OrderId::parse(id).ok_or_else(fault)).collect::<Result<Vec<_>, _>>()
        });
        Ok(Beat { report, held: held.transpose()?, held_seq, done: done.transpose()?.unwrap_or_default() })
    }
}

impl HeldWords<'_> {
    /// `number` counts from 1.
    fn judge(self, number: usize) -> Result<HeldSession, Problem> {
        let fault = |member: &str, why: &dyn fmt::Display| {
            Problem::malformed("held", format!("has an entry (number {number}) whose {member} {why}"))
        };
        let key = Key::parse(&self.key).map_err(|why| fault("key", &why))?;
        let session = self.session.map(|text| SessionId::parse(&text)).transpose();
        let generation = self.generation.map(Generation::parse).transpose();
        let generation = generation.map_err(|why| fault("generation", &why))?;
        let via = match (self.via.as_deref(), generation) {
            (Some("ticket"), _) | (None, Some(_)) => Via::Ticket,
            (Some("self"), _) | (None, None) => Via::SelfMade,
            (Some(_), _) => return Err(fault("via", &"is neither ticket nor self")),
        };
        Ok(HeldSession { key, session: session.map_err(|why| fault("session", &why))?, generation, via })
    }
}

struct BeatSeed<'c>(&'c Cell<(&'static str, &'static str)>);

impl<'de> DeserializeSeed<'de> for BeatSeed<'_> {
    type Value = BeatFields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BeatSeed<'_> {
    type Value = BeatFields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BeatFields::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let repeated = match &*name {
                "held" => {
                    self.0.set(("held", "is no list of {key, session?, generation?, via?}"));
                    fields.held.replace(map.next_value()?).map(|_| "held")
                }
                "held_seq" => fields.held_seq.replace(map.next_value()?).map(|_| "held_seq"),
                "done" => {
                    self.0.set(("done", "is no list of ids"));
                    fields.done.replace(map.next_value()?).map(|_| "done")
                }
                name => {
                    if !fields.report.take(name, &mut map)? {
                        map.next_value::<IgnoredAny>()?;
                    }
                    None
                }
            };
            fields.repeated = fields.repeated.or(repeated);
            self.0.set(("body", "is not a JSON object"));
        }
        Ok(fields)
    }
}

/// A list of which no more than `N` entries are kept.
struct AtMost<T, const N: usize> {
    kept: Vec<T>,
    more: bool,
}

impl<T, const N: usize> AtMost<T, N> {
    fn within(self, attribute: &'static str, unit: &'static str) -> Result<Vec<T>, Problem> {
        if self.more { Err(Problem::OverLimit { attribute, limit: N, unit }) } else { Ok(self.kept) }
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

struct Entries<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Entries<T, N> {
    type Value = AtMost<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < N {
            match entries.next_element()? {
                Some(entry) => kept.push(entry),
                None => return Ok(AtMost { kept, more: false }),
            }
        }
        let mut more = false;
        while entries.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(AtMost { kept, more })
    }
}

#[cfg(test)]
mod tests {
    use maitred_core::ids::Incarnation;

    use super::*;

    fn beat(text: &str) -> Beat {
        parse(text.as_bytes(), 32).unwrap()
    }

    fn refused(text: &str) -> (u16, String) {
        let problem = parse(text.as_bytes(), 32).unwrap_err();
        (problem.status(), problem.detail().into_owned())
    }

    #[test]
    fn a_beat_says_what_it_says_and_nothing_more() {
        let id = "ab".repeat(16);
        let full = beat(&format!(
            r#"{{"incarnation": "boot-1", "sessions": 2, "capacity": 9, "draining": true, "depends": {{"aes": "down"}},
                "held": [{{"key": "J\u00fcrgen", "session": "{id}", "generation": 3, "via": "self"}}, {{"key": "b", "generation": 1}},
                         {{"key": "c", "later": [1]}}],
                "held_seq": 7, "done": ["{id}"], "maitred": 1, "server": "ua1", "later": {{"x": 1}}}}"#
        ));
        assert_eq!(full.report.incarnation, Incarnation::parse("boot-1").ok());
        assert_eq!((full.report.sessions, full.report.capacity, full.report.draining), (Some(2), Some(9), Some(true)));
        assert_eq!((full.held_seq, full.done), (Some(7), vec![OrderId::parse(&id).unwrap()]));
        let held = full.held.unwrap();
        assert_eq!((held[0].key.as_str(), held[0].session), ("J\u{fc}rgen", SessionId::parse(&id).ok()));
        assert_eq!((held[0].generation.map(Generation::get), held[0].via), (Some(3), Via::SelfMade));
        assert_eq!([held[1].via, held[2].via], [Via::Ticket, Via::SelfMade], "a generation comes from a ticket");
        let least = beat(r#"{"incarnation": "b", "held": null, "held_seq": null, "done": null, "server": null}"#);
        assert_eq!((least.held, least.held_seq, least.done.len()), (None, None, 0), "absent is not an empty list");
        assert_eq!(beat(r#"{"held": []}"#).held, Some(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_and_never_quoted() {
        for (text, said) in [
            ("", "body is not JSON"),
            ("{", "body is not JSON"),
            ("{} {}", "body is not JSON"),
            ("[]", "body is not a JSON object"),
            ("\"x\"", "body is not a JSON object"),
            ("{\"held\": [1e999]}", "is no"),
            (r#"{"held": {}}"#, "held is no list"),
            (r#"{"held": "secret"}"#, "held is no list"),
            (r#"{"held": ["secret"]}"#, "held is no list"),
            (r#"{"held": [{}]}"#, "held is no list"),
            (r#"{"held": [{"key": 7}]}"#, "held is no list"),
            (r#"{"held": [{"key": "a", "key": "b"}]}"#, "held is no list"),
            (r#"{"held": [{"key": "a", "generation": "1"}]}"#, "held is no list"),
            (r#"{"held": [{"key": "a"}, {"key": ""}]}"#, "held has an entry (number 2) whose key is empty"),
            (r#"{"held": [{"key": "a", "generation": 0}]}"#, "whose generation is outside"),
            (r#"{"held": [{"key": "a", "generation": 4294967296}]}"#, "whose generation is outside"),
            (r#"{"held": [{"key": "a", "session": "secret"}]}"#, "whose session may only hold"),
            (r#"{"held": [{"key": "a", "via": "secret"}]}"#, "whose via is neither"),
            (r#"{"held": [], "held": []}"#, "held is given twice"),
            (r#"{"held_seq": 1, "held_seq": 1}"#, "held_seq is given twice"),
            (r#"{"sessions": 1, "sessions": 1}"#, "sessions is given twice"),
            (r#"{"held_seq": -1}"#, "held_seq is no whole number"),
            (r#"{"held_seq": "7"}"#, "held_seq is no whole number"),
            (r#"{"done": "secret"}"#, "done is no list"),
            (r#"{"done": [7]}"#, "done is no list"),
            (r#"{"done": ["secret"]}"#, "done holds what is no id"),
            (r#"{"incarnation": 7}"#, "incarnation is no text"),
            (r#"{"sessions": -1}"#, "sessions is no whole number"),
            (r#"{"draining": "yes"}"#, "draining is neither"),
            (r#"{"depends": {"aes": "up", "aes": "down"}}"#, "depends names one thing twice"),
            (r#"{"maitred": 2}"#, "maitred is not 1"),
            (r#"{"server": "a b"}"#, "server may only hold"),
        ] {
            let (status, words) = refused(text);
            assert_eq!(status, 400, "{text}: {words}");
            assert!(words.contains(said) && !words.contains("secret"), "{text}: {words}");
        }
        let deep = format!(r#"{{"x": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(refused(&deep), (400, "body is nested too deeply".to_owned()));
    }

    #[test]
    fn lists_are_bounded() {
        let held = |count: usize| {
            let entries: Vec<String> = (0..count).map(|number| format!(r#"{{"key":"{number}"}}"#)).collect();
            format!(r#"{{"held": [{}]}}"#, entries.join(","))
        };
        assert_eq!(beat(&held(HELD_MAX)).held.map(|held| held.len()), Some(HELD_MAX));
        assert_eq!(refused(&held(HELD_MAX + 1)), (413, "held may have at most 20000 entries.".to_owned()));
        let id = format!("\"{}\"", "0".repeat(32));
        let done = |count: usize| format!(r#"{{"done": [{}]}}"#, vec![id.as_str(); count].join(","));
        assert_eq!(beat(&done(DONE_MAX)).done.len(), DONE_MAX);
        assert_eq!(refused(&done(DONE_MAX + 1)), (413, "done may have at most 4096 ids.".to_owned()));
    }
}
