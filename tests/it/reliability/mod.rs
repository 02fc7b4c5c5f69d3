//! What must survive (`reliability.md`, section 2, the rows of one director), with real processes over real TLS.

mod crowd;
mod process;
mod reload;
mod servers;
mod state;
mod thousand;
