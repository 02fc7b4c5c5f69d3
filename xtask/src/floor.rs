//! The floor of the framework: actix-web with the least that a sticky redirect needs, a signed cookie and a concurrent map.
//!
//! No health, no bound, no journal, no peers, no log: what maitred costs above it is what those cost.

use std::path::PathBuf;

use actix_web::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dashmap::DashMap;
use ring::hmac;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Port on loopback
    #[arg(long)]
    port: u16,
    /// Certificate chain, PEM
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long)]
    key: Option<PathBuf>,
}

struct State {
    seats: DashMap<String, usize>,
    mac: hmac::Key,
}

#[actix_web::main]
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, b"maitred compared with others...!");
    let state = web::Data::new(State { seats: DashMap::new(), mac });
    let server = HttpServer::new(move || App::new().app_data(state.clone()).default_service(web::to(start)))
        .workers(1)
        .backlog(4096);
    let address = ("127.0.0.1", arguments.port);
    let server = match (arguments.cert, arguments.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
            let config = ServerConfig::builder_with_protocol_versions(rustls::ALL_VERSIONS)
                .with_no_client_auth()
                .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
            server.bind_rustls_0_23(address, config)?
        }
        _ => server.bind(address)?,
    };
    Ok(server.run().await?)
}

async fn start(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let Some(agent) = request.query_string().strip_prefix("agent=") else {
        return HttpResponse::BadRequest().finish();
    };
    let next = agent.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % 16;
    let server = *state.seats.entry(agent.to_owned()).or_insert(next);
    let seat = format!("{agent}.{server}");
    let tag = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&state.mac, seat.as_bytes()));
    HttpResponse::Found()
        .insert_header((LOCATION, format!("https://ua{}.example.com{}", server + 1, request.uri())))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, format!("seat={seat}.{tag}; Path=/; Secure; HttpOnly")))
        .finish()
}
