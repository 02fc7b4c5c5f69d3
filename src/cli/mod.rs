//! The command line: what operators type, and how the process begins.
//!
//! A runbook: each command is one file that reads from top to bottom. Doc comments of arguments are the `--help`. The only place
//! that uses `anyhow`; exit codes are in `exit`.
//!
//! ```text
//! run ─────────> app            check, keys, hash, certs ──> files on this machine
//! demo ──> maitred run + agent servers + agents
//! status, server, sessions, datacenter, config ──> client ──> internal listener of a director
//! ```

mod arguments;
mod certs;
mod check;
mod exit;
mod health;
mod keys;
mod output;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use exit::Exit;

/// Seats each session at a live server, remembers where, and steps away
#[derive(Debug, Parser)]
#[command(name = "maitred", version, propagate_version = true, after_help = exit::EXIT_CODES, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run a director until it is told to stop (SIGTERM, SIGINT); SIGHUP reloads
    Run(run::RunArguments),
    /// Look at a configuration: what would run, what will hurt, and what differs from what runs
    Check(check::CheckArguments),
    /// Make certificates
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    /// Ask a director on this machine how it is, for container engines
    Health(health::HealthArguments),
    /// Rotate the keys of the affinity cookie
    Keys(keys::KeysArguments),
    /// Print how the log writes a session's key, to search for it
    Hash(keys::HashArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Reads the command line, does it, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            // A closed stream has nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    match dispatch(command_line.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            if !exit::is_broken_pipe(&error) {
                output::remark(&format!("maitred: {error:#}"));
            }
            Exit::of(&error).into()
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Certs(command) => certs::run(command),
        Command::Health(arguments) => health::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Hash(arguments) => keys::hash(&arguments),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "maitred", &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_no_contradiction() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn each_command_and_option_is_documented() {
        fn look(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{}: {}", command.get_name(), argument.get_id());
            }
            for inner in command.get_subcommands() {
                assert!(inner.get_about().is_some(), "{}", inner.get_name());
                look(inner);
            }
        }
        look(&CommandLine::command());
    }
}
