//! What the world saw, one line each, for people who look for a cause.

use maitred_core::entry::SeatEntry;
use maitred_core::held::HeldSession;

use crate::world::{Seen, World};

/// One thing that was seen.
#[must_use]
pub fn line(seen: &Seen) -> String {
    match seen {
        Seen::Started { client, host, answered, before, result } => {
            let before = before.as_ref().map_or_else(|| "nothing".to_owned(), |before| seat(&before.entry));
            let lost = if *answered { "" } else { ", unheard" };
            match result.as_ref() {
                Ok(now) => {
                    let (key, affinity, reason) = (now.entry.key.as_str(), now.affinity, now.reason);
                    format!(
                        "client {client} ({key}) at {host}: {affinity:?} {reason} {}{lost}; had {before}",
                        seat(&now.entry)
                    )
                }
                Err(refusal) => format!("client {client} at {host}: {refusal:?}{lost}; had {before}"),
            }
        }
        Seen::Ended { client, host, answered, session } => {
            format!("client {client} at {host}: ended {session}{}", if *answered { "" } else { ", unheard" })
        }
        Seen::Holds { server, held } => format!("server {server} holds {}", holds(held)),
        Seen::Resets { host, server, orders } => {
            let one = |order: &maitred_core::director::ResetOrder| {
                format!("{} {:?} {:?} ({})", order.key.as_str(), order.generation, order.reason, order.id)
            };
            let orders: Vec<String> = orders.iter().map(one).collect();
            format!("server {server} is told by {host} to reset {}", orders.join(", "))
        }
        Seen::Records { .. }
        | Seen::Ordered { .. }
        | Seen::Role { .. }
        | Seen::Garbled(_)
        | Seen::Died(_)
        | Seen::Returned(..)
        | Seen::Configured
        | Seen::Tick => format!("{seen:?}"),
    }
}

/// What servers hold in the end, and what the directors remember of it.
#[must_use]
pub fn end(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (server, backend) in world.servers.iter().enumerate() {
        for held in backend.held.values() {
            lines.push(format!("server {server} still holds {}", holds(held)));
            for host in 0..world.hosts.len() {
                let now = world.hosts[host].now(world.now);
                let found = world.director(host).and_then(|it| it.find(&world.plan.pool_name(), &held.key, None, now));
                let found = found.map_or_else(|| "nothing".to_owned(), |found| seat(&found));
                lines.push(format!("director {host} remembers {} as {found}", held.key.as_str()));
            }
        }
    }
    lines
}

fn seat(seat: &SeatEntry) -> String {
    let SeatEntry { session, server, generation, stamp, writer, life, .. } = seat;
    format!("{session}/{} at {server} {life:?} {stamp:?} by {writer}", generation.get())
}

fn holds(held: &HeldSession) -> String {
    let session = held.session.map_or_else(|| "?".to_owned(), |session| session.to_string());
    let generation = held.generation.map_or(0, |generation| generation.get());
    format!("{} {session}/{generation} {:?}", held.key.as_str(), held.via)
}
