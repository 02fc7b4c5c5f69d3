//! `maitred events`: what happens, line by line, as long as somebody watches.
//!
//! A connection that ends is opened again behind the last event, as a browser's `EventSource` would; so nothing is missed while a
//! director restarts, and its id goes on at any other one.

use std::time::Duration;

use clap::Args;
use hyper::header::HeaderName;
use serde_json::Value;
use tokio::time::Instant;

use super::client::Ask;
use super::exit::Exit;
use super::orders::segment;
use super::output::{self, cell};
use crate::config::printable;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The director says something every 15 s; four times that is silence.
const SILENCE: Duration = Duration::from_secs(60);
/// Before a connection that ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest line that is taken for one; an event is far below.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// `maitred events`.
#[derive(Debug, Args)]
pub(super) struct EventsArguments {
    #[command(flatten)]
    ask: Ask,
    /// Only events of these names, or of these beginnings of names: session_ended, server; joined by commas
    #[arg(long = "event", value_name = "NAMES")]
    events: Option<String>,
    /// Only events of this pool
    #[arg(long)]
    pool: Option<String>,
    /// Only events of this server
    #[arg(long)]
    server: Option<String>,
    /// Only events of this session key; its name differs from the client certificate's --key
    #[arg(long = "session-key", value_name = "KEY")]
    session_key: Option<String>,
    /// Go on behind the event with this id, wherever it was read; from now on without it
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// End after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

pub(super) async fn run(arguments: &EventsArguments) -> anyhow::Result<Exit> {
    let client = arguments.ask.client()?;
    let target = target(arguments);
    let mut reader = Reader { last_id: arguments.after.clone(), left: arguments.count, ..Reader::default() };
    let end = arguments.duration.map(|duration| Instant::now() + duration);
    let mut first = true;
    loop {
        let headers = reader.last_id.clone().map(|id| (LAST_EVENT_ID, id)).into_iter().collect();
        let json = arguments.ask.json;
        let mut sink = |piece: &[u8]| reader.take(piece, &mut |event| told(event, json));
        let following = client.follow(&target, headers, SILENCE, &mut sink);
        let followed = match end {
            Some(end) => match tokio::time::timeout_at(end, following).await {
                Ok(followed) => followed,
                Err(_) => return Ok(Exit::Done),
            },
            None => following.await,
        };
        if reader.left == Some(0) {
            return Ok(Exit::Done);
        }
        match followed {
            Ok(()) => {}
            // Who never answered will not; who answers with a refusal will again.
            Err(error) if first || Exit::of(&error) != Exit::Unreachable => return Err(error),
            Err(error) => output::remark(&format!("maitred: {error:#}; trying again")),
        }
        first = false;
        reader.rest.clear();
        tokio::time::sleep(PAUSE).await;
    }
}

fn target(arguments: &EventsArguments) -> String {
    let filters = [
        ("event", &arguments.events),
        ("pool", &arguments.pool),
        ("server", &arguments.server),
        ("key", &arguments.session_key),
    ];
    let filters: Vec<String> = filters
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", segment(value))))
        .collect();
    if filters.is_empty() { "/v1/events".to_owned() } else { format!("/v1/events?{}", filters.join("&")) }
}

/// One event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    data: String,
}

/// Puts server-sent events together again (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
#[derive(Debug, Default)]
struct Reader {
    last_id: Option<String>,
    left: Option<u64>,
    rest: Vec<u8>,
    event: Event,
}

impl Reader {
    /// Takes a piece of the stream. Says whether more is wanted.
    fn take(&mut self, piece: &[u8], sink: &mut dyn FnMut(&Event) -> anyhow::Result<()>) -> anyhow::Result<bool> {
        self.rest.extend_from_slice(piece);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" if !line.is_empty() => value.clone_into(&mut self.event.name),
                "data" => self.event.data.push_str(value),
                "id" => self.last_id = Some(value.to_owned()).filter(|id| !id.is_empty()),
                "" if line.is_empty() => {
                    let event = std::mem::take(&mut self.event);
                    if !event.data.is_empty() {
                        sink(&event)?;
                        self.left = self.left.map(|left| left.saturating_sub(1));
                        if self.left == Some(0) {
                            return Ok(false);
                        }
                    }
                }
                _ => {}
            }
        }
        anyhow::ensure!(self.rest.len() <= LINE_BYTES_MAX, "a line without an end");
        Ok(true)
    }
}

fn told(event: &Event, json: bool) -> anyhow::Result<()> {
    let mut data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    if json {
        if let Value::Object(members) = &mut data {
            members.insert("event".to_owned(), Value::String(event.name.clone()));
        }
        return output::line(&data.to_string());
    }
    output::line(&line(&event.name, &data))
}

/// One event on one line.
fn line(name: &str, data: &Value) -> String {
    let of = |member: &str| Some(cell(&data[member])).filter(|text| !text.is_empty());
    let mut parts = vec![of("time").unwrap_or_default(), format!("{name:<18}")];
    parts.extend(of("pool"));
    parts.extend(of("key").map(|key| format!("{key}#{}", of("generation").unwrap_or_default())));
    parts.extend(of("server").map(|server| format!("at {server}")));
    parts.extend(of("datacenter"));
    parts.extend(of("peer"));
    if let (Some(count), Some(all)) = (of("count"), of("of")) {
        let panic = if data["panic"] == true { ", panic" } else { "" };
        parts.push(format!("{count} of {all}{panic}"));
    }
    for lost in data["lost"].as_array().into_iter().flatten() {
        parts.push(format!("lost {} behind {}", cell(&lost["director"]), cell(&lost["behind"])));
    }
    parts.extend(of("reason").map(|reason| format!("({reason})")));
    parts.extend(of("director").map(|director| format!("by {director}")));
    parts.iter().map(|part| printable(part)).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(reader: &mut Reader, pieces: &[&str]) -> Vec<String> {
        let mut names = Vec::new();
        for piece in pieces {
            let more = reader.take(piece.as_bytes(), &mut |event| {
                names.push(format!("{} {}", event.name, event.data));
                Ok(())
            });
            if !more.unwrap() {
                break;
            }
        }
        names
    }

    #[test]
    fn events_are_put_together_however_they_are_cut() {
        let text = "retry: 1000\nid: a:1:0\n\n: beat\nid: a:1:2\n\nevent: server_up\nid: a:1:3\ndata: {}\n\n";
        for size in 1..text.len() {
            let mut reader = Reader::default();
            let pieces: Vec<&str> =
                text.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
            assert_eq!(read(&mut reader, &pieces), ["server_up {}"]);
            assert_eq!(reader.last_id.as_deref(), Some("a:1:3"));
        }
    }

    #[test]
    fn a_reader_has_enough_when_it_has_as_many_as_it_wanted() {
        let mut reader = Reader { left: Some(1), ..Reader::default() };
        let one = "event: a\nid: x:1:1\ndata: 1\n\n";
        assert_eq!(read(&mut reader, &[one, one]).len(), 1);
        assert_eq!(reader.left, Some(0));
    }

    #[test]
    fn a_line_says_what_happened_to_whom_and_why() {
        let data = json!({ "time": "2026-01-31T18:00:00.000Z", "pool": "ua", "key": "10\u{1b}01", "generation": 2,
                           "server": "ua3", "reason": "moved", "director": "east-1", "id": "east-1:1:7" });
        let shown = line("session_moved", &data);
        assert!(shown.starts_with("2026-01-31T18:00:00.000Z  session_moved       ua  10"), "{shown}");
        assert!(shown.ends_with("at ua3  (moved)  by east-1") && !shown.contains('\u{1b}'), "{shown}");
        let data = json!({ "pool": "ua", "count": 40, "of": 60, "panic": true });
        assert!(line("mass_logout", &data).contains("40 of 60, panic"));
    }
}
