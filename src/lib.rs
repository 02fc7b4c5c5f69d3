//! maitred

pub mod actors;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod http;
mod members;
pub mod metrics;
pub mod peer;
pub mod probe;
pub mod store;
pub mod tls;
pub mod vitals;
