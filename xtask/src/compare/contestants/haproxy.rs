//! HAProxy in its three ways.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::{Contestant, Process, Running, nginx, on_server_core};
use crate::compare::site::{Backend, SERVERS, Setup, Site, free_port};
use crate::compare::{CLIENT_CORE, SERVER_CORE};

/// A line for each request, in its usual form, to its standard output, which is a file.
const LOG: &str = "    log stdout format raw local0\n    option httplog";

/// The cheapest way that it has: a ring in memory, from where lines go to a collector some at a time.
const BY_RING: &str = "    log ring@lines local0\n    option httplog";
const RING: &str = "
ring lines
    format rfc3164
    maxlen 2048
    size 1048576
    timeout connect 5s
    timeout server 10s
    server collector 127.0.0.1:@COLLECTOR@
";

pub(super) fn start(contestant: Contestant, site: &Site, setup: Setup, template: &str) -> anyhow::Result<Running> {
    let (folder, port) = (site.folder(&format!("{contestant:?}"), setup)?, free_port()?);
    let (mut servers, mut redir) = (String::new(), String::new());
    let behind = match contestant {
        Contestant::HaproxyProxy => Some(site.backend_behind(SERVER_CORE, setup.log(nginx::LOG, nginx::NO_LOG))?),
        _ => None,
    };
    let (checked, asked) = (site.backend(), behind.as_ref().map_or(site.backend(), |behind| behind.port));
    for number in 1..=SERVERS {
        // Looks go to the servers that everybody looks at, so that answering them is in nobody's account.
        writeln!(servers, "    server ua{number} 127.0.0.1:{asked} check port {checked}")?;
        writeln!(redir, "    server ua{number} 127.0.0.1:{checked} redir https://ua{number}.example.com check")?;
    }
    let tls = site.bundle(setup.face).map_or_else(String::new, |file| {
        // Without a cache nobody resumes, as with the client's new connections; kept ones do not care.
        format!("ssl crt {} alpn http/1.1", file.display())
    });
    let mut text = template
        .replace("@PORT@", &port.to_string())
        .replace("@TLS@", &tls)
        .replace("@LOG@", setup.log(if contestant == Contestant::HaproxyRing { BY_RING } else { LOG }, ""))
        .replace("@SERVERS@", &servers)
        .replace("@REDIR_SERVERS@", &redir);
    let (file, mut company) = (folder.join("haproxy.cfg"), Vec::new());
    if contestant == Contestant::HaproxyRing {
        let (port, mut command) = (free_port()?, Command::new("taskset"));
        command.args(["--cpu-list", CLIENT_CORE]).arg(std::env::current_exe()?).arg("collect");
        command.arg("--port").arg(port.to_string());
        let mut collector = Process::start(command, &folder)?;
        collector.wait_for(port)?;
        company.push(collector);
        text.push_str(&RING.replace("@COLLECTOR@", &port.to_string()));
    }
    fs::write(&file, text)?;
    let mut command = on_server_core("haproxy");
    // In the foreground: one process.
    command.arg("-db").arg("-f").arg(&file);
    let running = Running::start(contestant, setup, port, command, &folder)?.with(company);
    Ok(running.before(behind.into_iter().map(|Backend { process, .. }| process).collect()))
}
