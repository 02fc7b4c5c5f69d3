//! maitred

pub mod actors;
pub mod config;
pub mod probe;
