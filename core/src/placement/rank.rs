//! Which of several servers a key prefers: exact weighted rendezvous.
//!
//! A server's rank for a key is `-ln(u) / weight`, the lowest first, `u` being the draw as a fraction: an exponential clock for
//! each server, so that the chance to be first is proportional to the weight, and stays so among whatever servers are left.
//! Among equal weights the highest draw has the lowest rank, so a logarithm is needed only once per weight.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::bound::{Eligible, Loads};
use super::draw::KeyHash;
use super::logarithm::negative_ln;
use super::set::{Class, PlacementSet, ServerSlot};
use crate::seating::ALTERNATES_MAX;

/// Servers in the order in which a key prefers them.
pub type Ranking = SmallVec<[ServerSlot; ALTERNATES_MAX]>;

/// A server as the comparison between weights sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked {
    pub(super) server: ServerSlot,
    pub(super) weight: u32,
    /// `-ln(u)`, in units of 2^-64 and below 2^70: times a weight it fits 128 bits.
    score: u128,
}

impl Ranked {
    fn new(server: ServerSlot, weight: u32, draw: u64) -> Self {
        Self { server, weight, score: negative_ln(draw) }
    }

    /// `-ln(u)` per configured weight, in millionths: the lower, the rather. For people to read, not to decide by.
    pub(super) fn score_millionths(&self) -> u64 {
        const MILLIONTHS: u128 = 1_000_000 * super::set::SLOW_START_STEPS as u128;
        u64::try_from((self.score * MILLIONTHS / u128::from(self.weight.max(1))) >> 64).unwrap_or(u64::MAX)
    }

    /// Whether the key prefers this one. A tie goes to the other, the heavier one, as classes come heaviest first.
    fn precedes(&self, other: &Self) -> bool {
        self.score * u128::from(other.weight) < other.score * u128::from(self.weight)
    }
}

/// The server, and its weight, that the key prefers among those that `admit`, given a server and its weight, lets in.
///
/// `admit` is asked only about a server that would win, a few times in all, so it may be dear.
pub(super) fn first(
    set: &PlacementSet,
    key: KeyHash,
    admit: impl Fn(ServerSlot, u32) -> bool,
) -> Option<(ServerSlot, u32)> {
    if let [class] = &*set.classes {
        // Nearly always: all servers have one weight, and the draw alone decides.
        return highest(class, key, 0, admit).map(|(_, server)| (server, class.weight));
    }
    let mut best: Option<Ranked> = None;
    // What a server must draw at least, per class: never more than it takes to win.
    let mut cutoff = Cutoff::NONE;
    for class in &set.classes {
        let Some((draw, server)) = highest(class, key, cutoff.lowest_draw(class.weight), &admit) else { continue };
        let ranked = Ranked::new(server, class.weight, draw);
        if best.as_ref().is_none_or(|best| ranked.precedes(best)) {
            cutoff = Cutoff::below(&ranked);
            best = Some(ranked);
        }
    }
    best.map(|best| (best.server, best.weight))
}

/// The highest draw of a class, not below `floor`, among those that `admit` lets in.
fn highest(
    class: &Class,
    key: KeyHash,
    mut floor: u64,
    admit: impl Fn(ServerSlot, u32) -> bool,
) -> Option<(u64, ServerSlot)> {
    let mut top = None;
    for member in &class.members {
        let draw = member.name.draw(key);
        if draw >= floor && admit(member.server, class.weight) {
            floor = draw.saturating_add(1);
            top = Some((draw, member.server));
        }
    }
    top
}

/// Spares most classes their logarithm: since `-ln(u) >= 1 - u`, a server whose `(1 - u) / weight` is no better than the best
/// rank so far cannot win.
struct Cutoff {
    /// Above the best rank so far, in units of 2^-64 per weight.
    rank: u64,
}

impl Cutoff {
    const NONE: Self = Self { rank: u64::MAX };

    fn below(best: &Ranked) -> Self {
        // Wider than the logarithm's error, so that leaving servers out never changes who wins.
        const MARGIN: u64 = 16;
        let rank = u64::try_from(best.score).map_or(u64::MAX, |score| score / u64::from(best.weight));
        Self { rank: rank.saturating_add(MARGIN) }
    }

    /// The lowest draw with which a server of this weight might win.
    fn lowest_draw(&self, weight: u32) -> u64 {
        // 2^64 less the highest 1 - u; where that is 1 or more, any draw will do.
        self.rank.checked_mul(u64::from(weight)).map_or(0, u64::wrapping_neg)
    }
}

/// The server with the lowest load for its weight among the eligible that are not full; the key decides between equals, so that
/// a crowd that meets the same loads spreads.
pub(super) fn least_loaded(
    set: &PlacementSet,
    key: KeyHash,
    loads: &impl Loads,
    eligible: impl Eligible,
) -> Option<Ranked> {
    let mut best: Option<(u32, Ranked)> = None;
    for class in &set.classes {
        let Some((load, draw, server)) = least_loaded_of(class, key, loads, eligible) else {
            continue;
        };
        let ranked = Ranked::new(server, class.weight, draw);
        if best.as_ref().is_none_or(|best| is_lighter(&(load, ranked), best)) {
            best = Some((load, ranked));
        }
    }
    best.map(|(_, ranked)| ranked)
}

/// Whether the first of two servers, each with its load, has less load for its weight; the key decides between equals.
fn is_lighter(one: &(u32, Ranked), other: &(u32, Ranked)) -> bool {
    let ((load, ranked), (others_load, other)) = (one, other);
    let (own, others) =
        (u64::from(*load) * u64::from(other.weight), u64::from(*others_load) * u64::from(ranked.weight));
    match own.cmp(&others) {
        Ordering::Less => true,
        Ordering::Equal => ranked.precedes(other),
        Ordering::Greater => false,
    }
}

/// All servers, those with the lowest load for their weight first.
pub(super) fn by_load(set: &PlacementSet, key: KeyHash, loads: &impl Loads) -> Vec<Ranked> {
    let ranked = by_preference(set, key, usize::MAX, |_| true);
    let mut loaded: Vec<_> = ranked.into_iter().map(|ranked| (loads.load(ranked.server), ranked)).collect();
    loaded.sort_by(|one, other| match (is_lighter(one, other), is_lighter(other, one)) {
        (true, _) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => Ordering::Equal,
    });
    loaded.into_iter().map(|(_, ranked)| ranked).collect()
}

/// The lowest load of one class, with the draw and the server that the key prefers at that load.
fn least_loaded_of(
    class: &Class,
    key: KeyHash,
    loads: &impl Loads,
    eligible: impl Eligible,
) -> Option<(u32, u64, ServerSlot)> {
    let mut top: Option<(u32, u64, ServerSlot)> = None;
    for member in &class.members {
        let load = loads.load(member.server);
        if top.is_some_and(|(lowest, ..)| load > lowest)
            || load >= loads.capacity(member.server)
            || !eligible.admits(member.server)
        {
            continue;
        }
        let draw = member.name.draw(key);
        if top.is_none_or(|(lowest, highest, _)| load < lowest || draw > highest) {
            top = Some((load, draw, member.server));
        }
    }
    top
}

/// The first `limit` eligible servers in the order in which the key prefers them, whatever their load: for alternates. Other
/// keys get other orders, so that a dead server's sessions spread.
#[must_use]
pub fn order(set: &PlacementSet, key: KeyHash, limit: usize, eligible: impl Fn(ServerSlot) -> bool) -> Ranking {
    by_preference(set, key, limit, eligible).into_iter().map(|ranked| ranked.server).collect()
}

/// The same with what the order rests on.
pub(super) fn by_preference(
    set: &PlacementSet,
    key: KeyHash,
    limit: usize,
    eligible: impl Fn(ServerSlot) -> bool,
) -> SmallVec<[Ranked; ALTERNATES_MAX]> {
    let mut ranking: SmallVec<[Ranked; ALTERNATES_MAX]> = SmallVec::new();
    let mut top: SmallVec<[(u64, ServerSlot); ALTERNATES_MAX]> = SmallVec::new();
    for class in &set.classes {
        top.clear();
        for member in &class.members {
            let draw = member.name.draw(key);
            let beaten = top.len() >= limit && top.last().is_none_or(|(lowest, _)| draw <= *lowest);
            if !beaten && eligible(member.server) {
                insert(&mut top, limit, (draw, member.server), |one, other| one.0 > other.0);
            }
        }
        for &(draw, server) in &top {
            // Those that follow in this class rank lower still.
            if !insert(&mut ranking, limit, Ranked::new(server, class.weight, draw), Ranked::precedes) {
                break;
            }
        }
    }
    ranking
}

/// Puts one among the `limit` best, behind its equals; false when there are `limit` that it does not precede.
fn insert<T>(
    best: &mut SmallVec<[T; ALTERNATES_MAX]>,
    limit: usize,
    one: T,
    precedes: impl Fn(&T, &T) -> bool,
) -> bool {
    let place = best.partition_point(|other| !precedes(&one, other));
    if place >= limit {
        return false;
    }
    if best.len() >= limit {
        best.pop();
    }
    best.insert(place, one);
    true
}
