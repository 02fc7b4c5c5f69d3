//! The internal listener as it really stands, over TLS, with real certificates and tokens and a real director.

mod doors;
mod explain;
mod fixture;
mod matrix;
mod orders;
mod reads;
mod tickets;
mod words;
