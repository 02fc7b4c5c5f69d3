//! The description of the public, internal and metrics listeners, as OpenAPI 3.1; `GET /openapi.json` on the internal one.
//!
//! Written by hand. The tests hold it to the route tables, in both directions.

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");
