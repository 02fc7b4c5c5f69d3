//! Many callers at once: each keeps one TLS connection and asks on it again and again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::FRONT;
use super::client::Answer;
use super::director::Director;

/// One connection to a public listener.
pub(crate) struct Kept {
    sender: SendRequest<Full<Bytes>>,
}

impl Kept {
    /// Opens it.
    pub(crate) async fn open(port: u16, trust: &Arc<ClientConfig>) -> Result<Self, String> {
        Self::open_at(Ipv4Addr::LOCALHOST.into(), port, trust).await
    }

    /// The same at another address.
    pub(crate) async fn open_at(address: IpAddr, port: u16, trust: &Arc<ClientConfig>) -> Result<Self, String> {
        let stream = TcpStream::connect((address, port)).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let name = ServerName::try_from(FRONT).unwrap();
        let stream = TlsConnector::from(Arc::clone(trust)).connect(name, stream).await;
        let stream = TokioIo::new(stream.map_err(|error| format!("tls: {error}"))?);
        let (sender, connection) = http1::handshake(stream).await.map_err(|error| format!("http: {error}"))?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// One request on it.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(target).header(HOST, FRONT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        self.sender.ready().await.map_err(|error| format!("closed: {error}"))?;
        let response = self.sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("half an answer: {error}"))?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// The certificate that a new connection is shown, DER; whoever issued it.
pub(crate) fn shown_certificate(port: u16, trust: &Arc<ClientConfig>) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(FRONT).unwrap();
        let stream = TlsConnector::from(Arc::clone(trust)).connect(name, stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        shown.map(|certificate| certificate.to_vec()).ok_or_else(|| "no certificate".to_owned())
    })
}

/// One caller who waits for each answer, on one connection.
pub(crate) struct Line {
    runtime: tokio::runtime::Runtime,
    kept: Kept,
}

impl Line {
    /// Opens it.
    pub(crate) fn open(director: &Director) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let trust = director.certificates().client_config(None);
        let kept = runtime.block_on(Kept::open_at(director.address(), director.ports().public, &trust)).unwrap();
        Self { runtime, kept }
    }

    /// Starts the session of this key, as a program does.
    #[track_caller]
    pub(crate) fn start(&mut self, key: &str) -> Answer {
        let body = serde_json::json!({"pool": "ua", "key": key}).to_string();
        self.ask(Method::POST, "/maitred/v1/sessions", &[("content-type", "application/json")], &body)
    }

    /// One request.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let asked = self.kept.ask(method, target, headers, body);
        self.runtime.block_on(asked).unwrap_or_else(|error| panic!("{target}: {error}"))
    }
}

/// Callers that go on until they are told to stop, each with keys of its own, so that each knows where it was.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    known: Arc<Mutex<Known>>,
    thread: Option<JoinHandle<()>>,
}

/// What the callers have seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    /// Where each key is.
    pub(crate) servers: BTreeMap<String, String>,
    /// `key: from -> to`.
    pub(crate) moves: Vec<String>,
    /// Everything that was not a redirect, and every connection that broke.
    pub(crate) failures: Vec<String>,
}

impl Crowd {
    /// Starts so many callers, each with so many keys.
    pub(crate) fn start(director: &Director, callers: usize, keys: usize) -> Self {
        let (stop, answers, known) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let trust = director.certificates().client_config(None);
        let port = director.ports().public;
        let (stopped, counted, seen) = (Arc::clone(&stop), Arc::clone(&answers), Arc::clone(&known));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let callers = (0..callers).map(|caller| {
                let (trust, stop) = (Arc::clone(&trust), Arc::clone(&stopped));
                let (counted, seen) = (Arc::clone(&counted), Arc::clone(&seen));
                runtime.spawn(async move {
                    if let Err(error) = call(caller, keys, port, &trust, &stop, &counted, &seen).await {
                        seen.lock().unwrap().failures.push(format!("caller {caller}: {error}"));
                    }
                })
            });
            let callers: Vec<_> = callers.collect();
            runtime.block_on(async {
                for caller in callers {
                    caller.await.unwrap();
                }
            });
        });
        Self { stop, answers, known, thread: Some(thread) }
    }

    /// Answers so far.
    pub(crate) fn answers(&self) -> usize {
        self.answers.load(Ordering::SeqCst)
    }

    /// Waits until they had so many more answers.
    #[track_caller]
    pub(crate) fn go_on_for(&self, more: usize) {
        let goal = self.answers() + more;
        super::wait::until("the callers go on", || {
            assert_eq!(self.known.lock().unwrap().failures, Vec::<String>::new());
            self.answers() >= goal
        });
    }

    /// What they know so far.
    pub(crate) fn known(&self) -> Known {
        self.known.lock().unwrap().clone()
    }

    /// Sends them home.
    pub(crate) fn stop(mut self) -> Known {
        self.end();
        self.known()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _reported_already = thread.join();
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.end();
    }
}

async fn call(
    caller: usize,
    keys: usize,
    port: u16,
    trust: &Arc<ClientConfig>,
    stop: &AtomicBool,
    answers: &AtomicUsize,
    known: &Mutex<Known>,
) -> Result<(), String> {
    let mut line = Kept::open(port, trust).await?;
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("{caller}-{}", turn % keys);
        let answer = line.ask(Method::GET, &format!("/desk?agent={key}"), &[], "").await?;
        if answer.status != 302 {
            return Err(format!("{key}: {} {}", answer.status, answer.text()));
        }
        let server = answer.location().host_str().unwrap_or_default().to_owned();
        {
            let mut known = known.lock().unwrap();
            match known.servers.insert(key.clone(), server.clone()) {
                Some(before) if before != server => known.moves.push(format!("{key}: {before} -> {server}")),
                _ => {}
            }
        }
        answers.fetch_add(1, Ordering::SeqCst);
        // Others have work to do on this machine as well.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
