//! What the tests stand on: the director and the real parts as processes, and clients for them.
//!
//! Each part has one file, owns its folder and its ports, and dies with the value that stands for it. Everything blocks: a test
//! reads from top to bottom.

pub(crate) mod agent_server;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod desk;
pub(crate) mod director;
pub(crate) mod elder;
pub(crate) mod follower;
pub(crate) mod haproxy;
pub(crate) mod kept;
pub(crate) mod many;
pub(crate) mod mesh;
pub(crate) mod network;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod silent;
pub(crate) mod sites;
pub(crate) mod stub;
pub(crate) mod talking;
pub(crate) mod tomcat;
pub(crate) mod tree;
pub(crate) mod wait;
