//! The `agent_state` register of a key: opaque, ordered by itself, and alive when the seat is lost (R9).

use std::cmp::Ordering;
use std::time::Duration;

use super::Full;
use super::key_text::KeyText;
use super::names::{Book, Names, PoolIx, WriterIx};
use super::record::SeatKey;
use crate::clock::{Stamp, Time};
use crate::entry::StateEntry;
use crate::ids::{Key, SessionId};

/// Longest `agent_state`, in bytes (`architecture.md`).
pub const AGENT_STATE_BYTES_MAX: usize = 4096;

/// What merging a state did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateMerged {
    /// The key had none.
    New,
    /// It was the higher one.
    Replaced,
    /// The known one is as high or higher.
    Kept,
}

/// One register.
#[derive(Debug, Clone)]
pub struct StateRecord {
    text: KeyText,
    pool: PoolIx,
    by_session: bool,
    session: SessionId,
    stamp: Stamp,
    version: u64,
    writer: WriterIx,
    bytes: Box<[u8]>,
}

impl StateRecord {
    pub(super) fn new(key: &SeatKey<'_>, entry: &StateEntry, names: &Names) -> Result<Self, Full> {
        if entry.bytes.len() > AGENT_STATE_BYTES_MAX {
            return Err(Full::StateBytes);
        }
        Ok(Self {
            text: KeyText::new(key.text),
            pool: key.pool,
            by_session: key.session.is_some(),
            session: key.session.unwrap_or(entry.session),
            stamp: entry.stamp,
            version: entry.version,
            writer: names.writer(&entry.writer)?,
            bytes: entry.bytes.as_slice().into(),
        })
    }

    /// The session under which it was written; another one may have the key now.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Stamp of the seat under which it was written.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Counts writes under one seat.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The state itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The entry with names.
    #[must_use]
    pub fn entry(&self, names: &Names) -> StateEntry {
        let book = names.book();
        StateEntry {
            pool: book.pool(self.pool).clone(),
            key: Key::trusted(self.text.as_str()),
            session: self.session,
            stamp: self.stamp,
            version: self.version,
            writer: book.writer(self.writer).clone(),
            bytes: self.bytes.to_vec(),
        }
    }

    /// R9, and bytes and session last, so that the order is total.
    pub(super) fn order(&self, entry: &StateEntry, book: &Book) -> Ordering {
        let mine = (self.stamp, self.version, book.writer(self.writer).as_str(), &*self.bytes, self.session);
        mine.cmp(&(entry.stamp, entry.version, entry.writer.as_str(), &entry.bytes, entry.session))
    }

    /// When it is forgotten, unless a live seat of its key is there still.
    pub(super) fn expires(&self, ttl: Duration) -> Time {
        self.stamp.time() + ttl
    }

    pub(super) fn pool(&self) -> PoolIx {
        self.pool
    }

    pub(super) fn is_of(&self, key: &SeatKey<'_>) -> bool {
        self.pool == key.pool
            && self.text.as_bytes() == key.text.as_bytes()
            && match key.session {
                Some(session) => self.by_session && self.session == session,
                None => !self.by_session,
            }
    }

    pub(super) fn key(&self, seed: u64) -> SeatKey<'_> {
        SeatKey::new(seed, self.pool, self.text.as_str(), self.by_session.then_some(self.session))
    }
}
