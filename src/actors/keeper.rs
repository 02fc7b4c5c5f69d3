//! The keeper: lets the director's time pass, and says when the machine's clock is elsewhere.
//!
//! Holds a timer and nothing else. It re-arms from the director's own deadline instead of running at an interval, because actix's
//! `run_interval` fires once for every missed tick after a stall.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::prelude::*;
use maitred_core::director::Director;
use tracing::{info, warn};

use super::effects::Effects;
use crate::clock::{Clock, JUMP_MIN, WallJump};

/// Deadlines closer together than this share one tick: many servers that slow-start at once must not redraw the picture for each
/// of their steps.
const TICK_MIN: Duration = Duration::from_millis(50);

/// Calls `handle_timeout` when it is due, until the director is gone.
pub struct Keeper {
    director: Weak<Director>,
    effects: Arc<Effects>,
    clock: Arc<Clock>,
    /// The jump of the machine's clock that has been told.
    told: Option<WallJump>,
}

impl Keeper {
    /// Starts it on the given arbiter.
    pub fn spawn(
        arbiter: &ArbiterHandle,
        director: &Arc<Director>,
        effects: Arc<Effects>,
        clock: Arc<Clock>,
    ) -> Addr<Self> {
        let keeper = Self { director: Arc::downgrade(director), effects, clock, told: None };
        Self::start_in_arbiter(arbiter, |_| keeper)
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        let Some(director) = self.director.upgrade() else { return context.stop() };
        director.handle_timeout(self.clock.now());
        self.watch_clock();
        self.effects.perform();
        let now = self.clock.now();
        let delay = director.next_deadline(now).since(now.mono).max(TICK_MIN);
        context.run_later(delay, Self::tick);
    }
}

impl Keeper {
    /// One line when the machine's clock leaves the director's own, goes further, or returns. Nothing follows from it: neither
    /// timers nor stamps use that clock.
    fn watch_clock(&mut self) {
        let jump = self.clock.wall_jump();
        let news = match (self.told, jump) {
            (None, None) => false,
            (Some(told), Some(jump)) => (seconds(told) - seconds(jump)).abs() > JUMP_MIN.as_secs_f64(),
            (Some(_), None) | (None, Some(_)) => true,
        };
        if !news {
            return;
        }
        self.told = jump;
        match jump.map(seconds) {
            Some(ahead_s) => warn!(event = "clock_jump", ahead_s, "the machine's clock is not the director's own"),
            None => info!(event = "clock_jump", "the machine's clock is the director's own again"),
        }
    }
}

/// How far ahead of the own clock.
fn seconds(jump: WallJump) -> f64 {
    match jump {
        WallJump::Ahead(by) => by.as_secs_f64(),
        WallJump::Behind(by) => -by.as_secs_f64(),
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
