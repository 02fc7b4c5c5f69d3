//! What a start does about a session, before anything is done.
//!
//! Owns the rules of a start: keep, follow, or seek a place down the ladder. Reads, and changes nothing: the start acts on what is
//! said here (`start`), and the explanation tells it (`explain`), so that the two cannot differ.

use std::borrow::Cow;

use super::avoid::Avoided;
use super::pace::PACED_FOR;
use super::start::At;
use crate::entry::Life;
use crate::health::Input;
use crate::ids::{LabelName, ServerName};
use crate::placement::{Demand, Eligible, KeyHash, PlacementSet, ServerSlot};
use crate::seating::{AvoidRefusal, Refusal, RequestKey, Shortage};
use crate::session::Sitting;
use crate::settings::Overflow;
use crate::view::{PoolView, ServerView};

/// What is to be done about a session.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan<'v> {
    /// It stays where it is.
    Keep {
        /// Its seat.
        sitting: Sitting,
        /// Its server, which is usable.
        server: &'v ServerView,
    },
    /// It goes to a server that holds it already (R5, R8).
    Follow {
        /// That server.
        holder: &'v ServerView,
    },
    /// It needs a place down the ladder (R14).
    Seek(Seek<'v>),
}

/// A place that is needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seek<'v> {
    /// Not there.
    pub(super) without: Option<&'v ServerName>,
    /// Why, in a word.
    pub(super) reason: &'static str,
    /// Where it stays when there is no other: nobody is stranded for avoiding a server that works.
    pub(super) else_keep: Option<(Sitting, &'v ServerView)>,
    /// Where it stays when the ladder has no place and this server is as good a last resort as any.
    pub(super) stay: Option<(Sitting, &'v ServerView)>,
}

/// What keeps a server from taking a new session, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// Its standing refuses: down, maint, drain.
    Standing(Input),
    /// The caller avoids it.
    Avoided,
    /// It lacks a label that is asked for.
    Labels,
    /// It is at its own capacity.
    Full,
}

/// What a start wants of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'v> {
    pool: &'v PoolView,
    labels: &'v [(LabelName, Cow<'v, str>)],
    without: Option<&'v ServerName>,
}

impl Eligible for Wanted<'_> {
    fn admits(self, slot: ServerSlot) -> bool {
        self.admits_all()
            || self.pool.at(slot).is_some_and(|server| {
                Some(&server.settings.name) != self.without && server.offers(self.pool.settings(), self.labels)
            })
    }

    /// Most starts ask for nothing in particular; then no server has to be looked at.
    fn admits_all(self) -> bool {
        self.without.is_none() && self.labels.is_empty()
    }
}

impl<'v> At<'v> {
    /// What is to be done about the session that is known at the key.
    pub(super) fn plan(&self, known: Option<Sitting>) -> Result<Plan<'v>, Refusal> {
        let Some(sitting) = known.filter(|sitting| sitting.life == Life::Live) else {
            // A cookie whose session has ended is treated as absent: its key begins nothing, the edge mints another one.
            return match self.request.key {
                RequestKey::Shown(_) => Err(Refusal::SessionEnded),
                RequestKey::Given(_) | RequestKey::Minted(_) => Ok(seek("new")),
            };
        };
        match self.pool.server(sitting.server) {
            Some(server) if server.standing.is_usable() => {
                if self.avoids(server, &sitting)? {
                    let without = Some(&server.settings.name);
                    return Ok(Plan::Seek(Seek {
                        without,
                        reason: "avoid",
                        else_keep: Some((sitting, server)),
                        stay: None,
                    }));
                }
                Ok(match self.holder_instead(&sitting, server) {
                    None => Plan::Keep { sitting, server },
                    Some(holder) => Plan::Follow { holder },
                })
            }
            // Its server cannot have it any more: first to one that holds it already (R5), else by the ladder.
            server => Ok(match self.holder(&sitting, None) {
                Some(holder) => Plan::Follow { holder },
                None => Plan::Seek(Seek {
                    without: None,
                    reason: server.map_or("removed", |server| server.standing.input.as_str()),
                    else_keep: None,
                    stay: server.filter(|it| it.standing.is_last_resort()).map(|server| (sitting, server)),
                }),
            }),
        }
    }

    fn avoids(&self, server: &ServerView, sitting: &Sitting) -> Result<bool, Refusal> {
        if self.request.avoid != Some(&server.settings.name) {
            return Ok(false);
        }
        if !self.owns(sitting) {
            return Err(Refusal::AvoidRefused(AvoidRefusal::NotOwner));
        }
        if !Avoided::may(&self.director.avoided.lock(), sitting.session.0, self.now.mono) {
            return Err(Refusal::AvoidRefused(AvoidRefusal::TooOften));
        }
        Ok(true)
    }

    /// Whether the caller has shown the owner's right to the session.
    pub(super) fn owns(&self, sitting: &Sitting) -> bool {
        self.shown.is_some_and(|shown| shown.owner && shown.seat.session == sitting.session)
    }

    /// How many starts a second are let in at this director now; `None` while there is no need to ask.
    pub(super) fn relogin_rate(&self) -> Result<Option<u32>, Refusal> {
        let (role, failover) = (self.pool.role(), &self.pool.settings().failover);
        if role.held {
            return Err(Refusal::Isolated);
        }
        let paced = role.left.is_some_and(|left| self.now.mono.since(left) < PACED_FOR);
        let rate = (failover.relogin_rate / role.directors.max(1)).max(1);
        Ok((failover.relogin_rate != 0 && paced).then_some(rate))
    }

    /// Who may be asked for a place at all.
    pub(super) fn eligible(&self, without: Option<&'v ServerName>) -> Wanted<'v> {
        Wanted { pool: self.pool, labels: self.request.labels, without }
    }

    /// What is asked of placement on each rung.
    pub(super) fn demand(&self, turn: u64) -> Demand {
        let settings = self.pool.settings();
        Demand {
            policy: settings.placement,
            load_bound_permille: settings.load_bound_permille,
            key: KeyHash::of(self.request.key.key()),
            turn,
        }
    }

    /// Walks the ladder (R14) from the active site down, until a rung gives what is wanted.
    pub(super) fn walk<T>(
        &self,
        without: Option<&'v ServerName>,
        mut take: impl FnMut(&'v PlacementSet) -> Option<T>,
    ) -> Result<T, Refusal> {
        let settings = self.pool.settings();
        let active = &self.pool.role().active;
        if self.pool.refuses_in(&self.view.settings().datacenter) {
            return Err(Refusal::Passive { active: active.clone() });
        }
        let eligible = self.eligible(without);
        for site in self.pool.sites() {
            for set in site.rungs() {
                if let Some(taken) = take(set) {
                    return Ok(taken);
                }
            }
            let full = || site.rungs().iter().any(|set| set.slots().any(|slot| eligible.admits(slot)));
            if site.datacenter == *active && settings.failover.overflow == Overflow::Refuse && full() {
                return Err(Refusal::NoServer(self.shortage(without)));
            }
        }
        // Nobody is refused while somebody sees a server that serves.
        take(self.pool.resort()).ok_or_else(|| Refusal::NoServer(self.shortage(without)))
    }

    /// What keeps a server from taking this session, were its turn to come.
    pub(super) fn obstacle(&self, server: &ServerView, without: Option<&ServerName>) -> Option<Obstacle> {
        if !server.standing.is_placeable() {
            Some(Obstacle::Standing(server.standing.input))
        } else if Some(&server.settings.name) == without {
            Some(Obstacle::Avoided)
        } else if !server.offers(self.pool.settings(), self.request.labels) {
            Some(Obstacle::Labels)
        } else if server.load.load(self.now.time) >= server.load.capacity() {
            Some(Obstacle::Full)
        } else {
            None
        }
    }

    fn shortage(&self, without: Option<&ServerName>) -> Shortage {
        let mut shortage = Shortage::default();
        for server in self.pool.servers() {
            shortage.servers += 1;
            let count = match self.obstacle(server, without) {
                Some(Obstacle::Standing(Input::Maint)) => &mut shortage.maint,
                Some(Obstacle::Standing(Input::Drain | Input::Draining)) => &mut shortage.drain,
                Some(Obstacle::Standing(_)) => &mut shortage.down,
                Some(Obstacle::Avoided) => &mut shortage.avoided,
                Some(Obstacle::Labels) => &mut shortage.labels,
                Some(Obstacle::Full) => &mut shortage.full,
                None => &mut shortage.elsewhere,
            };
            *count += 1;
        }
        shortage
    }
}

/// Whether the seat's server is another process than the one that was given the session.
pub(super) fn is_reborn(sitting: &Sitting, server: &ServerView) -> bool {
    sitting.incarnation.contradicts(server.tag())
}

/// The word for a kept seat.
pub(super) fn kept_because(reborn: bool) -> &'static str {
    if reborn { "reborn" } else { "usable" }
}

fn seek<'v>(reason: &'static str) -> Plan<'v> {
    Plan::Seek(Seek { without: None, reason, else_keep: None, stay: None })
}
