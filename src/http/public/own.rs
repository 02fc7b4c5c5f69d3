//! maitred's own paths: which there are, which methods each has, and which pages of other origins may call them.

use actix_http::header::{CACHE_CONTROL, HeaderValue};
use actix_http::{Method, StatusCode};

use crate::http::ask::Ask;
use crate::http::cors;
use crate::http::problem::Problem;
use crate::http::public::{Body, bounce, logout, reports, scripts, sessions, start};
use crate::http::reply::{self, Reply};

/// Own paths behind the prefix, for the description and its test. `OPTIONS` is on each of them.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/sessions"),
    ("GET", "/v1/sessions/{session}"),
    ("DELETE", "/v1/sessions/{session}"),
    ("POST", "/v1/sessions/{session}/end"),
    ("GET", "/v1/start.js"),
    ("GET", "/v1/servers.js"),
    ("GET", "/v1/jwks.json"),
    ("POST", "/v1/reports"),
    ("GET", "/logout"),
    ("POST", "/logout"),
    ("POST", "/another"),
];

/// An own path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource<'a> {
    Sessions,
    Session(&'a str),
    SessionEnd(&'a str),
    StartScript,
    ServersScript,
    TicketKeys,
    Reports,
    Logout,
    Another,
}

impl<'a> Resource<'a> {
    /// Reads the path behind the prefix.
    fn parse(path: &'a str) -> Option<Self> {
        match path {
            "/v1/sessions" => Some(Self::Sessions),
            "/v1/start.js" => Some(Self::StartScript),
            "/v1/servers.js" => Some(Self::ServersScript),
            "/v1/jwks.json" => Some(Self::TicketKeys),
            "/v1/reports" => Some(Self::Reports),
            "/logout" => Some(Self::Logout),
            bounce::ANOTHER => Some(Self::Another),
            _ => {
                let session = path.strip_prefix("/v1/sessions/")?;
                match session.split_once('/') {
                    None => Some(Self::Session(session)),
                    Some((session, "end")) => Some(Self::SessionEnd(session)),
                    Some(_) => None,
                }
            }
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Sessions | Self::SessionEnd(_) | Self::Reports | Self::Another => "POST, OPTIONS",
            Self::Logout => "GET, POST, OPTIONS",
            Self::Session(_) => "GET, DELETE, OPTIONS",
            Self::StartScript | Self::ServersScript | Self::TicketKeys => "GET, OPTIONS",
        }
    }
}

/// Answers an own path; `path` is what stands behind the prefix.
pub(super) fn answer(ask: &Ask<'_>, path: &str, body: Body) -> Reply {
    let mut reply = match Resource::parse(path) {
        Some(resource) => called(ask, resource, body),
        None => ask.refuse(&Problem::NotFound, None),
    };
    reply::share(&mut reply, ask.caller());
    reply
}

fn called(ask: &Ask<'_>, resource: Resource<'_>, body: Body) -> Reply {
    let reply = match (&ask.head.method, resource) {
        (&Method::OPTIONS, _) => Ok(start::options(ask, resource.methods(), &HeaderValue::from_static(cors::HEADERS))),
        (&Method::POST, Resource::Sessions) => body.and_then(|body| sessions::create(ask, &body)),
        (&Method::GET, Resource::Session(session)) => sessions::read(ask, session),
        (&Method::DELETE, Resource::Session(session)) => sessions::delete(ask, session),
        (&Method::POST, Resource::SessionEnd(session)) => {
            body.and_then(|body| sessions::end_by_beacon(ask, session, &body))
        }
        (&Method::POST, Resource::Reports) => body.and_then(|body| reports::take(ask, &body)),
        (&Method::GET, Resource::Logout) => logout::ask_first(ask),
        // What a button sends with it says nothing.
        (&Method::POST, Resource::Logout) => body.and_then(|_| logout::end(ask)),
        (&Method::POST, Resource::Another) => body.and_then(|body| bounce::another(ask, &body)),
        (&Method::GET, Resource::StartScript) => scripts::start(ask),
        (&Method::GET, Resource::ServersScript) => scripts::servers(ask),
        (&Method::GET, Resource::TicketKeys) => Ok(ticket_keys(ask)),
        _ => Err(Problem::Method { allow: resource.methods() }),
    };
    reply.unwrap_or_else(|problem| ask.refuse(&problem, None))
}

/// `GET /v1/jwks.json`: what servers verify tickets with. Public, and the same for everybody; a server that meets an unknown `kid` may
/// ask past its cache.
fn ticket_keys(ask: &Ask<'_>) -> Reply {
    let mut reply = reply::full(StatusCode::OK, "application/jwk-set+json", ask.edge.tickets.jwks());
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_own_paths_is_what_is_served() {
        let mut methods = Vec::new();
        for (method, path) in ROUTES {
            let resource = Resource::parse(path).unwrap_or_else(|| panic!("{path}"));
            assert!(resource.methods().split(", ").any(|has| has == *method), "{method} {path}");
            methods.push((path, resource.methods()));
        }
        for (path, has) in &methods {
            let listed = methods.iter().filter(|(other, _)| other == path).count();
            assert_eq!(has.split(", ").count(), listed + 1, "{path} has methods that are not listed");
        }
    }

    #[test]
    fn own_paths_are_exact() {
        assert_eq!(Resource::parse("/v1/sessions"), Some(Resource::Sessions));
        assert_eq!(Resource::parse("/v1/sessions/ab"), Some(Resource::Session("ab")));
        assert_eq!(Resource::parse("/v1/sessions/ab/end"), Some(Resource::SessionEnd("ab")));
        for other in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1//sessions",
            "/v1/sessions/ab/end/",
            "/v1/sessions/ab/x",
            "/v1/servers",
            "/v1/config",
        ] {
            assert_eq!(Resource::parse(other), None, "{other}");
        }
    }
}
