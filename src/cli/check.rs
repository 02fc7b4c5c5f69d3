//! `maitred check`: everything about a configuration that can be known before it runs. Writes nothing.

mod certificates;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use maitred_core::clock::{Time, millis};

use super::arguments::ConfigFile;
use super::exit::Exit;
use super::output;
use crate::config;

/// `maitred check`.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<Exit> {
    let path = arguments.config.path()?;
    let wall = Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis));
    let report = config::check(path, config::process_environment(), |loaded| certificates::look(loaded, wall), None);
    let refused = !report.errors.is_empty();
    match (arguments.json, refused) {
        (true, _) => output::json(&report.to_json())?,
        // What is refused stands where a compiler's errors stand.
        (false, true) => output::remark(report.to_string().trim_end()),
        (false, false) => output::text(&report.to_string())?,
    }
    Ok(if refused { Exit::Refused } else { Exit::Done })
}
