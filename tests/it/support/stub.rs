//! An agent server that does what a test says: over TLS, on a port that stays the same when it is stopped and started again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificates;

/// A request, for pages that depend on it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("/")
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The values of a parameter as they were sent.
    pub(crate) fn parameters(&self, name: &str) -> Vec<&str> {
        self.query().split('&').filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The values of all cookies of a name.
    pub(crate) fn cookies(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(found, _)| found == "cookie");
        let pairs = lines.flat_map(|(_, line)| line.split(';').map(str::trim));
        pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).collect()
    }
}

/// What is answered to it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Told {
    /// 200 with HTML that is not kept.
    pub(crate) fn page(html: &str) -> Self {
        let headers =
            vec![("content-type", "text/html; charset=utf-8".to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status: 200, headers, body: html.to_owned() }
    }

    /// 303.
    pub(crate) fn see_other(url: &str) -> Self {
        let headers = vec![("location", url.to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status: 303, headers, body: String::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Decides about everything but the health path; `None` leaves it to the pages.
type Handler = Arc<dyn Fn(&Asked) -> Option<Told> + Send + Sync>;

/// How long the accepting thread rests between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What it answers at its health path; everything else is a page with its name.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// 200 `ok`.
    Good,
    /// This status with an empty body.
    Status(u16),
    /// 200 with this body as JSON.
    Report(String),
    /// 302 to its own page.
    Redirect,
    /// Takes the question and says nothing.
    Hang,
    /// Closes without an answer.
    Close,
    /// A body in chunks that never ends.
    Endless,
    /// A good answer, a byte a second.
    Drip,
    /// 200 `ok` after this time.
    Slow(Duration),
    /// 200 and 500 in turn.
    Alternate,
}

/// The stub. Stops when it is dropped.
pub(crate) struct StubServer {
    name: String,
    port: u16,
    shared: Arc<Shared>,
    running: Option<Running>,
}

struct Shared {
    name: String,
    behaviour: Mutex<Behaviour>,
    tls: Mutex<Arc<ServerConfig>>,
    pages: Mutex<BTreeMap<String, String>>,
    handler: Mutex<Option<Handler>>,
    /// Requests by path without its query.
    seen: Mutex<Vec<String>>,
    looks: AtomicUsize,
}

struct Running {
    stop: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    accepting: JoinHandle<()>,
}

impl StubServer {
    /// A good one, known as `<name>.test`.
    pub(crate) fn start(name: &str) -> Self {
        Self::serving(name, TcpListener::bind("127.0.0.1:0").unwrap(), certificates::shared().server_config())
    }

    /// The same where somebody else chose place and certificate.
    pub(crate) fn serving(name: &str, listener: TcpListener, tls: Arc<ServerConfig>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            behaviour: Mutex::new(Behaviour::Good),
            tls: Mutex::new(tls),
            pages: Mutex::default(),
            handler: Mutex::default(),
            seen: Mutex::default(),
            looks: AtomicUsize::new(0),
        });
        let running = Some(serve(listener, &shared));
        Self { name: name.to_owned(), port, shared, running }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its origin as clients see it.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}.test:{}", self.name, self.port)
    }

    /// From the next question on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// Shows another certificate on connections from now on.
    pub(crate) fn show(&self, tls: Arc<ServerConfig>) {
        *self.shared.tls.lock().unwrap() = tls;
    }

    /// Serves this HTML at `path`.
    pub(crate) fn page(&self, path: &str, html: &str) {
        self.shared.pages.lock().unwrap().insert(path.to_owned(), html.to_owned());
    }

    /// Answers by this from now on.
    pub(crate) fn answer_by(&self, handler: impl Fn(&Asked) -> Option<Told> + Send + Sync + 'static) {
        *self.shared.handler.lock().unwrap() = Some(Arc::new(handler));
    }

    /// How often its health was asked for.
    pub(crate) fn looks(&self) -> usize {
        self.shared.looks.load(Ordering::SeqCst)
    }

    /// The targets that were asked for, health apart, in order.
    pub(crate) fn visits(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Stops listening and resets its connections, as a killed process does.
    pub(crate) fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.stop.store(true, Ordering::SeqCst);
        running.accepting.join().unwrap();
        for stream in running.streams.lock().unwrap().drain(..) {
            let _closed_already = stream.shutdown(Shutdown::Both);
        }
    }

    /// Comes back at the same port.
    pub(crate) fn restart(&mut self) {
        if self.running.is_none() {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
            self.running = Some(serve(listener, &self.shared));
        }
    }
}

impl Drop for StubServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(listener: TcpListener, shared: &Arc<Shared>) -> Running {
    listener.set_nonblocking(true).unwrap();
    let (stop, streams) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (stopped, open, shared) = (Arc::clone(&stop), Arc::clone(&streams), Arc::clone(shared));
    let accepting = thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(PAUSE);
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            open.lock().unwrap().push(stream.try_clone().unwrap());
            let (shared, stopped) = (Arc::clone(&shared), Arc::clone(&stopped));
            // An error means that the other side went away, which is its right.
            thread::spawn(move || converse(stream, &shared, &stopped).ok());
        }
    });
    Running { stop, streams, accepting }
}

fn converse(stream: TcpStream, shared: &Shared, stopped: &AtomicBool) -> std::io::Result<()> {
    let tls = Arc::clone(&shared.tls.lock().unwrap());
    let end = stream.try_clone()?;
    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut wire = BufReader::new(StreamOwned::new(connection, stream));
    let outcome = answer_all(&mut wire, shared, stopped);
    // Others hold the socket too, so that it can be cut: closing ours would not close it.
    let _closed_already = end.shutdown(Shutdown::Both);
    outcome
}

fn answer_all(
    wire: &mut BufReader<StreamOwned<ServerConnection, TcpStream>>,
    shared: &Shared,
    stopped: &AtomicBool,
) -> std::io::Result<()> {
    while !stopped.load(Ordering::SeqCst) {
        let mut request = String::new();
        if wire.read_line(&mut request)? == 0 {
            break;
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            if wire.read_line(&mut header)? == 0 || header == "\r\n" {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let mut words = request.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_else(|| "/".into()));
        let mut asked = Asked { method, target: target.clone(), headers, body: String::new() };
        let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        wire.read_exact(&mut body)?;
        asked.body = String::from_utf8_lossy(&body).into_owned();
        let path = asked.path();
        let wire = wire.get_mut();
        if path == HEALTH {
            let look = shared.looks.fetch_add(1, Ordering::SeqCst);
            let behaviour = shared.behaviour.lock().unwrap().clone();
            if !show_health(wire, &behaviour, look, stopped)? {
                break;
            }
        } else {
            shared.seen.lock().unwrap().push(target);
            let handler = shared.handler.lock().unwrap().clone();
            if let Some(told) = handler.and_then(|handler| handler(&asked)) {
                tell(wire, &told)?;
                continue;
            }
            let page = shared.pages.lock().unwrap().get(path).cloned();
            let page =
                page.unwrap_or_else(|| format!("<!doctype html><title>desk</title><p id=server>{}</p>", shared.name));
            answer(wire, "200 OK", "text/html; charset=utf-8", &page)?;
        }
    }
    Ok(())
}

/// Where pools of the tests ask.
pub(crate) const HEALTH: &str = "/ua/health";

/// Whether the connection goes on.
fn show_health(
    wire: &mut impl Write,
    behaviour: &Behaviour,
    look: usize,
    stopped: &AtomicBool,
) -> std::io::Result<bool> {
    match behaviour {
        Behaviour::Good => answer(wire, "200 OK", "text/plain", "ok")?,
        Behaviour::Status(status) => answer(wire, &format!("{status} As Told"), "text/plain", "")?,
        Behaviour::Report(json) => answer(wire, "200 OK", "application/json", json)?,
        Behaviour::Redirect => wire.write_all(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")?,
        Behaviour::Close => return Ok(false),
        Behaviour::Slow(pause) => {
            thread::sleep(*pause);
            answer(wire, "200 OK", "text/plain", "ok")?;
        }
        Behaviour::Alternate if look.is_multiple_of(2) => answer(wire, "200 OK", "text/plain", "ok")?,
        Behaviour::Alternate => answer(wire, "500 As Told", "text/plain", "")?,
        Behaviour::Hang => until_stopped(stopped, Duration::from_millis(50), || Ok(()))?,
        Behaviour::Endless => {
            wire.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            until_stopped(stopped, Duration::from_millis(1), || {
                wire.write_all(b"400\r\n")?;
                wire.write_all(&[b'x'; 1024])?;
                wire.write_all(b"\r\n")
            })?;
        }
        Behaviour::Drip => {
            let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".iter();
            until_stopped(stopped, Duration::from_secs(1), || match bytes.next() {
                Some(byte) => wire.write_all(&[*byte]).and_then(|()| wire.flush()),
                None => Ok(()),
            })?;
        }
    }
    wire.flush()?;
    Ok(true)
}

fn until_stopped(
    stopped: &AtomicBool,
    pause: Duration,
    mut act: impl FnMut() -> std::io::Result<()>,
) -> std::io::Result<()> {
    while !stopped.load(Ordering::SeqCst) {
        act()?;
        thread::sleep(pause);
    }
    Ok(())
}

fn answer(wire: &mut impl Write, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    write!(wire, "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    wire.flush()
}

fn tell(wire: &mut impl Write, told: &Told) -> std::io::Result<()> {
    write!(wire, "HTTP/1.1 {} As Told\r\ncontent-length: {}\r\n", told.status, told.body.len())?;
    for (name, value) in &told.headers {
        write!(wire, "{name}: {value}\r\n")?;
    }
    write!(wire, "\r\n{}", told.body)?;
    wire.flush()
}
