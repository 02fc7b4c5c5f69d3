//! What the directors told the clients: the last word about each key, and whether anything can be expected of it.

use std::collections::BTreeMap;

use maitred_core::clock::Now;
use maitred_core::entry::Life;
use maitred_core::ids::{Generation, ServerName, SessionId};

use crate::plan::Journal;
use crate::world::{Seen, Skew, World};

/// A kept start renews the stamp only once a minute (R1): a start on the other side of a cut in that minute is the later one by
/// the record.
pub(super) const RENEWED_MS: u64 = 60_000;
/// What a process that dies has not written down.
pub(super) const UNWRITTEN_MS: u64 = 1_000;

/// What was said last about a key.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) at: u64,
    pub(super) host: usize,
    pub(super) session: SessionId,
    pub(super) generation: Generation,
    pub(super) server: Option<ServerName>,
    /// Nothing can be expected: too close to something else, never answered, or lost with the memory that held it.
    pub(super) vague: bool,
}

/// The last words.
#[derive(Debug, Default)]
pub(super) struct Words {
    said: BTreeMap<usize, Said>,
    /// What each director said last about each key, and when.
    by_host: BTreeMap<(usize, usize), (u64, SessionId, Option<ServerName>)>,
    /// What died with a director, if its journal does not bring it back.
    buried: BTreeMap<usize, Vec<(usize, u64)>>,
    /// The largest distance of two clocks so far.
    skew: Skew,
}

/// A director's record of a key.
pub(super) fn knows(world: &World, host: usize, client: usize) -> Option<(SessionId, ServerName, Life)> {
    let now: Now = world.hosts[host].now(world.now);
    let found = world.director(host)?.find(&world.plan.pool_name(), world.key(client), None, now)?;
    Some((found.session, found.server, found.life))
}

impl Words {
    /// The last word about a client's key.
    pub(super) fn of(&self, client: usize) -> Option<&Said> {
        self.said.get(&client)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&usize, &Said)> {
        self.said.iter()
    }

    fn say(&mut self, world: &World, client: usize, said: Said) {
        self.skew.note(world, said.host);
        let gap = self.skew.ms() + RENEWED_MS;
        // The same place told again is no other word; another director's other word is one, however often this one has spoken since:
        // what it keeps it does not stamp anew.
        let told = self.by_host.range((client, 0)..=(client, usize::MAX));
        let close = told.clone().any(|((_, host), (at, session, server))| {
            let same = *session == said.session && *server == said.server;
            !same && *host != said.host && said.at < at + gap
        });
        self.by_host.insert((client, said.host), (said.at, said.session, said.server.clone()));
        let said = Said { vague: said.vague || close, ..said };
        self.said.insert(client, said);
    }

    /// Follows what the world saw.
    pub(super) fn see(&mut self, world: &World, seen: &Seen) {
        match seen {
            Seen::Started { client, host, answered, result, .. } => {
                if let Ok(seat) = result
                    .as_ref()
                    .as_ref()
                    .map_err(|_| ())
                    .and_then(|seat| if world.is_minted(*client) { Err(()) } else { Ok(seat) })
                {
                    let server = Some(seat.server.name.clone());
                    let said = Said {
                        at: world.now,
                        host: *host,
                        session: seat.session(),
                        generation: seat.generation(),
                        server,
                        vague: !answered,
                    };
                    self.say(world, *client, said);
                }
            }
            Seen::Ended { client, host, answered, session, .. } if !world.is_minted(*client) => {
                let generation = Generation::FIRST;
                let said =
                    Said { at: world.now, host: *host, session: *session, generation, server: None, vague: !answered };
                self.say(world, *client, said);
            }
            Seen::Died(host) => {
                let elsewhere = |client: usize, said: &Said| {
                    (0..world.hosts.len()).filter(|other| other != host).any(|other| {
                        knows(world, other, client).is_some_and(|(session, server, life)| {
                            session == said.session
                                && said.server.as_ref().map_or(life != Life::Live, |it| *it == server)
                        })
                    })
                };
                let lost = self.said.iter().filter(|(client, said)| !elsewhere(**client, said));
                self.buried.insert(*host, lost.map(|(client, said)| (*client, said.at)).collect());
                // What was said within the last moments may be nowhere, whatever is found later.
                let unwritten = self.said.values_mut().filter(|said| said.host == *host);
                unwritten.filter(|said| said.at + UNWRITTEN_MS > world.now).for_each(|said| said.vague = true);
            }
            Seen::Returned(host, journal) => {
                for (client, at) in self.buried.remove(host).unwrap_or_default() {
                    if *journal != Journal::Whole
                        && let Some(said) = self.said.get_mut(&client).filter(|said| said.at == at)
                    {
                        said.vague = true;
                    }
                }
            }
            _ => {}
        }
    }
}
