//! What a director promises, acted out: affinity, orders, the ladder, what is remembered, and the laws that hold always.

mod affinity;
mod ladder;
mod laws;
mod memory;
mod rig;
