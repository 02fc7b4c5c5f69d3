//! What a simulated agent server runs: pages by agent, sessions in memory, and a health report.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::json;

/// By this the demo's agents know who answered.
pub(super) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// And by this, whether they had to log in: `new` or `known`.
pub(super) const LOGIN: HeaderName = HeaderName::from_static("x-login");

/// One life of the application; what it remembers ends with it.
pub(super) struct Application {
    server: String,
    incarnation: String,
    /// Pages that each agent has seen since its login.
    logins: Mutex<BTreeMap<String, u64>>,
}

impl Application {
    /// A fresh one, nobody logged in.
    pub(super) fn new(server: &str, life: u64) -> Self {
        let incarnation = format!("{server}-{life}");
        Self { server: server.to_owned(), incarnation, logins: Mutex::new(BTreeMap::new()) }
    }

    /// Who is logged in.
    pub(super) fn agents(&self) -> usize {
        self.logins.lock().len()
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/health" => self.report(),
            "/ua" | "/ua/" => match agent(request.uri().query().unwrap_or_default()) {
                Some(agent) => self.page(&agent),
                None => response(StatusCode::BAD_REQUEST, "text/plain", "add ?agent=1001\n".to_owned()),
            },
            _ => response(StatusCode::NOT_FOUND, "text/plain", "no such page\n".to_owned()),
        }
    }

    fn report(&self) -> Response<Full<Bytes>> {
        let report = json!({
            "maitred": 1,
            "server": self.server,
            "incarnation": self.incarnation,
            "sessions": self.agents(),
        });
        response(StatusCode::OK, "application/json", report.to_string())
    }

    fn page(&self, agent: &str) -> Response<Full<Bytes>> {
        let (pages, sessions) = {
            let mut logins = self.logins.lock();
            let pages = logins.entry(agent.to_owned()).or_insert(0);
            *pages += 1;
            (*pages, logins.len())
        };
        let server = &self.server;
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{server}</title>\n\
             <h1>Agent {agent} works at {server}</h1>\n\
             <p>Page {pages} of this session; {sessions} sessions at this server.</p></html>\n"
        );
        let mut response = response(StatusCode::OK, "text/html; charset=utf-8", page);
        if let Ok(name) = HeaderValue::from_str(server) {
            response.headers_mut().insert(SERVED_BY, name);
        }
        let login = if pages == 1 { "new" } else { "known" };
        response.headers_mut().insert(LOGIN, HeaderValue::from_static(login));
        response
    }
}

/// The agent of a query. Digits, letters and dashes only: it is written into a page.
fn agent(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("agent="))?;
    let plain = (1..=32).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain.then(|| value.to_owned())
}

fn response(status: StatusCode, media: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_could_be_markup_is_no_agent() {
        assert_eq!(agent("x=1&agent=1001").as_deref(), Some("1001"));
        for bad in ["", "agent=", "agent=<b>", "agent=%3Cb%3E", "agents=1"] {
            assert_eq!(agent(bad), None, "{bad}");
        }
    }
}
