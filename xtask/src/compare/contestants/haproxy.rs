//! HAProxy in its three ways.

use std::fmt::Write as _;
use std::fs;

use super::{Contestant, Running, on_server_core};
use crate::compare::site::{Face, SERVERS, Site, free_port};

pub(super) fn start(contestant: Contestant, site: &Site, face: Face, template: &str) -> anyhow::Result<Running> {
    let (folder, port) = (site.folder(&format!("{contestant:?}"), face)?, free_port()?);
    let (mut servers, mut redir) = (String::new(), String::new());
    for number in 1..=SERVERS {
        let address = format!("127.0.0.1:{}", site.backend());
        writeln!(servers, "    server ua{number} {address} check")?;
        writeln!(redir, "    server ua{number} {address} redir https://ua{number}.example.com check")?;
    }
    let tls = site.bundle(face).map_or_else(String::new, |file| {
        // Without a cache nobody resumes, as with the client's new connections; kept ones do not care.
        format!("ssl crt {} alpn http/1.1", file.display())
    });
    let text = template
        .replace("@PORT@", &port.to_string())
        .replace("@TLS@", &tls)
        .replace("@SERVERS@", &servers)
        .replace("@REDIR_SERVERS@", &redir);
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = on_server_core("haproxy");
    // In the foreground: one process.
    command.arg("-db").arg("-f").arg(&file);
    Running::start(contestant, face, port, command, &folder)
}
