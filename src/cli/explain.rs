//! `maitred explain`: why a key gets the server that it gets.
//!
//! Tells what the director answers to `GET /v1/explain`, and adds nothing of its own.

use clap::Args;
use serde_json::Value;

use super::client::{Ask, Client};
use super::exit::{Exit, Failure};
use super::orders::segment;
use super::output::{self, Table, cell};
use crate::config::printable;

/// Servers that are shown without `--all`.
const SHOWN: usize = 12;

/// `maitred explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    ask: Ask,
    /// The key, for example an agent's id
    explained: String,
    /// The pool, where there are several
    #[arg(long)]
    pool: Option<String>,
    /// The session's id, where the key has several
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// What the start would ask of its server, for example media=voice; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// A server that the caller would avoid
    #[arg(long, value_name = "SERVER")]
    avoid: Option<String>,
    /// Show every server, not only the first ones
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(arguments: &ExplainArguments) -> anyhow::Result<Exit> {
    let client = arguments.ask.client()?;
    let pool = match &arguments.pool {
        Some(pool) => pool.clone(),
        None => only_pool(&client).await?,
    };
    let mut target = format!("/v1/explain?pool={}&key={}", segment(&pool), segment(&arguments.explained));
    for (name, value) in [("session", &arguments.session), ("avoid", &arguments.avoid)] {
        if let Some(value) = value {
            target.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    for label in &arguments.labels {
        let (name, value) = label.split_once('=').ok_or_else(|| usage("--label is NAME=VALUE"))?;
        target.push_str(&format!("&labels%5B{}%5D={}", segment(name), segment(value)));
    }
    let told = client.get(&target).await?;
    if arguments.ask.json {
        output::json(&told)?;
    } else {
        output::text(&story(&told, if arguments.all { usize::MAX } else { SHOWN }))?;
    }
    Ok(Exit::Done)
}

async fn only_pool(client: &Client) -> anyhow::Result<String> {
    let answer = client.get("/v1/pools").await?;
    let names: Vec<&str> =
        answer["pools"].as_array().into_iter().flatten().filter_map(|pool| pool["name"].as_str()).collect();
    match names[..] {
        [only] => Ok(only.to_owned()),
        _ => Err(usage(format!("say which pool with --pool: {}", names.join(", "))).into()),
    }
}

fn story(told: &Value, shown: usize) -> String {
    let of = |pointer: &str| printable(&cell(told.pointer(pointer).unwrap_or(&Value::Null)));
    let mut lines = vec![match told["answer"]["server"].as_str() {
        Some(server) => format!(
            "{} in {}: {} ({}, {})",
            of("/key"),
            of("/pool"),
            printable(server),
            of("/answer/affinity"),
            of("/answer/reason")
        ),
        None => format!("{} in {}: refused, code {}", of("/key"), of("/pool"), of("/answer/refused/code")),
    }];
    lines.push(format!("  {}", of("/answer/says")));
    lines.push(String::new());
    if told["alias"].is_object() {
        lines.push(format!(
            "login    {} at {}, confirmed {}",
            of("/alias/agent"),
            of("/alias/server"),
            of("/alias/confirmed")
        ));
    }
    lines.push(match &told["seat"] {
        Value::Null => "seat     none".to_owned(),
        seat => {
            let process = match seat["fence"]["same_process"].as_bool() {
                Some(true) | None => "",
                Some(false) => ", another process than the one that was given it",
            };
            format!(
                "seat     {}, generation {}, {}{process}; decided {}, expires {}",
                of("/seat/server"),
                of("/seat/generation"),
                of("/seat/state"),
                of("/seat/decided"),
                of("/seat/expires"),
            )
        }
    });
    lines.push(format!("role     {} ({}): {}", of("/role/active"), of("/role/because"), of("/role/says")));
    if told["role"]["next"].is_object() {
        let wait = told["role"]["next"]["in_seconds"].as_f64().unwrap_or(0.0).ceil();
        lines.push(format!(
            "         {} by {} in {wait} s if nothing changes",
            of("/role/next/datacenter"),
            of("/role/next/cause")
        ));
    }
    for site in told["role"]["datacenters"].as_array().into_iter().flatten() {
        let servers = |member: &str| cell(&site["servers"][member]);
        lines.push(format!(
            "         {} {}: {} of {} servers up, {} unknown, needs {}",
            printable(&cell(&site["name"])),
            printable(&cell(&site["service"])),
            servers("up"),
            servers("configured"),
            servers("unknown"),
            servers("needed"),
        ));
    }
    lines.push(format!("ladder   {}, load bound {}", of("/placement/policy"), of("/placement/load_bound")));
    let candidates = told["candidates"].as_array().map_or(&[][..], Vec::as_slice);
    let mut text = format!("{}\n\n{}", lines.join("\n"), table(&candidates[..candidates.len().min(shown)]));
    if candidates.len() > shown {
        text.push_str(&format!("and {} more (--all)\n", candidates.len() - shown));
    }
    text
}

fn table(candidates: &[Value]) -> String {
    let mut table =
        Table::new(&["SERVER", "DATACENTER", "#SCORE", "#LOAD", "#BOUND", "#CAPACITY", "STATE", "VOTES", "WHY"]);
    for one in candidates {
        let votes = one["inputs"]["votes"].as_array().into_iter().flatten().map(|vote| {
            let age = vote["age_seconds"].as_f64().unwrap_or(0.0);
            format!("{} {} {age:.1}s", cell(&vote["director"]), cell(&vote["vote"]))
        });
        let votes = votes.collect::<Vec<_>>().join(", ");
        let failure = one.pointer("/inputs/verdict/failure/detail").map(cell).filter(|detail| !detail.is_empty());
        let word = one.pointer("/inputs/operator/reason").map(cell).filter(|reason| !reason.is_empty());
        let because = failure.or(word).map_or_else(String::new, |because| format!(" ({because})"));
        let of = |member: &str| cell(&one[member]);
        table.row([
            of("server"),
            of("datacenter"),
            of("score"),
            of("load"),
            of("bound"),
            of("capacity"),
            of("state"),
            votes,
            format!("{}{because}", of("why")),
        ]);
    }
    table.to_string()
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_reads_from_the_answer_to_its_reasons() {
        let candidate = |server: &str, why: &str| {
            json!({
                "server": server, "datacenter": "east", "score": 12, "load": 3, "bound": 5, "capacity": 1000, "state": "up", "why": why,
                "inputs": { "votes": [{ "director": "east-1", "vote": "up", "age_seconds": 0.52 }],
                            "operator": { "reason": "kernel" }, "verdict": { "state": "up" } },
            })
        };
        let told = json!({
            "pool": "ua", "key": "1001",
            "answer": { "server": "ua3", "affinity": "kept", "reason": "usable", "says": "ua3 is usable" },
            "seat": { "server": "ua3", "generation": 2, "state": "seated", "decided": "then", "expires": "later",
                      "fence": { "same_process": false } },
            "role": { "active": "east", "because": "preferred", "says": "first", "next": null, "datacenters": [
                { "name": "east", "service": "serves", "servers": { "up": 2, "configured": 3, "unknown": 0, "needed": 1 } } ] },
            "placement": { "policy": "rendezvous", "load_bound": 1.25 },
            "candidates": [candidate("ua3", "the first"), candidate("ua1", "full")],
        });
        let shown = story(&told, 1);
        assert!(shown.starts_with("1001 in ua: ua3 (kept, usable)\n  ua3 is usable\n"), "{shown}");
        assert!(shown.contains("generation 2, seated, another process"), "{shown}");
        assert!(shown.contains("east serves: 2 of 3 servers up, 0 unknown, needs 1"), "{shown}");
        assert!(shown.contains("east-1 up 0.5s") && shown.contains("the first (kernel)"), "{shown}");
        assert!(shown.ends_with("and 1 more (--all)\n") && !shown.contains("full"), "{shown}");
    }
}
