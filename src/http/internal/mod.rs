//! The internal listener: servers and operators, who say who they are before anything else is looked at.
//!
//! ```text
//! request ─ ask (target, Host, limits) ─ page of another origin? 403, under another name? 421 ─ access (certificate, token) 401 ─ routes 404, 405, role 403
//!         ─ body 413, 415 ─ reads (servers, pools, sessions, status), servers' words (beats, confirm, state) or orders
//!         ─▶ Director, audit line
//! ```
//! Owns no rule about sessions: it asks and tells the director. No CORS here at all: a page of another origin gets nothing.

mod access;
mod agent_state;
mod audit;
mod beat_body;
mod beats;
mod confirm;
mod events;
mod explain;
mod fields;
mod guesses;
mod listener;
mod moment;
mod orders;
mod pools;
mod routes;
mod servers;
mod sessions;
mod status;
#[cfg(test)]
mod tests;
mod tickets;
mod tokens;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use actix_http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use actix_http::{Payload, Request, StatusCode};
use arc_swap::ArcSwap;
use bytes::Bytes;
use maitred_core::ids::{PoolName, ServerName};
use metrics::counter;
use tokio::sync::Semaphore;

pub use access::Access;
pub use listener::serve;
pub use routes::{May, ROUTES, Route};
pub use tokens::TokenFileError;

use crate::config::{Change, Config, Role, or_nearest};
use crate::http::ask::Ask;
use crate::http::edge::Edge;
use crate::http::host::RequestHost;
use crate::http::listener::ShownNames;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};
use crate::http::request_id::X_REQUEST_ID;
use crate::http::{body, health, openapi};
use crate::metrics::{MEDIA_TYPE, Metrics, Sources};
use crate::vitals::Vitals;
use access::Caller;
use guesses::Guesses;
use routes::{Action, Found};

const JSON: &str = "application/json";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Walks through the whole table at once; more wait.
const WALKS_MAX: usize = 2;
/// Long lists of servers that are read at once; more wait.
const LISTS_MAX: usize = 2;

/// What the listener asks of the process around it.
pub trait Process: Send + Sync {
    /// The director was given an input: do what it wants done.
    fn perform_effects(&self);

    /// Reads the configuration again, as after SIGHUP. Blocks on the disk; called on a thread that may wait.
    ///
    /// # Errors
    /// Every mistake, one line each; nothing has changed then.
    fn reload(&self) -> Result<Vec<Change>, Vec<String>>;
}

/// What the threads of the listener share.
pub struct Internal {
    edge: Arc<Edge>,
    vitals: Arc<Vitals>,
    metrics: Metrics,
    process: Arc<dyn Process>,
    config: ArcSwap<Config>,
    access: ArcSwap<Access>,
    guesses: Guesses,
    walks: Semaphore,
    lists: Semaphore,
    readers: Arc<Semaphore>,
}

/// What [`Internal`] is made of.
pub struct InternalParts {
    /// Director, clock, seals and limits: the same as the public listener's.
    pub edge: Arc<Edge>,
    /// For status and metrics.
    pub vitals: Arc<Vitals>,
    /// For `GET /metrics`.
    pub metrics: Metrics,
    /// For orders.
    pub process: Arc<dyn Process>,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Who is let in.
    pub access: Access,
    /// A random number, so that nobody can choose whom its guesses brake.
    pub seed: u64,
}

impl Internal {
    /// Puts the listener's state together.
    #[must_use]
    pub fn new(parts: InternalParts) -> Self {
        let InternalParts { edge, vitals, metrics, process, config, access, seed } = parts;
        Self {
            edge,
            vitals,
            metrics,
            process,
            config: ArcSwap::new(config),
            access: ArcSwap::from_pointee(access),
            guesses: Guesses::new(seed),
            walks: Semaphore::new(WALKS_MAX),
            lists: Semaphore::new(LISTS_MAX),
            readers: Arc::new(Semaphore::new(events::READERS_MAX)),
        }
    }

    /// Takes another configuration, or other contents of the token file, into use.
    pub fn reload(&self, config: Arc<Config>, access: Access) {
        self.config.store(config);
        self.access.store(Arc::new(access));
    }

    fn sources<'a>(&'a self, config: &'a Config) -> Sources<'a> {
        Sources {
            director: &self.edge.director,
            clock: &self.edge.clock,
            vitals: &self.vitals,
            digest: &config.digest,
            stopping: self.edge.is_stopping(),
        }
    }
}

/// One request of somebody who was let in.
struct Call<'a> {
    internal: &'a Internal,
    ask: &'a Ask<'a>,
    caller: &'a Caller,
    parameters: &'a [Cow<'a, str>],
    body: Bytes,
}

impl Call<'_> {
    fn parameter(&self, at: usize) -> &str {
        self.parameters.get(at).map_or("", AsRef::as_ref)
    }

    /// A name in the path. What cannot be a name is the name of nothing.
    fn pool(&self) -> Result<PoolName, Problem> {
        PoolName::parse(self.parameter(0)).map_err(|_| Problem::NotFound)
    }

    fn server(&self) -> Result<ServerName, Problem> {
        ServerName::parse(self.parameter(0)).map_err(|_| Problem::NotFound)
    }

    fn fields(&self) -> Result<fields::Fields, Problem> {
        fields::Fields::parse(&self.body, self.ask.site.limits.json_depth)
    }

    fn query(&self) -> Result<fields::Query<'_>, Problem> {
        fields::Query::parse(self.ask.target.query)
    }

    /// The query of a route that has no parameters.
    fn no_query(&self) -> Result<(), Problem> {
        self.query()?.end()
    }
}

/// Answers one request.
async fn answer(internal: &Internal, mut request: Request) -> Reply {
    let shown = ShownNames::of(&request);
    let payload = request.take_payload();
    let site = internal.edge.site();
    let ask = match Ask::check(&internal.edge, &site, request.head()) {
        Ok(ask) => ask,
        Err(refused) => return *refused,
    };
    let mut route = "none";
    let answered = answer_checked(internal, &ask, shown.as_ref(), payload, &mut route).await;
    let mut reply = answered.unwrap_or_else(|problem| ask.refuse(&problem, None));
    reply.headers_mut().insert(X_REQUEST_ID, ask.id.header());
    let status = reply.status().as_str().to_owned();
    counter!("maitred_internal_requests_total", "route" => route, "status" => status).increment(1);
    reply
}

async fn answer_checked(
    internal: &Internal,
    ask: &Ask<'_>,
    shown: Option<&ShownNames>,
    payload: Payload,
    route: &mut &'static str,
) -> Result<Reply, Problem> {
    check_origin(ask)?;
    check_host(internal, ask)?;
    let access = internal.access.load();
    let caller = access.who(ask.headers(), shown, ask.client(), &internal.guesses, ask.now.mono)?;
    let found = routes::find(&ask.head.method, ask.target.path)?;
    *route = found.route.path;
    let own = found.parameters.first().map(AsRef::as_ref);
    if !found.route.may.allows(&caller.role, own) {
        return Err(Problem::Forbidden(format!("The role {} does not allow this.", caller.role).into()));
    }
    let body = read_body(ask, &found, payload).await?;
    let call = Call { internal, ask, caller: &caller, parameters: &found.parameters, body };
    act(&call, found.route.action).await.map_err(|problem| match problem {
        Problem::NotFound => unknown_name(&call, found.route.path).unwrap_or(problem),
        problem => problem,
    })
}

/// The pool or the server of the path, where it is the one that does not exist; told to whoever may read the names of all.
fn unknown_name(call: &Call<'_>, path: &str) -> Option<Problem> {
    if !matches!(call.caller.role, Role::Operator | Role::Viewer) {
        return None;
    }
    let view = call.internal.edge.director.view();
    let asked = if path.contains("{pool}") { None } else { call.query().ok()?.take("pool").map(Cow::into_owned) };
    let given = asked.as_deref().unwrap_or_else(|| call.parameter(0));
    let pools = || view.pools().map(|pool| pool.settings().name.as_str());
    let servers = || view.pools().flat_map(|pool| pool.servers()).map(|server| server.settings.name.as_str());
    let says = if path.contains("{name}") && !servers().any(|name| name == given) {
        or_nearest("No server has this name", given, servers())
    } else if (path.contains("{pool}") || asked.is_some()) && !pools().any(|name| name == given) {
        or_nearest("No pool has this name", given, pools())
    } else {
        return None;
    };
    Some(Problem::NoSuch(says))
}

async fn act(call: &Call<'_>, action: Action) -> Result<Reply, Problem> {
    match action {
        Action::Status => status::read(call),
        Action::Servers => servers::list(call),
        Action::Server => servers::read(call),
        Action::OrderServer => orders::server_state(call),
        Action::Beat => beats::take(call).await,
        Action::Pools => pools::list(call),
        Action::Pool => pools::read(call),
        Action::Active => pools::active(call),
        Action::OrderActive => orders::active(call),
        Action::Datacenters => pools::datacenters(call),
        Action::Peers => pools::peers(call),
        Action::Config => status::config(call),
        Action::Reload => orders::reload(call).await,
        Action::Events => events::read(call),
        Action::Sessions => sessions::list(call).await,
        Action::Session => sessions::read(call),
        Action::Explain => explain::explain(call),
        Action::EndSession => orders::end_session(call),
        Action::Confirm => confirm::confirm(call),
        Action::PutState => agent_state::write(call),
        Action::ReadState => agent_state::read(call),
        Action::MoveSession => orders::move_session(call),
        Action::TicketKeys => tickets::keys(call),
        Action::VerifyTicket => tickets::verify(call),
        Action::OpenApi => Ok(reply::full(StatusCode::OK, JSON, openapi::DOCUMENT)),
        Action::Metrics => {
            let config = call.internal.config.load();
            let page = call.internal.metrics.render(&call.internal.sources(&config));
            Ok(reply::full(StatusCode::OK, MEDIA_TYPE, page))
        }
        Action::Live => Ok(health::answer(call.ask, "live")),
        Action::Ready => Ok(health::answer(call.ask, "ready")),
        Action::ActiveHere => Ok(health::answer(call.ask, "active")),
    }
}

/// The body of an order or of a server's word; other routes have none that is read. JSON must say so, because what a form or a beacon of a foreign page
/// can send never does.
async fn read_body(ask: &Ask<'_>, found: &Found<'_>, payload: Payload) -> Result<Bytes, Problem> {
    if found.route.method == "GET" {
        return Ok(Bytes::new());
    }
    let limits = &ask.site.limits;
    let limit = if found.route.action == Action::Beat { limits.beat } else { limits.body };
    let body = body::read_at_most(limit, ask.headers(), payload, limits).await?;
    let typed = ask.headers().contains_key(CONTENT_TYPE) && body::is_json(ask.headers());
    if typed || (found.route.action == Action::Reload && body.is_empty()) {
        Ok(body)
    } else {
        Err(Problem::Media { expected: JSON })
    }
}

/// A page of another origin may neither read nor order, whatever certificate the browser shows for it.
fn check_origin(ask: &Ask<'_>) -> Result<(), Problem> {
    let text = |headers: &HeaderMap, name: &HeaderName| {
        headers.get(name).map(|value| value.to_str().unwrap_or("-").to_owned())
    };
    let headers = ask.headers();
    let own = text(headers, &HOST).or_else(|| ask.head.uri.authority().map(ToString::to_string)).unwrap_or_default();
    let foreign = text(headers, &ORIGIN)
        .is_some_and(|origin| !origin.strip_prefix("https://").is_some_and(|host| host.eq_ignore_ascii_case(&own)));
    let site = text(headers, &SEC_FETCH_SITE);
    if foreign || !matches!(site.as_deref(), None | Some("same-origin" | "none")) {
        return Err(Problem::OriginUnknown);
    }
    Ok(())
}

/// A page that made its own name lead here (DNS rebinding) is of no other origin, so the name itself must be one of ours: that of the
/// certificate, `localhost`, or an address, which nobody can make lead elsewhere. Health has no Host to be judged by.
fn check_host(internal: &Internal, ask: &Ask<'_>) -> Result<(), Problem> {
    let Some(host) = ask.target.host.map(RequestHost::name) else { return Ok(()) };
    let is_ours = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok();
    if is_ours || internal.vitals.is_called("internal", host) { Ok(()) } else { Err(Problem::UnknownHost) }
}

fn json(value: &serde_json::Value) -> Reply {
    reply::json(StatusCode::OK, JSON, value)
}
