//! What the world tells the invariants: what directors decided, and what servers and wires got to see of it.

use maitred_core::director::ResetOrder;
use maitred_core::entry::{Entry, OperatorWord};
use maitred_core::held::HeldSession;
use maitred_core::ids::{DatacenterName, SessionId};
use maitred_core::role::RoleCause;
use maitred_core::seating::{Refusal, Seat};

use crate::plan::Journal;

/// What the world saw, for the invariants.
#[derive(Debug)]
pub enum Seen {
    /// A start was decided.
    Started {
        /// By whom.
        client: usize,
        /// At which director.
        host: usize,
        /// The client gets the answer.
        answered: bool,
        /// What the client had.
        before: Option<Box<Seat>>,
        /// The decision.
        result: Box<Result<Seat, Refusal>>,
    },
    /// An end was taken.
    Ended {
        /// By whom.
        client: usize,
        /// At which director.
        host: usize,
        /// The client gets the answer.
        answered: bool,
        /// What was ended.
        session: SessionId,
    },
    /// An order about a server was acknowledged.
    Ordered {
        /// At which director.
        host: usize,
        /// About which server.
        server: usize,
        /// What it says.
        word: OperatorWord,
    },
    /// A director holds another datacenter to be active.
    Role {
        /// Which director.
        host: usize,
        /// Where the role was.
        from: DatacenterName,
        /// Why.
        cause: RoleCause,
    },
    /// Session records went onto a wire.
    Records {
        /// From which director.
        from: usize,
        /// How many.
        count: usize,
        /// The first of them.
        first: Box<Entry>,
    },
    /// A server holds a session, or another one of that key than before.
    Holds {
        /// Which server.
        server: usize,
        /// What it holds now.
        held: HeldSession,
    },
    /// A server was told to reset sessions, and heard it.
    Resets {
        /// By which director.
        host: usize,
        /// Which server.
        server: usize,
        /// What it is told.
        orders: Vec<ResetOrder>,
    },
    /// A message did not come out of the codec as it went in.
    Garbled(String),
    /// A director died.
    Died(usize),
    /// It started again.
    Returned(usize, Journal),
    /// The settings changed at all directors.
    Configured,
    /// A second has passed.
    Tick,
}
