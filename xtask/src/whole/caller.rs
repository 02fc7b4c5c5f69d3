//! A client of one kept connection that waits for each answer: for how long something takes, not for how much there is of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};

pub(super) struct Caller {
    connection: BufReader<TcpStream>,
    port: u16,
}

impl Caller {
    pub(super) fn open(port: u16) -> anyhow::Result<Self> {
        let connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { connection: BufReader::new(connection), port })
    }

    /// Takes a seat for an agent.
    pub(super) fn start(&mut self, agent: &str) -> anyhow::Result<()> {
        let status = self.ask("GET", agent)?;
        ensure!(status == 302, "a start was answered {status}");
        Ok(())
    }

    /// Whether an agent has a seat; takes none.
    pub(super) fn has_seat(&mut self, agent: &str) -> anyhow::Result<bool> {
        Ok(self.ask("HEAD", agent)? == 302)
    }

    fn ask(&mut self, method: &str, agent: &str) -> anyhow::Result<u16> {
        let head = format!("{method} /desk?agent={agent} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port);
        self.connection.get_mut().write_all(head.as_bytes())?;
        let (mut line, mut status, mut body) = (String::new(), None, 0);
        loop {
            line.clear();
            ensure!(self.connection.read_line(&mut line)? > 0, "the connection was closed");
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if status.is_none() {
                status = Some(text.split(' ').nth(1).context("a status line")?.parse()?);
            } else if let Some(length) = text.to_ascii_lowercase().strip_prefix("content-length:") {
                body = length.trim().parse()?;
            }
        }
        if method != "HEAD" {
            self.connection.read_exact(&mut vec![0; body])?;
        }
        status.context("an answer")
    }
}
