//! maitred

pub mod config;
