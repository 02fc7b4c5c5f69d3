//! The session table: who sits where, in which life of the server, since when, and until when that is remembered.
//!
//! ```text
//! SeatEntry (names) ──admit──▶ merge ──▶ Table ─ Shard (one lock) ─┬─ slab of rows ── list per server (live seats), texts of keys
//!      ▲                                                           ├─ index by key
//!      └───────────── drain_dirty, page, by_server ◀───────────────└─ agent_state registers
//! ```
//!
//! Owns the order of seats (R1), the pure merge (R2), expiry and tombstones (R18) and the `agent_state` register (R9). Refuses to
//! know which server is usable: orphans and restored seats follow from a seat and the view and are never stored (R3). Nobody
//! holds two shards at once.

mod change;
mod happened;
mod key_text;
mod merge;
mod names;
mod record;
mod shard;
mod shares;
mod slab;
mod state;
mod table;
mod texts;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod model;

pub use change::{Change, Dirty, Mark, Merged, Swept};
pub use merge::{Dropped, Rank, STAMP_AHEAD_MAX, TOMBSTONE_EXTRA, admit, expires, merge, rank};
pub use names::{Book, Names, PoolIx, ServerIx, WriterIx};
pub use record::{Record, SeatKey, Seen, Sitting};
pub use shard::Shard;
pub use slab::Reader;
pub use state::{AGENT_STATE_BYTES_MAX, StateMerged, StateRecord};
pub use table::{Cursor, ShardGuard, Table, TableOptions};

use thiserror::Error;

/// A bound was reached: nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Full {
    /// The table holds as many seats as it may.
    #[error("the session table is full")]
    Records,
    /// The table holds as many `agent_state` registers as it may.
    #[error("the table of agent states is full")]
    States,
    /// More bytes than one `agent_state` may have.
    #[error("the agent state is longer than 4096 bytes")]
    StateBytes,
    /// More pool names than one process remembers.
    #[error("too many pool names")]
    Pools,
    /// More server names than one process remembers.
    #[error("too many server names")]
    Servers,
    /// More director names than one process remembers.
    #[error("too many director names")]
    Writers,
}
