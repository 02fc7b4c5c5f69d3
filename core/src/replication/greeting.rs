//! A peer introduces itself: who it is, what it speaks, and from where it is brought up to date.

use std::collections::BTreeMap;
use std::time::Duration;

use super::log::Log;
use super::{Peers, Store, Violation};
use crate::clock::Now;
use crate::ids::DirectorName;
use crate::wire::{Hello, POSITIONS_MAX, VERSION, VERSION_MIN};

/// How far ahead a run that a peer reports may lie: runs begin as the time of their start.
const RUN_AHEAD_MAX: Duration = crate::session::STAMP_AHEAD_MAX;

impl Peers {
    pub(super) fn handle_hello(
        &mut self,
        peer: &DirectorName,
        hello: Hello,
        store: &dyn Store,
        now: Now,
    ) -> Result<(), Violation> {
        let link = self.links.get_mut(peer).ok_or(Violation::Unknown)?;
        if link.is_past {
            return Err(Violation::Past);
        }
        if hello.name != *peer {
            return Err(Violation::Name(hello.name));
        }
        if hello.version < VERSION_MIN || hello.version_min > VERSION {
            return Err(Violation::Version(hello.version_min, hello.version));
        }
        if link.is_linked() || !link.may_be_greeted() {
            return Err(Violation::Turn);
        }
        if hello.have.len() > POSITIONS_MAX {
            return Err(Violation::Limit);
        }
        let theirs: BTreeMap<_, _> = hello.have.into_iter().collect();
        let of_me = theirs.get(&self.me).copied();
        link.introduced(theirs, hello.version, hello.config);
        if self.have.get(peer).is_some_and(|known| known.run != hello.run) {
            self.have.remove(peer);
        }
        link.run = hello.run;
        if let Some(seen) = of_me.filter(|seen| seen.run > self.log.run) {
            self.outrun(seen.run, now);
        }
        if std::mem::replace(&mut self.known, true) {
            self.collect(store, now);
        } else {
            store.pass_over();
        }
        let resume = of_me.filter(|position| self.log.reaches(*position));
        if let Some(link) = self.links.get_mut(peer) {
            link.begin(resume, self.log.end(), now);
        }
        Ok(())
    }

    /// A peer has seen a higher run of this director: the clock went back over a restart. Numbers of this run mean nothing to
    /// it, so a new one begins, and every link compares.
    fn outrun(&mut self, seen: u64, now: Now) {
        if seen > (now.time + RUN_AHEAD_MAX).0 {
            return self.count_dropped("run_ahead");
        }
        self.log = Log::new(seen + 1);
        let end = self.log.end();
        for link in self.links.values_mut().filter(|link| link.is_linked()) {
            link.begin(None, end, now);
        }
    }
}
