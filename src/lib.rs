//! maitred

pub mod actors;
pub mod config;
pub mod credentials;
pub mod http;
pub mod probe;
