//! `cargo xtask`: what the developers of maitred run by hand.
//!
//! Owns the comparison with what users would pick instead. It knows maitred only as its users do, by its binary and its
//! configuration, and borrows nothing from it but throw-away certificates.

mod agents;
mod bench;
mod collect;
mod compare;
mod fleet;
mod floor;
mod growth;
mod load;
mod whole;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What the developers of maitred run by hand")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure CPU per session start beside HAProxy, nginx, Apache with mod_jk and the bare framework, in interleaved rounds
    ///
    /// Installs the others from Debian (as root or with sudo). Each runs on one core, the client on another one.
    Compare(compare::Arguments),
    /// Run the benchmarks of the core's decisions, as a table beside their goals
    Bench(bench::Arguments),
    /// Measure how cost, memory and traffic grow with servers, sessions and directors, as a table and a plot
    Growth(growth::Arguments),
    /// Measure what whole processes cost besides starts: memory, start-up, resynchronisation, probes, detection, reload
    Whole(whole::Arguments),
    /// The client of the comparison: asks one server for a while and prints what it got
    #[command(hide = true)]
    Load(load::Arguments),
    /// The collector of log lines of the comparison
    #[command(hide = true)]
    Collect(collect::Arguments),
    /// The floor of the framework: a bare actix-web handler with a signed cookie and a concurrent map
    #[command(hide = true)]
    Floor(floor::Arguments),
}

fn main() -> anyhow::Result<()> {
    // Everything here speaks TLS by the one provider that maitred has.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Arguments::parse().task {
        Task::Compare(arguments) => compare::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Whole(arguments) => whole::run(&arguments),
        Task::Growth(arguments) => growth::run(&arguments),
        Task::Load(arguments) => load::run(&arguments),
        Task::Collect(arguments) => collect::run(&arguments),
        Task::Floor(arguments) => floor::run(arguments),
    }
}
