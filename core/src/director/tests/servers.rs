//! A server on the bench: holds sessions, beats, and does what it is told.

use super::rig::*;
use crate::director::{Beat, BeatAnswer, End, OrderId};
use crate::entry::{EndReason, SeatEntry};
use crate::health::Report;
use crate::held::{HeldSession, Via};
use crate::ids::{Incarnation, IncarnationTag, Key, ServerName};
use crate::seating::{RequestKey, Seat};

#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) name: ServerName,
    incarnation: Incarnation,
    pub(super) held: Vec<HeldSession>,
    seq: u64,
    pub(super) done: Vec<OrderId>,
    /// Resets what it is told to reset, and says so.
    pub(super) obey: bool,
    /// Sends its number without the list.
    pub(super) quiet: bool,
    pub(super) depends: Vec<(&'static str, bool)>,
    /// What else it says of itself.
    pub(super) says: Report,
    /// Orders carried out, each once.
    pub(super) obeyed: Vec<OrderId>,
}

impl Server {
    pub(super) fn new(server: &str) -> Self {
        Self {
            name: name(server),
            incarnation: Incarnation::parse("boot-1").unwrap(),
            held: Vec::new(),
            seq: 0,
            done: Vec::new(),
            obey: false,
            quiet: false,
            depends: Vec::new(),
            says: Report::default(),
            obeyed: Vec::new(),
        }
    }

    pub(super) fn all(count: u32) -> Vec<Self> {
        (1..=count).map(|number| Self::new(&format!("ua{number}"))).collect()
    }

    pub(super) fn tag(&self) -> IncarnationTag {
        self.incarnation.tag()
    }

    pub(super) fn report(&self) -> Report {
        let depends = self.depends.iter().map(|(name, up)| ((*name).to_owned(), *up)).collect();
        Report { incarnation: Some(self.incarnation.clone()), depends, ..self.says.clone() }
    }

    pub(super) fn reborn(&mut self, incarnation: &str) {
        self.incarnation = Incarnation::parse(incarnation).unwrap();
        self.held.clear();
        self.done.clear();
    }

    /// Somebody came by himself, or with a ticket that told this much.
    pub(super) fn log_in(&mut self, key: &str, by: Option<&Seat>) {
        self.held.retain(|it| it.key.as_str() != key);
        self.held.push(HeldSession {
            key: Key::parse(key).unwrap(),
            session: by.map(Seat::session),
            generation: by.map(Seat::generation),
            via: if by.is_some() { Via::Ticket } else { Via::SelfMade },
        });
        self.seq += 1;
    }

    pub(super) fn log_in_by(&mut self, seat: &Seat) {
        self.log_in(seat.entry.key.as_str(), Some(seat));
    }

    pub(super) fn log_out(&mut self, key: &str) {
        self.held.retain(|it| it.key.as_str() != key);
        self.seq += 1;
    }

    pub(super) fn beat(&mut self, rig: &mut Rig) -> BeatAnswer {
        let beat = Beat {
            report: self.report(),
            held: (!self.quiet).then(|| self.held.clone()),
            held_seq: Some(self.seq),
            done: std::mem::take(&mut self.done),
        };
        let answer = rig.director.handle_beat(&self.name, &beat, rig.now).unwrap();
        if self.obey {
            for order in &answer.orders {
                if !self.obeyed.contains(&order.id) {
                    self.log_out(order.key.as_str());
                    self.obeyed.push(order.id);
                }
                self.done.push(order.id);
            }
        }
        answer
    }
}

pub(super) fn held(key: &str) -> HeldSession {
    HeldSession { key: Key::parse(key).unwrap(), session: None, generation: None, via: Via::SelfMade }
}

/// The name of a server of `ua1`, `ua2` that the seat is not at.
pub(super) fn other(seat: &Seat) -> &'static str {
    if at(seat) == "ua1" { "ua2" } else { "ua1" }
}

impl Rig {
    /// A seat's server, which has told that the agent logged in by it.
    pub(super) fn logged_in(&mut self, seat: &Seat) -> Server {
        let mut server = Server::new(at(seat));
        server.log_in_by(seat);
        server.beat(self);
        server
    }

    pub(super) fn found(&self, key: &str) -> Option<SeatEntry> {
        self.director.find(&pool(), &name_key(key), None, self.now)
    }

    pub(super) fn end(&mut self, seat: &Seat) -> SeatEntry {
        let end = End::Session { session: seat.session(), generation: seat.generation(), reason: EndReason::Client };
        self.director.end(&pool(), &seat.entry.key, None, &end, self.now).unwrap()
    }

    /// The owner wants another server.
    pub(super) fn avoid(&mut self, seat: &Seat) -> Seat {
        self.ask(RequestKey::Given(seat.entry.key.clone()), Some(shown(seat)), Some(at(seat)), &[]).unwrap()
    }
}
