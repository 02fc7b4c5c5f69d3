//! The decisions of maitred, and nothing else.
//!
//! This crate has no clock, socket, thread, file or randomness: time and seeds are parameters, effects are returned as values.
//! Its `Cargo.toml` proves it.

pub mod alias;
pub mod clock;
mod digest;
pub mod director;
pub mod entry;
pub mod event;
pub mod events;
pub mod fault;
pub mod health;
pub mod held;
pub mod ids;
pub mod load;
pub mod logout;
pub mod placement;
pub mod replication;
pub mod role;
pub mod seating;
pub mod session;
pub mod settings;
pub mod unwritten;
pub mod view;
pub mod wire;
