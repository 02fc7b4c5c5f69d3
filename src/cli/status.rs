//! `maitred status`: a director at a glance. `maitred config reload`: its configuration, taken anew.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::client::Ask;
use super::exit::Exit;
use super::orders;
use super::output::{self, Table, cell};
use crate::config::printable;

/// `maitred status`.
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    ask: Ask,
}

pub(super) async fn run(arguments: &StatusArguments) -> anyhow::Result<Exit> {
    let answer = arguments.ask.client()?.get("/v1/status").await?;
    if arguments.ask.json {
        output::json(&answer)?
    } else {
        output::text(&glance(&answer))?
    }
    Ok(Exit::Done)
}

fn glance(status: &Value) -> String {
    let of = |pointer: &str| cell(status.pointer(pointer).unwrap_or(&Value::Null));
    let uptime = std::time::Duration::from_secs(status["uptime_seconds"].as_u64().unwrap_or(0));
    let mut lines = vec![
        format!(
            "director {} in {}, maitred {}, up {}",
            of("/director"),
            of("/datacenter"),
            of("/version"),
            humantime::format_duration(uptime)
        ),
        format!("ready    {}: {}", of("/ready/state"), of("/ready/reason")),
        format!("journal  {}", [of("/journal/state"), of("/journal/detail")].join(" ").trim_end()),
        format!("config   {}, taken {}", of("/config/digest"), of("/config/taken")),
    ];
    if let Some(faults) = status.pointer("/config/refused/faults").and_then(Value::as_array) {
        lines.push(format!("refused  {}:", of("/config/refused/at")));
        lines.extend(faults.iter().map(|fault| format!("         {}", cell(fault))));
    }
    let warnings = status["warnings"].as_array().into_iter().flatten();
    lines.extend(
        warnings.map(|warning| format!("warning  {}", warning.as_str().map_or_else(|| cell(warning), printable))),
    );
    let mut table = Table::new(&["POOL", "HERE", "ACTIVE", "ORDER", "#SERVERS", "#SESSIONS", "SEATS", "STATES"]);
    for (name, pool) in status["pools"].as_object().into_iter().flatten() {
        let of = |member: &str| cell(&pool[member]);
        let states = pool["states"].as_object().into_iter().flatten();
        let states = states.map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ");
        let seats = if pool["can_seat"] == true { "yes" } else { "no" };
        table.row([
            name.clone(),
            of("here"),
            of("active"),
            of("order"),
            of("servers"),
            of("sessions"),
            seats.to_owned(),
            states,
        ]);
    }
    let (peers, disputed) = (peers(status), disputed(status));
    let more = [peers, disputed].into_iter().flatten().map(|table| format!("\n{table}")).collect::<String>();
    format!("{}\n\n{table}{more}", lines.join("\n"))
}

/// The links to the other directors; nothing where there are none.
fn peers(status: &Value) -> Option<Table> {
    let peers = status["peers"].as_array().filter(|peers| !peers.is_empty())?;
    let mut table =
        Table::new(&["PEER", "DATACENTER", "LINK", "IN STEP", "#ROUND TRIP", "#LAG", "#DIFFER", "CONFIG", "#CLOCK"]);
    for peer in peers {
        let of = |member: &str| cell(&peer[member]);
        let seconds = |member: &str| peer[member].as_f64();
        let linked = peer["state"] == "linked";
        let config = match (linked, peer["config_differs"] == true) {
            (false, _) => "",
            (true, true) => "differs",
            (true, false) => "same",
        };
        let yes = |member: &str| if peer[member] == true { "yes" } else { "no" };
        table.row([
            of("name"),
            of("datacenter"),
            of("state"),
            if linked { yes("in_step").to_owned() } else { String::new() },
            seconds("round_trip_seconds").map_or_else(String::new, |it| format!("{:.1} ms", it * 1000.0)),
            seconds("lag_seconds").map_or_else(String::new, |it| format!("{it:.1} s")),
            of("divergent_buckets"),
            config.to_owned(),
            seconds("clock_ahead_seconds").map_or_else(String::new, |it| format!("{it:+.3} s")),
        ]);
    }
    Some(table)
}

/// Servers whose votes are not all up: who says what.
fn disputed(status: &Value) -> Option<Table> {
    let servers = status["disputed"].as_array().filter(|servers| !servers.is_empty())?;
    let mut table = Table::new(&["SERVER", "STATE", "VOTES"]);
    for server in servers {
        let votes = server["votes"].as_array().into_iter().flatten();
        let votes = votes.map(|vote| format!("{} {}", cell(&vote["director"]), cell(&vote["vote"])));
        table.row([cell(&server["server"]), cell(&server["state"]), votes.collect::<Vec<_>>().join(", ")]);
    }
    Some(table)
}

/// `maitred config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArguments {
    #[command(flatten)]
    ask: Ask,
    #[command(subcommand)]
    command: ConfigCommand,
}

/// What is done with a running director's configuration.
#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration that runs, with every default filled in
    Show,
    /// Read the files again; a mistake in them changes nothing
    Reload {
        /// Only say what would change
        #[arg(long)]
        preview: bool,
    },
}

pub(super) async fn config(arguments: &ConfigArguments) -> anyhow::Result<Exit> {
    let client = arguments.ask.client()?;
    let answer = match arguments.command {
        ConfigCommand::Show => client.get("/v1/config").await?,
        ConfigCommand::Reload { preview } => {
            orders::send(&client, Method::POST, "/v1/config/reload", &Value::Object(Default::default()), preview)
                .await?
        }
    };
    match (&arguments.command, arguments.ask.json) {
        (ConfigCommand::Show, _) | (_, true) => output::json(&answer)?,
        (ConfigCommand::Reload { .. }, false) => output::text(&reloaded(&answer))?,
    }
    Ok(Exit::Done)
}

fn reloaded(answer: &Value) -> String {
    let changes: Vec<&Value> = answer["effect"]["changes"].as_array().into_iter().flatten().collect();
    let head = match (answer["preview"] == true, changes.is_empty()) {
        (false, true) => "reloaded: unchanged".to_owned(),
        (true, true) => "a reload would change nothing".to_owned(),
        (false, false) => format!("reloaded: {}", output::counted(changes.len(), "change")),
        (true, false) => format!("a reload would make {}", output::counted(changes.len(), "change")),
    };
    let change = |change: &Value| {
        let restart = if change["needs_restart"] == true { " (needs a restart)" } else { "" };
        format!(
            "\n  {}: {} -> {}{restart}",
            cell(&change["key"]),
            or_dash(&change["before"]),
            or_dash(&change["after"])
        )
    };
    format!("{head}{}\n", changes.into_iter().map(change).collect::<String>())
}

fn or_dash(value: &Value) -> String {
    if value.is_null() { "-".to_owned() } else { cell(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_glance_fits_a_screen() {
        let shown = glance(&json!({
            "director": "east-1", "datacenter": "east", "version": "0.1.0", "uptime_seconds": 3661,
            "ready": { "state": "ok", "reason": "serving" }, "journal": { "state": "ok", "detail": null },
            "config": { "digest": "abc", "taken": "2026-01-31T18:00:00.000Z", "refused": null },
            "warnings": ["certificate of public expires in 7 days"],
            "pools": { "ua": { "here": "active", "active": "east", "order": "auto", "servers": 2, "sessions": 41,
                               "can_seat": true, "states": { "up": 1, "drain": 1 } } },
        }));
        assert!(
            shown.starts_with("director east-1 in east, maitred 0.1.0, up 1h 1m 1s\nready    ok: serving\n"),
            "{shown}"
        );
        assert!(shown.contains("\nwarning  certificate of public expires in 7 days\n"), "{shown}");
        assert!(shown.contains("1 drain, 1 up"), "{shown}");
        assert!(!shown.contains("PEER") && !shown.contains("VOTES"), "{shown}");
        let shown = glance(&json!({ "peers": [
            { "name": "west-1", "datacenter": "west", "state": "linked", "in_step": true, "round_trip_seconds": 0.0123,
              "lag_seconds": 0.0, "divergent_buckets": 0, "config_differs": true, "clock_ahead_seconds": -0.004 },
            { "name": "west-2", "datacenter": "west", "state": "unlinked", "in_step": false },
        ], "disputed": [
            { "server": "ua1", "state": "down", "votes": [{ "director": "east-1", "vote": "down" },
                                                          { "director": "west-1", "vote": "abstains" }] },
        ] }));
        let row = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
        assert!(row("west-1").contains("12.3 ms") && row("west-1").contains("differs"), "{shown}");
        assert_eq!(row("west-2").split_whitespace().collect::<Vec<_>>(), ["west-2", "west", "unlinked"]);
        assert!(row("ua1").ends_with("east-1 down, west-1 abstains"), "{shown}");
    }

    #[test]
    fn a_reload_says_what_it_changed() {
        let mut answer = json!({ "preview": false, "effect": { "changes": [
            { "key": "pool.ua.load_bound", "before": "1.25", "after": null, "needs_restart": false },
            { "key": "director.name", "before": "a", "after": "b", "needs_restart": true },
        ]}});
        let shown = reloaded(&answer);
        assert_eq!(
            shown,
            "reloaded: 2 changes\n  pool.ua.load_bound: 1.25 -> -\n  director.name: a -> b (needs a restart)\n"
        );
        answer["effect"]["changes"] = json!([]);
        assert_eq!(reloaded(&answer), "reloaded: unchanged\n");
    }
}
