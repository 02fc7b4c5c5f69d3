//! What a client carries to prove that it knows a seat: the affinity cookie and the bearer token; and the ticket that it carries
//! to its server.
//!
//! Owns the keys, the sealed envelope, and how both travel in headers. Refuses to know where a session sits now, what a start
//! decides, and how an answer looks: it turns a [`SeatEntry`](maitred_core::entry::SeatEntry) into text and back, or says in
//! one counted word why it did not.
//!
//! ```text
//! affinity.keys -> Keyring -> Seals --seal--> cookie / token --open--> Shown | CookieFault
//! ```

pub mod cookie;
mod envelope;
pub mod key_file;
pub mod keyring;
pub mod secret_file;
pub mod ticket;
pub mod token;

pub use cookie::{CookieName, CookiesFound};
pub use envelope::{CookieFault, Opened, RETURNS_MAX, SealError, Seals, VALUE_BYTES_MAX};
pub use keyring::{KeyFileError, KeyId, Keyring};
pub use ticket::{TicketFault, TicketKeyError, TicketKeys, Tickets};
