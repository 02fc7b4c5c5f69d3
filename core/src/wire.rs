//! What directors say to each other: plain values, encoded and framed by the shell.
//!
//! Owns the shapes and their limits. Names, keys and generations are parsed while they are decoded, so what arrives here is
//! well-formed; whether it is believed is decided by whoever takes it. Nothing in a message decides by its order of arrival:
//! positions only say where to resume (R16).

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::entry::Entry;
use crate::events::{Mark, Notice};
use crate::health::Vote;
use crate::ids::{DatacenterName, DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};

/// The newest protocol that this build speaks.
pub const VERSION: u16 = 4;
/// From this version on events are shared.
pub const VERSION_OF_EVENTS: u16 = 2;
/// From this version on servers' lists are shared.
pub const VERSION_OF_LISTS: u16 = 3;
/// From this version on what servers say of themselves in beats is shared.
pub const VERSION_OF_SAID: u16 = 4;
/// The oldest one. N and N-1 interoperate.
pub const VERSION_MIN: u16 = 1;
/// Largest encoded data message, in bytes (R17).
pub const DATA_BYTES_MAX: usize = 64 * 1024;
/// Most entries of one data message.
pub const ENTRIES_MAX: usize = 1024;
/// Most words (votes, roles, orders) of one message.
pub const WORDS_MAX: usize = 256;
/// Most items of servers' lists in one message.
pub const LIST_ITEMS_MAX: usize = 256;
/// Most dependencies of servers in one message.
pub const SAID_DEPENDS_MAX: usize = 1024;
/// Entries of an answer about one key at most: two seats, a state, a confirm.
pub const TOLD_ENTRIES_MAX: usize = 4;
/// Most directors that one message tells positions of.
pub const POSITIONS_MAX: usize = 256;
/// Buckets of a digest: 32 KiB on the wire, and one difference among a million records sends some 250 of them.
pub const BUCKETS: usize = 4096;

/// Which queue of a link a message goes through; the first never waits for the second (R17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Greetings, pings, acknowledgements, orders, votes, roles, what servers list and say of themselves.
    Words,
    /// Sessions: counted against the window.
    Data,
}

/// How far a director's changes are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Which start of that director; each is higher than the one before.
    pub run: u64,
    /// Its own changes, by number.
    pub own: u64,
    /// What it handed on of others', by number.
    pub relayed: u64,
}

impl Position {
    /// Whether whoever stands here has everything up to `other`.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.run == other.run && self.own >= other.own && self.relayed >= other.relayed
    }
}

/// The first word on a link, of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who speaks; must be the name of the link's certificate.
    pub name: DirectorName,
    /// Where it stands.
    pub datacenter: DatacenterName,
    /// Its present run.
    pub run: u64,
    /// The oldest protocol that it speaks.
    pub version_min: u16,
    /// The newest one.
    pub version: u16,
    /// Digest of its configuration; a difference is reported, never refused.
    pub config: u64,
    /// What it has of each director.
    pub have: Vec<(DirectorName, Position)>,
}

/// One change, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Whoever has this much of that director has this change too; `None` is the sender's own.
    pub origin: Option<(DirectorName, Position)>,
    /// What holds now.
    pub entry: Entry,
}

/// One director's vote about one server (R11, R12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteWord {
    /// About whom.
    pub server: ServerName,
    /// Whose vote.
    pub director: DirectorName,
    /// The voter's run.
    pub run: u64,
    /// The look that it rests on: rises with each look of a run, so that a vote that went around is not younger than it is.
    pub look: u64,
    /// How long ago that look was, in milliseconds, all hops included.
    pub age_ms: u64,
    /// How old the vote may become, in milliseconds, by the voter's own probe interval.
    pub lasts_ms: u64,
    /// What it says.
    pub vote: Vote,
}

/// What one director holds about the active role of one pool (R13).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleWord {
    /// The pool.
    pub pool: PoolName,
    /// Whose word.
    pub director: DirectorName,
    /// The director's run.
    pub run: u64,
    /// Rises with each word of a run.
    pub word: u64,
    /// How long ago it was said, in milliseconds, all hops included.
    pub age_ms: u64,
    /// The datacenter that it holds to be active.
    pub active: DatacenterName,
    /// Since how many milliseconds before `age_ms`; 0 when it only supposes so.
    pub began_ms: u64,
    /// Counts changes; picks no winner.
    pub epoch: u64,
    /// Failovers in the last hour.
    pub failovers: u32,
    /// Since how many milliseconds its own datacenter serves without a break; `None` when it does not.
    pub serving_ms: Option<u64>,
}

/// Which life of a server beats to a director, and what its list says otherwise than that director's table (R8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListWord {
    /// Whose list.
    pub server: ServerName,
    /// To whom the server beats.
    pub director: DirectorName,
    /// That director's run.
    pub run: u64,
    /// The beat that it rests on: rises with each beat of a run.
    pub beat: u64,
    /// How long ago that beat came, in milliseconds, all hops included.
    pub age_ms: u64,
    /// The server's life.
    pub incarnation: IncarnationTag,
    /// The list's number.
    pub held_seq: Option<u64>,
    /// Where it differs.
    pub says: Vec<ListItem>,
    /// Another word of the same beat follows; with the last one, what is not among them differs no more.
    pub more: bool,
}

/// One key that a list and a table see differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListItem {
    /// The key.
    pub key: Key,
    /// The session, where a key may have several.
    pub session: Option<SessionId>,
    /// What the list says.
    pub says: ListSays,
}

/// What a list says of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListSays {
    /// The server holds it, and the table has it elsewhere.
    Holds {
        /// By the ticket that brought it there, if one did.
        generation: Option<Generation>,
        /// Since when it is listed, by the director's clock.
        since: Time,
    },
    /// The server held it and does not any more, and the table has it there.
    Lacks {
        /// For long enough to count (R8).
        unlisted: bool,
    },
}

/// What a server says of itself in the latest beat that somebody heard. Absent is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidWord {
    /// Who says it.
    pub server: ServerName,
    /// To whom it beat.
    pub director: DirectorName,
    /// That director's run.
    pub run: u64,
    /// The beat: rises with each one of a run, so that a word which went around is not younger than it is.
    pub beat: u64,
    /// How long ago that beat came, in milliseconds, all hops included.
    pub age_ms: u64,
    /// The server's life.
    pub incarnation: IncarnationTag,
    /// Sessions that it holds.
    pub sessions: Option<u32>,
    /// Sessions that it can hold.
    pub capacity: Option<u32>,
    /// It asks for no new sessions.
    pub draining: Option<bool>,
    /// Its configured dependencies: true is up.
    pub depends: Vec<(String, bool)>,
}

/// Everything that is said on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Who I am and what I have.
    Hello(Hello),
    /// Are you there; and what I have now.
    Ping {
        /// The sender's monotonic milliseconds, sent back as they are.
        sent: u64,
        /// The sender's own clock, for the comparison of clocks (R2).
        time: Time,
        /// It has synchronised since it started.
        warm: bool,
        /// What it has of each director.
        have: Vec<(DirectorName, Position)>,
    },
    /// I am.
    Pong {
        /// As it came.
        sent: u64,
    },
    /// Data messages taken since the link came up.
    Ack {
        /// How many.
        messages: u64,
    },
    /// Operators' orders: all of them, in parts.
    Orders(Vec<Entry>),
    /// Votes, own and heard.
    Votes(Vec<VoteWord>),
    /// Roles, own and heard.
    Roles(Vec<RoleWord>),
    /// Digests of all buckets of the sender's table.
    Digests {
        /// The usual comparison of a link that is in step: what differs is sent when it differs twice.
        routine: bool,
        /// The sender's clock when it drew them: what is young or expires soon is judged by it on both sides, or two clocks
        /// that differ would see a difference in every record that is young for one of them.
        as_of: Time,
        /// One per bucket.
        buckets: Vec<u64>,
    },
    /// Which buckets to send: one bit each.
    Want {
        /// Lowest bucket in the lowest bit of the first byte.
        buckets: Vec<u8>,
    },
    /// Part of a snapshot: merged, never replacing.
    Bulk {
        /// Whoever has this much of the sender has all of it.
        at: Position,
        /// Seats and states.
        entries: Vec<Entry>,
    },
    /// Everything up to here has been sent.
    Synced(Position),
    /// The live tail.
    Changes {
        /// Where the receiver stands after this.
        upto: Position,
        /// What changed.
        changes: Vec<Change>,
    },
    /// A cold director asks for a key that it does not know.
    Ask {
        /// The pool.
        pool: PoolName,
        /// The key.
        key: Key,
        /// The session, where a key may have several.
        session: Option<SessionId>,
    },
    /// What is known of a key that was asked for.
    Told {
        /// The pool.
        pool: PoolName,
        /// The key.
        key: Key,
        /// Its seat and state, and who is logged in there, as far as they are known.
        entries: Vec<Entry>,
    },
    /// How far the sender knows each director's events.
    EventsKnown(Vec<(DirectorName, Mark)>),
    /// Events of one run of one director.
    Events {
        /// Whose.
        director: DirectorName,
        /// Which run.
        run: u64,
        /// They come right behind this number.
        after: u64,
        /// With them, everything up to this number is known.
        upto: u64,
        /// In order of their numbers.
        notices: Vec<Notice>,
    },
    /// What servers list otherwise than the table says, own words and heard ones.
    Lists(Vec<ListWord>),
    /// What servers say of themselves in beats, own words and heard ones.
    Said(Vec<SaidWord>),
}

impl Message {
    /// The lane that it goes through.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Hello(_)
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Ack { .. }
            | Self::Orders(_)
            | Self::Votes(_)
            | Self::Roles(_)
            | Self::Ask { .. }
            | Self::Told { .. }
            | Self::EventsKnown(_)
            | Self::Events { .. }
            | Self::Lists(_)
            | Self::Said(_) => Lane::Words,
            Self::Digests { .. } | Self::Want { .. } | Self::Bulk { .. } | Self::Synced(_) | Self::Changes { .. } => {
                Lane::Data
            }
        }
    }

    /// About how many bytes it takes when encoded, rather too many.
    #[must_use]
    pub fn weight(&self) -> usize {
        const HEAD: usize = 32;
        HEAD + match self {
            Self::Hello(hello) => 96 + hello.have.len() * 96,
            Self::Ping { have, .. } => have.len() * 96,
            Self::Pong { .. } | Self::Ack { .. } | Self::Synced(_) => 0,
            Self::Orders(entries) | Self::Bulk { entries, .. } | Self::Told { entries, .. } => {
                entries.iter().map(weight).sum()
            }
            Self::Votes(words) => words.len() * 160,
            Self::Roles(words) => words.len() * 160,
            Self::Digests { buckets, .. } => buckets.len() * 9,
            Self::Want { buckets } => buckets.len(),
            Self::Changes { changes, .. } => changes.iter().map(|change| weight(&change.entry) + 96).sum(),
            Self::Ask { .. } => 256,
            Self::EventsKnown(known) => known.len() * 96,
            Self::Lists(words) => {
                let items = words.iter().flat_map(|word| &word.says);
                words.len() * 192 + items.map(|item| 48 + item.key.as_str().len()).sum::<usize>()
            }
            Self::Said(words) => {
                let depends = words.iter().flat_map(|word| &word.depends);
                words.len() * 224 + depends.map(|(name, _)| 4 + name.len()).sum::<usize>()
            }
            Self::Events { notices, .. } => 96 + notices.iter().map(|notice| 192 + notice.reason.len()).sum::<usize>(),
        }
    }
}

/// About how many bytes an entry takes when encoded, rather too many.
#[must_use]
pub fn weight(entry: &Entry) -> usize {
    const NUMBERS: usize = 72;
    match entry {
        Entry::Seat(seat) => {
            let names = seat.pool.as_str().len() + seat.server.as_str().len() + seat.writer.as_str().len();
            NUMBERS + names + seat.key.as_str().len()
        }
        Entry::State(state) => NUMBERS + 128 + state.key.as_str().len() + state.bytes.len(),
        Entry::ServerOrder(order) => NUMBERS + 128 + order.reason.len(),
        Entry::RoleOrder(_) | Entry::LastVerdict(_) | Entry::LastRole(_) | Entry::Clock(_) => NUMBERS + 192,
        Entry::Confirmed(confirmed) => NUMBERS + 256 + confirmed.key.as_str().len() + confirmed.agent.as_str().len(),
        Entry::Outage(outage) => NUMBERS + 64 + outage.dependency.len(),
    }
}
