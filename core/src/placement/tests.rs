//! The laws of placement.
