//! `maitred-sim`: one seed, or as many simulated hours as asked for.

use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use maitred_core::fault::Fault;

/// Replays crashes, cuts and clock jumps over the real core, from a seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Plays this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Plays seeds until so many cluster hours have passed.
    #[arg(long, default_value_t = 1)]
    hours: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Plants a bug, by name, and so shows that it is found.
    #[arg(long)]
    plant: Option<String>,
    /// Prints what the world saw, with `--seed`: all of it, or what has this word in it.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    trace: Option<String>,
    /// Goes on after a seed that breaks something.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let planted = match arguments.plant.as_deref() {
        None => None,
        Some(text) => match Fault::ALL.into_iter().find(|fault| fault.as_str() == text) {
            Some(fault) => Some(fault),
            None => {
                let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
                eprintln!("no such bug; there are {}", names.join(", "));
                return ExitCode::from(2);
            }
        },
    };
    if let Some(seed) = arguments.seed {
        println!("{:#?}", maitred_sim::plan::Plan::of(seed).faults);
        if let Some(word) = &arguments.trace {
            maitred_sim::trace(seed, planted, &mut |at, seen| {
                if seen.contains(word.as_str()) {
                    println!("{at} {seen}");
                }
            });
        }
        return match maitred_sim::run(seed, planted) {
            Ok(held) => {
                println!("seed {seed} held for {} simulated seconds", held.simulated_ms / 1000);
                ExitCode::SUCCESS
            }
            Err(broken) => {
                println!("{broken}");
                ExitCode::FAILURE
            }
        };
    }
    long_run(&arguments, planted)
}

fn long_run(arguments: &Arguments, planted: Option<Fault>) -> ExitCode {
    let minutes = arguments.hours.saturating_mul(60);
    let bar = ProgressBar::new(minutes);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} simulated minutes, {msg}, {eta} left") {
        bar.set_style(style);
    }
    let (mut simulated_ms, mut failed) = (0, 0_u64);
    for seed in arguments.from.. {
        match maitred_sim::run(seed, planted) {
            Ok(held) => simulated_ms += held.simulated_ms,
            Err(broken) => {
                failed += 1;
                bar.suspend(|| println!("{broken}"));
                if !arguments.keep_going {
                    return ExitCode::FAILURE;
                }
                simulated_ms += 300_000;
            }
        }
        bar.set_position((simulated_ms / 60_000).min(minutes));
        bar.set_message(format!("seed {seed}, {failed} broken"));
        if simulated_ms / 60_000 >= minutes {
            break;
        }
    }
    bar.finish();
    println!("{} simulated hours, {failed} seeds broke an invariant", simulated_ms / 3_600_000);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
