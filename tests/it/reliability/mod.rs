//! What must survive (`reliability.md`, section 2, row by row), with real processes over real TLS.

mod behind;
mod crowd;
mod cut;
mod doubles;
mod frozen;
mod known;
mod line;
mod loss;
mod mixed;
mod process;
mod reload;
mod restart;
mod servers;
mod state;
mod suspended;
mod thousand;
