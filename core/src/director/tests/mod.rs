//! What a director promises, acted out: affinity, orders, the ladder, what is remembered, and the laws that hold always.

mod affinity;
mod beats;
mod confirm;
mod events;
mod explain;
mod house;
mod ladder;
mod laws;
mod lists;
mod lost_time;
mod memory;
mod outages;
mod peers;
mod reports;
mod resets;
mod rig;
mod sayings;
mod servers;
mod talk_laws;
