//! What must hold whatever happens (`rules.md`), one per file.

mod alg;
mod awake;
mod bound;
mod codec;
mod double;
mod drains;
mod events;
mod failover;
mod fall;
mod last;
mod moves_none;
mod norefuse;
mod nores;
mod one_path;
mod orders_hold;
mod quiet;
mod reset;
mod role;
mod said;
mod stamp;

use crate::world::{Seen, World};

/// Something that must hold.
pub trait Invariant {
    /// Its name in `rules.md`.
    fn name(&self) -> &'static str;

    /// Looks at what has just been seen.
    ///
    /// # Errors
    /// What was broken.
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String>;

    /// Looks at the world after the heal and the calm.
    ///
    /// # Errors
    /// What was broken.
    fn end(&mut self, _world: &World) -> Result<(), String> {
        Ok(())
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(alg::Alg),
        Box::new(awake::Awake),
        Box::new(bound::Bound),
        Box::new(codec::Codec),
        Box::new(double::Double::default()),
        Box::new(drains::Drains),
        Box::new(events::Events::default()),
        Box::new(failover::Failover),
        Box::new(fall::Fall),
        Box::new(last::Last::default()),
        Box::new(moves_none::MovesNone),
        Box::new(nores::NoRes::default()),
        Box::new(norefuse::NoRefuse),
        Box::new(one_path::OnePath),
        Box::new(orders_hold::OrdersHold::default()),
        Box::new(quiet::Quiet),
        Box::new(reset::Reset::default()),
        Box::new(role::Role::default()),
        Box::new(stamp::Stamps::default()),
    ]
}
