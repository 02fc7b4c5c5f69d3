//! How two directors reach each other: certificates and names, WebSockets over mutual TLS, frames.
//!
//! ```text
//! dial ─ TLS (name of the peer) ─┐
//! accept ─ TLS (whose name?) ────┴─▶ WebSocket /maitred/peer ─▶ binary frame = one postcard message
//! ```
//! Owns who is let in, what a frame may be and why a link is closed. Refuses to know what a message means and which of two links
//! is used; that is [`crate::actors::peer_link`].

pub mod bell;
pub mod closing;
pub mod frame;
pub mod identity;
pub mod open;
pub mod tls;

pub use bell::Bell;
pub use closing::Closing;
pub use open::Socket;
pub use tls::PeerTls;
