//! nginx with a hash.

use std::fmt::Write as _;
use std::fs;

use super::{Contestant, Running, on_server_core};
use crate::compare::site::{Face, SERVERS, Setup, Site, free_port};

/// A line for each request, gathered as whoever has many of them does.
pub(super) const LOG: &str = "access_log @FOLDER@/access.log combined buffer=64k flush=1s;";
pub(super) const NO_LOG: &str = "access_log off;";

pub(super) fn start(site: &Site, setup: Setup) -> anyhow::Result<Running> {
    let (face, folder, port) = (setup.face, site.folder("nginx", setup)?, free_port()?);
    let mut shares = String::new();
    for number in 1..SERVERS {
        writeln!(shares, "        {:.2}% ua{number};", 100.0 / SERVERS as f64)?;
    }
    writeln!(shares, "        * ua{SERVERS};")?;
    let certificate = site.certificate(face).zip(site.key(face)).map_or_else(String::new, |(cert, key)| {
        format!("ssl_certificate {}; ssl_certificate_key {};", cert.display(), key.display())
    });
    let text = include_str!("../../../peers/nginx-hash.conf")
        .replace("@LOG@", setup.log(LOG, NO_LOG))
        .replace("@FOLDER@", &folder.to_string_lossy())
        .replace("@PORT@", &port.to_string())
        .replace("@TLS@", if face == Face::Clear { "" } else { "ssl" })
        .replace("@CERTIFICATE@", &certificate)
        .replace("@SHARES@", &shares);
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = on_server_core("nginx");
    command.arg("-c").arg(&file);
    Running::start(Contestant::NginxHash, setup, port, command, &folder)
}
