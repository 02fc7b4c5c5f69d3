//! `GET /v1/events`: what happens, as server-sent events, from now on or from where a reader was, here or at another director.
//!
//! A reader pulls: nothing is kept for it, so one that reads slowly costs its socket's buffer, one that falls behind the ring is told
//! which events it lost, and one that takes nothing at all is cut, on either protocol. Each heartbeat carries the id reached, so that a reader with a narrow filter resumes close to now.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::header::{HeaderName, HeaderValue};
use actix_http::{Method, StatusCode};
use bytes::Bytes;
use maitred_core::director::Director;
use maitred_core::events::{Mark, Notice, OfSession, Place, Reading, Told, What};
use maitred_core::ids::{DirectorName, Key, PoolName, ServerName};
use maitred_core::logout::{MassLogout, PANIC_PERCENT};
use metrics::{counter, gauge};
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

use super::Call;
use super::moment::written;
use crate::http::content::{Pieces, Streamed};
use crate::http::edge::Edge;
use crate::http::key;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};

const MEDIA_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Readers at once; each costs a connection and a look every [`POLL`].
pub(super) const READERS_MAX: usize = 64;
/// How long somebody is asked to wait when there are that many.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often a waiting reader looks for news: far below what anybody acts on.
const POLL: Duration = Duration::from_millis(50);
/// A line at least so often, so that both ends notice when the other one is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events in one piece of the answer.
const AT_ONCE: usize = 64;
/// What an `EventSource` waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 1000;

/// `GET /v1/events?event&pool&server&key&director`.
pub(super) fn read(call: &Call<'_>) -> Result<Reply, Problem> {
    let mut query = call.query()?;
    let id = query.take("last_event_id").map(std::borrow::Cow::into_owned);
    let filter = Filter::take(&mut query)?;
    query.end()?;
    let header = call.ask.headers().get(LAST_EVENT_ID);
    let fault = |fault| Problem::malformed("Last-Event-ID", fault);
    let id = match header {
        Some(header) => Some(header.to_str().map_err(|_| fault("is no text"))?.to_owned()),
        None => id,
    };
    let place = id.filter(|id| !id.trim().is_empty()).map(|id| Place::parse(&id)).transpose().map_err(fault)?;
    let mut reply = reply::full(StatusCode::OK, MEDIA_TYPE, Bytes::new());
    // A proxy that collects an answer before it hands it on would never hand on this one.
    let plain = HeaderName::from_static("x-accel-buffering");
    reply.headers_mut().insert(plain, HeaderValue::from_static("no"));
    if call.ask.head.method == Method::HEAD {
        return Ok(reply);
    }
    let seat = Seat::take(call, filter.wants("session_kept"))?;
    let reading = call.internal.edge.director.read_events(place, call.ask.now);
    let edge = Arc::clone(&call.internal.edge);
    let alarm = Box::pin(sleep(Duration::ZERO));
    let feed = Feed { edge, reading, filter, alarm, wrote: None, _seat: seat };
    reply.extensions_mut().insert(Streamed(Box::new(feed)));
    Ok(reply)
}

/// One of the readers.
struct Seat {
    director: Arc<Director>,
    kept: bool,
    _turn: OwnedSemaphorePermit,
}

impl Seat {
    fn take(call: &Call<'_>, kept: bool) -> Result<Self, Problem> {
        let turn = Arc::clone(&call.internal.readers).try_acquire_owned();
        let turn = turn.map_err(|_| Problem::Paced { retry_after: RETRY_AFTER })?;
        let director = &call.internal.edge.director;
        gauge!("maitred_event_readers").increment(1);
        if kept {
            director.listen_for_kept(true);
        }
        Ok(Self { director: Arc::clone(director), kept, _turn: turn })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        gauge!("maitred_event_readers").decrement(1);
        if self.kept {
            self.director.listen_for_kept(false);
        }
    }
}

/// Which events somebody wants; what is not asked for is not narrowed.
#[derive(Debug, Default)]
struct Filter {
    events: Vec<String>,
    pool: Option<PoolName>,
    server: Option<ServerName>,
    key: Option<Key>,
    director: Option<DirectorName>,
}

impl Filter {
    fn take(query: &mut super::fields::Query<'_>) -> Result<Self, Problem> {
        let named = |attribute, fault: maitred_core::ids::IdError| Problem::malformed(attribute, fault.to_string());
        let events: Vec<String> = query
            .take("event")
            .map(|text| text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
            .unwrap_or_default();
        if events.iter().any(|wanted| !What::NAMES.iter().any(|name| is_of(name, wanted))) {
            return Err(Problem::malformed("event", "is no event's name, and no beginning of one"));
        }
        let pool = query.take("pool").map(|text| PoolName::parse(&text)).transpose();
        let server = query.take("server").map(|text| ServerName::parse(&text)).transpose();
        let director = query.take("director").map(|text| DirectorName::parse(&text)).transpose();
        Ok(Self {
            events,
            pool: pool.map_err(|fault| named("pool", fault))?,
            server: server.map_err(|fault| named("server", fault))?,
            key: query.take("key").map(|text| key::parse(&text, "key")).transpose()?,
            director: director.map_err(|fault| named("director", fault))?,
        })
    }

    fn wants(&self, name: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|wanted| is_of(name, wanted))
    }

    fn lets_through(&self, director: &DirectorName, what: &What) -> bool {
        let key = if let What::Session(of) = what { Some(&of.key) } else { None };
        self.wants(what.name())
            && self.pool.as_ref().is_none_or(|wanted| what.pool() == Some(wanted))
            && self.server.as_ref().is_none_or(|wanted| what.server() == Some(wanted))
            && self.key.as_ref().is_none_or(|wanted| key == Some(wanted))
            && self.director.as_ref().is_none_or(|wanted| wanted == director)
    }
}

/// `session` stands for all events of sessions, `session_ended` for itself.
fn is_of(name: &str, wanted: &str) -> bool {
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// One reader's feed.
struct Feed {
    edge: Arc<Edge>,
    reading: Reading,
    filter: Filter,
    alarm: Pin<Box<Sleep>>,
    wrote: Option<Instant>,
    _seat: Seat,
}

impl Pieces for Feed {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.edge.is_stopping() {
                // Its id is valid elsewhere; there is no reason to wait for the end of this process.
                return Poll::Ready(None);
            }
            let piece = self.piece();
            if !piece.is_empty() {
                self.wrote = Some(Instant::now());
                return Poll::Ready(Some(piece.into()));
            }
            self.alarm.as_mut().reset(Instant::now() + POLL);
            if self.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn cut(&mut self, after: Duration) {
        counter!("maitred_event_readers_cut_total").increment(1);
        let (after_s, place) = (after.as_secs_f64(), self.reading.place());
        warn!(event = "reader_cut", after_s, %place, "a reader of events took nothing: it is cut, and goes on from its id when it comes back");
    }
}

impl Feed {
    /// What there is to write now; nothing: wait.
    fn piece(&mut self) -> String {
        let mut piece = String::new();
        let now = self.edge.clock.now();
        let Self { edge, reading, filter, .. } = self;
        if self.wrote.is_none() {
            let _ = write!(piece, "retry: {RETRY_MS}\nid: {}\n\n", reading.place());
        }
        for told in edge.director.next_events(reading, AT_ONCE, now) {
            match told {
                Told::Event { id, director, notice } => {
                    if filter.lets_through(&director, &notice.what) {
                        event(&mut piece, notice.what.name(), &id, &described(&id, &director, &notice));
                        counter!("maitred_events_sent_total", "event" => notice.what.name()).increment(1);
                    }
                }
                Told::Lost { id, of } => {
                    counter!("maitred_event_readers_lost_total").increment(1);
                    let lost = of.iter().map(lost).collect::<Vec<_>>();
                    let data = json!({
                        "id": id.to_string(), "time": written(now.time), "director": edge.director.name(),
                        "reason": "not_kept", "lost": lost,
                    });
                    event(&mut piece, "snapshot_needed", &id, &data);
                }
            }
        }
        if piece.is_empty() && self.wrote.is_some_and(|wrote| wrote.elapsed() >= HEARTBEAT) {
            let _ = write!(piece, ": {}\nid: {}\n\n", written(now.time), reading.place());
        }
        piece
    }
}

fn event(piece: &mut String, name: &str, id: &Place, data: &Value) {
    // JSON has no line end of its own, and neither has an id.
    let _ = write!(piece, "event: {name}\nid: {id}\ndata: {data}\n\n");
}

fn lost((director, from, to): &(DirectorName, Mark, Mark)) -> Value {
    json!({
        "director": director,
        "behind": format!("{}:{}", from.run, from.number),
        "up_to": format!("{}:{}", to.run, to.number),
    })
}

/// An event's data; members that it does not have are left out.
fn described(id: &Place, director: &DirectorName, notice: &Notice) -> Value {
    let what = &notice.what;
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
    put("id", json!(id.to_string()));
    put("time", json!(written(notice.time)));
    put("director", json!(director));
    put("reason", json!(notice.reason));
    if let Some(pool) = what.pool() {
        put("pool", json!(pool));
    }
    if let Some(server) = what.server() {
        put("server", json!(server));
    }
    match what {
        What::Session(OfSession { key, session, generation, from, .. }) => {
            put("key", json!(key));
            if session.0 != [0; 16] {
                put("session", json!(session.to_string()));
            }
            put("generation", json!(generation));
            if let Some(from) = from {
                put("from", json!(from));
            }
        }
        What::Site { datacenter, epoch, .. } => {
            put("datacenter", json!(datacenter));
            put("epoch", json!(epoch));
        }
        What::Peer { peer, .. } => put("peer", json!(peer)),
        What::MassLogout { incident: MassLogout { count, of, threshold_percent, window, panic }, .. } => {
            put("count", json!(count));
            put("of", json!(of));
            put("share", json!((count * 1000 / (*of).max(1)) as f64 / 1000.0));
            put("threshold", json!(*threshold_percent as f64 / 100.0));
            put("panic_threshold", json!(PANIC_PERCENT as f64 / 100.0));
            put("panic", json!(panic));
            put("window_seconds", json!(window.as_secs_f64()));
        }
        What::OrderSuperseded { lost, holds, by, .. } => {
            put("lost", json!(lost));
            put("holds", json!(holds));
            put("given_at", json!(by));
        }
        What::Server { .. } | What::Suspect { .. } => {}
    }
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_names_and_beginnings_of_names() {
        let filter = |text: &str| Filter { events: text.split(',').map(str::to_owned).collect(), ..Filter::default() };
        assert!(filter("session").wants("session_ended") && filter("session_ended").wants("session_ended"));
        assert!(!filter("session_end").wants("session_ended") && !filter("server").wants("session_ended"));
        assert!(Filter::default().wants("mass_logout"));
        assert!(filter("server,mass_logout").wants("mass_logout"));
    }
}
