//! The listener as it really stands: TLS, HTTP/2 where the client speaks it, HTTP/1.1 else.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, Request, Response, Version};
use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fixture::{Fixture, HOST, config};
use crate::certificates::{DevAuthority, Usage};
use crate::config::Config;
use crate::http::answer::Answer;
use crate::tls::{ReloadableServer, provider};

pub(super) struct Secure {
    fixture: Fixture,
    connector: TlsConnector,
}

impl Secure {
    pub(super) fn start(config: &Config, alpn: &[&[u8]]) -> Self {
        let authority = DevAuthority::create().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = authority.issue(&[HOST], Usage::Server).unwrap().write(folder.path(), "public").unwrap();
        let server = ReloadableServer::public(&cert, &key).unwrap();
        let fixture = Fixture::listen(config, Some(server.config()));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Self { fixture, connector: TlsConnector::from(Arc::new(client)) }
    }

    pub(super) async fn connect(&self) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(self.fixture.address).await.unwrap();
        self.connector.connect(ServerName::try_from(HOST).unwrap(), socket).await.unwrap()
    }

    pub(super) async fn connect_h2(&self) -> SendRequest<Bytes> {
        let (client, connection) = h2::client::handshake(self.connect().await).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

pub(super) async fn ask(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: &'static str,
) -> (Response<()>, String) {
    let mut client = client.clone().ready().await.unwrap();
    let (answer, mut stream) = client.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
    let (head, mut stream) = answer.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(chunk) = stream.data().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    (Response::from_parts(head, ()), String::from_utf8(text).unwrap())
}

pub(super) fn request(method: Method, uri: &str) -> Request<()> {
    Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(()).unwrap()
}

#[tokio::test]
async fn a_browser_speaks_http2() {
    let secure = Secure::start(&config(), &[b"h2", b"http/1.1"]);
    let client = secure.connect_h2().await;
    let (start, body) = ask(&client, request(Method::GET, "https://agents.example.com:8443/x?agent=1"), "").await;
    assert_eq!((start.status(), body.as_str()), (302.try_into().unwrap(), ""));
    assert!(start.headers()["location"].to_str().unwrap().ends_with(".example.com/x?agent=1"));
    assert!(start.headers().contains_key("set-cookie"));

    let (head, body) = ask(&client, request(Method::HEAD, "https://agents.example.com/y?agent=1"), "").await;
    assert_eq!(
        (&head.headers()["location"].to_str().unwrap()[..15], body.as_str()),
        (&start.headers()["location"].to_str().unwrap()[..15], "")
    );
    let (missing, body) = ask(&client, request(Method::HEAD, "https://agents.example.com/y?agent=2"), "").await;
    assert_eq!((missing.status(), body.as_str()), (404.try_into().unwrap(), ""), "HEAD has no body");

    let post = request(Method::POST, "https://agents.example.com/maitred/v1/sessions");
    let (placed, body) = ask(&client, post, r#"{"pool": "ua", "key": "7"}"#).await;
    assert_eq!(placed.status(), 201);
    assert!(body.contains("\"token\""));
}

#[tokio::test]
async fn http2_has_the_same_door() {
    let secure = Secure::start(&config(), &[b"h2"]);
    let client = secure.connect_h2().await;
    for (uri, status) in [
        ("https://evil/x", 421),
        ("https://user@agents.example.com/x", 400),
        ("https://agents.example.com/\\evil", 400),
        ("https://agents.example.com/%00", 400),
        ("https://evil/health/live", 200),
        ("https://agents.example.com//evil", 302),
    ] {
        let (answer, _) = ask(&client, request(Method::GET, uri), "").await;
        assert_eq!(answer.status(), status, "{uri}");
    }
    let long = format!("https://agents.example.com/{}", "a".repeat(8192));
    assert_eq!(ask(&client, request(Method::GET, &long), "").await.0.status(), 414);
    let mut heavy = request(Method::GET, "https://agents.example.com/x");
    heavy.headers_mut().insert("x-long", "v".repeat(16 << 10).parse().unwrap());
    assert_eq!(ask(&client, heavy, "").await.0.status(), 431);
    let mut other = request(Method::GET, "https://agents.example.com/x");
    other.headers_mut().insert("host", "evil".parse().unwrap());
    assert_eq!(ask(&client, other, "").await.0.status(), 400);
}

#[tokio::test]
async fn an_api_client_speaks_http1_over_tls() {
    let secure = Secure::start(&config(), &[b"http/1.1"]);
    let mut connection = secure.connect().await;
    let request = format!("GET /x?agent=1 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::parse(&answer).status, 302);
}

#[tokio::test]
async fn a_silent_connection_is_cut_in_both_protocols_and_before_the_handshake() {
    let mut quick = config();
    quick.limits.idle = Duration::from_secs(1);
    quick.limits.header_timeout = Duration::from_secs(1);
    let secure = Secure::start(&quick, &[b"h2"]);
    let patience = Duration::from_secs(30);

    let mut bare = TcpStream::connect(secure.fixture.address).await.unwrap();
    let (client, connection) = h2::client::handshake(secure.connect().await).await.unwrap();
    let closed = tokio::spawn(connection);
    let mut silent = secure.connect().await;
    let (answer, _) = ask(&client, request(Method::GET, "https://agents.example.com/x?agent=1"), "").await;
    assert_eq!(answer.status(), 302);

    let end = |read: std::io::Result<usize>| assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    end(tokio::time::timeout(patience, bare.read(&mut [0; 16])).await.expect("no handshake"));
    let mut greeting = [0; 1024];
    while tokio::time::timeout(patience, silent.read(&mut greeting))
        .await
        .expect("no preface")
        .is_ok_and(|read| read > 0)
    {}
    let ended = tokio::time::timeout(patience, closed).await.expect("no second request");
    drop((ended, client));
}

/// One second is what a client would need to stumble over an answer that came too early; here nothing waits for it.
const STUMBLE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn no_answer_resets_a_client_that_is_still_sending() {
    let secure = Secure::start(&config(), &[b"h2"]);
    let client = secure.connect_h2().await;
    for (path, status) in [("/x?agent=1", 307), ("/maitred/nothing", 404), ("/maitred/v1/start.js", 405), ("/%00", 400)]
    {
        let mut client = client.clone().ready().await.unwrap();
        let post = request(Method::POST, &format!("https://agents.example.com{path}"));
        let (answer, mut stream) = client.send_request(post, false).unwrap();
        stream.send_data(Bytes::from_static(b"x="), false).unwrap();
        tokio::time::sleep(STUMBLE).await;
        stream.send_data(Bytes::from_static(b"1"), true).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.await.unwrap_or_else(|error| panic!("{path}: {error}")).status(), status, "{path}");
    }
}

#[tokio::test]
async fn who_sends_without_end_is_answered_all_the_same() {
    let mut quick = config();
    quick.limits.body_timeout = Duration::from_secs(1);
    let secure = Secure::start(&quick, &[b"h2"]);
    let client = secure.connect_h2().await;
    for (path, status) in [("/x?agent=1", 307), ("/maitred/v1/sessions", 408)] {
        let mut client = client.clone().ready().await.unwrap();
        let (answer, mut stream) =
            client.send_request(request(Method::POST, &format!("https://agents.example.com{path}")), false).unwrap();
        stream.send_data(Bytes::from_static(b"{"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "slow: {path}");
    }
    for (path, status) in [("/x?agent=1", 307), ("/maitred/v1/sessions", 413)] {
        let mut client = client.clone().ready().await.unwrap();
        let (answer, mut stream) =
            client.send_request(request(Method::POST, &format!("https://agents.example.com{path}")), false).unwrap();
        let mut answer = std::pin::pin!(answer);
        // Stops at the answer, as clients do; it must come long before this is sent.
        let mut left = 10_000;
        let answer = loop {
            assert!(left > 0, "{path}: read to the end");
            stream.reserve_capacity(16 << 10);
            tokio::select! {
                answer = &mut answer => break answer,
                capacity = std::future::poll_fn(|context| stream.poll_capacity(context)) => {
                    let room = capacity.expect("not reset before the answer").expect("not reset before the answer");
                    stream.send_data(Bytes::from(vec![b'x'; room]), false).unwrap();
                    left -= 1;
                }
            }
        };
        assert_eq!(answer.unwrap().status(), status, "long: {path}");
    }
}
