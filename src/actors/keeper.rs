//! The keeper: lets the director's time pass.
//!
//! Holds a timer and nothing else. It re-arms from the director's own deadline instead of running at an interval, because actix's
//! `run_interval` fires once for every missed tick after a stall.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::prelude::*;
use maitred_core::director::Director;

use super::effects::Effects;
use crate::clock::Clock;

/// Deadlines closer together than this share one tick: many servers that slow-start at once must not redraw the picture for each
/// of their steps.
const TICK_MIN: Duration = Duration::from_millis(50);

/// Calls `handle_timeout` when it is due, until the director is gone.
pub struct Keeper {
    director: Weak<Director>,
    effects: Arc<Effects>,
    clock: Arc<Clock>,
}

impl Keeper {
    /// Starts it on the given arbiter.
    pub fn spawn(
        arbiter: &ArbiterHandle,
        director: &Arc<Director>,
        effects: Arc<Effects>,
        clock: Arc<Clock>,
    ) -> Addr<Self> {
        let keeper = Self { director: Arc::downgrade(director), effects, clock };
        Self::start_in_arbiter(arbiter, |_| keeper)
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        let Some(director) = self.director.upgrade() else { return context.stop() };
        director.handle_timeout(self.clock.now());
        self.effects.perform();
        let now = self.clock.now();
        let delay = director.next_deadline(now).since(now.mono).max(TICK_MIN);
        context.run_later(delay, Self::tick);
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.tick(context);
    }
}

/// End.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for Keeper {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}
