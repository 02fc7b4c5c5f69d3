//! Placement in turn, by weight, from a turn number alone.
//!
//! The weights lie side by side on a circle in the order of the configuration; each turn moves on by one step. With equal
//! weights that is the plain order. Otherwise the step is near the golden section of the circle and shares no divisor with it:
//! each round visits every place once, so shares are exact, and a heavy server's turns are spread over the round instead of
//! coming in a row. No state but the number, so directors and threads need not agree on a position.

use super::set::{InTurn, PlacementSet, ServerSlot};

/// The server whose turn it is among those that `admit` lets in.
pub(super) fn in_turn(set: &PlacementSet, turn: u64, admit: impl Fn(ServerSlot) -> bool) -> Option<ServerSlot> {
    let admitted = || set.in_turn.iter().filter(|one| admit(one.server));
    let circle = Circle::of(admitted())?;
    let mut place = circle.place(turn);
    for one in admitted() {
        let share = u64::from(one.weight) / circle.unit;
        if place < share {
            return Some(one.server);
        }
        place -= share;
    }
    // Only where a load changed between the two walks and somebody fell out: whoever comes first.
    admitted().next().map(|one| one.server)
}

/// The weights laid side by side, in units of their greatest common divisor.
struct Circle {
    unit: u64,
    length: u64,
    equal: bool,
}

impl Circle {
    /// None when nobody is there.
    fn of<'a>(servers: impl Iterator<Item = &'a InTurn>) -> Option<Self> {
        let (mut unit, mut weights, mut highest) = (0, 0, 0);
        for one in servers {
            let weight = u64::from(one.weight);
            unit = greatest_common_divisor(weight, unit);
            highest = weight.max(highest);
            weights += weight;
        }
        (unit > 0).then(|| Self { unit, length: weights / unit, equal: highest == unit })
    }

    fn place(&self, turn: u64) -> u64 {
        let step = if self.equal { 1 } else { golden_step(self.length) };
        let place = u128::from(turn % self.length) * u128::from(step) % u128::from(self.length);
        // Below the length, hence within 64 bits.
        place as u64
    }
}

/// The number nearest to the golden section of `length` that visits every place before any twice, and spreads its visits.
///
/// Nearness alone is not enough: just beside the golden section lie numbers that are almost a simple fraction of the circle,
/// and their turns bunch.
fn golden_step(length: u64) -> u64 {
    // 2^64 divided by the golden ratio.
    let section = ((u128::from(length) * 0x9e37_79b9_7f4a_7c15) >> 64) as u64;
    (0..=section)
        .flat_map(|distance| [section + distance, section - distance])
        // A few suffice, some dozens for lengths in the millions. A step of 1 still has exact shares, only not spread.
        .take(1024)
        .find(|&step| spreads(step, length))
        .unwrap_or(1)
}

/// Whether `step` and `length` share no divisor, and no partial quotient of their continued fraction is large: turns are off
/// their share by no more than the sum of those.
fn spreads(step: u64, length: u64) -> bool {
    const QUOTIENT_MAX: u64 = 9;
    let (mut a, mut b) = (length, step);
    while b != 0 {
        if a / b > QUOTIENT_MAX {
            return false;
        }
        (a, b) = (b, a % b);
    }
    a == 1
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::super::set::Seatable;
    use super::*;

    fn set(weights: &[u32]) -> PlacementSet {
        let names: Vec<String> = (0..weights.len()).map(|number| format!("ua{number}")).collect();
        PlacementSet::new((0..).zip(weights).zip(&names).map(|((number, &weight), name)| Seatable {
            server: ServerSlot(number),
            name,
            weight,
            position: number,
        }))
    }

    #[test]
    fn equal_weights_take_turns_in_the_order_of_the_configuration() {
        let set = set(&[100; 3]);
        let turns: Vec<_> = (0..7).filter_map(|turn| in_turn(&set, turn, |_| true)).map(|one| one.0).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
        let turns: Vec<_> = (0..4).filter_map(|turn| in_turn(&set, turn, |one| one.0 != 1)).map(|one| one.0).collect();
        assert_eq!(turns, [0, 2, 0, 2], "who is out is passed over");
        assert_eq!(in_turn(&set, 0, |_| false), None);
    }

    /// Long rounds too, where a step beside the golden section may bunch: no arc is ever far from its share of the turns.
    #[test]
    fn turns_do_not_bunch() {
        for length in 600..900_u64 {
            let step = golden_step(length);
            for arc in (1..8).map(|eighths| length * eighths / 8) {
                let mut count = 0_u64;
                for turn in 0..length {
                    count += u64::from(turn * step % length < arc);
                    let off = (count * length).abs_diff((turn + 1) * arc);
                    assert!(off <= 5 * length, "length {length}, step {step}, arc {arc}, turn {turn}: {count}");
                }
            }
        }
    }

    proptest::proptest! {
        /// Exact over a round, and never far off within it.
        #[test]
        fn shares_are_exact_over_a_round_and_smooth_within(weights in proptest::collection::vec(0_u32..20, 1..8), start: u64) {
            let start = start / 2;
            let set = set(&weights);
            let Some(circle) = Circle::of(set.in_turn.iter()) else { return Ok(()) };
            // A round starts at a multiple of its length.
            let start = start - start % circle.length;
            let mut counts = vec![0_u64; weights.len()];
            for turn in 0..circle.length {
                if let Some(server) = in_turn(&set, start + turn, |_| true) {
                    counts[server.0 as usize] += 1;
                }
                for (count, weight) in counts.iter().zip(&weights) {
                    let fair = (turn + 1) as f64 * f64::from(*weight) / (circle.length * circle.unit) as f64;
                    proptest::prop_assert!((*count as f64 - fair).abs() <= 4.0, "turn {turn}: {counts:?} of {weights:?}");
                }
            }
            let shares: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) / circle.unit).collect();
            proptest::prop_assert_eq!(counts, shares);
        }
    }
}
