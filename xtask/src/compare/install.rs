//! The others, from Debian's packages.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::contestants::Contestant;

/// Installs what is missing, as root or by sudo. Services that come with the packages are stopped, not used.
///
/// # Errors
/// When a package cannot be installed.
pub(super) fn everything(contestants: &[Contestant]) -> anyhow::Result<()> {
    let parts = contestants.iter().flat_map(|one| one.parts()).chain(&[("/usr/sbin/nginx", "nginx-light")]);
    let mut packages: Vec<&str> =
        parts.filter(|(proof, _)| !Path::new(proof).exists()).map(|(_, name)| *name).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", packages.join(" "));
    as_root(&["apt-get", "update", "-qq"])?;
    as_root(&[&["apt-get", "install", "-qq", "-y", "--no-install-recommends"][..], &packages].concat())?;
    for service in ["nginx", "apache2", "haproxy"] {
        // Not running, or not there, is as good.
        let _ = as_root(&["service", service, "stop"]);
    }
    Ok(())
}

fn as_root(command: &[&str]) -> anyhow::Result<()> {
    let mut words = if rustix::process::geteuid().is_root() { Vec::new() } else { vec!["sudo"] };
    words.extend(command);
    let (program, arguments) = words.split_first().context("a command has a name")?;
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("{words:?}: install these packages yourself"))?;
    ensure!(status.success(), "{words:?} failed");
    Ok(())
}
