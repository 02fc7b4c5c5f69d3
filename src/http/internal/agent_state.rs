//! `PUT` and `GET /v1/sessions/{pool}/{key}/state`: what a server leaves for the next one, byte for byte, with an ETag.

use actix_http::StatusCode;
use actix_http::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use maitred_core::director::{Expected, StateRefusal, StateTag};
use maitred_core::session::AGENT_STATE_BYTES_MAX;
use metrics::counter;
use serde_json::json;

use super::confirm::{fence, outside, own_server, session_asked};
use super::sessions::{place, session_id};
use super::{Call, JSON, json as answered};
use crate::config::Role;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};

/// Tags that one header may name.
const TAGS_MAX: usize = 16;

/// Writes: `{"server", "incarnation", "generation"?, "state"}`; the state is any JSON value and is kept as it was written.
pub(super) fn write(call: &Call<'_>) -> Result<Reply, Problem> {
    let outcome = write_or_refuse(call);
    count("write", &outcome);
    let tag = outcome?;
    call.internal.process.perform_effects();
    let mut reply = answered(&json!({ "etag": quoted(tag), "version": tag.version() }));
    put_tag(&mut reply, tag);
    Ok(reply)
}

fn write_or_refuse(call: &Call<'_>) -> Result<StateTag, Problem> {
    let session = session_asked(call)?;
    let (pool, key) = place(call)?;
    let wanted = expected(call.ask.headers())?;
    let mut fields = call.fields()?;
    let fence = fence(call, &mut fields)?;
    if fields.take("state").is_none() {
        return Err(Problem::malformed("state", "is missing"));
    }
    fields.end()?;
    let state = raw_member(&call.body, "state").ok_or_else(|| Problem::malformed("state", "is missing"))?;
    let director = &call.internal.edge.director;
    let write = |expected| director.put_agent_state(&pool, &key, session, &fence, expected, state, call.ask.now);
    let mut refused = None;
    for expected in &wanted {
        match write(*expected) {
            Ok(tag) => return Ok(tag),
            Err(refusal @ StateRefusal::Changed(_)) => refused = Some(refusal),
            Err(refusal) => return Err(problem(call, refusal, true)),
        }
    }
    let conditional = wanted != [Expected::Anything];
    let refusal = refused.unwrap_or(StateRefusal::Changed(None));
    Err(problem(call, refusal, conditional))
}

/// Reads, for the server that confirmed who is logged in: `?server=`, which a server's own name is the default of.
pub(super) fn read(call: &Call<'_>) -> Result<Reply, Problem> {
    let outcome = read_or_refuse(call);
    count("read", &outcome);
    outcome
}

fn read_or_refuse(call: &Call<'_>) -> Result<Reply, Problem> {
    let mut query = call.query()?;
    let session = query.take("session").map(|text| session_id(&text)).transpose()?;
    let named = query.take("server");
    query.end()?;
    let server = match (&call.caller.role, named) {
        (_, Some(name)) => own_server(call, &name)?,
        (Role::Server(own), None) => own.clone(),
        (Role::Operator | Role::Viewer | Role::Metrics, None) => {
            return Err(Problem::malformed("server", "is missing"));
        }
    };
    let (pool, key) = place(call)?;
    let director = &call.internal.edge.director;
    let found = director.agent_state(&pool, &key, session, &server, call.ask.now);
    let state = found.map_err(|refusal| problem(call, refusal, false))?.ok_or(Problem::NotFound)?;
    let held = tags(call.ask.headers(), &IF_NONE_MATCH)?;
    let mut reply = if held.is_some_and(|held| held.any || held.tags.contains(&Some(state.tag))) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut body = format!("{{\"session\":\"{}\",\"version\":{},\"state\":", state.session, state.tag.version());
        // What was taken was a JSON value.
        body.push_str(std::str::from_utf8(&state.bytes).map_err(|_| Problem::Internal)?);
        body.push('}');
        reply::full(StatusCode::OK, JSON, body)
    };
    put_tag(&mut reply, state.tag);
    Ok(reply)
}

fn problem(call: &Call<'_>, refusal: StateRefusal, conditional: bool) -> Problem {
    match refusal {
        StateRefusal::Fence(refusal) => outside(call, refusal),
        StateRefusal::NotConfirmed => Problem::NotConfirmed,
        StateRefusal::Changed(tag) => Problem::Changed { etag: tag.map(quoted), conditional },
        StateRefusal::TooLong => Problem::OverLimit { attribute: "state", limit: AGENT_STATE_BYTES_MAX, unit: "bytes" },
    }
}

fn count<T>(operation: &'static str, outcome: &Result<T, Problem>) {
    let word = match outcome {
        Ok(_) => "ok",
        Err(Problem::NotFound) => "none",
        Err(Problem::Stale { .. }) => "stale",
        Err(Problem::Changed { .. }) => "changed",
        Err(Problem::NotConfirmed) => "not_confirmed",
        Err(_) => "refused",
    };
    counter!("maitred_agent_state_total", "operation" => operation, "outcome" => word).increment(1);
}

/// What the writer believes to replace; each of several is tried.
fn expected(headers: &HeaderMap) -> Result<Vec<Expected>, Problem> {
    match (tags(headers, &IF_MATCH)?, tags(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(vec![Expected::Anything]),
        (Some(Tags { any: true, .. }), None) => Ok(vec![Expected::Something]),
        (Some(Tags { tags, .. }), None) => {
            Ok(tags.into_iter().map(|tag| Expected::Tag(tag.unwrap_or(StateTag::NEVER))).collect())
        }
        (None, Some(Tags { any: true, .. })) => Ok(vec![Expected::Nothing]),
        (None, Some(_)) => Err(Problem::malformed("If-None-Match", "may only be * where something is written")),
        (Some(_), Some(_)) => Err(Problem::malformed("If-Match", "and If-None-Match are one too many")),
    }
}

/// The tags of a condition (RFC 9110, section 13.1); `None` is one that is none of ours, so it matches nothing.
struct Tags {
    any: bool,
    tags: Vec<Option<StateTag>>,
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let attribute = if *name == IF_MATCH { "If-Match" } else { "If-None-Match" };
    let mut found = Tags { any: false, tags: Vec::new() };
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| Problem::malformed(attribute, "is no list of tags"))?;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "*" {
                found.any = true;
                continue;
            }
            // A weak tag is not ours: what is kept is the same byte for byte, or another.
            let inner = word.strip_prefix("W/").unwrap_or(word);
            let inner = inner.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let inner = inner.ok_or_else(|| Problem::malformed(attribute, "is no list of tags"))?;
            if found.tags.len() == TAGS_MAX {
                return Err(Problem::malformed(attribute, "has more than 16 tags"));
            }
            found.tags.push(if word.starts_with("W/") { None } else { StateTag::parse(inner) });
        }
    }
    if found.any && !found.tags.is_empty() || !found.any && found.tags.is_empty() {
        return Err(Problem::malformed(attribute, "is no list of tags"));
    }
    Ok(Some(found))
}

fn quoted(tag: StateTag) -> String {
    format!("\"{tag}\"")
}

fn put_tag(reply: &mut Reply, tag: StateTag) {
    if let Ok(value) = HeaderValue::try_from(quoted(tag)) {
        reply.headers_mut().insert(ETAG, value);
    }
}

/// The bytes of a member's value in a JSON object that has been parsed and found sound, names unrepeated.
fn raw_member<'b>(json: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let mut rest = skip_space(json).strip_prefix(b"{")?;
    loop {
        rest = skip_space(rest);
        let key = value_end(rest)?;
        let (written, after) = rest.split_at(key);
        rest = skip_space(skip_space(after).strip_prefix(b":")?);
        let (value, after) = rest.split_at(value_end(rest)?);
        if serde_json::from_slice::<String>(written).is_ok_and(|written| written == name) {
            return Some(value);
        }
        rest = skip_space(after).strip_prefix(b",")?;
    }
}

fn skip_space(json: &[u8]) -> &[u8] {
    json.trim_ascii_start()
}

/// Where the value ends with which this sound JSON begins.
fn value_end(json: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => {
                in_string = !in_string;
                if !in_string && depth == 0 {
                    return Some(at + 1);
                }
            }
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_state_is_cut_out_as_it_was_written() {
        for (value, before, after) in [
            ("1", "", ""),
            ("1.50e3", " \"a\" : [1, {\"state\": 2}] , ", " "),
            ("null", "\"a\":\"\\\"state\\\":1,\",", ",\"z\":1"),
            ("\"a \\\" }\"", "", " , \"z\" : {}"),
            ("{ \"b\": [ \"]}\", {} ],\n\"a\": 1 }", "\"a\":{},", ""),
            ("[]", "", "\n"),
        ] {
            for name in ["\"state\"", "\"st\\u0061te\""] {
                let json = format!(" {{{before}{name} : {value}{after}}}");
                let cut = raw_member(json.as_bytes(), "state").map(|raw| std::str::from_utf8(raw).unwrap());
                assert_eq!(cut, Some(value), "{json}");
            }
        }
        assert_eq!(raw_member(b"{}", "state"), None);
        assert_eq!(raw_member(b"{\"a\":{\"state\":1}}", "state"), None);
    }

    proptest! {
        #[test]
        fn whatever_stands_around_it_the_state_is_cut_out(
            before in any::<String>(), state in any::<(String, f64, Vec<u8>)>(),
        ) {
            let value = json!({ "s": state.0, "f": state.1, "v": state.2 });
            let text = json!({ "a": before, "state": value, "z": [1] }).to_string();
            let raw = raw_member(text.as_bytes(), "state").unwrap();
            prop_assert_eq!(std::str::from_utf8(raw).unwrap(), value.to_string());
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<Vec<u8>>()) {
            let _ = raw_member(&text, "state");
        }
    }

    #[test]
    fn conditions_are_read_as_the_rfc_says() {
        let headers = |name: &HeaderName, text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), HeaderValue::from_static(text));
            headers
        };
        let of = |name: &HeaderName, text| expected(&headers(name, text)).map_err(|problem| problem.status());
        let tag = StateTag::parse("1f.2").unwrap();
        assert_eq!(of(&IF_MATCH, "*"), Ok(vec![Expected::Something]));
        assert_eq!(of(&IF_MATCH, "\"1f.2\""), Ok(vec![Expected::Tag(tag)]));
        let never = Expected::Tag(StateTag::NEVER);
        assert_eq!(of(&IF_MATCH, "\"other\" ,\"1f.2\""), Ok(vec![never, Expected::Tag(tag)]));
        assert_eq!(of(&IF_MATCH, "W/\"1f.2\", \"x\""), Ok(vec![never, never]), "nothing that could be there");
        assert_eq!(of(&IF_NONE_MATCH, "*"), Ok(vec![Expected::Nothing]));
        for bad in ["", "1f.2", "\"1f.2", "*, \"1f.2\"", "\"1f.2\" x"] {
            assert_eq!(of(&IF_MATCH, bad), Err(400), "{bad}");
        }
        assert_eq!(of(&IF_NONE_MATCH, "\"1f.2\""), Err(400));
        let mut both = headers(&IF_MATCH, "*");
        both.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert!(expected(&both).is_err());
    }
}
