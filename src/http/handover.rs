//! Handing a session over: how the ticket reaches the server, and the address by which a client can always begin again.
//!
//! Owns the parameter, the cookie and the `return` address. Pure but for the random name of a ticket. An incoming ticket is never
//! passed on: whoever follows a link that somebody else made must not arrive with somebody else's ticket.

use std::borrow::Cow;
use std::fmt::Write as _;

use actix_http::header::{HeaderValue, REFERRER_POLICY, SET_COOKIE};
use maitred_core::seating::Seat;
use metrics::Counter;

use crate::config::{Handover, Host, PathPrefix, Pool};
use crate::credentials::cookie::SameSite;
use crate::credentials::ticket::{LEEWAY, LIFETIME, NAME, RETURN_BYTES_MAX};
use crate::http::ask::Ask;
use crate::http::host::RequestHost;
use crate::http::query;
use crate::http::random::bits_128;
use crate::http::reply::Reply;
use crate::http::target::RequestTarget;

/// One pool's way of handing over.
pub struct HandoverRule {
    mode: Handover,
    same_site: SameSite,
    /// The routes that name a host: the addresses that a client can have come by. Only they may stand in a ticket, because a Host
    /// that merely was sent would make a signed redirect to anywhere.
    entrances: Vec<(Host, PathPrefix)>,
    /// Tickets signed.
    signed: Counter,
}

impl HandoverRule {
    /// The rule of a pool.
    #[must_use]
    pub fn new(pool: &Pool, same_site: SameSite, signed: Counter) -> Self {
        let named = |route: &crate::config::Route| route.host.clone().map(|host| (host, route.path.clone()));
        Self {
            mode: pool.handover.clone(),
            same_site,
            entrances: pool.routes.iter().filter_map(named).collect(),
            signed,
        }
    }

    /// Hands a seat over to whoever asks for `target`; `None` asks for no address of the application (an API client).
    #[must_use]
    pub fn hand_over(&self, ask: &Ask<'_>, seat: &Seat, target: Option<RequestTarget<'_>>) -> Handed<'_> {
        let ticket = match self.mode {
            Handover::None => None,
            Handover::Query | Handover::Cookie { .. } => self.sign(ask, seat, target),
        };
        Handed { rule: self, ticket }
    }

    /// A fault of the signature costs the client the ticket, not the seat: the server sends it back here.
    fn sign(&self, ask: &Ask<'_>, seat: &Seat, target: Option<RequestTarget<'_>>) -> Option<String> {
        let front = self.front(ask.target.host, target);
        let jti = bits_128().ok()?;
        match ask.edge.tickets.sign(&seat.entry, jti, front.as_deref(), ask.edge.clock.wall()) {
            Ok(ticket) => {
                self.signed.increment(1);
                Some(ticket)
            }
            Err(error) => {
                tracing::error!(%error, pool = %seat.entry.pool, "no ticket could be signed");
                None
            }
        }
    }

    /// The front address that a client came by, with the path and query that it asked for as far as they fit; `None` where no route
    /// of the pool names a host.
    fn front(&self, host: Option<RequestHost<'_>>, target: Option<RequestTarget<'_>>) -> Option<String> {
        let by_host = |host: RequestHost<'_>| {
            self.entrances.iter().find(|(named, _)| named.as_str().eq_ignore_ascii_case(host.name()))
        };
        let came_by = host.and_then(|host| Some((by_host(host)?, host.port())));
        let ((host, path), port, target) = match came_by {
            Some((entrance, port)) => (entrance, port, target),
            None => (self.entrances.first()?, None, None),
        };
        let mut front = String::with_capacity(128);
        front.push_str("https://");
        match host.as_str() {
            address if address.contains(':') => write!(front, "[{address}]").ok()?,
            name => front.push_str(name),
        }
        if let Some(port) = port.filter(|port| *port != 443) {
            write!(front, ":{port}").ok()?;
        }
        let origin = front.len();
        if let Some(target) = target {
            front.push_str(target.path);
            let path = front.len();
            let query = target.query.map(without_ticket).filter(|query| !query.is_empty());
            if let Some(query) = query {
                front.push('?');
                front.push_str(&query);
            }
            if front.len() > RETURN_BYTES_MAX {
                front.truncate(path);
            }
            if front.len() <= RETURN_BYTES_MAX {
                return Some(front);
            }
        }
        front.truncate(origin);
        front.push_str(path.stem());
        front.push('/');
        Some(front)
    }

    /// `Set-Cookie` that removes a ticket, where tickets travel in a cookie.
    #[must_use]
    pub fn clear(&self) -> Option<HeaderValue> {
        self.cookie("", 0)
    }

    fn cookie(&self, value: &str, max_age: u64) -> Option<HeaderValue> {
        let Handover::Cookie { domain } = &self.mode else { return None };
        let (domain, site) = (domain.as_str(), self.same_site);
        let line = format!("{NAME}={value}; Domain={domain}; Path=/; Max-Age={max_age}; Secure; HttpOnly; {site}");
        HeaderValue::from_maybe_shared(bytes::Bytes::from(line)).ok()
    }
}

/// A seat that is being handed over.
pub struct Handed<'a> {
    rule: &'a HandoverRule,
    ticket: Option<String>,
}

impl Handed<'_> {
    /// The ticket, for an answer that carries it as a member.
    #[must_use]
    pub fn ticket(&self) -> Option<&str> {
        self.ticket.as_deref()
    }

    /// The query of the address at the server: that of the request, byte for byte but for tickets, of which there is at most the one
    /// that was signed now.
    #[must_use]
    pub fn query<'q>(&self, asked: Option<&'q str>) -> Option<Cow<'q, str>> {
        match (&self.rule.mode, &self.ticket) {
            (Handover::None, _) => asked.map(Cow::Borrowed),
            (Handover::Query, Some(ticket)) => {
                let rest = asked.map(without_ticket).filter(|query| !query.is_empty());
                let mut query = String::with_capacity(
                    rest.as_ref().map_or(0, |rest| rest.len() + 1) + NAME.len() + 1 + ticket.len(),
                );
                if let Some(rest) = rest {
                    query.push_str(&rest);
                    query.push('&');
                }
                query.push_str(NAME);
                query.push('=');
                query.push_str(ticket);
                Some(Cow::Owned(query))
            }
            (Handover::Query | Handover::Cookie { .. }, _) => asked
                .map(|asked| (without_ticket(asked), asked))
                .filter(|(rest, asked)| !rest.is_empty() || asked.is_empty())
                .map(|(rest, _)| rest),
        }
    }

    /// What a redirect with the ticket in its address must say: the server's page would tell it on to every link on it.
    pub fn protect(&self, reply: &mut Reply) {
        if self.rule.mode == Handover::Query && self.ticket.is_some() {
            reply.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
    }

    /// Sets the cookie, where tickets travel in one.
    pub fn set_cookie(&self, reply: &mut Reply) {
        let age = (LIFETIME + LEEWAY).as_secs();
        if let Some(cookie) = self.ticket().and_then(|ticket| self.rule.cookie(ticket, age)) {
            reply.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

/// A query without its tickets, whatever disguise their name wears; every other byte stays where it was.
fn without_ticket(query: &str) -> Cow<'_, str> {
    let is_ticket = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        name == NAME || query::decode(name).is_some_and(|name| name == NAME)
    };
    if !query.split('&').any(is_ticket) {
        return Cow::Borrowed(query);
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_ticket(pair)).collect();
    Cow::Owned(kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(mode: Handover) -> HandoverRule {
        let entrance = |host: &str, path: &str| (Host::parse(host).unwrap(), PathPrefix::parse(path).unwrap());
        HandoverRule {
            mode,
            same_site: SameSite::Lax,
            entrances: vec![entrance("agents.example.com", "/ua"), entrance("::1", "/")],
            signed: Counter::noop(),
        }
    }

    fn handed(rule: &HandoverRule) -> Handed<'_> {
        Handed { rule, ticket: Some("T".to_owned()) }
    }

    #[test]
    fn exactly_one_ticket_is_in_the_query_and_the_rest_is_untouched() {
        let query = rule(Handover::Query);
        for (asked, expected) in [
            (None, "maitred_ticket=T"),
            (Some(""), "maitred_ticket=T"),
            (Some("a=%20b+c&&d"), "a=%20b+c&&d&maitred_ticket=T"),
            (Some("maitred_ticket=old"), "maitred_ticket=T"),
            (Some("maitred_ticket"), "maitred_ticket=T"),
            (Some("a&maitred_ticket=x&b&maitred_ticket=y"), "a&b&maitred_ticket=T"),
            (Some("maitred%5Fticket=x&b=1"), "b=1&maitred_ticket=T"),
            (Some("%6daitred_ticket=x&b=1"), "b=1&maitred_ticket=T"),
            (Some("xmaitred_ticket=1&Maitred_Ticket=2"), "xmaitred_ticket=1&Maitred_Ticket=2&maitred_ticket=T"),
            (Some("a=maitred_ticket=1"), "a=maitred_ticket=1&maitred_ticket=T"),
            (Some("%c0=1&a=%zz"), "%c0=1&a=%zz&maitred_ticket=T"),
        ] {
            assert_eq!(handed(&query).query(asked).as_deref(), Some(expected), "{asked:?}");
        }
    }

    #[test]
    fn other_ways_add_nothing_to_the_query() {
        let domain = Host::parse("example.com").unwrap();
        let (cookie, none) = (rule(Handover::Cookie { domain }), rule(Handover::None));
        for (asked, by_cookie) in [
            (None, None),
            (Some(""), Some("")),
            (Some("a=1&maitred_ticket=x"), Some("a=1")),
            (Some("maitred_ticket=x"), None),
        ] {
            assert_eq!(handed(&cookie).query(asked).as_deref(), by_cookie, "{asked:?}");
            assert_eq!(handed(&none).query(asked).as_deref(), asked, "none of our business");
        }
        let mut reply = crate::http::reply::empty(actix_http::StatusCode::FOUND);
        handed(&cookie).set_cookie(&mut reply);
        handed(&cookie).protect(&mut reply);
        assert_eq!(
            reply.headers().get(SET_COOKIE).unwrap(),
            "maitred_ticket=T; Domain=example.com; Path=/; Max-Age=90; Secure; HttpOnly; SameSite=Lax"
        );
        assert!(!reply.headers().contains_key(REFERRER_POLICY));
        assert_eq!(none.clear(), None);
    }

    #[test]
    fn the_way_back_leads_to_a_configured_host_only() {
        let rule = rule(Handover::Query);
        let front = |host: &str, target: Option<(&str, Option<&str>)>| {
            let host = RequestHost::parse(host);
            let target = target.map(|(path, query)| RequestTarget { host, path, query });
            rule.front(host, target).unwrap()
        };
        assert_eq!(front("Agents.example.com", Some(("/ua/x", Some("a=1")))), "https://agents.example.com/ua/x?a=1");
        assert_eq!(front("agents.example.com:8443", Some(("/", None))), "https://agents.example.com:8443/");
        assert_eq!(front("agents.example.com:443", None), "https://agents.example.com/ua/");
        assert_eq!(
            front("[::1]:9", Some(("/x", Some("maitred_ticket=t")))),
            "https://[::1]:9/x",
            "no ticket in a ticket"
        );
        assert_eq!(
            front("evil.example:99", Some(("/x", None))),
            "https://agents.example.com/ua/",
            "a Host is no address"
        );
        let long = "q".repeat(RETURN_BYTES_MAX);
        assert_eq!(front("agents.example.com", Some(("/ua/x", Some(&long)))), "https://agents.example.com/ua/x");
        let long = format!("/{long}");
        assert_eq!(front("agents.example.com", Some((&long, None))), "https://agents.example.com/ua/");
        let nameless = HandoverRule { entrances: Vec::new(), ..self::rule(Handover::Query) };
        assert_eq!(nameless.front(RequestHost::parse("evil"), None), None);
    }

    proptest! {
        #[test]
        fn no_query_arrives_with_two_tickets(pairs in prop::collection::vec("(maitred_ticket|%6Daitred_ticket|a|b%20|)(=[a-z%&+]{0,8})?", 0..6)) {
            let asked = pairs.join("&");
            let rule = rule(Handover::Query);
            let handed = handed(&rule);
            let query = handed.query(Some(&asked)).unwrap();
            prop_assert_eq!(query::parameter(Some(&query), NAME), query::Parameter::One("T".into()));
            let others = |text: &str| text.split('&').filter(|pair| !pair.contains("aitred_ticket")).map(str::to_owned).collect::<Vec<_>>();
            let (before, after) = (others(&asked).join("&"), others(&query).join("&"));
            prop_assert_eq!(before, after);
        }
    }
}
