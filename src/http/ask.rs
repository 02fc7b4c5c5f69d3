//! One request that has passed the door: its head is small enough, its target and Host are sound, and it has an id.
//!
//! Everything behind the door reads the request from here and may trust it. Nothing is routed before.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Instant;

use actix_http::RequestHead;
use actix_http::header::HeaderMap;
use maitred_core::clock::Now;
use maitred_core::director::Question;
use maitred_core::ids::{Key, PoolName};

use crate::http::caller;
use crate::http::cors::Caller;
use crate::http::edge::{Edge, PoolSite, Site};
use crate::http::page;
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply};
use crate::http::request_id::{RequestId, X_REQUEST_ID};
use crate::http::target::{self, RequestTarget};

/// A checked request, and what is needed to answer it.
pub struct Ask<'a> {
    /// What all threads share.
    pub edge: &'a Edge,
    /// The configuration in use when the request came.
    pub site: &'a Site,
    /// The request as it came.
    pub head: &'a RequestHead,
    /// Where it is sent to.
    pub target: RequestTarget<'a>,
    /// Under which it is found again.
    pub id: RequestId,
    /// When it came.
    pub now: Now,
    /// The same for durations, finer.
    pub begun: Instant,
    /// What the peers must be asked before this can be answered; see [`Ask::must_ask`].
    question: Cell<Option<Question>>,
    may_ask: bool,
}

impl<'a> Ask<'a> {
    /// Checks a request before anything is routed.
    ///
    /// # Errors
    /// The answer to a request that is refused at the door.
    pub fn check(edge: &'a Edge, site: &'a Site, head: &'a RequestHead) -> Result<Self, Box<Reply>> {
        let id = RequestId::of(&head.headers).map_err(|problem| Box::new(reply::problem(&problem, "-")))?;
        let limits = &site.limits;
        let checked = check_headers(&head.headers, limits.headers, limits.header_block)
            .and_then(|()| target::check(&head.method, head.version, &head.uri, &head.headers, limits.url));
        match checked {
            Ok(target) => Ok(Self {
                edge,
                site,
                head,
                target,
                id,
                now: edge.now(),
                begun: Instant::now(),
                question: Cell::new(None),
                may_ask: false,
            }),
            Err(problem) => {
                let mut reply = refuse(&head.headers, &problem, &id, None);
                // What is malformed may be half of two requests: nothing more is read from this connection.
                if problem.status() == 400 {
                    reply.head_mut().set_connection_type(actix_http::ConnectionType::Close);
                }
                reply.headers_mut().insert(X_REQUEST_ID, id.header());
                Err(Box::new(reply))
            }
        }
    }

    /// The same request, whose answer may be put off until the peers of a cold director have been asked.
    #[must_use]
    pub fn asking(mut self) -> Self {
        self.may_ask = true;
        self
    }

    /// Whether a start, of this key if that may be unknown here, has to wait until the peers were heard. Nothing may come of the request then;
    /// whoever answers finds the question ([`Self::take_question`]) and answers anew afterwards.
    pub fn must_ask(&self, pool: &PoolName, key: Option<&Key>) -> bool {
        if !self.may_ask {
            return false;
        }
        let director = &self.edge.director;
        let about = || key.and_then(|key| director.ask_peers(pool, key, None, self.now));
        let question = director.catch_up(self.now).or_else(about);
        let must = question.is_some();
        self.question.set(question);
        must
    }

    /// What the peers are asked.
    pub fn take_question(&self) -> Option<Question> {
        self.question.take()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        &self.head.headers
    }

    /// The address that the request came from.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.head.peer_addr.map(|address| address.ip())
    }

    /// The answer to a request that cannot be done: a page for a person, else JSON.
    #[must_use]
    pub fn refuse(&self, problem: &Problem, pool: Option<&PoolSite>) -> Reply {
        refuse(self.headers(), problem, &self.id, pool)
    }

    /// The page that asks, as far as any pool allows its origin.
    #[must_use]
    pub fn caller(&self) -> Caller<'a> {
        self.site.origins.caller(self.headers())
    }
}

fn refuse(headers: &HeaderMap, problem: &Problem, id: &RequestId, pool: Option<&PoolSite>) -> Reply {
    if caller::wants_page(headers) {
        let policy = pool.map_or_else(|| page::content_security_policy(&[]), |pool| pool.policy.clone());
        reply::problem_page(problem, id.as_str(), policy)
    } else {
        reply::problem(problem, id.as_str())
    }
}

/// Counts header lines and their bytes as they were on the wire.
fn check_headers(headers: &HeaderMap, lines_max: usize, bytes_max: usize) -> Result<(), Problem> {
    /// `: ` and the end of the line.
    const AROUND: usize = 4;
    if headers.len() > lines_max {
        return Err(Problem::Headers { fault: "The request has too many header lines." });
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND).sum();
    if bytes > bytes_max {
        return Err(Problem::Headers { fault: "The header of the request is too long." });
    }
    // 8 KiB of 16: no line may leave the others without room.
    if headers.iter().any(|(name, value)| name.as_str().len() + value.len() > bytes_max / 2) {
        return Err(Problem::Headers { fault: "A header line of the request is too long." });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_http::header::{HeaderName, HeaderValue};

    #[test]
    fn headers_are_limited_in_number_and_bytes() {
        let mut headers = HeaderMap::new();
        for number in 0..100 {
            let name = HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_static("v"));
        }
        assert_eq!(check_headers(&headers, 100, 16 << 10), Ok(()));
        headers.append(HeaderName::from_static("x-0"), HeaderValue::from_static("v"));
        assert_eq!(check_headers(&headers, 100, 16 << 10).map_err(|problem| problem.status()), Err(431));
        let mut long = HeaderMap::new();
        long.append(HeaderName::from_static("x"), HeaderValue::from_bytes(&[b'v'; 16 << 10]).unwrap());
        assert_eq!(check_headers(&long, 100, 16 << 10).map_err(|problem| problem.status()), Err(431));
        let one = |bytes: usize| {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static("x"), HeaderValue::from_bytes(&vec![b'v'; bytes]).unwrap());
            check_headers(&headers, 100, 16 << 10).map_err(|problem| problem.status())
        };
        assert_eq!((one((8 << 10) - 1), one(8 << 10)), (Ok(()), Err(431)));
    }
}
