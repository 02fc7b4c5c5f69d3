//! What is said of a change of the table: by whoever makes it, and to whoever asked for it.
//!
//! Plain values; what follows from them is the shard's, and the counters' by server.

use super::names::ServerIx;
use super::record::Record;
use super::slab::Reader;
use super::state::StateRecord;

/// Where a key's live seat was and is, for the counters by server. Tombstones are nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "the counters by server live by it"]
pub struct Change {
    /// The server whose live seat went.
    pub before: Option<ServerIx>,
    /// The server that has the live seat now.
    pub after: Option<ServerIx>,
}

/// What merging a seat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the counters by server live by it"]
pub enum Merged {
    /// The key had no record.
    New(Change),
    /// It was the higher one (R1).
    Replaced(Change),
    /// The known one is higher or the same, but was seen later than we knew.
    Seen,
    /// Nothing new.
    Kept,
}

impl Merged {
    /// Where the live seat was and is; nothing for [`Merged::Seen`] and [`Merged::Kept`].
    pub fn change(self) -> Change {
        match self {
            Self::New(change) | Self::Replaced(change) => change,
            Self::Seen | Self::Kept => Change::default(),
        }
    }
}

/// Whether a change must still be written down and handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Both: an own decision, or what a client showed.
    Dirty,
    /// Written down only: it comes from a peer, and whoever merges it knows to whom it is handed on.
    Heard,
    /// The same, while this director catches up: what it hears has long been told, and is no news.
    CaughtUp,
    /// Neither: it comes from the journal.
    Clean,
}

impl Mark {
    pub(super) fn readers(self) -> &'static [Reader] {
        match self {
            Self::Dirty => &[Reader::Journal, Reader::Peers],
            Self::Heard | Self::CaughtUp => &[Reader::Journal],
            Self::Clean => &[],
        }
    }

    /// Whether what it changes happened just now, and not long ago.
    pub(super) fn is_news(self) -> bool {
        match self {
            Self::Dirty | Self::Heard => true,
            Self::CaughtUp | Self::Clean => false,
        }
    }
}

/// Something that changed since it was last handed out.
#[derive(Debug)]
pub enum Dirty<'a> {
    /// A seat or its tombstone.
    Seat(Record<'a>),
    /// An agent state.
    State(&'a StateRecord),
}

/// What one step of the sweeper did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Seats and tombstones forgotten.
    pub records: usize,
    /// Agent states forgotten.
    pub states: usize,
    /// The shard's end was reached; the next step begins anew.
    pub round_done: bool,
}
