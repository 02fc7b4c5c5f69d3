//! The metrics listener in clear, as Prometheus and balancers see it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use maitred_core::director::Director;
use maitred_core::session::TableOptions;

use super::*;
use crate::certificates::{DevCertificates, DevNames};
use crate::clock::Clock;
use crate::config::load;
use crate::credentials::{Keyring, Seals};

const TEXT: &str = r#"
[director]
name = "east-1"
datacenter = "east"
[listen.public]
tls = { cert = "certs/public.pem", key = "certs/public.key" }
[[pool]]
name = "ua"
route = [{ path = "/" }]
key = ["query:agent"]
datacenters = ["east"]
[pool.health]
probe = "tcp"
[[pool.server]]
name = "ua1"
datacenter = "east"
url = "https://ua1.example.com"
"#;

fn start() -> (Arc<Edge>, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    DevCertificates::create(&certs, &DevNames::default()).unwrap();
    let file = folder.path().join("maitred.toml");
    std::fs::write(&file, TEXT.replace("certs/", &format!("{}/", certs.display()))).unwrap();
    let config = load(&file, Vec::new()).unwrap_or_else(|faults| panic!("{faults:?}")).config;
    let clock = Arc::new(Clock::new(None));
    let director = Director::new(config.settings.clone(), TableOptions::default(), clock.now()).unwrap();
    let vitals = Arc::new(Vitals::new(clock.now().time, None, Vec::new()));
    let seals = Arc::new(Seals::new(Keyring::ephemeral().unwrap()));
    let issuer = config.settings.director.clone();
    let tickets = Arc::new(crate::credentials::Tickets::ephemeral(issuer, config.ticket.algorithm).unwrap());
    let edge = Arc::new(Edge::new(Arc::new(director), clock, seals, tickets, &config));
    let page = Arc::new(Page::new(Arc::clone(&edge), vitals, Metrics::new(), &config));
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let options = ListenerOptions { limits: config.limits, tls: None };
    // Lives as long as the test process.
    std::mem::forget(serve(page, vec![socket], options).unwrap());
    (edge, address)
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

#[test]
fn it_has_metrics_and_health_and_nothing_else() {
    let (edge, address) = start();
    let page = get(address, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    assert!(page.contains("\nmaitred_server_up{pool=\"ua\",server=\"ua1\"} 1\n"), "{page}");
    assert!(page.contains("\nmaitred_stopping 0\n"));
    for (_, path) in ROUTES {
        assert!(get(address, path).starts_with("HTTP/1.1 200"), "{path}");
    }
    for path in
        ["/", "/v1/servers", "/openapi.json", "/maitred/v1/sessions", "/ua/?agent=1", "/metrics/", "/debug", "/env"]
    {
        assert!(get(address, path).starts_with("HTTP/1.1 404"), "{path}");
    }
    assert_eq!(edge.director.sessions(), 0, "no start here");
    edge.stop();
    assert!(get(address, "/metrics").contains("\nmaitred_stopping 1\n"));
    assert!(get(address, "/health/ready").contains("\r\n\r\nno stopping\n"));
}

#[test]
fn old_and_odd_requests_are_answered_as_on_the_public_listener() {
    let (_, address) = start();
    assert!(ask(address, "GET /health/live HTTP/1.0\r\n\r\n").contains(" 200 "), "without a Host");
    assert!(ask(address, "POST /metrics HTTP/1.0\r\nHost: a\r\nContent-Length: 0\r\n\r\n").contains(" 405 "));
    assert!(ask(address, "GET /metrics HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n").contains(" 400 "));
}
