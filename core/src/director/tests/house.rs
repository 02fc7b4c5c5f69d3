//! Several directors in one room, with wires that the test cuts and joins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rig::*;
use crate::director::SnapshotPlace;
use crate::entry::Entry;
use crate::ids::DirectorName;
use crate::session::TableOptions;
use crate::settings::Settings;
use crate::wire::{Lane, Message};

pub(super) struct House {
    pub(super) rigs: BTreeMap<String, Rig>,
    wires: BTreeSet<(String, String)>,
    /// Every message that went over a wire since the test looked last.
    pub(super) log: Vec<(String, String, Message)>,
}

/// `east-1` stands in the east, `west-2` in the west; all know each other.
pub(super) fn of(name: &str, all: &[&str], settings: &Settings) -> Settings {
    let home = |name: &str| super::rig::name(name.split('-').next().unwrap());
    Settings {
        director: super::rig::name(name),
        datacenter: home(name),
        peers: all.iter().filter(|other| **other != name).map(|other| (super::rig::name(other), home(other))).collect(),
        ..settings.clone()
    }
}

impl House {
    pub(super) fn new(names: &[&str], settings: &Settings) -> Self {
        let rigs = names.iter().map(|name| ((*name).to_owned(), Rig::new(of(name, names, settings)))).collect();
        let mut house = Self { rigs, wires: BTreeSet::new(), log: Vec::new() };
        // Session ids are random in life; here each director has its own range.
        for (rig, number) in house.rigs.values_mut().zip(1_u128..) {
            rig.skip_to(number << 64);
        }
        house
    }

    pub(super) fn at(&mut self, name: &str) -> &mut Rig {
        self.rigs.get_mut(name).unwrap()
    }

    pub(super) fn join(&mut self, one: &str, other: &str) {
        self.wires.insert((one.to_owned(), other.to_owned()));
        for (a, b) in [(one, other), (other, one)] {
            let rig = self.at(a);
            rig.director.handle_link_up(&name(b), rig.now).unwrap();
        }
    }

    pub(super) fn join_all(&mut self) {
        let names: Vec<String> = self.rigs.keys().cloned().collect();
        for (at, one) in names.iter().enumerate() {
            for other in &names[at + 1..] {
                self.join(one, other);
            }
        }
    }

    pub(super) fn cut(&mut self, one: &str, other: &str) {
        self.wires.remove(&(one.to_owned(), other.to_owned()));
        for (a, b) in [(one, other), (other, one)] {
            self.at(a).director.handle_link_down(&name(b));
        }
    }

    /// A new process with the same name and an empty memory.
    pub(super) fn replace(&mut self, who: &str) {
        let wires: Vec<_> = self.wires.iter().filter(|(a, b)| a == who || b == who).cloned().collect();
        wires.iter().for_each(|(a, b)| self.cut(a, b));
        let old = self.rigs.remove(who).unwrap();
        let mut rig = Rig::new(old.settings.clone());
        rig.now = old.now;
        let options = TableOptions { shards: 8, seed: 77, ..TableOptions::default() };
        rig.director = crate::director::Director::new(old.settings.clone(), options, old.now).unwrap();
        rig.servers().iter().for_each(|server| rig.good(server));
        rig.skip_ids(&old);
        self.rigs.insert(who.to_owned(), rig);
        wires.iter().for_each(|(a, b)| self.join(a, b));
    }

    /// Carries everything that there is to say, in the same instant.
    pub(super) fn carry(&mut self) {
        loop {
            let mut carried = false;
            for (one, other) in self.wires.clone() {
                for (from, to) in [(&one, &other), (&other, &one)] {
                    let now = self.rigs[from].now;
                    let Some(message) = self.rigs[from].director.next_message(&name(to), now) else { continue };
                    assert!(message.lane() == Lane::Words || message.weight() <= 2 * crate::wire::DATA_BYTES_MAX);
                    self.log.push((from.clone(), to.clone(), message.clone()));
                    let (me, now): (DirectorName, _) = (name(from), self.rigs[to].now);
                    self.rigs[to].director.handle_message(&me, message, now).unwrap();
                    carried = true;
                }
            }
            let ends = self.wires.iter().flat_map(|(a, b)| [(a, b), (b, a)]);
            let busy = ends.into_iter().any(|(one, other)| {
                let rig = &self.rigs[one];
                rig.director.next_peer_deadline(&name(other), rig.now) == Some(rig.now.mono)
            });
            if !carried && !busy {
                return;
            }
        }
    }

    /// Lets time pass in steps of 100 ms; probes go on, everything is carried.
    pub(super) fn pass(&mut self, time: Duration) {
        for step in 0..time.as_millis() / 100 {
            for rig in self.rigs.values_mut() {
                rig.pass(Duration::from_millis(100));
                if step % 20 == 0 {
                    rig.look_again();
                }
            }
            self.carry();
        }
    }

    /// Everything that a director remembers of sessions, in order.
    pub(super) fn table(&self, who: &str) -> Vec<String> {
        let director = &self.rigs[who].director;
        let mut all = Vec::new();
        let mut sink = |entry: Entry| {
            if matches!(entry, Entry::Seat(_) | Entry::State(_)) {
                all.push(format!("{entry:?}"));
            }
        };
        let mut place = Some(SnapshotPlace::default());
        while let Some(from) = place {
            place = director.snapshot(&from, 1000, self.rigs[who].now, &mut sink);
        }
        all.sort();
        all
    }

    pub(super) fn assert_one_table(&self) {
        let tables: Vec<_> = self.rigs.keys().map(|who| self.table(who)).collect();
        assert!(tables.windows(2).all(|pair| pair[0] == pair[1]), "tables differ: {:?}", self.rigs.keys());
    }

    /// Messages with session records since the last call, duplicates of no matter.
    pub(super) fn records_sent(&mut self) -> usize {
        let of = |message: &Message| match message {
            Message::Bulk { entries, .. } | Message::Told { entries, .. } => entries.len(),
            Message::Changes { changes, .. } => changes.len(),
            _ => 0,
        };
        std::mem::take(&mut self.log).iter().map(|(_, _, message)| of(message)).sum()
    }
}
