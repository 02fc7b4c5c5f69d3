//! Why a session gets the server that it gets: the decision of a start, told instead of done.
//!
//! Owns no rule. What is told comes from the plan and the ladder that a start acts on (`decision`), from placement itself, and
//! from the role's own state; a property test holds that a start then does what was told. Changes nothing: no load, no turn, no
//! count of avoidances, no record.

use super::Director;
use super::decision::{Obstacle, Plan, is_reborn, kept_because};
use super::start::{At, By, Found};
use crate::clock::Now;
use crate::entry::{ConfirmedEntry, Life, SeatEntry};
use crate::health::Tier;
use crate::ids::{Key, PoolName, ServerName};
use crate::placement::{self, Weighed};
use crate::role::RoleStory;
use crate::seating::{Affinity, Refusal, StartRequest};
use crate::session::Sitting;
use crate::view::{PoolLoads, ServerView};

/// What a start would do now, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The key of the session that is meant: the one asked for, or that of the agent's session.
    pub key: Key,
    /// The login by which an agent's id led to another key.
    pub alias: Option<ConfirmedEntry>,
    /// The record of the key, seat or tombstone, with what the caller shows merged into it.
    pub seat: Option<SeatEntry>,
    /// What a start would answer.
    pub answer: Result<Answer, Refusal>,
    /// Where the ladder leads: what is asked of it only when the session needs a place.
    pub placement: Result<ServerName, Refusal>,
    /// Every server of the pool, in the order in which the ladder would try them; those that take no new session last.
    pub candidates: Vec<Candidate>,
}

/// The answer of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where.
    pub server: ServerName,
    /// How it comes about.
    pub affinity: Affinity,
    /// Why, in the word of the log.
    pub reason: &'static str,
    /// What decided.
    pub rule: Rule,
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Its server is usable, so it stays (R14).
    Affinity,
    /// A usable server lists the session, and the record's server does not hold it (R5, R8).
    Listed,
    /// It has no server that it can have: the ladder (R14).
    Ladder,
}

impl Rule {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Affinity => "affinity",
            Self::Listed => "listed",
            Self::Ladder => "ladder",
        }
    }
}

/// One server as a possible place for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The server.
    pub server: ServerName,
    /// Its step of the ladder: 0 for the active site's servers that are up, 1 for its other ones, 2 for those of the next site
    /// that are up, and so on. `None` where no new session goes.
    pub rung: Option<u32>,
    /// What placement weighed, where it did.
    pub weighed: Option<Weighed>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Why a server is, or is not, the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The ladder leads here.
    Taken,
    /// It cannot take the session.
    Obstacle(Obstacle),
    /// It has no weight.
    Weightless,
    /// Its load is at its bound (bounded loads).
    Bound,
    /// Another one comes first.
    RanksLower,
    /// The ladder ends before it: a better step has a place, or the active site is full and does not overflow.
    NotReached,
}

impl Director {
    /// Tells what [`Self::start`] would do with the same request, and why. Changes nothing.
    ///
    /// # Errors
    /// [`Refusal::UnknownPool`] and [`Refusal::UnknownLabel`]: what is asked makes no sense here.
    pub fn explain(&self, request: &StartRequest<'_>, now: Now) -> Result<Explanation, Refusal> {
        self.resolve(request, |request, by| self.explain_by(request, by, now)).unwrap_or(Err(Refusal::SessionEnded))
    }

    fn explain_by(&self, request: &StartRequest<'_>, by: &By<'_>, now: Now) -> Found<Result<Explanation, Refusal>> {
        let view = self.view.load();
        let at = match At::new(self, &view, request, now) {
            Ok(at) => at,
            Err(refusal) => return Found::Answer(Err(refusal)),
        };
        let ttl = at.pool.settings().session_ttl;
        let seat = self.as_shown(&at.seat_key, request.key.key(), at.shown, ttl, now);
        // A record that has expired and is not swept yet is none.
        let known = seat.as_ref().and_then(|seat| Sitting::of(seat, &self.names).ok());
        let known = known.filter(|sitting| sitting.expires(ttl) > now.time);
        if let Some(elsewhere) = at.alias(known.as_ref(), by) {
            return Found::Alias(elsewhere);
        }
        let alias = if let By::Alias(of) = by { Some(ConfirmedEntry::clone(of)) } else { None };
        Found::Answer(Ok(at.told(known, seat.filter(|_| known.is_some()), alias)))
    }

    /// Why a pool's active site is the active one; `None` for an unknown pool.
    #[must_use]
    pub fn explain_role(&self, pool: &PoolName, now: Now) -> Option<RoleStory> {
        let control = self.control.lock();
        let settings = control.settings.pools.get(pool)?;
        let counts = |datacenter: &_| super::picture::count(&control.watch, settings, datacenter);
        control.roles.get(pool)?.story(&settings.failover, counts, now.mono)
    }
}

impl At<'_> {
    fn told(&self, known: Option<Sitting>, seat: Option<SeatEntry>, alias: Option<ConfirmedEntry>) -> Explanation {
        let plan = self.plan(known);
        let without = if let Ok(Plan::Seek(seek)) = &plan { seek.without } else { None };
        let (placement, candidates) = self.weighed(without);
        let kept = |sitting: &Sitting, server: &ServerView| Answer {
            server: server.settings.name.clone(),
            affinity: Affinity::Kept,
            reason: kept_because(is_reborn(sitting, server)),
            rule: Rule::Affinity,
        };
        let answer = plan.and_then(|plan| match plan {
            Plan::Keep { sitting, server } => Ok(kept(&sitting, server)),
            Plan::Follow { holder } => Ok(Answer {
                server: holder.settings.name.clone(),
                affinity: Affinity::Moved,
                reason: "listed",
                rule: Rule::Listed,
            }),
            Plan::Seek(seek) => {
                let live = known.is_some_and(|sitting| sitting.life == Life::Live);
                let affinity = if live { Affinity::Moved } else { Affinity::Placed };
                let place = self.let_in().and_then(|()| placement.clone());
                let resort = |name: &ServerName| {
                    self.pool.server_named(name).is_some_and(|server| server.standing.is_last_resort())
                };
                let place = place.map(|server| match seek.stay {
                    Some((sitting, own)) if resort(&server) => kept(&sitting, own),
                    _ => Answer { server, affinity, reason: seek.reason, rule: Rule::Ladder },
                });
                place.or_else(|refusal| seek.else_keep.map(|(sitting, server)| kept(&sitting, server)).ok_or(refusal))
            }
        });
        Explanation { key: self.request.key.key().clone(), alias, seat, answer, placement, candidates }
    }

    /// Whether the pace of a failover would let one more in.
    fn let_in(&self) -> Result<(), Refusal> {
        let Some(rate) = self.relogin_rate()? else { return Ok(()) };
        let mut pace = self.director.paces.lock().get(&self.pool.settings().name).cloned().unwrap_or_default();
        pace.admit(rate, self.now.mono).map_err(|retry_after| Refusal::Paced { retry_after })
    }

    /// Walks the ladder and keeps what placement saw on each step.
    fn weighed(&self, without: Option<&ServerName>) -> (Result<ServerName, Refusal>, Vec<Candidate>) {
        // A name of the view, which lives as long as what is borrowed from it.
        let without = without.and_then(|name| self.pool.server_named(name)).map(|server| &server.settings.name);
        let demand = self.demand(self.pool.coming_turn());
        let (loads, eligible) = (PoolLoads::new(self.pool, self.now.time), self.eligible(without));
        let mut reached = 0;
        let taken = self.walk(without, |set| {
            reached += 1;
            placement::choose(demand, set, &loads, eligible)
        });
        let rungs = self.pool.sites().iter().flat_map(|site| site.rungs());
        // The last resort ranks as those that are not up do: it has an odd number.
        let rungs = (0..).zip(rungs).chain([(2 * self.pool.sites().len() as u32 + 1, self.pool.resort())]);
        let mut candidates = Vec::with_capacity(self.pool.servers().len());
        for (number, set) in rungs {
            for weighed in placement::weigh(demand, set, &loads, eligible) {
                let Some(server) = self.pool.at(weighed.server) else { continue };
                let outcome = if taken.as_ref() == Ok(&weighed.server) {
                    Outcome::Taken
                } else if let Some(obstacle) = self.obstacle(server, without) {
                    Outcome::Obstacle(obstacle)
                } else if number >= reached {
                    Outcome::NotReached
                } else if weighed.above_bound {
                    Outcome::Bound
                } else {
                    Outcome::RanksLower
                };
                let server = server.settings.name.clone();
                candidates.push(Candidate { server, rung: Some(number), weighed: Some(weighed), outcome });
            }
        }
        let elsewhere = |server: &&ServerView| {
            let nowhere = !server.standing.is_placeable() && !server.standing.is_last_resort();
            nowhere || server.settings.weight == 0
        };
        candidates.extend(self.pool.servers().iter().filter(elsewhere).map(|server| Candidate {
            server: server.settings.name.clone(),
            rung: None,
            weighed: None,
            outcome: self.obstacle(server, without).map_or(Outcome::Weightless, Outcome::Obstacle),
        }));
        let name = |slot| self.pool.at(slot).map(|server| server.settings.name.clone());
        let placement = taken.and_then(|slot| name(slot).ok_or(Refusal::UnknownPool));
        (placement, candidates)
    }
}

impl Candidate {
    /// Where it ranks among its site's servers; `None` where no new session goes.
    #[must_use]
    pub fn tier(&self) -> Option<Tier> {
        self.rung.map(|rung| if rung % 2 == 0 { Tier::Normal } else { Tier::Last })
    }
}

impl Outcome {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Obstacle(Obstacle::Standing(input)) => input.as_str(),
            Self::Obstacle(Obstacle::Avoided) => "avoided",
            Self::Obstacle(Obstacle::Labels) => "labels",
            Self::Obstacle(Obstacle::Full) => "full",
            Self::Weightless => "weightless",
            Self::Bound => "bound",
            Self::RanksLower => "ranks_lower",
            Self::NotReached => "not_reached",
        }
    }
}
