//! What the invariants ask of the world: who lives, who reaches whom and since when, who is linked, what a director remembers.

use maitred_core::director::{Director, SnapshotPlace};
use maitred_core::entry::Entry;
use maitred_core::ids::Key;

use super::World;
use crate::plan::Node;

impl World {
    /// A living director; one that is stopped is none.
    #[must_use]
    pub fn director(&self, host: usize) -> Option<&Director> {
        let host = self.hosts.get(host)?;
        host.director.as_ref().filter(|_| host.stopped_at.is_none())
    }

    /// A client's key.
    #[must_use]
    pub fn key(&self, client: usize) -> &Key {
        &self.clients[client].key
    }

    /// Whether a client's key is minted by directors and may change.
    #[must_use]
    pub fn is_minted(&self, client: usize) -> bool {
        self.clients[client].minted
    }

    /// The client that has this key.
    #[must_use]
    pub fn client_of(&self, key: &Key) -> Option<usize> {
        self.clients.iter().position(|client| client.key == *key && !client.minted)
    }

    /// Whether something goes both ways.
    #[must_use]
    pub fn reaches(&self, a: Node, b: Node) -> bool {
        !self.cut.contains(&(a, b)) && !self.cut.contains(&(b, a))
    }

    /// Since when it does, or does not.
    #[must_use]
    pub fn reaches_since(&self, a: Node, b: Node) -> u64 {
        let since = |way| self.way_since.get(&way).copied().unwrap_or(0);
        since((a, b)).max(since((b, a)))
    }

    /// Whether two directors have a link.
    #[must_use]
    pub fn linked(&self, a: usize, b: usize) -> bool {
        self.wires.get(&(a.min(b), a.max(b))).is_some_and(|wire| wire.up)
    }

    /// Since when two directors have the link that they have.
    #[must_use]
    pub fn linked_since(&self, a: usize, b: usize) -> Option<u64> {
        self.wires.get(&(a.min(b), a.max(b))).filter(|wire| wire.up).map(|wire| wire.since)
    }

    /// Whether a director has a link that came up since then.
    #[must_use]
    pub fn linked_anew(&self, host: usize, since: u64) -> bool {
        self.wires.iter().any(|((a, b), wire)| (*a == host || *b == host) && wire.up && wire.since >= since)
    }

    /// Everything that a director remembers of sessions and has not expired.
    #[must_use]
    pub fn entries(&self, host: usize) -> Option<Vec<Entry>> {
        let director = self.director(host)?;
        let mut all = Vec::new();
        let mut sink = |entry: Entry| {
            if matches!(entry, Entry::Seat(_) | Entry::State(_)) {
                all.push(entry);
            }
        };
        let mut place = Some(SnapshotPlace::default());
        while let Some(from) = place {
            place = director.snapshot(&from, usize::MAX, self.hosts[host].now(self.now), &mut sink);
        }
        Some(all)
    }

    /// The same as text, in order.
    #[must_use]
    pub fn table(&self, host: usize) -> Option<Vec<String>> {
        let mut all: Vec<String> = self.entries(host)?.iter().map(|entry| format!("{entry:?}")).collect();
        all.sort();
        Some(all)
    }
}
