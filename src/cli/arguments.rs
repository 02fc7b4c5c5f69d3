//! Options that several commands share: where the configuration is.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, Failure};
use super::output;
use crate::config::{self, Loaded};

/// Where a package puts the configuration.
const USUAL_PATH: &str = "/etc/maitred/maitred.toml";

/// The configuration file.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigFile {
    /// The configuration; /etc/maitred/maitred.toml where there is one
    #[arg(short, long, value_name = "FILE", env = "MAITRED_CONFIG", global = true)]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Where it is, if it was named or stands at its usual place.
    pub(super) fn found(&self) -> Option<&Path> {
        let usual = Path::new(USUAL_PATH);
        self.config.as_deref().or_else(|| usual.exists().then_some(usual))
    }

    /// Where it is.
    ///
    /// # Errors
    /// When nobody said and it is not at its usual place.
    pub(super) fn path(&self) -> anyhow::Result<&Path> {
        let missing =
            || Failure::new(Exit::Usage, format!("name the configuration with -c FILE; there is no {USUAL_PATH}"));
        Ok(self.found().ok_or_else(missing)?)
    }

    /// Reads it; every mistake goes to standard error, warnings are left to `check`.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) fn load(&self) -> anyhow::Result<Loaded> {
        let path = self.path()?;
        config::load(path, config::process_environment()).map_err(|mistakes| {
            for mistake in &mistakes {
                output::remark(&mistake.to_string());
            }
            let many = output::counted(mistakes.len(), "mistake");
            Failure::new(Exit::Refused, format!("{}: {many}", path.display())).into()
        })
    }
}
