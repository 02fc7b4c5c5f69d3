//! The edge: what comes in over HTTP, checked and translated into the words of the core, and its answers translated back.
//!
//! ```text
//! bytes ─ public::listener ─ ask (target, Host, limits) ─ public (routing) ─┬─ start    302 ─┐
//!                                                                           ├─ sessions JSON ├─ Director ─ reply
//!                                                                           ├─ script   JSONP┘
//!                                                                           └─ health
//! ```
//! The leaves here are pure: they take text and give text or a [`problem::Problem`]. Only the listeners know sockets. Nothing in
//! this module decides where a session goes.

#[cfg(test)]
mod answer;
pub mod ask;
mod body;
pub mod callback;
pub mod caller;
#[cfg(test)]
mod caught;
mod chunks;
pub mod connection;
pub mod content;
pub mod cors;
pub mod edge;
mod first_line;
mod frames;
pub mod handover;
mod heads;
pub mod health;
pub mod host;
mod http2;
pub mod internal;
pub mod jsonp;
pub mod key;
pub mod listener;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod problem;
mod problem_body;
pub mod public;
pub mod query;
pub mod random;
mod refusal;
pub mod reply;
pub mod request_id;
pub mod route;
mod socket;
pub mod start_log;
pub mod target;
mod unread;
pub mod workers;
