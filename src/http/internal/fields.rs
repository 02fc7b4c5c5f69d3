//! What a request says, read strictly: the members of a JSON body and the parameters of a query. Whatever is unknown, repeated or
//! of another type is named and refused.

use std::borrow::Cow;

use serde_json::Value;

use crate::http::body;
use crate::http::problem::Problem;
use crate::http::query::decode;
use crate::members::Members;

/// The members of a JSON object, taken one by one.
pub(super) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Parses a body.
    pub(super) fn parse(bytes: &[u8], depth: usize) -> Result<Self, Problem> {
        // Depth and form first, in words; then once more for what a map would hide.
        body::object(bytes, depth)?;
        let Members(members) =
            serde_json::from_slice(bytes).map_err(|_| Problem::malformed("body", "is not a JSON object"))?;
        for (at, (name, _)) in members.iter().enumerate() {
            if members[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::malformed(body::shown(name), "is given twice"));
            }
        }
        Ok(Self(members))
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, name: &'static str) -> Result<String, Problem> {
        self.optional_text(name)?.ok_or_else(|| Problem::malformed(name, "is missing"))
    }

    /// A text that may be absent or null.
    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::malformed(name, "is not a string")),
        }
    }

    /// A number that must be there.
    pub(super) fn number(&mut self, name: &'static str) -> Result<u64, Problem> {
        self.optional_number(name)?.ok_or_else(|| Problem::malformed(name, "is missing"))
    }

    /// A number that may be absent or null.
    pub(super) fn optional_number(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => whole(&value).map(Some).ok_or_else(|| Problem::malformed(name, "is not a whole number")),
        }
    }

    /// Nothing else was said.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(body::unknown(name)),
        }
    }

    /// Whether a member is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// A member of whatever type.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// The parameters of a query, taken one by one.
pub(super) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    pub(super) fn parse(query: Option<&'q str>) -> Result<Self, Problem> {
        let mut pairs: Vec<(Cow<'q, str>, Cow<'q, str>)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = |raw| decode(raw).ok_or_else(|| Problem::malformed("query", "is no UTF-8"));
            let (name, value) = (text(name)?, text(value)?);
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Problem::malformed(body::shown(&name), "is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// A parameter, if it is there.
    pub(super) fn take(&mut self, name: &str) -> Option<Cow<'q, str>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The parameters `name[inner]`, as OpenAPI's `deepObject` writes an object.
    pub(super) fn take_group(&mut self, name: &str) -> Vec<(String, Cow<'q, str>)> {
        let inner = |text: &str| text.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
        let (group, rest) = std::mem::take(&mut self.0).into_iter().partition(|(found, _)| inner(found).is_some());
        self.0 = rest;
        let group: Vec<(Cow<'q, str>, Cow<'q, str>)> = group;
        group.into_iter().filter_map(|(found, value)| Some((inner(&found)?, value))).collect()
    }

    /// A parameter that is `true`, `false` or absent.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::malformed(name, "is neither true nor false")),
        }
    }

    /// Nothing else was asked.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::malformed(body::shown(name), "is no parameter of this path")),
        }
    }
}

/// A whole number, also one that is written `7.0`: JSON has one kind of number, and JSON Schema calls that an integer.
fn whole(value: &Value) -> Option<u64> {
    // Up to here every whole number is itself as a float.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(number))?;
        Some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Result<Fields, String> {
        Fields::parse(text.as_bytes(), 32).map_err(|problem| problem.detail().into_owned())
    }

    #[test]
    fn members_are_taken_and_what_is_left_is_named() {
        let mut body = fields(r#"{"state": "drain", "reason": null, "extra": 1}"#).unwrap();
        assert_eq!(body.text("state"), Ok("drain".to_owned()));
        assert_eq!(body.optional_text("reason"), Ok(None));
        assert_eq!(body.text("missing").err(), Some(Problem::malformed("missing", "is missing")));
        assert_eq!(body.end().err(), Some(Problem::malformed("extra", "is not known here")));
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(fields(r#"{"a": 1, "\u0061": 2}"#).err().as_deref(), Some("a is given twice"));
        assert_eq!(fields(r#"{"<script>": 1, "<script>": 2}"#).err().as_deref(), Some("an attribute is given twice"));
        assert!(fields(&format!("{{\"a\": {}{}}}", "[".repeat(40), "]".repeat(40))).is_err());
        let mut body = fields(r#"{"n": 1.5, "s": 7}"#).unwrap();
        assert!(body.number("n").is_err() && body.text("s").is_err());
    }

    #[test]
    fn a_query_is_read_as_strictly() {
        let mut query = Query::parse(Some("limit=5&preview=true&x%5B=1")).unwrap();
        assert_eq!(query.take("limit").as_deref(), Some("5"));
        assert_eq!(query.flag("preview"), Ok(true));
        assert_eq!(query.end().err(), Some(Problem::malformed("an attribute", "is no parameter of this path")));
        assert!(Query::parse(Some("a=1&a=2")).is_err());
        assert!(Query::parse(Some("preview=yes")).unwrap().flag("preview").is_err());
    }
}
