//! What all orders share: how they are sent, and how their answers read. Every order answers what held before, what holds now,
//! and whether anything changed; a repeated one is a success that says "unchanged".

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::client::Client;
use super::output;
use crate::config::printable;

/// An order's answer, told.
pub(super) struct Told<'a> {
    /// Whom the order is about.
    pub(super) subject: &'a str,
    /// The member of `before` and `after` that says what matters.
    pub(super) member: &'a str,
}

/// Sends an order, or asks what it would do.
///
/// # Errors
/// When nobody answers, or it is refused.
pub(super) async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
    preview: bool,
) -> anyhow::Result<Value> {
    let query = if preview { "?preview=true" } else { "" };
    client.send(method, &format!("{path}{query}"), Some(body)).await
}

/// A foreign name as a segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Told<'_> {
    /// Prints it.
    ///
    /// # Errors
    /// When nobody reads.
    pub(super) fn print(&self, answer: &Value, json: bool) -> anyhow::Result<()> {
        if json { output::json(answer) } else { output::line(&self.line(answer)) }
    }

    /// One line: `ua3: ready -> drain; 41 sessions stay until they end`.
    fn line(&self, answer: &Value) -> String {
        let (subject, preview) = (self.subject, answer["preview"] == true);
        let of = |side: &str| printable(&output::cell(&answer[side][self.member]));
        let (before, after) = (of("before"), of("after"));
        let what = match (preview, answer["changed"] == true) {
            (false, true) if before != after => format!("{subject}: {before} -> {after}"),
            (false, true) => format!("{subject}: changed, {after} as before"),
            (false, false) => format!("{subject}: unchanged, {before}"),
            (true, true) => format!("{subject}: would change {before} -> {after}"),
            (true, false) => format!("{subject}: would stay {before}"),
        };
        match answer["effect"]["summary"].as_str() {
            Some(summary) if preview || answer["changed"] == true => {
                // Sentence by sentence, so that none is cut for the length of them all.
                let sentences = summary.split("; ").map(printable);
                std::iter::once(what).chain(sentences).collect::<Vec<_>>().join("; ")
            }
            _ => what,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(answer: &Value) -> String {
        Told { subject: "ua3", member: "state" }.line(answer)
    }

    #[test]
    fn an_order_says_what_it_changed() {
        let mut answer = json!({
            "before": { "state": "ready" }, "after": { "state": "drain" }, "changed": true, "preview": false,
            "effect": { "summary": "41 sessions stay until they end" },
        });
        assert_eq!(told(&answer), "ua3: ready -> drain; 41 sessions stay until they end");
        answer["preview"] = true.into();
        assert_eq!(told(&answer), "ua3: would change ready -> drain; 41 sessions stay until they end");
        let summary = "41 sessions stay until they end; 12 servers would take new sessions, at 71 % of their capacity";
        answer["effect"]["summary"] = json!(summary);
        assert_eq!(told(&answer), format!("ua3: would change ready -> drain; {summary}"), "no word is cut off");
    }

    #[test]
    fn a_repeated_order_says_unchanged() {
        let answer = json!({
            "before": { "state": "drain" }, "after": { "state": "drain" }, "changed": false, "preview": false,
        });
        assert_eq!(told(&answer), "ua3: unchanged, drain");
    }

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("a/b?c#d e"), "a%2Fb%3Fc%23d%20e");
    }
}
