//! One event, as integrators and operators see it, and when two of them are the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::place::Mark;
use crate::clock::Time;
use crate::digest::Digest;
use crate::ids::{DatacenterName, DirectorName, Generation, Key, PoolName, ServerName, SessionId};
use crate::logout::{MassLogout, WINDOW};

/// The same statement about a server or a role by another director within this time is the same event.
const SAME_WITHIN: Duration = Duration::from_secs(60);
/// Longest reason, in bytes: as long as an operator's own words may be.
pub const REASON_BYTES_MAX: usize = 1024;

/// One event of one director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its number in this run of its director.
    pub number: u64,
    /// When it happened, by the clock of the director that decided.
    pub time: Time,
    /// What happened.
    pub what: What,
    /// Why: a stable word, or an operator's own ones.
    pub reason: SmolStr,
}

/// What happened.
///
/// Directors of two versions tell kinds apart by their position: a new one goes to the END.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// To a session.
    Session(OfSession),
    /// To a server, as one director sees it.
    Server {
        /// What.
        turn: ServerTurn,
        /// Its pool.
        pool: PoolName,
        /// The server.
        server: ServerName,
    },
    /// A datacenter's role for a pool changed, as one director sees it.
    Site {
        /// Active or passive now.
        active: bool,
        /// The pool.
        pool: PoolName,
        /// The datacenter.
        datacenter: DatacenterName,
        /// Counts changes of the role.
        epoch: u64,
    },
    /// The link between two directors.
    Peer {
        /// Whether it stands now.
        up: bool,
        /// The director at the other end.
        peer: DirectorName,
    },
    /// So many sessions of a pool lost their server or ended at once that it is one incident.
    MassLogout {
        /// The pool.
        pool: PoolName,
        /// How many, of how many.
        incident: MassLogout,
    },
    /// So many servers fell silent for one director that it suspects itself, or no longer does.
    Suspect {
        /// The pool.
        pool: PoolName,
        /// Whether it abstains now.
        abstains: bool,
    },
    /// Of two orders that were given at two directors, which did not know of each other, this one lost.
    OrderSuperseded {
        /// The pool.
        pool: PoolName,
        /// The server; `None` for an order about the active datacenter.
        server: Option<ServerName>,
        /// What it said.
        lost: Box<str>,
        /// Who had taken it.
        by: DirectorName,
        /// What holds.
        holds: Box<str>,
    },
}

/// A turn of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfSession {
    /// What happened.
    pub turn: SessionTurn,
    /// The pool.
    pub pool: PoolName,
    /// What affinity is about.
    pub key: Key,
    /// The session's public id.
    pub session: SessionId,
    /// Which generation.
    pub generation: Generation,
    /// At which server.
    pub server: ServerName,
    /// Where it was before, if it came from somewhere.
    pub from: Option<ServerName>,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SessionTurn {
    /// It began.
    Placed,
    /// A start found it where it is.
    Kept,
    /// It came to this server from another one.
    Moved,
    /// Its server is down or another process; it keeps its place.
    Orphaned,
    /// Its server is back, or a later start undid an end.
    Restored,
    /// Its server says who is logged in.
    Confirmed,
    /// This generation is over.
    Ended,
    /// Its server is told to reset it.
    Reset,
}

/// What happens to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServerTurn {
    /// Its verdict is up.
    Up,
    /// Its verdict is down.
    Down,
    /// Its process is another one.
    Reborn,
    /// It is degraded.
    Degraded,
    /// It no longer is.
    Recovered,
    /// The operator's word is ready.
    Ready,
    /// The operator's word is drain.
    Drain,
    /// The operator's word is maint.
    Maint,
}

impl What {
    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Session(of) => match of.turn {
                SessionTurn::Placed => "session_placed",
                SessionTurn::Kept => "session_kept",
                SessionTurn::Moved => "session_moved",
                SessionTurn::Orphaned => "session_orphaned",
                SessionTurn::Restored => "session_restored",
                SessionTurn::Confirmed => "session_confirmed",
                SessionTurn::Ended => "session_ended",
                SessionTurn::Reset => "session_reset",
            },
            Self::Server { turn, .. } => match turn {
                ServerTurn::Up => "server_up",
                ServerTurn::Down => "server_down",
                ServerTurn::Reborn => "server_reborn",
                ServerTurn::Degraded => "server_degraded",
                ServerTurn::Recovered => "server_recovered",
                ServerTurn::Ready => "server_ready",
                ServerTurn::Drain => "server_drain",
                ServerTurn::Maint => "server_maint",
            },
            Self::Site { active: true, .. } => "datacenter_active",
            Self::Site { active: false, .. } => "datacenter_passive",
            Self::Peer { up: true, .. } => "peer_up",
            Self::Peer { up: false, .. } => "peer_down",
            Self::MassLogout { .. } => "mass_logout",
            Self::Suspect { abstains: true, .. } => "director_suspect",
            Self::Suspect { abstains: false, .. } => "director_trusted",
            Self::OrderSuperseded { .. } => "order_superseded",
        }
    }

    /// All names, for those who filter by them.
    pub const NAMES: [&'static str; 24] = [
        "session_placed",
        "session_kept",
        "session_moved",
        "session_orphaned",
        "session_restored",
        "session_confirmed",
        "session_ended",
        "session_reset",
        "server_up",
        "server_down",
        "server_reborn",
        "server_degraded",
        "server_recovered",
        "server_ready",
        "server_drain",
        "server_maint",
        "datacenter_active",
        "datacenter_passive",
        "peer_up",
        "peer_down",
        "mass_logout",
        "director_suspect",
        "director_trusted",
        "order_superseded",
    ];

    /// The pool that it is about.
    #[must_use]
    pub fn pool(&self) -> Option<&PoolName> {
        match self {
            Self::Session(OfSession { pool, .. })
            | Self::Server { pool, .. }
            | Self::Site { pool, .. }
            | Self::MassLogout { pool, .. }
            | Self::Suspect { pool, .. }
            | Self::OrderSuperseded { pool, .. } => Some(pool),
            Self::Peer { .. } => None,
        }
    }

    /// The server that it is about.
    #[must_use]
    pub fn server(&self) -> Option<&ServerName> {
        match self {
            Self::Session(OfSession { server, .. }) | Self::Server { server, .. } => Some(server),
            Self::OrderSuperseded { server, .. } => server.as_ref(),
            Self::Site { .. } | Self::Peer { .. } | Self::MassLogout { .. } | Self::Suspect { .. } => None,
        }
    }

    /// Bytes of its texts, about.
    pub(super) fn text_bytes(&self) -> usize {
        let pool = self.pool().map_or(0, |pool| pool.as_str().len());
        let server = self.server().map_or(0, |server| server.as_str().len());
        let key = if let Self::Session(of) = self { of.key.as_str().len() } else { 64 };
        pool + server + key
    }

    /// How it is told apart from others, whoever tells it.
    pub(super) fn sameness(&self, director: &DirectorName, mark: Mark) -> Sameness {
        match self {
            Self::Session(of) => of.sameness(director, mark),
            Self::Server { turn, server, .. } => {
                // An operator's word is one register, the verdict another: neither takes the other one back.
                let register = match turn {
                    ServerTurn::Up | ServerTurn::Down => "verdict",
                    ServerTurn::Reborn => "life",
                    ServerTurn::Degraded | ServerTurn::Recovered => "degraded",
                    ServerTurn::Ready | ServerTurn::Drain | ServerTurn::Maint => "word",
                };
                self.says(Digest::new(register).text(server.as_str()))
            }
            Self::Site { pool, datacenter, .. } => {
                self.says(Digest::new("site").text(pool.as_str()).text(datacenter.as_str()))
            }
            // Directors tell an incident within seconds of each other; the next one of a pool is a window away.
            Self::MassLogout { pool, .. } => Sameness::Says {
                subject: Digest::new("mass_logout").text(pool.as_str()).finish(),
                said: 0,
                within: WINDOW / 2,
            },
            Self::Peer { .. } | Self::Suspect { .. } => own(self.name(), director, mark),
            Self::OrderSuperseded { pool, server, .. } => {
                let server = server.as_ref().map_or("", ServerName::as_str);
                self.says(Digest::new("order").text(pool.as_str()).text(server))
            }
        }
    }

    fn says(&self, subject: Digest) -> Sameness {
        let said = Digest::new("says").text(self.name()).finish();
        Sameness::Says { subject: subject.finish(), said, within: SAME_WITHIN }
    }
}

impl OfSession {
    /// A life of a seat is (session, generation, server); it begins once and ends once, whoever tells of it.
    fn sameness(&self, director: &DirectorName, mark: Mark) -> Sameness {
        let kind = match self.turn {
            SessionTurn::Placed | SessionTurn::Moved => "began",
            SessionTurn::Ended => "ended",
            SessionTurn::Confirmed => "confirmed",
            SessionTurn::Orphaned | SessionTurn::Restored => "place",
            SessionTurn::Reset => "reset",
            SessionTurn::Kept => return own("kept", director, mark),
        };
        let life = Digest::new(kind)
            .text(self.pool.as_str())
            .text(self.key.as_str())
            .bytes(Some(&self.session.0))
            .number(Some(u64::from(self.generation.get())))
            .text(self.server.as_str());
        let said = match self.turn {
            SessionTurn::Orphaned => "orphaned",
            SessionTurn::Restored => "restored",
            // A server that beats to two directors is told by both.
            SessionTurn::Reset => "reset",
            _ => return Sameness::Once(life.finish()),
        };
        Sameness::Says { subject: life.finish(), said: Digest::new("says").text(said).finish(), within: SAME_WITHIN }
    }
}

/// When two events are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sameness {
    /// It happens once, whoever tells of it: two with this number are one.
    Once(u128),
    /// A statement about a subject that changes back and forth: the same one again is the same event, as long as it is the
    /// latest about its subject and recent.
    Says {
        /// About what.
        subject: u128,
        /// What is said.
        said: u128,
        /// How long another director may take to say the same.
        within: Duration,
    },
}

fn own(name: &str, director: &DirectorName, mark: Mark) -> Sameness {
    let digest = Digest::new(name).text(director.as_str()).number(Some(mark.run)).number(Some(mark.number));
    Sameness::Once(digest.finish())
}
