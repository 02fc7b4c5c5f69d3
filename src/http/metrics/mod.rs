//! The metrics listener: Prometheus and health checks, in clear, without names and without secrets.

use std::future::{Ready, ready};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix_http::{Method, Request, StatusCode};
use arc_swap::ArcSwap;

use crate::config::Config;
use crate::http::ask::Ask;
use crate::http::edge::Edge;
use crate::http::health;
use crate::http::listener::{self, Answers, ListenerOptions};
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};
use crate::http::request_id::X_REQUEST_ID;
use crate::http::workers::Serving;
use crate::metrics::{MEDIA_TYPE, Metrics, Sources};
use crate::vitals::Vitals;

/// Its paths, for the description and its test. The last ones are the public listener's too.
pub const ROUTES: &[(&str, &str)] =
    &[("GET", "/metrics"), ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/health/active")];

/// What the threads of the listener share.
pub struct Page {
    edge: Arc<Edge>,
    vitals: Arc<Vitals>,
    metrics: Metrics,
    digest: ArcSwap<String>,
}

impl Page {
    /// Puts the listener's state together.
    #[must_use]
    pub fn new(edge: Arc<Edge>, vitals: Arc<Vitals>, metrics: Metrics, config: &Config) -> Self {
        Self { edge, vitals, metrics, digest: ArcSwap::from_pointee(config.digest.clone()) }
    }

    /// Another configuration is in force.
    pub fn reload(&self, config: &Config) {
        self.digest.store(Arc::new(config.digest.clone()));
    }
}

/// Serves on bound sockets until what is returned is stopped.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(page: Arc<Page>, sockets: Vec<TcpListener>, options: ListenerOptions) -> io::Result<Serving> {
    listener::serve(page, "metrics", sockets, options)
}

impl Answers for Page {
    type Future = Ready<Reply>;

    fn answer(self: &Arc<Self>, request: Request) -> Self::Future {
        ready(answer(self, &request))
    }
}

/// Answers one request.
fn answer(page: &Page, request: &Request) -> Reply {
    let site = page.edge.site();
    let ask = match Ask::check(&page.edge, &site, request.head()) {
        Ok(ask) => ask,
        Err(refused) => return *refused,
    };
    let mut reply = match (ask.target.path.strip_prefix("/health/"), &ask.head.method, ask.target.path) {
        (Some(endpoint), _, _) => health::answer(&ask, endpoint),
        (None, &Method::GET | &Method::HEAD, "/metrics") => {
            let digest = page.digest.load();
            let sources = Sources {
                director: &page.edge.director,
                clock: &page.edge.clock,
                vitals: &page.vitals,
                digest: &digest,
                stopping: page.edge.is_stopping(),
            };
            reply::full(StatusCode::OK, MEDIA_TYPE, page.metrics.render(&sources))
        }
        (None, _, "/metrics") => ask.refuse(&Problem::Method { allow: "GET, HEAD" }, None),
        (None, _, _) => ask.refuse(&Problem::NotFound, None),
    };
    reply.headers_mut().insert(X_REQUEST_ID, ask.id.header());
    reply
}

#[cfg(test)]
mod tests;
