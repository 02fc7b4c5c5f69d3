//! `maitred keys` and `maitred hash`: the affinity keys on this machine. No director is asked.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::{Args, Subcommand};
use maitred_core::clock::{Time, millis};
use serde_json::json;

use super::arguments::ConfigFile;
use super::exit::{Exit, Failure};
use super::output::{self, Table};
use crate::credentials::key_file::{self, ListedKey};
use crate::credentials::{KeyId, Keyring};

/// Where the key file is.
#[derive(Debug, Args)]
pub(super) struct KeyFile {
    #[command(flatten)]
    config: ConfigFile,
    /// The key file itself, instead of the one that the configuration names
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "config")]
    file: Option<PathBuf>,
}

impl KeyFile {
    fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.file {
            return Ok(path.clone());
        }
        let loaded = self.config.load()?;
        loaded.config.affinity.key_file.context("the configuration names no affinity.key_file; name one with --file")
    }
}

/// `maitred keys`.
#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    #[command(flatten)]
    file: KeyFile,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: KeysCommand,
}

/// What is done with the keys.
#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys: which one seals cookies now, which only open what they sealed, which wait for their time
    List,
    /// Append a random key that seals after a delay, in which the file must reach every director
    Add {
        /// Its name in the file; without one it is named after the day
        id: Option<String>,
        /// How long it only opens before it seals
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
        after: Duration,
    },
    /// Remove a key that no longer seals; cookies that it sealed are unknown from then on
    Retire {
        /// Its name in the file
        id: String,
    },
}

pub(super) fn run(arguments: &KeysArguments) -> anyhow::Result<Exit> {
    let path = arguments.file.path()?;
    let now = now();
    match &arguments.command {
        KeysCommand::List => print(&key_file::list(&path, now)?, arguments.json)?,
        KeysCommand::Add { id, after } => {
            let id = id.as_deref().map(parse_id).transpose()?;
            print(&[key_file::add(&path, id, *after, now)?], arguments.json)?;
        }
        KeysCommand::Retire { id } => {
            let id = parse_id(id)?;
            known(&path, &id, now)?;
            key_file::retire(&path, &id, now)?;
            if arguments.json {
                output::json(&json!({ "retired": id.as_str() }))?;
            } else {
                output::line(&format!(
                    "{}: {} is retired; directors forget it when they reload",
                    path.display(),
                    id.as_str()
                ))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// `maitred hash`.
#[derive(Debug, Args)]
pub(super) struct HashArguments {
    #[command(flatten)]
    file: KeyFile,
    /// The session's key, for example an agent's id
    key: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints how the log writes a key: once for each affinity key, because lines written before a rotation carry the old one.
pub(super) fn hash(arguments: &HashArguments) -> anyhow::Result<Exit> {
    let ring = Keyring::load(&arguments.file.path()?)?;
    let key = maitred_core::ids::Key::parse(&arguments.key)
        .map_err(|error| Failure::new(Exit::Usage, format!("the key {error}")))?;
    let sealing = ring.sealing(now()).map(|sealing| sealing.line);
    let mut keys: Vec<_> = ring.keys().collect();
    keys.sort_by_key(|affinity| (Some(affinity.line) != sealing, std::cmp::Reverse(affinity.line)));
    let hashes = keys.iter().map(|affinity| (format!("{:016x}", affinity.hash_for_log(&key)), affinity.id.as_str()));
    if arguments.json {
        let hashes: Vec<_> = hashes.map(|(hash, id)| json!({ "hash": hash, "key": id })).collect();
        output::json(&json!({ "hashes": hashes }))?;
        return Ok(Exit::Done);
    }
    for (hash, id) in hashes {
        output::line(&format!("{hash}  {id}"))?;
    }
    Ok(Exit::Done)
}

fn parse_id(text: &str) -> anyhow::Result<KeyId> {
    KeyId::parse(text).map_err(|problem| Failure::new(Exit::Usage, problem).into())
}

fn known(path: &Path, id: &KeyId, now: Time) -> anyhow::Result<()> {
    if key_file::list(path, now)?.iter().any(|key| key.id == *id) {
        return Ok(());
    }
    Err(Failure::new(Exit::NotFound, format!("{}: holds no key {}", path.display(), id.as_str())).into())
}

fn print(keys: &[ListedKey], json: bool) -> anyhow::Result<()> {
    if json {
        let listed =
            keys.iter().map(|key| json!({ "id": key.id.as_str(), "from": key.from, "state": key.state.as_str() }));
        return output::json(&json!({ "keys": listed.collect::<Vec<_>>() }));
    }
    let mut table = Table::new(&["KEY", "STATE", "FROM"]);
    for key in keys {
        table.row([key.id.as_str(), key.state.as_str(), key.from.as_deref().unwrap_or("")]);
    }
    output::text(&table.to_string())
}

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
}
