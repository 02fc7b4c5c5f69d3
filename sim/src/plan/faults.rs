//! Which faults a run has, by its story.

use super::{Fault, Journal, Node, Plan, Story};
use crate::random::Random;

impl Plan {
    pub(super) fn draw(&mut self, random: &mut Random) {
        let from = 20_000;
        let last = match self.story {
            Story::PureCut => self.draw_cut(random, from),
            Story::SiteDies => self.draw_death(random, from),
            Story::SiteLost => self.draw_loss(random, from),
            Story::Crashes => self.draw_mixed(random, from, true),
            Story::Mixed => self.draw_mixed(random, from, false),
        };
        let last =
            if self.talks { last.max(self.draw_swizzle(&mut Random::new(self.seed ^ 0x5712), from)) } else { last };
        let last =
            if self.talks { last.max(self.draw_drains(&mut Random::new(self.seed ^ 0xd4a1), from)) } else { last };
        let last = last.max(self.draw_stops(&mut Random::new(self.seed ^ 0x5109), from));
        self.heal_ms = last + 1000;
        self.faults.push((self.heal_ms, Fault::Heal));
        self.faults.sort_by_key(|(at, _)| *at);
    }

    /// Now and then a random part of all nodes is cut off one by one and comes back in another order; or a whole site is.
    fn draw_swizzle(&mut self, random: &mut Random, from: u64) -> u64 {
        if !matches!(self.story, Story::Mixed | Story::Crashes) || random.percent(40) {
            return from;
        }
        let at = from + random.within(0, 200_000);
        let until = at + random.within(5_000, 90_000);
        let site = usize::try_from(random.within(0, 2)).unwrap_or(0);
        let whole = random.percent(30);
        let directors = (0..self.hosts()).map(Node::Director);
        let nodes: Vec<Node> = directors.chain((0..self.backends()).map(Node::Server)).collect();
        let (cut, rest): (Vec<Node>, Vec<Node>) =
            nodes.iter().partition(|node| if whole { self.site(**node) == site } else { random.percent(40) });
        for node in cut {
            let (begin, end) = (at + random.within(0, 3_000), until + random.within(0, 10_000));
            for other in &rest {
                for (a, b) in [(node, *other), (*other, node)] {
                    self.faults.push((begin, Fault::Cut(a, b)));
                    self.faults.push((end, Fault::Join(a, b)));
                }
            }
        }
        until + 10_000
    }

    /// Now and then a server says that it drains, and takes it back; where deaths or a cut alone decide, nobody does.
    fn draw_drains(&mut self, random: &mut Random, from: u64) -> u64 {
        if !matches!(self.story, Story::Mixed | Story::Crashes) || random.percent(40) {
            return from;
        }
        let mut last = from;
        for _ in 0..random.within(1, 3) {
            let server = usize::try_from(random.within(0, self.backends() as u64)).unwrap_or(0);
            let at = from + random.within(0, 120_000);
            let until = at + random.within(10_000, 150_000);
            self.faults.push((at, Fault::ServerDrains(server, true)));
            self.faults.push((until, Fault::ServerDrains(server, false)));
            last = last.max(until);
        }
        last
    }

    /// Now and then directors are stopped, for less than anybody notices or for minutes, and go on.
    fn draw_stops(&mut self, random: &mut Random, from: u64) -> u64 {
        if self.story == Story::PureCut || random.percent(60) {
            return from;
        }
        let mut last = from;
        for _ in 0..random.within(1, 4) {
            let director = usize::try_from(random.within(0, self.hosts() as u64)).unwrap_or(0);
            let at = from + random.within(0, 120_000);
            let until = at + [5_000, 11_000, 30_000, 120_000][usize::try_from(random.within(0, 4)).unwrap_or(0)];
            self.faults.push((at, Fault::DirectorStops(director)));
            self.faults.push((until, Fault::DirectorGoesOn(director)));
            last = last.max(until);
        }
        last
    }

    fn draw_cut(&mut self, random: &mut Random, from: u64) -> u64 {
        let until = from + random.within(10_000, 400_000);
        for (a, b) in self.between() {
            self.faults.push((from, Fault::Cut(a, b)));
        }
        until
    }

    fn draw_death(&mut self, random: &mut Random, from: u64) -> u64 {
        let hang = random.percent(50);
        let until = from + random.within(60_000, 200_000);
        for server in 0..self.servers[0] {
            let at = from + random.within(0, 300);
            self.faults.push((at, if hang { Fault::ServerHangs(server) } else { Fault::ServerDies(server) }));
            if random.percent(50) {
                self.faults.push((until - random.within(0, 20_000), Fault::ServerReturns(server)));
            }
        }
        until
    }

    fn draw_loss(&mut self, random: &mut Random, from: u64) -> u64 {
        let until = from + random.within(60_000, 300_000);
        for server in 0..self.servers[0] {
            self.faults.push((from, Fault::ServerHangs(server)));
        }
        for director in 0..self.directors[0] {
            self.faults.push((from, Fault::DirectorDies(director)));
        }
        until
    }

    fn draw_mixed(&mut self, random: &mut Random, from: u64, crashes: bool) -> u64 {
        let mut at = from;
        for _ in 0..random.within(3, 14) {
            at += random.within(500, 40_000);
            let until = at + random.within(300, 90_000);
            let director = usize::try_from(random.within(0, self.hosts() as u64)).unwrap_or(0);
            let server = usize::try_from(random.within(0, self.backends() as u64)).unwrap_or(0);
            let kind = if crashes { random.within(0, 4) } else { random.within(0, 14) };
            match kind {
                0..=2 => {
                    let journal = match random.within(0, 4) {
                        0 => Journal::Gone,
                        1 => Journal::Old,
                        _ => Journal::Whole,
                    };
                    self.faults.push((at, Fault::DirectorDies(director)));
                    if random.percent(30) {
                        let jump = i64::try_from(random.within(0, 40_000)).unwrap_or(0) - 20_000;
                        self.faults.push((at, Fault::ClockJumps(director, jump)));
                    }
                    self.faults.push((until, Fault::DirectorStarts(director, journal)));
                }
                3 => {
                    self.faults.push((at, Fault::ServerDies(server)));
                    self.faults.push((until, Fault::ServerReturns(server)));
                }
                4 => {
                    self.faults.push((at, Fault::ServerHangs(server)));
                    self.faults.push((until, Fault::ServerReturns(server)));
                }
                5 | 6 => {
                    // One way or both, between a director and another node.
                    let other = usize::try_from(random.within(0, self.hosts() as u64)).unwrap_or(0);
                    let node = if random.percent(50) { Node::Director(other) } else { Node::Server(server) };
                    self.cut_for(random, Node::Director(director), node, at, until);
                }
                7 => {
                    for (a, b) in self.between() {
                        self.faults.push((at, Fault::Cut(a, b)));
                        self.faults.push((until, Fault::Join(a, b)));
                    }
                }
                8 => {
                    for other in 0..self.backends() {
                        self.cut_for(random, Node::Director(director), Node::Server(other), at, until);
                    }
                }
                9 => {
                    self.faults.push((at, Fault::Slow(director, random.within(50, 1500))));
                    self.faults.push((until, Fault::Slow(director, 0)));
                }
                10 | 11 => {
                    let word = u8::try_from(random.within(0, 3)).unwrap_or(0);
                    self.faults.push((at, Fault::Order(director, server, word)));
                    self.faults.push((until, Fault::Order(director, server, 0)));
                }
                12 => {
                    let site = usize::try_from(random.within(0, 3)).unwrap_or(2);
                    self.faults.push((at, Fault::RoleOrder(director, site)));
                    self.faults.push((until, Fault::RoleOrder(director, 2)));
                }
                _ => {
                    let weight = u32::try_from(random.within(0, 300)).unwrap_or(100);
                    self.faults.push((at, Fault::Configure(weight)));
                    self.faults.push((until, Fault::Configure(100)));
                }
            }
        }
        self.faults.iter().map(|(at, _)| *at).max().unwrap_or(from)
    }

    fn cut_for(&mut self, random: &mut Random, a: Node, b: Node, at: u64, until: u64) {
        let ways = random.within(0, 3);
        for (from, to, goes) in [(a, b, ways != 1), (b, a, ways != 0)] {
            if goes && from != to {
                self.faults.push((at, Fault::Cut(from, to)));
                self.faults.push((until, Fault::Join(from, to)));
            }
        }
    }

    /// All ways between the sites, each direction.
    fn between(&self) -> Vec<(Node, Node)> {
        let directors = (0..self.hosts()).map(Node::Director);
        let nodes: Vec<Node> = directors.chain((0..self.backends()).map(Node::Server)).collect();
        let across = |a: &Node, b: &Node| {
            let talk = !matches!((a, b), (Node::Server(_), Node::Server(_)));
            talk && self.site(*a) != self.site(*b)
        };
        nodes.iter().flat_map(|a| nodes.iter().filter(|b| across(a, b)).map(|b| (*a, *b))).collect()
    }
}
