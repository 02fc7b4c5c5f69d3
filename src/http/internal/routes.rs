//! Which paths there are, what each does, and who may: one table, which tests walk.

use std::borrow::Cow;

use actix_http::Method;
use maitred_core::ids::ServerName;
use percent_encoding::percent_decode_str;

use crate::config::Role;
use crate::http::problem::Problem;

/// One method of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET` answers `HEAD` too.
    pub method: &'static str,
    /// Segments in braces are parameters, percent-decoded.
    pub path: &'static str,
    /// What it does.
    pub(super) action: Action,
    /// Who may.
    pub may: May,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Status,
    Servers,
    Server,
    OrderServer,
    Beat,
    Pools,
    Pool,
    Active,
    OrderActive,
    Datacenters,
    Peers,
    Config,
    Events,
    Reload,
    Sessions,
    Session,
    Explain,
    EndSession,
    Confirm,
    PutState,
    ReadState,
    MoveSession,
    TicketKeys,
    VerifyTicket,
    OpenApi,
    Metrics,
    Live,
    Ready,
    ActiveHere,
}

/// Who may use a route. An operator may use all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Operators only: orders.
    Order,
    /// Viewers too.
    Read,
    /// Viewers, and the server that the path names.
    ReadOwn,
    /// Servers, each about what is its own; the route sees to that.
    Serve,
    /// The server that the path names.
    ServeOwn,
    /// Viewers and those who collect metrics.
    Collect,
    /// Everybody who was let in.
    Everybody,
}

impl May {
    /// Whether a role suffices. `own` is the server that the path names.
    #[must_use]
    pub fn allows(self, role: &Role, own: Option<&str>) -> bool {
        match (role, self) {
            (Role::Operator, _) | (_, Self::Everybody) => true,
            (Role::Viewer, May::Read | May::ReadOwn | May::Collect) | (Role::Metrics, May::Collect) => true,
            (Role::Server(_), May::Serve) => true,
            (Role::Server(name), May::ReadOwn | May::ServeOwn) => {
                own.is_some_and(|own| own == ServerName::as_str(name))
            }
            (Role::Viewer | Role::Metrics | Role::Server(_), _) => false,
        }
    }
}

const fn route(method: &'static str, path: &'static str, action: Action, may: May) -> Route {
    Route { method, path, action, may }
}

/// All routes of the internal listener.
pub const ROUTES: &[Route] = &[
    route("GET", "/v1/status", Action::Status, May::Read),
    route("GET", "/v1/servers", Action::Servers, May::Read),
    route("GET", "/v1/servers/{name}", Action::Server, May::ReadOwn),
    route("PUT", "/v1/servers/{name}/state", Action::OrderServer, May::Order),
    route("PUT", "/v1/servers/{name}/heartbeat", Action::Beat, May::ServeOwn),
    route("GET", "/v1/pools", Action::Pools, May::Read),
    route("GET", "/v1/pools/{pool}", Action::Pool, May::Read),
    route("GET", "/v1/pools/{pool}/active", Action::Active, May::Read),
    route("PUT", "/v1/pools/{pool}/active", Action::OrderActive, May::Order),
    route("GET", "/v1/datacenters", Action::Datacenters, May::Read),
    route("GET", "/v1/peers", Action::Peers, May::Read),
    route("GET", "/v1/config", Action::Config, May::Read),
    route("POST", "/v1/config/reload", Action::Reload, May::Order),
    route("GET", "/v1/events", Action::Events, May::Read),
    route("GET", "/v1/sessions", Action::Sessions, May::Read),
    route("GET", "/v1/sessions/{pool}/{key}", Action::Session, May::Read),
    route("GET", "/v1/explain", Action::Explain, May::Read),
    route("POST", "/v1/sessions/{pool}/{key}/end", Action::EndSession, May::Serve),
    route("POST", "/v1/sessions/{pool}/{key}/confirm", Action::Confirm, May::Serve),
    route("PUT", "/v1/sessions/{pool}/{key}/state", Action::PutState, May::Serve),
    route("GET", "/v1/sessions/{pool}/{key}/state", Action::ReadState, May::Serve),
    route("PUT", "/v1/sessions/{pool}/{key}/server", Action::MoveSession, May::Order),
    route("GET", "/v1/jwks.json", Action::TicketKeys, May::Serve),
    route("POST", "/v1/tickets/verify", Action::VerifyTicket, May::Serve),
    route("GET", "/openapi.json", Action::OpenApi, May::Everybody),
    route("GET", "/metrics", Action::Metrics, May::Collect),
    route("GET", "/health/live", Action::Live, May::Everybody),
    route("GET", "/health/ready", Action::Ready, May::Everybody),
    route("GET", "/health/active", Action::ActiveHere, May::Everybody),
];

/// A route and the parameters of its path, in order.
#[derive(Debug)]
pub(super) struct Found<'p> {
    pub(super) route: &'static Route,
    pub(super) parameters: Vec<Cow<'p, str>>,
}

/// Finds the route of a request.
///
/// # Errors
/// 404 for a path that does not exist, 405 for a method that it does not have, 400 for a parameter that is no text.
pub(super) fn find<'p>(method: &Method, path: &'p str) -> Result<Found<'p>, Problem> {
    let method = if method == Method::HEAD { Method::GET } else { method.clone() };
    let mut there = None;
    for route in ROUTES {
        let Some(raw) = matched(route.path, path) else { continue };
        if route.method == method.as_str() {
            let decoded = raw.into_iter().map(|raw| percent_decode_str(raw).decode_utf8());
            let parameters =
                decoded.collect::<Result<_, _>>().map_err(|_| Problem::malformed("path", "is no UTF-8"))?;
            return Ok(Found { route, parameters });
        }
        there = Some(route.path);
    }
    Err(there.map_or(Problem::NotFound, |path| Problem::Method { allow: allowed(path) }))
}

/// The raw parameters, if the path has this shape. An empty segment is no parameter.
fn matched<'p>(template: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let mut parameters = Vec::new();
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parameters),
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => parameters.push(segment),
            (Some(fixed), Some(segment)) if fixed == segment => {}
            _ => return None,
        }
    }
}

fn allowed(path: &str) -> &'static str {
    let has = |method| ROUTES.iter().any(|route| route.path == path && route.method == method);
    match (has("GET"), has("PUT"), has("POST")) {
        (true, true, _) => "GET, HEAD, PUT",
        (true, false, _) => "GET, HEAD",
        (false, true, _) => "PUT",
        (false, false, _) => "POST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(method: Method, path: &str) -> Result<(Action, Vec<String>), u16> {
        find(&method, path)
            .map(|found| (found.route.action, found.parameters.into_iter().map(Cow::into_owned).collect()))
            .map_err(|problem| problem.status())
    }

    #[test]
    fn parameters_are_decoded_once_and_never_span_segments() {
        assert_eq!(
            action(Method::GET, "/v1/sessions/ua/a%2Fb%2520c"),
            Ok((Action::Session, vec!["ua".into(), "a/b%20c".into()]))
        );
        assert_eq!(action(Method::HEAD, "/v1/servers/ua1"), Ok((Action::Server, vec!["ua1".into()])));
        assert_eq!(action(Method::GET, "/v1/sessions/ua/%ff"), Err(400));
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/servers/",
            "/v1//servers",
            "/v1/sessions/ua//end",
            "/V1/servers",
            "/v1/servers;x",
            "/%761/servers",
            "/v1/events/1",
            "/v1/explained",
        ] {
            assert_eq!(action(Method::GET, path), Err(404), "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_there_are() {
        for (method, path, allow) in [
            (Method::DELETE, "/v1/servers", "GET, HEAD"),
            (Method::GET, "/v1/servers/ua1/state", "PUT"),
            (Method::GET, "/v1/servers/ua1/heartbeat", "PUT"),
            (Method::GET, "/v1/sessions/ua/k/confirm", "POST"),
            (Method::POST, "/v1/sessions/ua/k/state", "GET, HEAD, PUT"),
            (Method::GET, "/v1/config/reload", "POST"),
            (Method::POST, "/v1/pools/ua/active", "GET, HEAD, PUT"),
            (Method::OPTIONS, "/v1/servers", "GET, HEAD"),
        ] {
            assert_eq!(find(&method, path).err(), Some(Problem::Method { allow }), "{method} {path}");
        }
    }

    #[test]
    fn a_server_reads_itself_and_nothing_else() {
        let ua1 = Role::Server(ServerName::parse("ua1").unwrap());
        for route in ROUTES {
            let own = route.may.allows(&ua1, Some("ua1"));
            let serves = matches!(route.may, May::Serve | May::ServeOwn);
            assert_eq!(own, serves || matches!(route.may, May::ReadOwn | May::Everybody), "{}", route.path);
            let other = route.may.allows(&ua1, Some("ua2"));
            assert_eq!(other, matches!(route.may, May::Serve | May::Everybody), "{}", route.path);
            assert_eq!(route.may.allows(&Role::Viewer, None), !serves && route.may != May::Order, "{}", route.path);
            assert!(route.may.allows(&Role::Operator, None));
            assert!(serves || route.may == May::Order || route.method == "GET", "what changes something is no read");
            assert!(route.may != May::Order || route.method != "GET", "what reads is no order");
        }
    }
}
