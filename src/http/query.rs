//! The query of a request as clients write it: `application/x-www-form-urlencoded`.
//!
//! Reads single parameters without building a map; borrows where nothing is encoded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What was found under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// The name does not occur.
    Absent,
    /// It occurs once.
    One(Cow<'a, str>),
    /// It occurs more than once: two readers of it might disagree, so nobody here chooses.
    Repeated,
    /// Its value is no UTF-8.
    NotText,
}

/// Looks a parameter up.
#[must_use]
pub fn parameter<'a>(query: Option<&'a str>, name: &str) -> Parameter<'a> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&') {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        if raw_name == name || decode(raw_name).as_deref() == Some(name) {
            if found.is_some() {
                return Parameter::Repeated;
            }
            found = Some(raw_value);
        }
    }
    match found {
        None => Parameter::Absent,
        Some(raw) => decode(raw).map_or(Parameter::NotText, Parameter::One),
    }
}

/// Decodes one name or value; `None` when it is no UTF-8.
#[must_use]
pub fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Some(Cow::Borrowed(raw));
    }
    let spaced = raw.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Parameter<'_> {
        Parameter::One(Cow::Borrowed(text))
    }

    #[test]
    fn a_parameter_is_found_and_decoded() {
        let query = Some("a=1&agent=J%C3%BCrgen+M&b&agen%74x=2&empty=");
        assert_eq!(parameter(query, "a"), one("1"));
        assert_eq!(parameter(query, "agent"), one("J\u{fc}rgen M"));
        assert_eq!(parameter(query, "agentx"), one("2"));
        assert_eq!(parameter(query, "b"), one(""));
        assert_eq!(parameter(query, "empty"), one(""));
        assert_eq!(parameter(query, "c"), Parameter::Absent);
        assert_eq!(parameter(None, "a"), Parameter::Absent);
    }

    #[test]
    fn two_values_are_no_value_and_an_encoded_name_is_no_disguise() {
        assert_eq!(parameter(Some("a=1&a=2"), "a"), Parameter::Repeated);
        assert_eq!(parameter(Some("a=1&%61=2"), "a"), Parameter::Repeated);
    }

    #[test]
    fn what_is_no_text_is_not_guessed() {
        assert_eq!(parameter(Some("a=%c0%af"), "a"), Parameter::NotText);
        assert_eq!(parameter(Some("a=%zz"), "a"), one("%zz"), "a stray percent sign is itself (WHATWG)");
    }
}
