//! `maitred check`: everything about a configuration that can be known before it runs. Writes nothing.

mod certificates;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use maitred_core::clock::{Time, millis};

use super::client::Ask;
use super::exit::Exit;
use super::output;
use crate::config;

/// `maitred check`.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    ask: Ask,
}

pub(super) async fn run(arguments: &CheckArguments) -> anyhow::Result<Exit> {
    let path = arguments.ask.config_path()?;
    let environment = config::process_environment();
    // No director that answers is no mistake: nothing can differ from it.
    let running = match config::load(path, environment.clone()) {
        Ok(loaded) => arguments.ask.running(&loaded.config).await,
        Err(_) => None,
    };
    let wall = Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis));
    let report = config::check(path, environment, |loaded| certificates::look(loaded, wall), running.as_ref());
    match (arguments.ask.json, report.is_valid()) {
        (true, _) => output::json(&report.to_json())?,
        // What is refused stands where a compiler's errors stand.
        (false, false) => output::remark(report.to_string().trim_end()),
        (false, true) => output::text(&report.to_string())?,
    }
    Ok(if report.is_valid() { Exit::Done } else { Exit::Refused })
}
