//! Orders: each says what held before and what holds now, changes nothing with `?preview=true`, and leaves a line behind.

use maitred_core::director::{Deadline, End, EndRefusal, Preview, ReseatRefusal, RoleRefusal, ServerWord};
use maitred_core::entry::{EndReason, Life, OperatorWord};
use maitred_core::health::Input;
use maitred_core::ids::{DatacenterName, Generation, Key, ServerName};
use maitred_core::seating::Shortage;
use serde_json::{Value, json};

use super::audit::{self, Order};
use super::confirm::fence;
use super::servers::{operator, word};
use super::sessions::{described, ended_by, find, place, session_id};
use super::{Call, json as answered, moment, pools};
use crate::config::{Role, difference, load, or_nearest, process_environment};
use crate::http::problem::Problem;
use crate::http::reply::Reply;

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// The deadline that takes one away.
const NO_DEADLINE: &str = "none";

/// `PUT /v1/servers/{name}/state {"state", "reason"?, "deadline"?}`. What a repeated word leaves out stays as it was said.
pub(super) fn server_state(call: &Call<'_>) -> Result<Reply, Problem> {
    let order = Order { name: "server_state", about: call.parameter(0), key: None };
    audited(call, &order, || {
        let preview = preview_asked(call)?;
        let server = call.server()?;
        let now = call.ask.now;
        let mut fields = call.fields()?;
        let (state, reason) = (fields.text("state")?, reason_of(fields.optional_text("reason")?)?);
        let deadline = fields.optional_text("deadline")?;
        fields.end()?;
        let wanted = match state.as_str() {
            "ready" => OperatorWord::Ready,
            "drain" => OperatorWord::Drain,
            "maint" => OperatorWord::Maint,
            _ => return Err(Problem::malformed("state", "is none of ready, drain, maint")),
        };
        let deadline = match deadline.as_deref() {
            None => Deadline::Unsaid,
            Some(NO_DEADLINE) => Deadline::Open,
            Some(text) => Deadline::At(moment::deadline(text, now.time)?),
        };
        if matches!(deadline, Deadline::At(_)) && wanted == OperatorWord::Ready {
            return Err(Problem::malformed("deadline", "has no meaning with ready, which nothing ends"));
        }
        let said = ServerWord { word: wanted, reason, deadline };
        let director = &call.internal.edge.director;
        let word_now = || director.server_health(&server).map(|health| operator(&health, now)).ok_or(Problem::NotFound);
        let effect = director.preview_server_order(&server, &said, now).map_err(|_| Problem::NotFound)?;
        let before = word_now()?;
        if preview {
            let reason = Some(&effect.reason).filter(|reason| !reason.is_empty());
            let after =
                json!({ "state": word(wanted), "reason": reason, "deadline": effect.deadline.map(moment::written) });
            return Ok(Taken::preview(before, after, effect.changed, strands(&effect)));
        }
        let ordered = director.handle_server_order(&server, &said, now).map_err(|_| Problem::NotFound)?;
        Ok(Taken {
            before,
            after: word_now()?,
            changed: ordered.changed,
            effect: Some(strands(&effect)),
            preview: false,
        })
    })
}

/// `PUT /v1/pools/{pool}/active {"datacenter": NAME | "auto"}`.
pub(super) fn active(call: &Call<'_>) -> Result<Reply, Problem> {
    let order = Order { name: "active", about: call.parameter(0), key: None };
    audited(call, &order, || {
        let preview = preview_asked(call)?;
        let pool = call.pool()?;
        let mut fields = call.fields()?;
        let wanted = fields.text("datacenter")?;
        fields.end()?;
        let director = &call.internal.edge.director;
        let unknown = || {
            let view = director.view();
            let known = view.pool(&pool).map(|pool| pool.settings().datacenters.as_slice()).unwrap_or_default();
            let says =
                or_nearest("is none of this pool, and not auto", &wanted, known.iter().map(DatacenterName::as_str));
            Problem::malformed("datacenter", says)
        };
        let wanted = match wanted.as_str() {
            "auto" => None,
            name => Some(DatacenterName::parse(name).map_err(|_| unknown())?),
        };
        let role_now =
            || director.view().pool(&pool).map(|pool| pools::role(pool, call.ask.now.time)).ok_or(Problem::NotFound);
        let before = role_now()?;
        if preview {
            let view = director.view();
            let seen = view.pool(&pool).ok_or(Problem::NotFound)?;
            if wanted.as_ref().is_some_and(|name| !seen.settings().datacenters.contains(name)) {
                return Err(unknown());
            }
            let changed = seen.role().order != wanted;
            let after = json!({ "order": pools::order_word(wanted.as_ref()) });
            let sites = &before["datacenters"];
            let serves = wanted.as_ref().map(|name| seen.can_seat_in(name));
            let says = match serves {
                Some(false) => "that datacenter has no usable server: it would be passed over until it has one",
                Some(true) => "new sessions would go there; running sessions stay",
                None => "health would decide again",
            };
            let effect = json!({ "summary": says, "datacenters": sites });
            return Ok(Taken::preview(before, after, changed, effect));
        }
        let ordered = director.handle_role_order(&pool, wanted, call.ask.now).map_err(|refusal| match refusal {
            RoleRefusal::UnknownPool => Problem::NotFound,
            RoleRefusal::UnknownDatacenter => unknown(),
        })?;
        Ok(Taken { before, after: role_now()?, changed: ordered.changed, effect: None, preview: false })
    })
}

/// `POST /v1/sessions/{pool}/{key}/end`: an operator says `{"session", "generation"}`, a server `{"server", "incarnation",
/// "generation"}`.
pub(super) fn end_session(call: &Call<'_>) -> Result<Reply, Problem> {
    let (_, key) = place(call)?;
    audited(call, &about_session(call, "end_session", &key), || {
        let mut query = call.query()?;
        let preview = query.flag("preview")?;
        let asked = query.take("session").map(|text| session_id(&text)).transpose()?;
        query.end()?;
        let (pool, key) = place(call)?;
        let end = end_of(call)?;
        let session = match &end {
            End::Session { session, .. } => Some(*session),
            End::Server { .. } => asked,
        };
        let director = &call.internal.edge.director;
        let before = director.find(&pool, &key, session, call.ask.now).ok_or(Problem::NotFound)?;
        let shown = described(&before, director, call.ask.now);
        let live = before.life == Life::Live;
        // A server may say which session it means, and the one that has its key now may be another.
        if live && asked.is_some_and(|asked| asked != before.session) {
            return Err(Problem::Stale { current: shown });
        }
        if preview {
            if live && !end.names(&before) {
                return Err(Problem::Stale { current: shown });
            }
            let effect = json!({ "summary": "the session would end; its client is placed anew at its next start" });
            return Ok(Taken::preview(
                shown,
                json!({ "state": "ended", "ended_by": ended_by(end.reason()) }),
                live,
                effect,
            ));
        }
        match director.end(&pool, &key, session, &end, call.ask.now) {
            Ok(after) => {
                let changed = before.life == Life::Live;
                Ok(Taken {
                    before: shown,
                    after: described(&after, director, call.ask.now),
                    changed,
                    effect: None,
                    preview: false,
                })
            }
            Err(EndRefusal::Unknown) => Err(Problem::NotFound),
            Err(EndRefusal::Stale(current)) => {
                Err(Problem::Stale { current: described(&current, director, call.ask.now) })
            }
        }
    })
}

/// Which seat an end means. A server ends by its own name; who names no server says the session.
fn end_of(call: &Call<'_>) -> Result<End, Problem> {
    let mut fields = call.fields()?;
    if fields.has("server") || matches!(call.caller.role, Role::Server(_)) {
        let fence = fence(call, &mut fields)?;
        let generation = fence.generation.ok_or_else(|| Problem::malformed("generation", "is missing"))?;
        fields.end()?;
        return Ok(End::Server { server: fence.server, incarnation: fence.incarnation, generation });
    }
    let session = session_id(&fields.text("session")?)?;
    let generation = Generation::parse(fields.number("generation")?)
        .map_err(|fault| Problem::malformed("generation", fault.to_string()))?;
    fields.end()?;
    Ok(End::Session { session, generation, reason: EndReason::Operator })
}

/// `PUT /v1/sessions/{pool}/{key}/server {"server", "session"?, "reason"?}`.
pub(super) fn move_session(call: &Call<'_>) -> Result<Reply, Problem> {
    let (_, key) = place(call)?;
    audited(call, &about_session(call, "move_session", &key), || {
        let preview = preview_asked(call)?;
        let (pool, key) = place(call)?;
        let mut fields = call.fields()?;
        let wanted = fields.text("server")?;
        let unknown = || {
            let view = call.internal.edge.director.view();
            let known = view.pool(&pool).map(|pool| pool.servers()).unwrap_or_default();
            let names = known.iter().map(|server| server.settings.name.as_str());
            Problem::malformed("server", or_nearest("is none of this pool", &wanted, names))
        };
        let server = ServerName::parse(&wanted).map_err(|_| unknown())?;
        let session = fields.optional_text("session")?.map(|text| session_id(&text)).transpose()?;
        reason_of(fields.optional_text("reason")?)?;
        fields.end()?;
        let current = find(call, session)?;
        let director = &call.internal.edge.director;
        let view = director.view();
        let before = described(&current, director, call.ask.now);
        if preview {
            let target = view.pool(&pool).and_then(|pool| pool.server_named(&server)).ok_or_else(unknown)?;
            if current.life != Life::Live {
                return Err(Problem::NotFound);
            }
            if !target.standing.is_usable() {
                return Err(unusable(target.standing.input));
            }
            let full = target.load.load(call.ask.now.time) >= target.load.capacity();
            let says = if full {
                "that server is full; the session would go there all the same"
            } else {
                "the session goes there at its next start"
            };
            let after = json!({ "server": server });
            return Ok(Taken::preview(before, after, current.server != server, json!({ "summary": says })));
        }
        let moved = director.reseat(&pool, &key, session, &server, call.ask.now).map_err(|refusal| match refusal {
            ReseatRefusal::UnknownSession => Problem::NotFound,
            ReseatRefusal::UnknownServer => unknown(),
            ReseatRefusal::Unusable => {
                unusable(view.server(&server).map_or(Input::Down, |(_, server)| server.standing.input))
            }
            ReseatRefusal::Ambiguous => {
                Problem::malformed("session", "is missing: this pool allows several sessions of one key")
            }
        })?;
        let changed = moved.before.server != moved.after.server;
        // As it was described before the move, whose event is among those that `moves` counts; anew only where somebody else came between.
        let before = if moved.before == current { before } else { described(&moved.before, director, call.ask.now) };
        let after = described(&moved.after, director, call.ask.now);
        Ok(Taken { before, after, changed, effect: None, preview: false })
    })
}

/// `POST /v1/config/reload`.
pub(super) async fn reload(call: &Call<'_>) -> Result<Reply, Problem> {
    let order = Order { name: "reload", about: "config", key: None };
    let outcome = reload_or_preview(call).await;
    finish(call, &order, outcome)
}

async fn reload_or_preview(call: &Call<'_>) -> Result<Taken, Problem> {
    let preview = preview_asked(call)?;
    if !call.body.is_empty() {
        call.fields()?.end()?;
    }
    let running = call.internal.config.load_full();
    let digest = |digest: &str| json!({ "digest": digest });
    if preview {
        let Some(path) = running.sources.first().cloned() else { return Err(Problem::NotFound) };
        let loaded = actix_rt::task::spawn_blocking(move || load(&path, process_environment())).await;
        let loaded = loaded.map_err(|_| Problem::Internal)?;
        let wanted =
            loaded.map_err(|faults| Problem::Config { faults: faults.iter().map(ToString::to_string).collect() })?;
        let changes = difference(&running, &wanted.config);
        let changed = !changes.is_empty();
        return Ok(Taken::preview(
            digest(&running.digest),
            digest(&wanted.config.digest),
            changed,
            json!({ "changes": changes }),
        ));
    }
    let process = std::sync::Arc::clone(&call.internal.process);
    let reloaded = actix_rt::task::spawn_blocking(move || process.reload()).await.map_err(|_| Problem::Internal)?;
    let changes = reloaded.map_err(|faults| Problem::Config { faults })?;
    let after = call.internal.config.load_full();
    Ok(Taken {
        before: digest(&running.digest),
        after: digest(&after.digest),
        changed: !changes.is_empty(),
        effect: Some(json!({ "changes": changes })),
        preview: false,
    })
}

/// The outcome of an order, or of its preview.
struct Taken {
    before: Value,
    after: Value,
    changed: bool,
    effect: Option<Value>,
    preview: bool,
}

impl Taken {
    fn preview(before: Value, after: Value, changed: bool, effect: Value) -> Self {
        Self { before, after, changed, effect: Some(effect), preview: true }
    }
}

fn audited(
    call: &Call<'_>,
    order: &Order<'_>,
    take: impl FnOnce() -> Result<Taken, Problem>,
) -> Result<Reply, Problem> {
    finish(call, order, take())
}

fn finish(call: &Call<'_>, order: &Order<'_>, outcome: Result<Taken, Problem>) -> Result<Reply, Problem> {
    let taken = outcome.inspect_err(|problem| audit::refused(call, order, problem))?;
    if !taken.preview {
        call.internal.process.perform_effects();
        audit::taken(call, order, &without_key(&taken.before), &without_key(&taken.after), taken.changed);
    }
    let mut body = json!({
        "before": taken.before, "after": taken.after, "changed": taken.changed, "preview": taken.preview,
    });
    if let (Some(body), Some(Value::Object(effect))) = (body.as_object_mut(), taken.effect) {
        body.insert("effect".to_owned(), Value::Object(effect));
    }
    Ok(answered(&body))
}

/// The log has the key in a field of its own, hashed, and names no agent.
fn without_key(shown: &Value) -> Value {
    let mut shown = shown.clone();
    if let Some(members) = shown.as_object_mut() {
        members.remove("key");
        members.remove("agent");
    }
    shown
}

fn about_session<'a>(call: &'a Call<'_>, name: &'static str, key: &'a Key) -> Order<'a> {
    Order { name, about: call.parameter(0), key: Some(key) }
}

fn preview_asked(call: &Call<'_>) -> Result<bool, Problem> {
    let mut query = call.query()?;
    let preview = query.flag("preview")?;
    query.end()?;
    Ok(preview)
}

fn reason_of(reason: Option<String>) -> Result<Option<String>, Problem> {
    match reason {
        Some(text) if text.len() > REASON_BYTES_MAX => Err(Problem::malformed("reason", "is longer than 200 bytes")),
        Some(text) if text.chars().any(char::is_control) => {
            Err(Problem::malformed("reason", "has a control character"))
        }
        reason => Ok(reason),
    }
}

/// What an order about a server does to those who sit there, and what is left for the others.
fn strands(effect: &Preview) -> Value {
    let Preview { after, sessions, placeable_left, load_percent, .. } = *effect;
    let some =
        |count: u32, one: &str, many: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {many}") };
    let pool = match placeable_left {
        0 => "no server would take new sessions".to_owned(),
        left => format!(
            "{} would take new sessions, at {load_percent} % of their capacity",
            some(left, "server", "servers")
        ),
    };
    let summary = match after {
        OperatorWord::Maint => format!("would strand {}; {pool}", some(sessions, "session", "sessions")),
        OperatorWord::Drain => {
            format!("{}; {pool}", some(sessions, "session stays until it ends", "sessions stay until they end"))
        }
        OperatorWord::Ready => format!("{} there; {pool}", some(sessions, "session sits", "sessions sit")),
    };
    json!({ "sessions": sessions, "placeable_left": placeable_left, "load_percent": load_percent, "summary": summary })
}

fn unusable(input: Input) -> Problem {
    let mut shortage = Shortage { servers: 1, ..Shortage::default() };
    if input == Input::Maint {
        shortage.maint = 1;
    } else {
        shortage.down = 1;
    }
    Problem::NoServer(shortage)
}
