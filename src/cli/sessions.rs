//! `maitred sessions`: find agents, move them, end their sessions.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Ask, Client};
use super::exit::{Exit, Failure};
use super::orders::{self, Told, segment};
use super::output::{self, Table, cell};
use crate::config::printable;

/// Sessions that one request brings.
const PAGE: usize = 1000;

/// `maitred sessions`.
#[derive(Debug, Args)]
pub(super) struct SessionsArguments {
    #[command(flatten)]
    ask: Ask,
    #[command(subcommand)]
    command: SessionsCommand,
}

/// What is done.
#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// List sessions, in order of pool and key
    List {
        /// Only those of this pool
        #[arg(long)]
        pool: Option<String>,
        /// Only those at this server
        #[arg(long)]
        server: Option<String>,
        /// Only those of this key (--key is the client certificate's)
        #[arg(long, value_name = "KEY")]
        session_key: Option<String>,
        /// Only those where this agent is logged in
        #[arg(long, value_name = "ID")]
        agent: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Show the sessions of a key, and those where the agent of this id is logged in
    Find {
        /// The key, or an agent's id
        key: String,
        /// Only in this pool
        #[arg(long)]
        pool: Option<String>,
    },
    /// Move a session: at its next start it goes to another server
    Move {
        #[command(flatten)]
        which: Which,
        /// Where to
        #[arg(long, value_name = "SERVER")]
        to: String,
        /// Why, for those who read the audit log
        #[arg(long)]
        reason: Option<String>,
    },
    /// End a session: its key is placed anew at its next start
    End {
        #[command(flatten)]
        which: Which,
    },
}

/// One session.
#[derive(Debug, Args)]
struct Which {
    /// The key, or the id of the agent who is logged in
    key: String,
    /// The pool, where the key has a session in several
    #[arg(long)]
    pool: Option<String>,
    /// The session's id, where the key has several
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    preview: bool,
}

pub(super) async fn run(arguments: &SessionsArguments) -> anyhow::Result<Exit> {
    let (client, json) = (arguments.ask.client()?, arguments.ask.json);
    match &arguments.command {
        SessionsCommand::List { pool, server, session_key, agent, limit } => {
            let filter = [("pool", pool), ("server", server), ("key", session_key), ("agent", agent)];
            let filter = filter.map(|(name, value)| (name, value.as_deref()));
            let (sessions, cursor) = gather(&client, &filter, *limit).await?;
            print(&sessions, cursor, json)?;
        }
        SessionsCommand::Find { key, pool } => {
            let sessions = of_key(&client, key, pool.as_deref()).await?;
            print(&sessions, Value::Null, json)?;
        }
        SessionsCommand::Move { which, to, reason } => {
            let found = one(&client, which).await?;
            let mut body = json!({ "server": to, "session": found["session"] });
            if let Some(reason) = reason {
                body["reason"] = reason.as_str().into();
            }
            let path = format!("{}/server", path(&found));
            let answer = orders::send(&client, Method::PUT, &path, &body, which.preview).await?;
            Told { subject: &which.key, member: "server" }.print(&answer, json)?;
        }
        SessionsCommand::End { which } => {
            let found = one(&client, which).await?;
            let body = json!({ "session": found["session"], "generation": found["generation"] });
            let path = format!("{}/end", path(&found));
            let answer = orders::send(&client, Method::POST, &path, &body, which.preview).await?;
            Told { subject: &which.key, member: "state" }.print(&answer, json)?;
        }
    }
    Ok(Exit::Done)
}

fn path(session: &Value) -> String {
    let of = |member: &str| segment(session[member].as_str().unwrap_or_default());
    format!("/v1/sessions/{}/{}", of("pool"), of("key"))
}

/// Up to `limit` sessions, page by page, and the cursor of what is left.
async fn gather(client: &Client, filter: &[(&str, Option<&str>)], limit: usize) -> anyhow::Result<(Vec<Value>, Value)> {
    let mut sessions = Vec::new();
    let mut cursor = Value::Null;
    while sessions.len() < limit {
        let mut target = format!("/v1/sessions?limit={}", PAGE.min(limit - sessions.len()));
        let given = filter.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        for (name, value) in given.chain(cursor.as_str().map(|cursor| ("cursor", cursor))) {
            target.push_str(&format!("&{name}={}", segment(value)));
        }
        let mut page = client.get(&target).await?;
        cursor = page["cursor"].take();
        if let Value::Array(more) = page["sessions"].take() {
            sessions.extend(more);
        }
        if cursor.is_null() {
            break;
        }
    }
    Ok((sessions, cursor))
}

/// The sessions of a key, and those of the agent with this id: at least one.
async fn of_key(client: &Client, key: &str, pool: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let (mut sessions, _) = gather(client, &[("key", Some(key)), ("pool", pool)], PAGE).await?;
    let (of_agent, _) = gather(client, &[("agent", Some(key)), ("pool", pool)], PAGE).await?;
    sessions.extend(of_agent.into_iter().filter(|session| session["key"] != key));
    if sessions.is_empty() {
        sessions = ended(client, key, pool).await?;
    }
    if sessions.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("no session has the key {}", printable(key))).into());
    }
    Ok(sessions)
}

/// The sessions of a key that have ended and are still remembered: lists leave them out, a repeated order is about one.
async fn ended(client: &Client, key: &str, pool: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let pools = match pool {
        Some(pool) => vec![pool.to_owned()],
        None => {
            let answer = client.get("/v1/pools").await?;
            let names = answer["pools"].as_array().into_iter().flatten().filter_map(|pool| pool["name"].as_str());
            names.map(str::to_owned).collect()
        }
    };
    let mut sessions = Vec::new();
    for pool in pools {
        match client.get(&format!("/v1/sessions/{}/{}", segment(&pool), segment(key))).await {
            Ok(session) => sessions.push(session),
            // Unknown there, or a pool where a key alone names no session.
            Err(error) if matches!(Exit::of(&error), Exit::NotFound | Exit::Refused) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sessions)
}

/// The session that an order is about.
async fn one(client: &Client, which: &Which) -> anyhow::Result<Value> {
    let mut sessions = of_key(client, &which.key, which.pool.as_deref()).await?;
    if let Some(id) = &which.session {
        sessions.retain(|session| session["session"] == id.as_str());
    }
    match <[Value; 1]>::try_from(sessions) {
        Ok([session]) => Ok(session),
        Err(sessions) if sessions.is_empty() => Err(Failure::new(Exit::NotFound, "no session has this id").into()),
        Err(sessions) => {
            output::remark(table(&sessions).trim_end());
            Err(Failure::new(Exit::Usage, "this key has several sessions; say which with --pool or --session").into())
        }
    }
}

fn print(sessions: &[Value], cursor: Value, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&json!({ "sessions": sessions, "cursor": cursor }));
    }
    output::text(&table(sessions))?;
    if !cursor.is_null() {
        output::remark(&format!("the first {}; there are more (--limit)", sessions.len()));
    }
    Ok(())
}

fn table(sessions: &[Value]) -> String {
    let mut table = Table::new(&["POOL", "KEY", "AGENT", "SERVER", "STATE", "#MOVES", "SEEN", "SESSION"]);
    for session in sessions {
        let members = ["pool", "key", "agent", "server", "state", "moves", "seen", "session"];
        table.row(members.map(|member| cell(&session[member])));
    }
    table.to_string()
}
