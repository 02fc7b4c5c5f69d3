//! The internal listener of a director, as commands ask it: found through the configuration or by `--url`.
//!
//! Turns answers that are no success into one clear line and an exit code. Knows no endpoint; those are named in each command.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::arguments::ConfigFile;
use super::exit::{Exit, Failure, OutputGone};
use super::health::reachable;
use super::http::{self, Peer, Question};
use crate::config::{Config, InternalListener, Origin, Scheme, printable};
use crate::credentials::secret_file::read_secret;
use crate::tls::{Identity, Roots, client_config, dns_names};

/// Which director to ask, and as whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Director to ask")]
pub(super) struct Ask {
    #[command(flatten)]
    config: ConfigFile,
    /// The internal listener, https://HOST[:PORT], instead of the one that the configuration names
    #[arg(long, env = "MAITRED_URL", global = true)]
    url: Option<String>,
    /// The client certificate; operator.pem beside the internal listener's own where there is one
    #[arg(long, value_name = "FILE", env = "MAITRED_CERT", global = true, requires = "client_key")]
    cert: Option<PathBuf>,
    /// The client certificate's key
    #[arg(id = "client_key", long = "key", value_name = "FILE", env = "MAITRED_KEY", global = true, requires = "cert")]
    key: Option<PathBuf>,
    /// The authority to believe; the listener's client_ca, or those of the system
    #[arg(long, value_name = "FILE", env = "MAITRED_CA", global = true)]
    ca: Option<PathBuf>,
    /// A file with a bearer token, instead of a client certificate
    #[arg(long, value_name = "FILE", env = "MAITRED_TOKEN_FILE", global = true, conflicts_with = "cert")]
    token_file: Option<PathBuf>,
    /// Print the director's JSON as it is
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Ask {
    /// Everything that a connection needs, read from files. Nothing is dialled yet.
    ///
    /// # Errors
    /// When nobody says where the director is, or a file cannot be used.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        match &self.url {
            Some(url) => {
                let origin = Origin::parse(url).map_err(|error| usage(format!("--url {error}")))?;
                self.client_for(&origin, None)
            }
            None => {
                let missing = || usage("name the configuration with -c FILE, or the internal listener with --url");
                self.config.found().ok_or_else(missing)?;
                self.client_of(&self.config.load()?.config)
            }
        }
    }

    /// Where the configuration is.
    ///
    /// # Errors
    /// When nobody said and it is not at its usual place.
    pub(super) fn config_path(&self) -> anyhow::Result<&Path> {
        self.config.path()
    }

    /// What the director runs whose configuration this is, as [`crate::config::redacted`] tells it; `None` where none answers.
    pub(super) async fn running(&self, config: &Config) -> Option<Value> {
        let client = if self.url.is_some() { self.client() } else { self.client_of(config) };
        let mut answer = client.ok()?.get("/v1/config").await.ok()?;
        Some(answer["config"].take()).filter(Value::is_object)
    }

    fn client_of(&self, config: &Config) -> anyhow::Result<Client> {
        let internal = config.listen.internal.as_ref();
        let internal =
            internal.ok_or_else(|| usage("the configuration has no listen.internal; name one with --url"))?;
        let origin = Origin::parse(&format!("https://{}", reachable(internal.address)))?;
        self.client_for(&origin, Some(internal))
    }

    fn client_for(&self, origin: &Origin, internal: Option<&InternalListener>) -> anyhow::Result<Client> {
        let name = internal
            .and_then(|internal| verified_name(&internal.tls.cert, origin.host().as_str()))
            .unwrap_or_else(|| origin.host().as_str().to_owned());
        let (tls, token) = match origin.scheme() {
            Scheme::Http => (None, None),
            Scheme::Https => {
                let ca = self.ca.clone().or_else(|| internal.and_then(|internal| internal.client_ca.clone()));
                let roots = ca.map_or(Roots::System, Roots::File).load()?;
                let token = self.token_file.as_deref().map(read_token).transpose()?;
                let identity = if token.is_some() { None } else { self.identity(internal)? };
                let config = client_config(roots, identity.as_ref(), &[b"http/1.1"])?;
                (Some((name, Arc::new(config))), token)
            }
        };
        let peer =
            Peer { dial: origin.host().as_str().to_owned(), port: origin.port(), authority: origin.authority(), tls };
        Ok(Client { peer, token, shown: origin.to_string() })
    }

    fn identity(&self, internal: Option<&InternalListener>) -> anyhow::Result<Option<Identity>> {
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            return Ok(Some(Identity::load(cert, key)?));
        }
        let beside = internal.and_then(|internal| internal.tls.cert.parent());
        let pair = beside.map(|folder| (folder.join("operator.pem"), folder.join("operator.key")));
        match pair {
            Some((cert, key)) if cert.exists() => Ok(Some(Identity::load(&cert, &key)?)),
            Some(_) | None => Ok(None),
        }
    }
}

/// A director's internal listener, ready to be asked.
pub(super) struct Client {
    peer: Peer,
    token: Option<String>,
    shown: String,
}

impl Client {
    /// A client from parts, for the demo.
    pub(super) fn new(peer: Peer, shown: String) -> Self {
        Self { peer, token: None, shown }
    }

    /// Reads.
    ///
    /// # Errors
    /// When nobody answers, or with anything but a success.
    pub(super) async fn get(&self, target: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, target, None).await
    }

    /// Sends a request with a JSON body, and gives the JSON of its answer; null where there is none.
    ///
    /// # Errors
    /// When nobody answers, or with anything but a success.
    pub(super) async fn send(&self, method: Method, target: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut question = Question { method, ..Question::get(target) };
        if let Some(body) = body {
            question = question.with(CONTENT_TYPE, "application/json");
            question.body = body.to_string().into_bytes();
        }
        if let Some(token) = &self.token {
            question = question.with(AUTHORIZATION, format!("Bearer {token}"));
        }
        let unreachable = |error: anyhow::Error| {
            Failure::new(Exit::Unreachable, format!("no director answers at {}: {error:#}", self.shown))
        };
        let answer = http::ask(&self.peer, question).await.map_err(unreachable)?;
        if (200..300).contains(&answer.status) {
            if answer.body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&answer.body)
                .with_context(|| format!("{} does not speak maitred's API", self.shown));
        }
        Err(problem(answer.status, &answer.body).into())
    }
}

impl Client {
    /// Reads an answer that goes on, piece by piece, until it ends or `sink` has had enough.
    ///
    /// # Errors
    /// When nobody answers, the answer breaks off, or it is no success.
    pub(super) async fn follow(
        &self,
        target: &str,
        headers: Vec<(HeaderName, String)>,
        silence: Duration,
        sink: &mut (dyn FnMut(&[u8]) -> anyhow::Result<bool> + Send),
    ) -> anyhow::Result<()> {
        let mut question = Question { headers, ..Question::get(target) };
        if let Some(token) = &self.token {
            question = question.with(AUTHORIZATION, format!("Bearer {token}"));
        }
        let unreachable = |error: anyhow::Error| match error.chain().any(|cause| cause.is::<OutputGone>()) {
            true => error,
            false => {
                Failure::new(Exit::Unreachable, format!("no director answers at {}: {error:#}", self.shown)).into()
            }
        };
        match http::follow(&self.peer, question, silence, sink).await.map_err(unreachable)? {
            None => Ok(()),
            Some(answer) => Err(problem(answer.status, &answer.body).into()),
        }
    }
}

/// One line of an answer that is no success, by RFC 9457 where it says so.
fn problem(status: u16, body: &[u8]) -> Failure {
    let exit = match status {
        401 | 403 => Exit::Forbidden,
        404 => Exit::NotFound,
        _ => Exit::Refused,
    };
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(printable);
    let code = told.get("code").and_then(Value::as_u64).map_or_else(String::new, |code| format!(", code {code}"));
    let what = match (text("title"), text("detail")) {
        (Some(title), Some(detail)) if title != detail => format!("{title}: {detail}"),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => "the director gave no reason".to_owned(),
    };
    let faults = told.get("faults").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let faults: String = faults.map(|fault| format!("\n  {}", one_line(fault))).collect();
    Failure::new(exit, format!("{what} (HTTP {status}{code}){faults}"))
}

/// A mistake in a configuration is longer than what [`printable`] cuts, and harmless but for control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The name to verify at a listener whose certificate file we have. It is dialled by an address that the certificate need not
/// carry, so the certificate's own first name stands in; that file is as trusted as the configuration that names it.
fn verified_name(cert: &Path, host: &str) -> Option<String> {
    let leaf = CertificateDer::from_pem_file(cert).ok()?;
    let parsed = rustls::server::ParsedCertificate::try_from(&leaf).ok()?;
    let asked = rustls::pki_types::ServerName::try_from(host).ok()?;
    if rustls::client::verify_server_name(&parsed, &asked).is_ok() {
        return None;
    }
    dns_names(&leaf).into_iter().next()
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    let text = read_secret(path)?.text;
    let token = text.trim();
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(token.to_owned()) } else { anyhow::bail!("{}: holds no bearer token", path.display()) }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: u16, body: &str) -> (u8, String) {
        let error = anyhow::Error::new(problem(status, body.as_bytes()));
        (Exit::of(&error).number(), error.to_string())
    }

    #[test]
    fn a_problem_is_one_clear_line_and_an_exit_code() {
        let body = r#"{"title":"Not found","detail":"There is no server ua9.","code":1007,"status":404}"#;
        assert_eq!(ended(404, body), (4, "Not found: There is no server ua9. (HTTP 404, code 1007)".to_owned()));
        assert_eq!(ended(401, "{}").0, 5);
        assert_eq!(ended(503, "<html>"), (1, "the director gave no reason (HTTP 503)".to_owned()));
        let hostile = ended(400, "{\"title\":\"\\u001b[2J\\n\"}").1;
        assert!(!hostile.contains(char::is_control), "{hostile:?}");
    }

    #[test]
    fn a_certificate_that_does_not_carry_loopback_is_verified_by_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let authority = crate::certificates::DevAuthority::create().unwrap();
        let usage = crate::certificates::Usage::Server;
        let (named, _) = authority.issue(&["east-1.example.com"], usage).unwrap().write(folder.path(), "a").unwrap();
        let (local, _) = authority.issue(&["127.0.0.1", "x.test"], usage).unwrap().write(folder.path(), "b").unwrap();
        assert_eq!(verified_name(&named, "127.0.0.1").as_deref(), Some("east-1.example.com"));
        assert_eq!(verified_name(&local, "127.0.0.1"), None);
    }
}
