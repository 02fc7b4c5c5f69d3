//! From a configuration to the targets of all its servers.
//!
//! Owns the TLS clients, one per file of authorities and not one per server: a thousand servers share one. They are kept over a
//! reload where the authorities are still the same, so that a reload makes no probe shake hands again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use maitred_core::ids::DatacenterName;
use maitred_core::settings::HealthSettings;
use rustls::{ClientConfig, RootCertStore};

use super::target::{Target, TargetError};
use crate::config::Config;
use crate::tls::{Roots, TlsFileError, client_config};

/// How much rarer another datacenter's servers are looked at (R11).
const ELSEWHERE_FACTOR: u32 = 5;

/// The TLS clients of the probes.
#[derive(Default)]
pub struct Planner {
    clients: BTreeMap<Option<PathBuf>, Client>,
}

#[derive(Clone)]
struct Client {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

impl Planner {
    /// The targets of all servers, in order of pool and server. Reads each file of authorities once: not for a thread that serves.
    ///
    /// # Errors
    /// When a file of authorities is refused. Nothing is changed then.
    pub fn plan(&mut self, config: &Config) -> Result<Vec<Arc<Target>>, TargetError> {
        let mut clients = BTreeMap::new();
        let mut tls = |ca: Option<&Path>| {
            let ca = ca.map(Path::to_path_buf);
            if let Some(Client { config, .. }) = clients.get(&ca) {
                return Ok(Arc::clone(config));
            }
            let client = load(&ca, self.clients.get(&ca))?;
            let config = Arc::clone(&client.config);
            clients.insert(ca, client);
            Ok(config)
        };
        let mut targets = Vec::new();
        for (name, pool) in &config.pools {
            let Some(settings) = config.settings.pools.get(name) else { continue };
            for (server, edge) in &pool.servers {
                let Some(place) = settings.servers.get(server).map(|settings| &settings.datacenter) else { continue };
                let interval = interval(&settings.health, place, &config.settings.datacenter);
                let times = (interval, settings.health.timeout);
                targets.push(Arc::new(Target::new(name, server, edge, &pool.checks, times, &mut tls)?));
            }
        }
        self.clients = clients;
        Ok(targets)
    }
}

fn interval(health: &HealthSettings, place: &DatacenterName, here: &DatacenterName) -> Duration {
    if place == here { health.interval } else { health.interval.saturating_mul(ELSEWHERE_FACTOR) }
}

fn load(ca: &Option<PathBuf>, before: Option<&Client>) -> Result<Client, TlsFileError> {
    let roots = ca.as_ref().map_or(Roots::System, |path| Roots::File(path.clone())).load()?;
    match before {
        Some(client) if client.roots.roots == roots.roots => Ok(client.clone()),
        Some(_) | None => {
            let config = Arc::new(client_config(Arc::clone(&roots), None, &[])?);
            Ok(Client { roots, config })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::DevAuthority;

    #[test]
    fn a_client_is_kept_while_its_authorities_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let (one, two) = (DevAuthority::create().unwrap(), DevAuthority::create().unwrap());
        let ca = Some(path.clone());
        std::fs::write(&path, one.pem()).unwrap();
        let first = load(&ca, None).unwrap();
        let again = load(&ca, Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&first.config, &again.config));
        std::fs::write(&path, two.pem()).unwrap();
        let replaced = load(&ca, Some(&first)).unwrap();
        assert!(!Arc::ptr_eq(&first.config, &replaced.config));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(load(&ca, Some(&first)).is_err());
    }

    #[test]
    fn other_datacenters_are_looked_at_more_rarely() {
        let health = HealthSettings::default();
        let (east, west) = (DatacenterName::parse("east").unwrap(), DatacenterName::parse("west").unwrap());
        assert_eq!(interval(&health, &east, &east), Duration::from_secs(2));
        assert_eq!(interval(&health, &west, &east), Duration::from_secs(10));
    }
}
