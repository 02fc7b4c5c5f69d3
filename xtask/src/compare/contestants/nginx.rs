//! nginx with a hash.

use std::fmt::Write as _;
use std::fs;

use super::{Contestant, Running, on_server_core};
use crate::compare::site::{Face, SERVERS, Site, free_port};

pub(super) fn start(site: &Site, face: Face) -> anyhow::Result<Running> {
    let (folder, port) = (site.folder("nginx", face)?, free_port()?);
    let mut shares = String::new();
    for number in 1..SERVERS {
        writeln!(shares, "        {:.2}% ua{number};", 100.0 / SERVERS as f64)?;
    }
    writeln!(shares, "        * ua{SERVERS};")?;
    let certificate = site.certificate(face).zip(site.key(face)).map_or_else(String::new, |(cert, key)| {
        format!("ssl_certificate {}; ssl_certificate_key {};", cert.display(), key.display())
    });
    let text = include_str!("../../../peers/nginx-hash.conf")
        .replace("@FOLDER@", &folder.to_string_lossy())
        .replace("@PORT@", &port.to_string())
        .replace("@TLS@", if face == Face::Clear { "" } else { "ssl" })
        .replace("@CERTIFICATE@", &certificate)
        .replace("@SHARES@", &shares);
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = on_server_core("nginx");
    command.arg("-c").arg(&file);
    Running::start(Contestant::NginxHash, face, port, command, &folder)
}
