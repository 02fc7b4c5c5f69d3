//! `maitred certs dev`: throw-away certificates for a machine of one's own.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use maitred_core::ids::DirectorName;
use serde_json::json;

use super::exit::Exit;
use super::output;
use crate::certificates::{DevCertificates, DevNames, peer_stem};

/// Certificates.
#[derive(Debug, Subcommand)]
pub(super) enum CertsCommand {
    /// Write an authority, certificates for all listeners and the operator, affinity keys and a ticket key, for development only
    ///
    /// The authority's key is thrown away at once, so nothing can be issued or renewed by it later.
    Dev(DevArguments),
}

/// What `certs dev` is told.
#[derive(Debug, Args)]
pub(super) struct DevArguments {
    /// The folder to write; made when it does not exist
    folder: PathBuf,
    /// A DNS name or address that the listeners answer to, besides localhost; may be repeated
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// A director that has peers: peer-NAME.pem and peer-NAME.key with its own name, for its [listen.peer]; may be repeated
    #[arg(long = "director", value_name = "NAME", value_parser = director)]
    directors: Vec<DirectorName>,
    /// A further server certificate: FILE=NAME[,NAME…], written as FILE.pem and FILE.key; may be repeated
    #[arg(long = "server", value_name = "FILE=NAMES", value_parser = server)]
    servers: Vec<(String, Vec<String>)>,
    /// Replace a set that is there; cookies sealed before are unknown afterwards
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: CertsCommand) -> anyhow::Result<Exit> {
    let CertsCommand::Dev(arguments) = command;
    let mut names = DevNames { servers: arguments.servers, directors: arguments.directors, ..DevNames::default() };
    for listener in [&mut names.public, &mut names.internal, &mut names.peer] {
        listener.extend(arguments.names.iter().cloned());
    }
    let made = if arguments.force {
        DevCertificates::replace(&arguments.folder, &names)?
    } else {
        DevCertificates::create(&arguments.folder, &names)?
    };
    let mut files: Vec<(String, String)> = Vec::new();
    for (file, purpose) in [
        ("ca.pem", "whom browsers, servers and directors must believe"),
        ("public.pem", "[listen.public]"),
        ("internal.pem", "[listen.internal]"),
        ("peer.pem", "[listen.peer] of a director without peers"),
        ("operator.pem", "maitred's own commands, and curl --cert"),
        ("affinity.keys", "[affinity] key_file"),
        ("ticket.pem", "[ticket] key_file"),
    ] {
        files.push((made.path(file).to_string_lossy().into_owned(), purpose.to_owned()));
    }
    for director in &names.directors {
        let file = made.path(&format!("{}.pem", peer_stem(director)));
        files.push((file.to_string_lossy().into_owned(), format!("[listen.peer] of {director}")));
    }
    for (stem, names) in &names.servers {
        files.push((made.path(&format!("{stem}.pem")).to_string_lossy().into_owned(), names.join(", ")));
    }
    if arguments.json {
        let files: Vec<_> = files.iter().map(|(file, purpose)| json!({ "file": file, "for": purpose })).collect();
        output::json(&json!({ "files": files }))?;
        return Ok(Exit::Done);
    }
    let mut table = output::Table::new(&["FILE", "FOR"]);
    for (file, purpose) in files {
        table.row([file, purpose]);
    }
    output::text(&table.to_string())?;
    Ok(Exit::Done)
}

fn director(text: &str) -> Result<DirectorName, String> {
    DirectorName::parse(text).map_err(|fault| fault.to_string())
}

fn server(text: &str) -> Result<(String, Vec<String>), String> {
    let (stem, names) = text.split_once('=').ok_or("is not FILE=NAME[,NAME…]")?;
    let plain = !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let reserved = ["ca", "public", "internal", "peer", "operator", "affinity", "ticket"].contains(&stem);
    let reserved = reserved || stem.starts_with("peer-");
    if !plain || reserved {
        return Err("FILE is letters, digits, '-' and '_', and none of the set's own names".to_owned());
    }
    let names: Vec<String> = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() { Err("names nobody".to_owned()) } else { Ok((stem.to_owned(), names)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_file_and_its_names() {
        assert_eq!(server("ua1=a.test,b.test").unwrap(), ("ua1".into(), vec!["a.test".into(), "b.test".into()]));
        for bad in ["ua1", "ua1=", "=a.test", "../x=a.test", "ca=a.test", "peer-x=a.test", "ticket=a.test"] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
