//! maitred with everything on, and a peer that hears of every change, on the client's core and not counted.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use maitred::certificates::{DevAuthority, DevCertificates, DevNames, Usage};

use super::{Contestant, Process, Running, on_server_core};
use crate::compare::CLIENT_CORE;
use crate::compare::site::{Face, SERVERS, Site, free_port};

const NAMES: [&str; 2] = ["east-1", "east-2"];

pub(super) fn start(site: &Site, face: Face) -> anyhow::Result<Running> {
    let folder = site.folder("maitred", face)?;
    let certs = folder.join("certs");
    DevCertificates::create(&certs, &DevNames::default())?;
    let authority = DevAuthority::create()?;
    let mut ports = Vec::new();
    for name in NAMES {
        let place = folder.join(name);
        fs::create_dir_all(&place)?;
        authority.issue(&[name, "127.0.0.1"], Usage::Both)?.write(&place, "peer")?;
        fs::write(place.join("ca.pem"), authority.pem())?;
        ports.push((free_port()?, free_port()?));
    }
    for (at, name) in NAMES.iter().enumerate() {
        let text = configuration(site, face, &folder, name, &ports, at)?;
        fs::write(folder.join(format!("{name}.toml")), text)?;
    }
    let mut peer = Command::new("taskset");
    peer.args(["--cpu-list", CLIENT_CORE]).arg(site.binary()).arg("run").arg("-c").arg(folder.join("east-2.toml"));
    let mut peer = Process::start(peer, &folder.join("east-2"))?;
    peer.wait_for(ports[1].0)?;
    let mut command = on_server_core(site.binary());
    command.arg("run").arg("-c").arg(folder.join("east-1.toml"));
    let running = Running::start(Contestant::Maitred, face, ports[0].0, command, &folder)?.with(vec![peer]);
    // Up to five seconds for the peer, a probe each for the servers.
    std::thread::sleep(std::time::Duration::from_secs(6));
    Ok(running)
}

fn configuration(
    site: &Site,
    face: Face,
    folder: &Path,
    name: &str,
    ports: &[(u16, u16)],
    at: usize,
) -> anyhow::Result<String> {
    let tls = site
        .certificate(face)
        .zip(site.key(face))
        .map_or_else(String::new, |(cert, key)| format!("tls = {{ cert = {:?}, key = {:?} }}", cert, key));
    let (mut peers, mut servers) = (String::new(), String::new());
    for (peer, (_, port)) in NAMES.iter().zip(ports) {
        writeln!(peers, "[[peer]]\nname = \"{peer}\"\ndatacenter = \"east\"\nurl = \"https://127.0.0.1:{port}\"")?;
    }
    for number in 1..=SERVERS {
        writeln!(
            servers,
            "[[pool.server]]\nname = \"ua{number}\"\ndatacenter = \"east\"\nurl = \"https://ua{number}.example.com\"\n\
             probe_url = \"http://127.0.0.1:{}\"",
            site.backend()
        )?;
    }
    Ok(include_str!("../../../peers/maitred.toml")
        .replace("@NAME@", name)
        .replace("@FOLDER@", &folder.to_string_lossy())
        .replace("@CERTS@", &folder.join("certs").to_string_lossy())
        .replace("@PEER_CERTS@", &folder.join(name).to_string_lossy())
        .replace("@PORT@", &ports[at].0.to_string())
        .replace("@PEER@", &ports[at].1.to_string())
        .replace("@INTERNAL@", &free_port()?.to_string())
        .replace("@METRICS@", &free_port()?.to_string())
        .replace("@TLS@", &tls)
        .replace("@PEERS@", &peers)
        .replace("@SERVERS@", &servers))
}
