//! maitred with everything on, and a peer that hears of every change, on the client's core and not counted.

use std::path::Path;

use super::{Contestant, Running};
use crate::compare::site::{SERVERS, Setup, Site};
use crate::fleet::{Fleet, Plan, Probe};

pub(super) fn start(which: Contestant, site: &Site, setup: Setup, binary: &Path) -> anyhow::Result<Running> {
    let (face, folder) = (setup.face, site.folder(&format!("{which:?}"), setup)?);
    let tls = site.certificate(face).zip(site.key(face));
    let plan = Plan { tls, lines: setup.lines, ..Plan::new(2, SERVERS, Probe::http(site.backend())) };
    let mut fleet = Fleet::start(binary, &folder, &plan)?;
    let (first, port) = (fleet.directors.remove(0), fleet.ports[0].public);
    let others = fleet.directors.drain(..).collect();
    // Up to five seconds for the peer, a probe each for the servers.
    std::thread::sleep(std::time::Duration::from_secs(6));
    Ok(Running::of(which, setup, port, first).with(others))
}
