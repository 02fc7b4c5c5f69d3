//! Bugs that the simulator plants, to see that it would find them (`rules.md`, Simulator invariants).
//!
//! Without the feature `faults`, which only the simulator turns on, nothing can be planted and every question is a constant.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A stamp ahead of the own clock is clamped where it is read.
    ClampOnRead,
    /// What has a lower number than something seen of the same director is dropped.
    DropBySequence,
    /// A director that abstains keeps its last view, whatever others vote.
    FreezeAlone,
    /// A site whose directors are heard of does not fail over.
    LinkVeto,
    /// The generation orders seats before the stamp.
    GenerationFirst,
    /// A server falls one look too early.
    FallEarly,
    /// The role leaves without `failover.after`.
    NoDelay,
    /// A confirm moves its seat's stamp.
    ConfirmStamps,
    /// A director that was stopped goes on as if no time had passed.
    Sleepwalk,
    /// What a server says of itself in a beat to another director is not taken.
    HearNoBeats,
}

impl Fault {
    /// All that can be planted.
    pub const ALL: [Self; 10] = [
        Self::ClampOnRead,
        Self::DropBySequence,
        Self::FreezeAlone,
        Self::LinkVeto,
        Self::GenerationFirst,
        Self::FallEarly,
        Self::NoDelay,
        Self::ConfirmStamps,
        Self::Sleepwalk,
        Self::HearNoBeats,
    ];

    /// The word of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClampOnRead => "clamp-on-read",
            Self::DropBySequence => "drop-by-sequence",
            Self::FreezeAlone => "freeze-alone",
            Self::LinkVeto => "link-veto",
            Self::GenerationFirst => "generation-first",
            Self::FallEarly => "fall-early",
            Self::NoDelay => "no-delay",
            Self::ConfirmStamps => "confirm-stamps",
            Self::Sleepwalk => "sleepwalk",
            Self::HearNoBeats => "hear-no-beats",
        }
    }
}

#[cfg(feature = "faults")]
mod planting {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Plants a bug on this thread, or takes it away.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Whether this bug is planted.
    pub(crate) fn planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}

#[cfg(feature = "faults")]
pub use planting::plant;
#[cfg(feature = "faults")]
pub(crate) use planting::planted;

/// Whether this bug is planted: never.
#[cfg(not(feature = "faults"))]
pub(crate) const fn planted(_: Fault) -> bool {
    false
}
