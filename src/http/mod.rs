//! The edge: what comes in over HTTP, checked and translated into the words of the core, and its answers translated back.
//!
//! The leaves here are pure: they take text and give text or a [`problem::Problem`]. Only the listeners know sockets. Nothing in
//! this module decides where a session goes.

pub mod callback;
pub mod cors;
pub mod host;
pub mod jsonp;
pub mod key;
pub mod page;
pub mod problem;
pub mod query;
pub mod random;
pub mod request_id;
pub mod route;
pub mod target;
