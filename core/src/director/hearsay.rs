//! What the other directors say about servers and roles, and what each of them has been told.
//!
//! Words carry their age and no wall clock (R12). They go around: every director hands on the newest word of every other one, so
//! that a cut between two is bridged by a third. A word that comes twice, by two ways, is one: the voter's run and the look that
//! it rests on tell them apart, or a vote that goes round in a circle would never grow old.

use std::collections::BTreeMap;
use std::time::Duration;

use super::telling::{Cadence, Telling};
use crate::clock::{Mono, Now, Since, millis};
use crate::health::{HeardVote, Site, Vote, Watch, vote_lasts};
use crate::ids::{DatacenterName, DirectorName, PoolName, ServerName};
use crate::role::{Claim, Role, Service};
use crate::session::STAMP_AHEAD_MAX;
use crate::settings::Settings;
use crate::wire::{Message, RoleWord, VoteWord, WORDS_MAX};

/// News are told at once, but no more often: whatever two directors may disagree about, it makes no storm.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// All votes are told this often, changed or not: the same work on every day (R11).
const VOTES: Cadence = Cadence { every: Duration::from_secs(2), news_every: NEWS_EVERY };
/// All roles are told this often.
const ROLES: Cadence = Cadence { every: Duration::from_secs(1), news_every: NEWS_EVERY };
/// A word about a role that is older holds no longer.
const ROLE_LASTS: Duration = Duration::from_secs(8);
/// No vote lasts longer, whatever its voter says.
const VOTE_LASTS_MAX: Duration = Duration::from_hours(1);
/// Longest reason of a failure, in bytes.
const DETAIL_BYTES_MAX: usize = 256;

/// Words of other directors.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    votes: BTreeMap<(ServerName, DirectorName), Heard<VoteWord>>,
    roles: BTreeMap<(PoolName, DirectorName), Heard<RoleWord>>,
    told: BTreeMap<DirectorName, Told>,
    /// Rises with every change that the others should hear of at once.
    pub(super) orders: u64,
    pub(super) own_votes: u64,
    pub(super) own_roles: u64,
    pub(super) sayings: u64,
}

#[derive(Debug)]
struct Heard<W> {
    word: W,
    since: Since,
}

/// What one peer has been told.
#[derive(Debug, Default)]
struct Told {
    orders: Option<u64>,
    votes: Telling,
    roles: Telling,
    sayings: Telling,
}

/// Why a word was dropped, for the count.
pub(super) type Reason = &'static str;

impl Hearsay {
    /// A new link: everything is told anew.
    pub(super) fn begin(&mut self, peer: &DirectorName) {
        self.told.insert(peer.clone(), Told::default());
    }

    /// Whether this peer has not been told all orders; it has from now on.
    pub(super) fn orders_are_due(&mut self, peer: &DirectorName) -> bool {
        let told = self.told.entry(peer.clone()).or_default();
        told.orders.replace(self.orders) != Some(self.orders)
    }

    /// Whether it is time to tell this peer what servers say of themselves; then it counts as told.
    pub(super) fn sayings_are_due(&mut self, peer: &DirectorName, cadence: Cadence, now: Mono) -> bool {
        self.told.entry(peer.clone()).or_default().sayings.is_due(self.sayings, cadence, now)
    }

    /// Forgets words about what is not configured any more, and of directors that are not.
    pub(super) fn configure(&mut self, settings: &Settings) {
        let peers = &settings.peers;
        let servers = |name: &ServerName| settings.pools.values().any(|pool| pool.servers.contains_key(name));
        self.votes.retain(|(server, director), _| servers(server) && peers.contains_key(director));
        self.roles.retain(|(pool, director), _| settings.pools.contains_key(pool) && peers.contains_key(director));
        self.told.retain(|peer, _| peers.contains_key(peer));
    }

    /// Takes a vote that is news; returns it as the health of its server hears it.
    pub(super) fn vote(
        &mut self,
        word: VoteWord,
        way: Duration,
        settings: &Settings,
        now: Now,
    ) -> Result<Option<(ServerName, DirectorName, HeardVote)>, Reason> {
        let Some(home) = settings.peers.get(&word.director) else { return own_or_unknown(&word.director, settings) };
        let pool = settings.pools.values().find(|pool| pool.servers.contains_key(&word.server)).ok_or("vote_server")?;
        let server = pool.servers.get(&word.server).ok_or("vote_server")?;
        let lasts = Duration::from_millis(word.lasts_ms);
        let detail_fits = match &word.vote {
            Vote::Down(failure) => {
                let check = failure.check.as_ref().map_or(0, String::len);
                failure.detail.len() <= DETAIL_BYTES_MAX && check <= DETAIL_BYTES_MAX
            }
            Vote::Up | Vote::Abstain(_) => true,
        };
        if lasts > VOTE_LASTS_MAX || word.run > (now.time + STAMP_AHEAD_MAX).0 || !detail_fits {
            return Err("vote_limit");
        }
        let age = Duration::from_millis(word.age_ms).saturating_add(way);
        if age > lasts {
            return Ok(None);
        }
        let key = (word.server.clone(), word.director.clone());
        if self.votes.get(&key).is_some_and(|old| (old.word.run, old.word.look) >= (word.run, word.look)) {
            return Ok(None);
        }
        let site = if *home == server.datacenter { Site::Own } else { Site::Other };
        let since = Since::new(now.mono, age);
        let heard = HeardVote { site, vote: word.vote.clone(), looked: since, lasts };
        self.votes.insert(key.clone(), Heard { word, since });
        Ok(Some((key.0, key.1, heard)))
    }

    /// Takes a word about a role; says whether it was news.
    pub(super) fn role(
        &mut self,
        word: RoleWord,
        way: Duration,
        settings: &Settings,
        now: Now,
    ) -> Result<bool, Reason> {
        if !settings.peers.contains_key(&word.director) {
            return own_or_unknown(&word.director, settings).map(|_: Option<()>| false);
        }
        let pool = settings.pools.get(&word.pool).ok_or("role_pool")?;
        if !pool.datacenters.contains(&word.active) {
            return Err("role_datacenter");
        }
        if word.run > (now.time + STAMP_AHEAD_MAX).0 {
            return Err("role_limit");
        }
        let key = (word.pool.clone(), word.director.clone());
        if self.roles.get(&key).is_some_and(|old| (old.word.run, old.word.word) >= (word.run, word.word)) {
            return Ok(false);
        }
        let since = Since::new(now.mono, Duration::from_millis(word.age_ms).saturating_add(way));
        self.roles.insert(key, Heard { word, since });
        Ok(true)
    }

    /// What the others hold about a pool's role now.
    pub(super) fn claims(&self, pool: &PoolName, now: Mono) -> Vec<Claim> {
        let claim = |heard: &Heard<RoleWord>| Claim {
            director: heard.word.director.clone(),
            active: heard.word.active.clone(),
            began: match heard.word.began_ms {
                0 => Duration::ZERO,
                began => Duration::from_millis(began) + heard.since.age(now),
            },
            epoch: heard.word.epoch,
            failovers: heard.word.failovers,
        };
        self.fresh_roles(pool, now).map(|(_, heard)| claim(heard)).collect()
    }

    /// Since how long a datacenter serves a pool, in the words of its own directors.
    pub(super) fn serving(
        &self,
        pool: &PoolName,
        datacenter: &DatacenterName,
        settings: &Settings,
        now: Mono,
    ) -> Option<Duration> {
        self.fresh_roles(pool, now)
            .filter(|(director, _)| settings.peers.get(*director) == Some(datacenter))
            .filter_map(|(_, heard)| Some(Duration::from_millis(heard.word.serving_ms?) + heard.since.age(now)))
            .max()
    }

    /// Directors of a datacenter that are heard of, without this one.
    pub(super) fn fresh_directors(&self, datacenter: &DatacenterName, settings: &Settings, now: Mono) -> usize {
        let here = settings.peers.iter().filter(|(_, home)| *home == datacenter);
        here.filter(|(director, _)| {
            self.roles.iter().any(|((_, of), heard)| of == *director && heard.since.age(now) <= ROLE_LASTS)
        })
        .count()
    }

    fn fresh_roles(&self, pool: &PoolName, now: Mono) -> impl Iterator<Item = (&DirectorName, &Heard<RoleWord>)> {
        self.roles
            .iter()
            .filter(move |((of, _), heard)| of == pool && heard.since.age(now) <= ROLE_LASTS)
            .map(|((_, director), heard)| (director, heard))
    }

    /// The votes to tell a peer now, own ones and those heard of others, if it is time.
    pub(super) fn votes_for(
        &mut self,
        peer: &DirectorName,
        run: u64,
        watch: &Watch,
        settings: &Settings,
        now: Mono,
    ) -> Vec<Message> {
        let told = self.told.entry(peer.clone()).or_default();
        if !told.votes.is_due(self.own_votes, VOTES, now) {
            return Vec::new();
        }
        let own = settings.pools.values().flat_map(|pool| pool.servers.keys().map(move |server| (pool, server)));
        let own = own.filter_map(|(pool, server)| {
            let voter = watch.server(server)?.voter();
            let (vote, looked) = voter.vote().zip(voter.looked())?;
            Some(VoteWord {
                server: server.clone(),
                director: settings.director.clone(),
                run,
                look: looked.0,
                age_ms: millis(now.since(looked)),
                lasts_ms: millis(vote_lasts(&pool.health, voter.site())),
                vote,
            })
        });
        let heard = self.votes.values().filter(|heard| heard.word.director != *peer).filter_map(|heard| {
            let age_ms = millis(heard.since.age(now));
            (age_ms <= heard.word.lasts_ms).then(|| VoteWord { age_ms, ..heard.word.clone() })
        });
        let words: Vec<VoteWord> = own.chain(heard).collect();
        words.chunks(WORDS_MAX).map(|part| Message::Votes(part.to_vec())).collect()
    }

    /// The roles to tell a peer now, if it is time.
    pub(super) fn roles_for(
        &mut self,
        peer: &DirectorName,
        run: u64,
        roles: &BTreeMap<PoolName, Role>,
        settings: &Settings,
        now: Mono,
    ) -> Vec<Message> {
        let told = self.told.entry(peer.clone()).or_default();
        if !told.roles.is_due(self.own_roles, ROLES, now) {
            return Vec::new();
        }
        let own = roles.iter().filter_map(|(pool, role)| {
            let home = role.service(&settings.datacenter);
            Some(RoleWord {
                pool: pool.clone(),
                director: settings.director.clone(),
                run,
                word: now.0,
                age_ms: 0,
                active: role.active()?.clone(),
                began_ms: role.began(now).map_or(0, |began| millis(began).max(1)),
                epoch: role.epoch(),
                failovers: role.failovers(),
                serving_ms: home
                    .filter(|(service, _)| *service == Service::Serves)
                    .map(|(_, since)| millis(now.since(since))),
            })
        });
        let heard = self.roles.values().filter(|heard| heard.word.director != *peer).filter_map(|heard| {
            let age = heard.since.age(now);
            (age <= ROLE_LASTS).then(|| RoleWord { age_ms: millis(age), ..heard.word.clone() })
        });
        let words: Vec<RoleWord> = own.chain(heard).collect();
        words.chunks(WORDS_MAX).map(|part| Message::Roles(part.to_vec())).collect()
    }
}

/// An own word that came back is no news; a stranger's is dropped.
fn own_or_unknown<T>(director: &DirectorName, settings: &Settings) -> Result<Option<T>, Reason> {
    if *director == settings.director { Ok(None) } else { Err("director") }
}
