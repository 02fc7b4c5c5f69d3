//! An HTTP client that does what it is told: keeps cookies, verifies certificates, dials loopback (or one
//! address that it is told) for every name, follows nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{COOKIE, HOST, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use url::Url;

use super::certificates::{self, Certificates};

thread_local! {
    // One for each test: it turns only while that test waits for an answer.
    static RUNTIME: RefCell<Runtime> = RefCell::new(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value, once; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where a redirect leads.
    #[track_caller]
    pub(crate) fn location(&self) -> Url {
        let location = self.headers.get(LOCATION).unwrap_or_else(|| panic!("no Location: {self:?}"));
        Url::parse(location.to_str().unwrap()).unwrap()
    }
}

/// One browser-like caller. Each request has a connection of its own.
pub(crate) struct Client {
    trust: Arc<ClientConfig>,
    dials: IpAddr,
    jar: BTreeMap<(String, String), String>,
    headers: HeaderMap,
}

impl Client {
    /// One that trusts the authority of the tests.
    pub(crate) fn new() -> Self {
        Self::trusting(&certificates::shared(), None)
    }

    /// One with the certificate of this stem (`operator`).
    pub(crate) fn trusting(certificates: &Certificates, identity: Option<&str>) -> Self {
        let trust = certificates.client_config(identity);
        Self { trust, dials: Ipv4Addr::LOCALHOST.into(), jar: BTreeMap::new(), headers: HeaderMap::new() }
    }

    /// Dials this address for every name, instead of loopback.
    pub(crate) fn dialling(mut self, address: impl Into<IpAddr>) -> Self {
        self.dial(address);
        self
    }

    /// From now on dials this address for every name: DNS has told it another one.
    pub(crate) fn dial(&mut self, address: impl Into<IpAddr>) {
        self.dials = address.into();
    }

    /// Sends this header with each request from now on.
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Looks like a person's browser.
    pub(crate) fn like_a_browser(self) -> Self {
        self.with_header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .with_header("sec-fetch-mode", "navigate")
    }

    /// The value of a cookie that the host has set.
    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.jar.get(&(host.to_owned(), name.to_owned())).map(String::as_str)
    }

    /// Puts a cookie into the jar, as if the host had set it.
    pub(crate) fn set_cookie(&mut self, host: &str, name: &str, value: &str) {
        self.jar.insert((host.to_owned(), name.to_owned()), value.to_owned());
    }

    /// Forgets everything that was set.
    pub(crate) fn forget_cookies(&mut self) {
        self.jar.clear();
    }

    #[track_caller]
    pub(crate) fn get(&mut self, url: &str) -> Answer {
        self.send(Method::GET, url, &[], "")
    }

    #[track_caller]
    pub(crate) fn post_json(&mut self, url: &str, body: &serde_json::Value) -> Answer {
        self.send(Method::POST, url, &[("content-type", "application/json")], &body.to_string())
    }

    /// One request; fails the test when nobody answers.
    #[track_caller]
    pub(crate) fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.try_send(method.clone(), url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    /// One request; says why nobody answered.
    pub(crate) fn try_send(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let host = url.host_str().ok_or("no host")?.to_owned();
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = method;
        *request.uri_mut() =
            url[url::Position::BeforePath..url::Position::AfterQuery].parse().map_err(|error| format!("{error}"))?;
        *request.headers_mut() = self.headers.clone();
        let authority = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        request.headers_mut().insert(HOST, authority.parse().unwrap());
        let cookies: Vec<String> = self
            .jar
            .iter()
            .filter(|((owner, _), _)| *owner == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(COOKIE, cookies.join("; ").parse().unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let exchange = exchange(self.dials, url, host.clone(), request, Arc::clone(&self.trust));
        let answer = RUNTIME.with(|runtime| runtime.borrow_mut().block_on(exchange))?;
        self.keep_cookies(&host, &answer);
        Ok(answer)
    }

    /// As a person: follows redirects from here to the page, at most ten.
    #[track_caller]
    pub(crate) fn visit(&mut self, url: &str) -> Answer {
        let mut url = Url::parse(url).unwrap();
        for _ in 0..10 {
            let answer = self.get(url.as_str());
            if !(300..400).contains(&answer.status) {
                return answer;
            }
            url = url.join(answer.header("location")).unwrap();
        }
        panic!("redirected in circles, last to {url}")
    }

    fn keep_cookies(&mut self, host: &str, answer: &Answer) {
        for line in answer.headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let key = (host.to_owned(), name.to_owned());
            if parts.any(|part| part.eq_ignore_ascii_case("max-age=0")) {
                self.jar.remove(&key);
            } else {
                self.jar.insert(key, value.to_owned());
            }
        }
    }
}

async fn exchange(
    address: IpAddr,
    url: Url,
    host: String,
    request: Request<Full<Bytes>>,
    trust: Arc<ClientConfig>,
) -> Result<Answer, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let port = url.port_or_known_default().ok_or("no port")?;
    let stream = TcpStream::connect((address, port)).await.map_err(|error| words(&error))?;
    let response = if url.scheme() == "https" {
        let name = ServerName::try_from(host).map_err(|error| words(&error))?;
        let stream = TlsConnector::from(trust).connect(name, stream).await.map_err(|error| words(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    let (head, body) = response.map_err(|error| words(&error))?.into_parts();
    let body = body.collect().await.map_err(|error| words(&error))?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}
