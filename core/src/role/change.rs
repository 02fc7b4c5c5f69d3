//! That the role moved, and why, in the words of logs, events and explanations.

use crate::ids::DatacenterName;

/// The role moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleChange {
    /// Where it was.
    pub from: DatacenterName,
    /// Where it is.
    pub to: DatacenterName,
    /// Counts changes.
    pub epoch: u64,
    /// Why.
    pub cause: RoleCause,
}

/// Why the role moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleCause {
    /// The active datacenter has not served for `failover.after`.
    Failover,
    /// The preferred one has served long enough again.
    Failback,
    /// An operator said so.
    Order,
    /// Nothing is heard from the active datacenter and nobody has seen it fail: this one serves whoever reaches it.
    Isolated,
    /// Other directors have held so, and for longer than the active one served.
    Agreed,
    /// The configuration no longer names the active one.
    Configuration,
}

impl RoleCause {
    /// The stable word for logs and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::Order => "order",
            Self::Isolated => "isolated",
            Self::Agreed => "agreed",
            Self::Configuration => "configuration",
        }
    }
}
