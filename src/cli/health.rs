//! `maitred health`: asks a director on this machine how it is, for container engines and scripts that have no curl.
//!
//! Over the metrics listener, because that one needs neither certificate nor token. What the words mean is decided there.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::arguments::ConfigFile;
use super::exit::{Exit, Failure};
use super::output;
use crate::config::printable;

/// An answer from memory over loopback takes a millisecond; who needs longer is not well.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A status line and a few words.
const ANSWER_BYTES_MAX: u64 = 4096;

/// What `health` is told.
#[derive(Debug, Args)]
pub(super) struct HealthArguments {
    /// What to ask
    #[arg(value_enum, default_value_t = Question::Live)]
    question: Question,
    #[command(flatten)]
    config: ConfigFile,
    /// The metrics listener, when the configuration is not at hand
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The health endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Question {
    /// Does the process run?
    Live,
    /// Should a balancer send clients here?
    Ready,
    /// Is this datacenter active, and can it seat?
    Active,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Live => "/health/live",
            Self::Ready => "/health/ready",
            Self::Active => "/health/active",
        }
    }
}

pub(super) fn run(arguments: &HealthArguments) -> anyhow::Result<Exit> {
    let address = match arguments.address {
        Some(address) => address,
        None => listener(&arguments.config)?,
    };
    let answer = ask(reachable(address), arguments.question.path())
        .map_err(|error| Failure::new(Exit::Unreachable, format!("no director answers at {address}: {error}")))?;
    let (well, words) = read(&answer);
    if arguments.json {
        let (word, reason) = words.split_once(' ').unwrap_or((words, ""));
        output::json(&json!({ "well": well, "word": word, "reason": reason }))?;
    } else {
        output::line(&printable(words))?;
    }
    Ok(if well { Exit::Done } else { Exit::Refused })
}

fn listener(config: &ConfigFile) -> anyhow::Result<SocketAddr> {
    let metrics = config.load()?.config.listen.metrics;
    let missing = || Failure::new(Exit::Usage, "the configuration opens no metrics listener: give --address");
    Ok(metrics.ok_or_else(missing)?.address)
}

/// Everywhere is no address that one can ask.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether the status is 200, and the words of the body.
fn read(answer: &str) -> (bool, &str) {
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status == Some("200"), body.trim_end())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn the_endpoint_is_asked_without_host_and_its_words_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let director = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            // A request may come in pieces.
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 256];
                let length = stream.read(&mut piece).unwrap();
                assert!(length > 0, "the request ends with a blank line");
                request.extend_from_slice(&piece[..length]);
            }
            stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\ncontent-length: 11\r\n\r\nno stopping").unwrap();
            String::from_utf8_lossy(&request).into_owned()
        });
        let answer = ask(address, Question::Ready.path()).unwrap();
        assert_eq!(read(&answer), (false, "no stopping"));
        assert_eq!(director.join().unwrap(), "GET /health/ready HTTP/1.0\r\n\r\n");
    }

    #[test]
    fn everywhere_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:10052".parse().unwrap()).to_string(), "127.0.0.1:10052");
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(reachable("10.0.0.7:1".parse().unwrap()).to_string(), "10.0.0.7:1");
    }

    #[test]
    fn only_200_is_well() {
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nok\n"), (true, "ok"));
        assert_eq!(read(""), (false, ""));
        assert_eq!(read("SSH-2.0-OpenSSH 200\r\n"), (false, ""));
    }
}
