//! `maitred server`: what the director knows of its servers, and the operator's word about them.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Subcommand};
use hyper::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Ask, Client};
use super::exit::{Exit, Failure};
use super::orders::{self, Told, segment};
use super::output::{self, Table, cell};
use crate::config::printable;

/// How often a wait looks.
const LOOK: Duration = Duration::from_secs(1);
/// How often a wait that is not watched on a terminal says how far it is.
const WORD: Duration = Duration::from_secs(30);

/// `maitred server`.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    #[command(flatten)]
    ask: Ask,
    #[command(subcommand)]
    command: ServerCommand,
}

/// What is done.
#[derive(Debug, Subcommand)]
enum ServerCommand {
    /// List servers with their state and load
    List {
        /// Only those of this pool
        #[arg(long)]
        pool: Option<String>,
    },
    /// No new sessions; those that are there stay
    Drain(Leave),
    /// No sessions at all; each one that is there moves at its next start
    Maint(Leave),
    /// As usual again
    Ready(Word),
}

/// An operator's word.
#[derive(Debug, Args)]
struct Word {
    /// The server
    name: String,
    /// Why, for those who read the status and the audit log; '' takes it away
    #[arg(long)]
    reason: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    preview: bool,
}

/// A word that sessions leave by.
#[derive(Debug, Args)]
struct Leave {
    #[command(flatten)]
    word: Word,
    /// When the word ends by itself: 2h, or 2026-01-31T18:00:00Z; none takes it away
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// Wait until no session is left there, at most this long (exit code 6)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "preview")]
    wait: Option<Duration>,
}

pub(super) async fn run(arguments: &ServerArguments) -> anyhow::Result<Exit> {
    let (client, json) = (arguments.ask.client()?, arguments.ask.json);
    match &arguments.command {
        ServerCommand::List { pool } => {
            let query = pool.as_ref().map_or_else(String::new, |pool| format!("?pool={}", segment(pool)));
            let answer = client.get(&format!("/v1/servers{query}")).await?;
            if json { output::json(&answer)? } else { output::text(&list(&answer))? }
        }
        ServerCommand::Drain(leave) => leave_by(&client, "drain", leave, json).await?,
        ServerCommand::Maint(leave) => leave_by(&client, "maint", leave, json).await?,
        ServerCommand::Ready(word) => order(&client, "ready", word, None, json).await?,
    }
    Ok(Exit::Done)
}

async fn leave_by(client: &Client, state: &str, leave: &Leave, json: bool) -> anyhow::Result<()> {
    order(client, state, &leave.word, leave.deadline.as_deref(), json).await?;
    match leave.wait {
        Some(limit) => wait_until_empty(client, &leave.word.name, state, limit, json).await,
        None => Ok(()),
    }
}

async fn order(client: &Client, state: &str, word: &Word, deadline: Option<&str>, json: bool) -> anyhow::Result<()> {
    let path = format!("/v1/servers/{}/state", segment(&word.name));
    let mut body = json!({ "state": state });
    for (name, value) in [("reason", word.reason.as_deref()), ("deadline", deadline)] {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    let answer = orders::send(client, Method::PUT, &path, &body, word.preview).await;
    let answer = answer.with_context(|| printable(&word.name))?;
    Told { subject: &word.name, member: "state" }.print(&answer, json)
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(&["SERVER", "POOL", "DATACENTER", "STATE", "#SESSIONS", "#LOAD", "#CAPACITY", "WHY"]);
    for server in answer["servers"].as_array().into_iter().flatten() {
        let of = |member: &str| cell(&server[member]);
        table.row([
            of("name"),
            of("pool"),
            of("datacenter"),
            of("state"),
            of("sessions"),
            of("load"),
            of("capacity"),
            why(server),
        ]);
    }
    table.to_string()
}

/// What an operator wants to know beside the state: their colleague's reason, or what the last look found.
fn why(server: &Value) -> String {
    let operator = &server["operator"];
    let failure = &server["last_look"]["failure"];
    let mut parts = Vec::new();
    if operator["state"].as_str().is_some_and(|state| state != "ready") {
        let until = operator["deadline"].as_str().map(|deadline| format!(" until {deadline}")).unwrap_or_default();
        let reason = operator["reason"].as_str().unwrap_or("by an operator");
        parts.push(format!("{reason}{until}"));
    }
    if let Some(kind) = failure["kind"].as_str() {
        let detail = failure["detail"].as_str().filter(|detail| !detail.is_empty());
        parts.push(detail.map_or_else(|| kind.to_owned(), |detail| format!("{kind}: {detail}")));
    }
    parts.join("; ")
}

async fn wait_until_empty(
    client: &Client,
    name: &str,
    state: &str,
    limit: Duration,
    quiet: bool,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut shown: Option<Progress> = None;
    loop {
        let server = client.get(&format!("/v1/servers/{}", segment(name))).await?;
        let left = server["sessions"].as_u64().unwrap_or(0);
        if !quiet {
            shown.get_or_insert_with(|| Progress::new(name, left)).left(left)?;
        }
        if left == 0 {
            return Ok(());
        }
        if server["operator"]["state"] != state {
            drop(shown);
            let words = output::counted(usize::try_from(left).unwrap_or(usize::MAX), "session");
            let taken_back = format!("{name}: the word was taken back or has ended, with {words} left");
            return Err(Failure::new(Exit::Refused, taken_back).into());
        }
        if begun.elapsed() >= limit {
            drop(shown);
            let left = output::counted(usize::try_from(left).unwrap_or(usize::MAX), "session");
            let limit = humantime::format_duration(limit);
            return Err(Failure::new(Exit::TimedOut, format!("{name}: {left} left after {limit}")).into());
        }
        tokio::time::sleep(LOOK.min(limit)).await;
    }
}

/// How far a wait is: a bar on a terminal, else a line now and then.
struct Progress {
    name: String,
    most: u64,
    bar: Option<ProgressBar>,
    told: Option<(Instant, u64)>,
}

impl Progress {
    fn new(name: &str, most: u64) -> Self {
        let bar = output::is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:32} {msg} {elapsed}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(most), ProgressDrawTarget::stdout());
            bar.with_style(style).with_prefix(name.to_owned())
        });
        Self { name: name.to_owned(), most, bar, told: None }
    }

    fn left(&mut self, left: u64) -> anyhow::Result<()> {
        self.most = self.most.max(left);
        let words = format!("{} left", output::counted(usize::try_from(left).unwrap_or(usize::MAX), "session"));
        if let Some(bar) = &self.bar {
            bar.set_length(self.most);
            bar.set_position(self.most - left);
            bar.set_message(words);
            return Ok(());
        }
        let due = self.told.is_none_or(|(at, before)| left != before && (left == 0 || at.elapsed() >= WORD));
        if due {
            self.told = Some((Instant::now(), left));
            output::line(&format!("{}: {words}", self.name))?;
        }
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_table_that_says_why() {
        let shown = list(&json!({ "servers": [
            { "name": "ua1", "pool": "ua", "datacenter": "east", "state": "up", "sessions": 7, "load": 9,
              "capacity": 1000, "operator": { "state": "ready" }, "last_look": { "failure": null } },
            { "name": "ua2", "pool": "ua", "datacenter": "east", "state": "drain", "sessions": 0, "load": 0,
              "capacity": 1000, "operator": { "state": "drain", "reason": "patch\u{1b}[2J", "deadline": null },
              "last_look": { "failure": { "kind": "refused", "detail": "" } } },
        ]}));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("SERVER  POOL  DATACENTER  STATE  SESSIONS"), "{shown}");
        assert!(lines[2].ends_with("patch\\u{1b}[2J; refused"), "{shown}");
    }
}
