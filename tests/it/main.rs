//! maitred as others see it: the built binary and the real parts around it, as processes.
//!
//! One binary with one module for each subject, so that there is one link. `tests/run` installs the parts; a part that is missing
//! fails the test that needs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so by failing")]
#![allow(dead_code, reason = "the parts offer more than the tests of today ask for")]

mod balancer;
mod browser;
mod cli;
mod curl;
mod description;
mod documents;
mod events;
mod house;
mod java;
mod monitoring;
mod operators;
mod parts;
mod peers;
mod readers;
mod reliability;
mod servers;
mod storm;
mod support;
mod versions;
