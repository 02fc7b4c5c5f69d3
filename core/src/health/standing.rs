//! What decisions see of a server's health: one word that won, and the weight.
//!
//! Everything else follows from the word, so no server can be placeable and unusable at once.

use super::steady::WEIGHT_STEPS;

/// Which input won, strongest first. A metric label and a word of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// The operator takes it out.
    Maint,
    /// Fresh votes say that it does not serve.
    Down,
    /// The directors of its own site say that it does not serve, and a director of another site sees it serve: the last resort,
    /// before somebody is refused.
    Disputed,
    /// No fresh vote; it was down when last known.
    LastKnownDown,
    /// Nobody has ever said a word about it, and this director, of another site, has looked for a while and never saw it up: the
    /// last resort as well.
    Unseen,
    /// The operator wants no new sessions there.
    Drain,
    /// The server itself wants none.
    Draining,
    /// A dependency with effect `degrade` is down.
    Degraded,
    /// It fell too often lately.
    HeldDown,
    /// No fresh vote; it was up when last known, or nothing is known.
    Unconfirmed,
    /// It came up lately and takes a part of its weight.
    SlowStart,
    /// Fresh votes say that it serves.
    Up,
}

/// Where a server ranks for a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// As usual.
    Normal,
    /// After all normal ones of its site; never refused for it (R14).
    Last,
}

/// A server as decisions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Which input won.
    pub input: Input,
    /// Its share of its configured weight in sixteenths, 1 to 16; of no meaning where it is not placeable.
    pub weight_step: u8,
}

impl Standing {
    /// A server that nothing is known of.
    pub const UNKNOWN: Self = Self { input: Input::Unconfirmed, weight_step: WEIGHT_STEPS };

    /// Those who sit there stay: neither in maint nor down.
    #[must_use]
    pub fn is_usable(self) -> bool {
        match self.input {
            Input::Maint | Input::Down | Input::Disputed | Input::LastKnownDown | Input::Unseen => false,
            Input::Drain
            | Input::Draining
            | Input::Degraded
            | Input::HeldDown
            | Input::Unconfirmed
            | Input::SlowStart
            | Input::Up => true,
        }
    }

    /// New sessions may go there: usable, and neither operator nor server asks for none.
    #[must_use]
    pub fn is_placeable(self) -> bool {
        self.is_usable() && !matches!(self.input, Input::Drain | Input::Draining)
    }

    /// New sessions go there only where everybody would be refused otherwise; those that sit there move when they can.
    #[must_use]
    pub fn is_last_resort(self) -> bool {
        matches!(self.input, Input::Disputed | Input::Unseen)
    }

    /// Where it ranks.
    #[must_use]
    pub fn tier(self) -> Tier {
        match self.input {
            Input::SlowStart | Input::Up => Tier::Normal,
            Input::Maint
            | Input::Down
            | Input::Disputed
            | Input::LastKnownDown
            | Input::Unseen
            | Input::Drain
            | Input::Draining
            | Input::Degraded
            | Input::HeldDown
            | Input::Unconfirmed => Tier::Last,
        }
    }
}

impl Input {
    /// Every input, strongest first.
    pub const ALL: [Self; 12] = [
        Self::Maint,
        Self::Down,
        Self::Disputed,
        Self::LastKnownDown,
        Self::Unseen,
        Self::Drain,
        Self::Draining,
        Self::Degraded,
        Self::HeldDown,
        Self::Unconfirmed,
        Self::SlowStart,
        Self::Up,
    ];

    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maint => "maint",
            Self::Down => "down",
            Self::Disputed => "disputed",
            Self::LastKnownDown => "last_known_down",
            Self::Unseen => "unseen",
            Self::Drain => "drain",
            Self::Draining => "draining",
            Self::Degraded => "degraded",
            Self::HeldDown => "held_down",
            Self::Unconfirmed => "unconfirmed",
            Self::SlowStart => "slow_start",
            Self::Up => "up",
        }
    }
}
