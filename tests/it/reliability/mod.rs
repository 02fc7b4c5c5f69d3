//! What must survive (`reliability.md`, section 2, row by row), with real processes over real TLS.

mod crowd;
mod cut;
mod loss;
mod process;
mod reload;
mod restart;
mod servers;
mod state;
mod thousand;
