//! A director that is cold asks its peers for a key that it does not know, before it places it.
//!
//! ```text
//! start of an unknown key ─▶ question ──Ask──▶ every linked peer
//!        ▲   is_answered? ◀──────────Told─────────┘ (merged as any record)
//! ```
//! Owns who was asked and who has not answered. A question is over when somebody knows the key, when all who were asked have
//! answered or are gone, or when the director is warm; that is 5 s after its start at the latest. Who asks waits outside of the
//! core; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};

use super::Director;
use crate::clock::Now;
use crate::entry::{Entry, Life};
use crate::ids::{DirectorName, Key, PoolName, SessionId};
use crate::wire::Message;

/// Keys that may be asked for at the same time. More start without an answer: a cold director must not become a crowd's burden
/// on its peers.
const ASKED_MAX: usize = 4096;

/// What a start waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Peers were asked for a key.
    Key {
        /// Its pool.
        pool: PoolName,
        /// The key.
        key: Key,
        /// Which session of it, where one key may have several.
        session: Option<SessionId>,
    },
    /// This director lost time, and waits until it has heard what happened without it.
    Everything,
}

/// Who has not answered, by key.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<(PoolName, Key), BTreeSet<DirectorName>>);

impl Asked {
    /// A peer has said what it knows.
    pub(super) fn answered(&mut self, peer: &DirectorName, pool: &PoolName, key: &Key) {
        let place = (pool.clone(), key.clone());
        if let Some(open) = self.0.get_mut(&place) {
            open.remove(peer);
            if open.is_empty() {
                self.0.remove(&place);
            }
        }
    }

    /// A peer will not answer.
    pub(super) fn gone(&mut self, peer: &DirectorName) {
        self.0.retain(|_, open| {
            open.remove(peer);
            !open.is_empty()
        });
    }
}

impl Director {
    /// Asks every linked peer for a key, if this director is cold and does not know it. `None`: start at once. Else send what
    /// [`Self::next_message`] has to say, and start when [`Self::is_answered`] says so.
    #[must_use]
    pub fn ask_peers(&self, pool: &PoolName, key: &Key, session: Option<SessionId>, now: Now) -> Option<Question> {
        if self.is_warm(now) || self.knows(pool, key, session, now) {
            return None;
        }
        let mut peers = self.peers.lock();
        let linked: BTreeSet<DirectorName> = peers.linked().cloned().collect();
        let place = (pool.clone(), key.clone());
        let mut asked = self.asked.lock();
        let known = asked.0.contains_key(&place);
        if linked.is_empty() || (!known && asked.0.len() >= ASKED_MAX) {
            return None;
        }
        if !known {
            for peer in &linked {
                peers.say(peer, [Message::Ask { pool: pool.clone(), key: key.clone(), session }]);
            }
            asked.0.insert(place, linked);
        }
        Some(Question::Key { pool: pool.clone(), key: key.clone(), session })
    }

    /// What a start waits for, if this director is cold because it lost time: what it knows of keys, servers and roles may be old, and
    /// its links stand again in a moment. One with a cookie waits as well, or it might be moved away from a server that is up again.
    #[must_use]
    pub fn catch_up(&self, now: Now) -> Option<Question> {
        (self.slept() && !self.is_warm(now)).then_some(Question::Everything)
    }

    /// Whether to wait no longer: the key is known, nobody who was asked is left to answer, or the director is warm.
    #[must_use]
    pub fn is_answered(&self, question: &Question, now: Now) -> bool {
        if self.is_warm(now) {
            *self.asked.lock() = Asked::default();
            return true;
        }
        let Question::Key { pool, key, session } = question else { return false };
        let open = self.asked.lock().0.contains_key(&(pool.clone(), key.clone()));
        !open || self.knows(pool, key, *session, now)
    }

    fn knows(&self, pool: &PoolName, key: &Key, session: Option<SessionId>, now: Now) -> bool {
        let live = |key: &Key, session| self.find(pool, key, session, now).is_some_and(|seat| seat.life == Life::Live);
        live(key, session) || self.alias(pool, key).is_some_and(|of| live(&of.key, None))
    }

    /// What this director says about a key that it is asked for: its seat and state, or the session of the agent whose id it is.
    pub(super) fn told_of(&self, pool: &PoolName, key: &Key, session: Option<SessionId>, now: Now) -> Vec<Entry> {
        let alias = self.alias(pool, key);
        let of = alias.as_ref().map_or(key, |alias| &alias.key);
        let seat = |key| self.find(pool, key, session, now).map(Entry::Seat);
        let view = self.view.load();
        let state = view.pool(pool).and_then(|pool| {
            let key = self.table.key(pool.ix(), of, session.filter(|_| pool.settings().allow_multiple));
            let shard = self.table.lock(&key);
            shard.state(&key).map(|state| Entry::State(state.entry(&self.names)))
        });
        let own = alias.as_ref().and_then(|_| seat(key));
        seat(of).into_iter().chain(own).chain(state).chain(alias.clone().map(Entry::Confirmed)).collect()
    }
}
