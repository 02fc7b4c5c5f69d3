//! `agent_state`: what a server leaves for the next one, opaque and small (R4, R9).
//!
//! It belongs to the agent, not to the browser: it is kept under the id of the agent that the session's server confirmed, or
//! under the key while nobody is confirmed. So it is there when the agent arrives with another key, and two agents who share a
//! browser, and with it a session, never meet each other's.

use std::fmt;

use thiserror::Error;

use super::Director;
use super::fence::{FenceRefusal, ServerFence};
use crate::clock::{Now, Stamp};
use crate::entry::{Life, StateEntry};
use crate::ids::{Key, PoolName, ServerName, SessionId};
use crate::session::{AGENT_STATE_BYTES_MAX, Full, Mark};

/// Which writing of a state: its ETag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateTag {
    stamp: Stamp,
    version: u64,
}

impl StateTag {
    /// The tag of nothing that was ever written.
    pub const NEVER: Self = Self { stamp: Stamp::ZERO, version: 0 };

    /// Parses what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (stamp, version) = text.split_once('.')?;
        let stamp = Stamp::from_bits(u64::from_str_radix(stamp, 16).ok()?);
        Some(Self { stamp, version: version.parse().ok()? })
    }

    /// Counts writes.
    #[must_use]
    pub fn version(self) -> u64 {
        self.version
    }
}

impl fmt::Display for StateTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.stamp.to_bits(), self.version)
    }
}

/// What a writer believes to replace (`If-Match`, `If-None-Match`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expected {
    /// Whatever is there.
    #[default]
    Anything,
    /// Something is there, whatever it is.
    Something,
    /// Nothing is there.
    Nothing,
    /// This writing.
    Tag(StateTag),
}

/// A state, as its server may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentState {
    /// Its ETag.
    pub tag: StateTag,
    /// The session under which it was written.
    pub session: SessionId,
    /// The state.
    pub bytes: Vec<u8>,
}

/// Why a state was neither read nor written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateRefusal {
    /// The server does not mean a current seat.
    #[error(transparent)]
    Fence(#[from] FenceRefusal),
    /// The server has not confirmed who is logged in, or the agent has confirmed another session since.
    #[error("only a server that confirmed the same agent may read")]
    NotConfirmed,
    /// Another writing is there than the one that is expected, or one under a later seat.
    #[error("the state has changed")]
    Changed(Option<StateTag>),
    /// More than 4 KiB.
    #[error("an agent state has at most {AGENT_STATE_BYTES_MAX} bytes")]
    TooLong,
}

impl Director {
    /// Writes the state of whoever is logged in at a session. A key that nobody knows is a walk-in and may write (R5).
    ///
    /// # Errors
    /// [`StateRefusal`]; nothing changes then.
    #[expect(clippy::too_many_arguments, reason = "the session, the fence, the expectation, the state and the moment")]
    pub fn put_agent_state(
        &self,
        pool: &PoolName,
        key: &Key,
        session: Option<SessionId>,
        fence: &ServerFence,
        expected: Expected,
        bytes: &[u8],
        now: Now,
    ) -> Result<StateTag, StateRefusal> {
        if bytes.len() > AGENT_STATE_BYTES_MAX {
            return Err(StateRefusal::TooLong);
        }
        let view = self.view.load();
        let named = self.named(&view, pool, key, session, fence)?;
        let seat_key = self.table.key(named.pool.ix(), key, named.session);
        let mut shard = self.table.lock(&seat_key);
        let sitting = self.fenced(&mut shard, &seat_key, key, session, &named, fence, now)?;
        let seat = self.entry_of(&sitting, named.pool, key);
        drop(shard);
        // Only who was confirmed at this very seat: a server that has not seen the login writes for nobody but the key.
        let confirmed = self.confirmed(&seat).filter(|entry| entry.holds(&seat));
        // Since when this session is the agent's: what was written under a later one is not replaced, also when that happened
        // after the seat was looked at, for two shards are never held.
        let stamp = confirmed.as_ref().map_or(seat.stamp, |entry| entry.stamp.max(seat.stamp));
        let owner = confirmed.map_or_else(|| key.clone(), |entry| entry.agent);

        let state_key = self.table.key(named.pool.ix(), &owner, named.session);
        let mut shard = self.table.lock(&state_key);
        let known = shard.state(&state_key).map(|known| StateTag { stamp: known.stamp(), version: known.version() });
        let meant = match expected {
            Expected::Anything => true,
            Expected::Something => known.is_some(),
            Expected::Nothing => known.is_none(),
            Expected::Tag(tag) => known == Some(tag),
        };
        if !meant || known.is_some_and(|known| known.stamp > stamp) {
            return Err(StateRefusal::Changed(known));
        }
        let version = known.map_or(1, |known| known.version.saturating_add(1));
        let entry = StateEntry {
            pool: pool.clone(),
            key: owner.clone(),
            session: seat.session,
            stamp,
            version,
            writer: self.me.clone(),
            bytes: bytes.to_vec(),
        };
        match shard.merge_state(&state_key, &entry, &self.names, Mark::Dirty) {
            Ok(_) => Ok(StateTag { stamp, version }),
            Err(Full::StateBytes) => Err(StateRefusal::TooLong),
            Err(_) => Err(FenceRefusal::Full.into()),
        }
    }

    /// The state of whoever is logged in at a session, for the server that confirmed it; `None` when there is none.
    ///
    /// # Errors
    /// [`StateRefusal`]: unknown, at another server, or not confirmed.
    pub fn agent_state(
        &self,
        pool: &PoolName,
        key: &Key,
        session: Option<SessionId>,
        server: &ServerName,
        now: Now,
    ) -> Result<Option<AgentState>, StateRefusal> {
        let seat = self.find(pool, key, session, now).ok_or(FenceRefusal::Unknown)?;
        if seat.life != Life::Live || seat.server != *server {
            return Err(FenceRefusal::Stale(Box::new(seat)).into());
        }
        let confirmed = self.confirmed(&seat).filter(|entry| entry.holds(&seat)).ok_or(StateRefusal::NotConfirmed)?;
        let newest = self.aliases.read().newest(pool, &confirmed.agent).map(crate::entry::ConfirmedEntry::place);
        if !confirmed.by_session && newest != Some(confirmed.place()) {
            return Err(StateRefusal::NotConfirmed);
        }
        let view = self.view.load();
        let pool = view.pool(pool).ok_or(FenceRefusal::Unknown)?;
        let state_key = self.table.key(pool.ix(), &confirmed.agent, confirmed.by_session.then_some(confirmed.session));
        let shard = self.table.lock(&state_key);
        Ok(shard.state(&state_key).map(|state| AgentState {
            tag: StateTag { stamp: state.stamp(), version: state.version() },
            session: state.session(),
            bytes: state.bytes().to_vec(),
        }))
    }
}
