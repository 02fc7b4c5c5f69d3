//! `maitred datacenter`: which site takes new sessions.

use anyhow::Context;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Ask, Client};
use super::exit::{Exit, Failure};
use super::orders::{self, Told, segment};
use super::output::{self, Table, cell};
use crate::config::{or_nearest, printable};

/// `maitred datacenter`.
#[derive(Debug, Args)]
pub(super) struct DatacenterArguments {
    #[command(flatten)]
    ask: Ask,
    #[command(subcommand)]
    command: DatacenterCommand,
}

/// What is done.
#[derive(Debug, Subcommand)]
enum DatacenterCommand {
    /// List datacenters with the role of each in each pool
    List,
    /// Send new sessions to another datacenter, until another order
    Failover {
        /// Which one; the next in order that serves
        #[arg(long, value_name = "DATACENTER")]
        to: Option<String>,
        #[command(flatten)]
        scope: Scope,
    },
    /// Send new sessions to the preferred datacenter again; sessions elsewhere stay
    Failback {
        #[command(flatten)]
        scope: Scope,
    },
    /// Take the order back: health decides
    Auto {
        #[command(flatten)]
        scope: Scope,
    },
}

/// Which pools.
#[derive(Debug, Args)]
struct Scope {
    /// Only this pool instead of all
    #[arg(long)]
    pool: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    preview: bool,
}

pub(super) async fn run(arguments: &DatacenterArguments) -> anyhow::Result<Exit> {
    let (client, json) = (arguments.ask.client()?, arguments.ask.json);
    let (scope, wanted) = match &arguments.command {
        DatacenterCommand::List => {
            let answer = client.get("/v1/datacenters").await?;
            if json {
                output::json(&answer)?
            } else {
                output::text(&list(&answer))?
            }
            return Ok(Exit::Done);
        }
        DatacenterCommand::Failover { to, scope } => (scope, to.clone().map_or(Wanted::Next, Wanted::Named)),
        DatacenterCommand::Failback { scope } => (scope, Wanted::Preferred),
        DatacenterCommand::Auto { scope } => (scope, Wanted::Named("auto".to_owned())),
    };
    let mut answers = Vec::new();
    // Decided for all pools before the first order goes out.
    for (pool, datacenter) in targets(&client, scope, &wanted).await? {
        let path = format!("/v1/pools/{}/active", segment(&pool));
        let body = json!({ "datacenter": datacenter });
        let answer = orders::send(&client, Method::PUT, &path, &body, scope.preview).await?;
        if !json {
            Told { subject: &pool, member: "order" }.print(&answer, false)?;
        }
        answers.push(answer);
    }
    match (json, answers.as_slice()) {
        (true, [answer]) => output::json(answer)?,
        (true, _) => output::json(&answers.into())?,
        (false, _) => {}
    }
    Ok(Exit::Done)
}

/// Where new sessions shall go.
enum Wanted {
    /// There, or `auto`.
    Named(String),
    /// To one that serves and is not the active one.
    Next,
    /// To the first of the pool's own order.
    Preferred,
}

/// Pool by pool, what is ordered.
async fn targets(client: &Client, scope: &Scope, wanted: &Wanted) -> anyhow::Result<Vec<(String, String)>> {
    let answer = client.get("/v1/pools").await?;
    let pools = answer["pools"].as_array().context("no list of pools")?;
    let named = |pool: &&Value| scope.pool.as_ref().is_none_or(|wanted| pool["name"] == wanted.as_str());
    let mut targets = Vec::new();
    for pool in pools.iter().filter(named) {
        let name = pool["name"].as_str().context("a pool without a name")?;
        if scope.pool.is_none() && !can_go(&pool["role"], wanted) {
            output::remark(&format!("{name}: has no such datacenter and stays where it is"));
            continue;
        }
        let datacenter = match wanted {
            Wanted::Named(datacenter) => datacenter.clone(),
            Wanted::Next => next(&pool["role"]).ok_or_else(|| {
                Failure::new(Exit::Refused, format!("{name}: no other datacenter serves; name one with --to"))
            })?,
            Wanted::Preferred => preferred(client, name).await?,
        };
        targets.push((name.to_owned(), datacenter));
    }
    if targets.is_empty() && scope.pool.is_none() && !pools.is_empty() {
        let Wanted::Named(given) = wanted else {
            return Err(Failure::new(Exit::Refused, "no pool has another datacenter").into());
        };
        let sites = pools.iter().filter_map(|pool| pool["role"]["datacenters"].as_array()).flatten();
        let names = sites.filter_map(|site| site["name"].as_str());
        let message = or_nearest(&format!("no pool has a datacenter {}", printable(given)), given, names);
        return Err(Failure::new(Exit::NotFound, message).into());
    }
    if targets.is_empty() {
        let given = scope.pool.as_deref().unwrap_or_default();
        let names = pools.iter().filter_map(|pool| pool["name"].as_str());
        let message = or_nearest(&format!("there is no pool {}", printable(given)), given, names);
        return Err(Failure::new(Exit::NotFound, message).into());
    }
    Ok(targets)
}

/// Whether a pool has a place to go to at all: one of another site's pools must not keep the others from leaving a burning one.
fn can_go(role: &Value, wanted: &Wanted) -> bool {
    let sites = role["datacenters"].as_array().map_or(&[][..], Vec::as_slice);
    match wanted {
        Wanted::Named(wanted) => wanted == "auto" || sites.iter().any(|site| site["name"] == wanted.as_str()),
        Wanted::Next => sites.len() > 1,
        Wanted::Preferred => true,
    }
}

fn next(role: &Value) -> Option<String> {
    let sites = role["datacenters"].as_array()?;
    let serves = |site: &&Value| site["active"] != true && site["service"] == "serves";
    sites.iter().find(serves)?["name"].as_str().map(str::to_owned)
}

async fn preferred(client: &Client, pool: &str) -> anyhow::Result<String> {
    let answer = client.get("/v1/config").await?;
    let first = answer["config"]["pool"][pool]["datacenters"][0].as_str();
    first.map(str::to_owned).with_context(|| format!("{pool} has no datacenters"))
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(&["DATACENTER", "POOL", "ROLE", "SERVICE", "#SESSIONS", "#LOAD", "#CAPACITY"]);
    for datacenter in answer["datacenters"].as_array().into_iter().flatten() {
        let name = cell(&datacenter["name"]);
        for (pool, site) in datacenter["pools"].as_object().into_iter().flatten() {
            let role = if site["active"] == true { "active" } else { "passive" };
            let of = |member: &str| cell(&site[member]);
            table.row([
                name.clone(),
                pool.clone(),
                role.to_owned(),
                of("service"),
                of("sessions"),
                of("load"),
                of("capacity"),
            ]);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_one_site_holds_nobody_back() {
        let role = |sites: &[&str]| json!({ "datacenters": sites.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() });
        let west = Wanted::Named("west".to_owned());
        assert!(can_go(&role(&["east", "west"]), &west) && can_go(&role(&["east", "west"]), &Wanted::Next));
        assert!(!can_go(&role(&["east"]), &west) && !can_go(&role(&["east"]), &Wanted::Next));
        assert!(
            can_go(&role(&["east"]), &Wanted::Named("auto".to_owned())) && can_go(&role(&["east"]), &Wanted::Preferred)
        );
    }

    #[test]
    fn failover_goes_to_the_next_that_serves() {
        let role = json!({ "datacenters": [
            { "name": "east", "active": true, "service": "serves" },
            { "name": "north", "active": false, "service": "fails" },
            { "name": "west", "active": false, "service": "serves" },
        ]});
        assert_eq!(next(&role).as_deref(), Some("west"));
        assert_eq!(next(&json!({ "datacenters": [role["datacenters"][0]] })), None);
    }
}
