//! A real HAProxy in front of the directors, for its checks: `option httpchk`, as its manual has it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::wait;

/// A running HAProxy. Killed when it is dropped.
pub(crate) struct HaProxy {
    process: Process,
    folder: TempDir,
}

/// One backend: how it asks, and whom.
pub(crate) struct Backend<'a> {
    pub(crate) name: &'a str,
    /// `option httpchk …` and what belongs to it.
    pub(crate) check: &'a str,
    /// Name and address with parameters: `("east-1", "127.0.0.1:8443 check check-ssl verify none")`.
    pub(crate) servers: &'a [(&'a str, String)],
}

impl HaProxy {
    pub(crate) fn start(backends: &[Backend<'_>]) -> Self {
        let mut text = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n  \
                        default-server inter 100ms fall 2 rise 1\n"
            .to_owned();
        for backend in backends {
            text += &format!("backend {}\n  {}\n", backend.name, backend.check.replace('\n', "\n  "));
            for (name, address) in backend.servers {
                text += &format!("  server {name} {address}\n");
            }
        }
        Self::run(&text)
    }

    /// With this configuration, and a socket to ask what it thinks.
    pub(crate) fn run(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let text = format!("global\n  stats socket {} mode 600 level admin\n{configuration}", socket.display());
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, &text).unwrap();
        let mut process = Process::start("haproxy", Command::new("haproxy").arg("-db").arg("-f").arg(&file));
        wait::until("HAProxy opens its socket", || {
            assert!(process.ended().is_none(), "HAProxy refuses its configuration: {:#?}", process.words());
            UnixStream::connect(&socket).is_ok()
        });
        Self { process, folder }
    }

    /// `UP`, `DOWN`, or with a count while it changes its mind (`UP 1/2`).
    pub(crate) fn status(&self, backend: &str, server: &str) -> String {
        let table = self.ask("show stat");
        let mut lines = table.lines();
        let columns: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let column = columns.iter().position(|name| *name == "status").expect("a status column");
        let row =
            lines.map(|line| line.split(',').collect::<Vec<_>>()).find(|row| row[0] == backend && row[1] == server);
        row.unwrap_or_else(|| panic!("no {backend}/{server} in {table}"))[column].to_owned()
    }

    /// Waits until HAProxy thinks so.
    #[track_caller]
    pub(crate) fn wait_for(&self, backend: &str, server: &str, status: &str) {
        wait::for_equal(&format!("HAProxy's status of {backend}/{server}"), &status.to_owned(), || {
            self.status(backend, server)
        });
    }

    /// Whether it is there still: a crash would end every wait in vain.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }

    fn ask(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.folder.path().join("admin.sock")).unwrap();
        writeln!(socket, "{command}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}
