//! A director that is stopped and goes on: what is meant for it waits, as in the buffers of its machine, and the world goes on.

use super::*;

/// A client gives up a request after so long.
const PATIENCE_MS: u64 = 10_000;

impl World {
    /// The director that this is for, if it is stopped.
    pub(super) fn sleeper(&self, event: &Event) -> Option<usize> {
        let host = match event {
            Event::Timer { host, .. }
            | Event::Probe { host, .. }
            | Event::Probed { host, .. }
            | Event::Request { host, .. }
            | Event::Unlinked { host, .. }
            | Event::Frame { to: host, .. }
            | Event::LateFrame { to: host, .. } => *host,
            Event::Fault(_)
            | Event::Wires
            | Event::Client(_)
            | Event::Answer { .. }
            | Event::Beat(_)
            | Event::Login { .. }
            | Event::Tick => return None,
        };
        self.hosts[host].stopped_at.map(|_| host)
    }

    pub(super) fn stop(&mut self, host: usize) {
        if self.director(host).is_some() {
            self.hosts[host].stopped_at = Some(self.now);
        }
    }

    /// It goes on: first whoever waits for an answer, then everything as it came, then its own timers.
    pub(super) fn go_on(&mut self, host: usize) {
        let Some(stopped_at) = self.hosts[host].stopped_at.take() else { return };
        self.hosts[host].went_on_at = self.now;
        self.hosts[host].lost_ms = self.now - stopped_at;
        let waiting = self.waiting.remove(&host).unwrap_or_default();
        let (requests, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, event)| matches!(event, Event::Request { .. }));
        for (came, event) in requests.into_iter().chain(rest) {
            let event = match event {
                Event::Request { client, host, end, answered } => {
                    let answered = answered && self.now < came + PATIENCE_MS;
                    Event::Request { client, host, end, answered }
                }
                Event::Frame { from, to, wire, message } if !self.is_up(from, to, wire) => {
                    Event::LateFrame { from, to, message }
                }
                other => other,
            };
            self.at(self.now, event);
        }
    }

    pub(super) fn late_frame(&mut self, from: usize, to: usize, message: Message) {
        let (peer, at) = (self.plan.director(from), self.hosts[to].now(self.now));
        if let Some(director) = self.director(to) {
            // Refused or not, the link is gone.
            let _ = director.handle_message(&peer, message, at);
        }
    }

    pub(super) fn learn_unlinked(&mut self, host: usize, peer: usize) {
        let peer = self.plan.director(peer);
        if let Some(director) = self.director(host) {
            director.handle_link_down(&peer);
        }
    }

    fn is_up(&self, from: usize, to: usize, number: u64) -> bool {
        self.wires.get(&(from.min(to), from.max(to))).is_some_and(|wire| wire.up && wire.number == number)
    }
}
