//! How far the directors' clocks are from the truth, and from each other.

use super::World;
use crate::plan::EPOCH;

/// How far a director's clock is ahead of the true one, dead or alive.
#[must_use]
pub fn ahead_ms(world: &World, host: usize) -> i64 {
    let (clock, truth) = (world.hosts[host].now(world.now).time.0, EPOCH + world.now);
    i64::try_from(clock).unwrap_or(i64::MAX) - i64::try_from(truth).unwrap_or(0)
}

/// The distance between the clocks of the directors that decided something, over the whole run: a director that died may have
/// had another clock than the one that went on, or it itself when it is back.
#[derive(Debug, Default, Clone, Copy)]
pub struct Skew {
    range: Option<(i64, i64)>,
}

impl Skew {
    /// This director decides something now.
    pub fn note(&mut self, world: &World, host: usize) {
        let ahead = ahead_ms(world, host);
        let (least, most) = self.range.unwrap_or((ahead, ahead));
        self.range = Some((least.min(ahead), most.max(ahead)));
    }

    /// In milliseconds.
    #[must_use]
    pub fn ms(&self) -> u64 {
        self.range.map_or(0, |(least, most)| most.abs_diff(least))
    }
}
