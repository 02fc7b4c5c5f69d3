//! The command line: what operators type, and how the process begins.
//!
//! A runbook: each command is one file that reads from top to bottom. Doc comments of arguments are the `--help`. The only place
//! that uses `anyhow`; exit codes are in `exit`.
//!
//! ```text
//! run ─────────> app            check, keys, hash, certs ──> files on this machine
//! demo ──> maitred run + agent servers + agents
//! status, explain, server, sessions, datacenter, events, config ──> client ──> internal listener of a director
//! ```

mod arguments;
mod certs;
mod check;
mod client;
mod datacenters;
mod demo;
mod events;
mod exit;
mod explain;
mod health;
mod http;
mod keys;
mod orders;
mod output;
mod run;
mod servers;
mod sessions;
mod status;

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
    /// See the main job done on this machine: sessions seated, a server lost and found, one drained
    Demo(demo::DemoArguments),
    /// Show a director at a glance
    Status(status::StatusArguments),
    /// Tell why a key gets the server that it gets, and which others were passed over
    Explain(explain::ExplainArguments),
    /// List servers; drain one, take it out, put it back
    Server(servers::ServerArguments),
    /// Find sessions, move them, end them
    Sessions(sessions::SessionsArguments),
    /// See and order which datacenter takes new sessions
    Datacenter(datacenters::DatacenterArguments),
    /// Follow what happens to sessions, servers, datacenters and links
    Events(events::EventsArguments),
    /// Show or reload the configuration of a running director
    Config(status::ConfigArguments),
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
        Command::Check(arguments) => on_this_thread(check::run(&arguments)),
        Command::Demo(arguments) => on_this_thread(demo::run(&arguments)),
        Command::Status(arguments) => on_this_thread(status::run(&arguments)),
        Command::Explain(arguments) => on_this_thread(explain::run(&arguments)),
        Command::Server(arguments) => on_this_thread(servers::run(&arguments)),
        Command::Sessions(arguments) => on_this_thread(sessions::run(&arguments)),
        Command::Datacenter(arguments) => on_this_thread(datacenters::run(&arguments)),
        Command::Events(arguments) => on_this_thread(events::run(&arguments)),
        Command::Config(arguments) => on_this_thread(status::config(&arguments)),
        Command::Certs(command) => certs::run(command),
        Command::Health(arguments) => health::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Hash(arguments) => keys::hash(&arguments),
        Command::Completions { shell } => completions(shell),
    }
}

/// Runs a command that waits for others, on this thread.
fn on_this_thread(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
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

    /// An argument that has the id of a global one silently takes its place.
    #[test]
    fn whoever_asks_a_director_can_say_which_and_as_whom() {
        fn look(command: &clap::Command, asks: bool) {
            let asks = asks || command.get_arguments().any(|argument| argument.get_long() == Some("url"));
            let longs: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
            for option in ["config", "url", "cert", "key", "ca", "token-file", "json"].iter().filter(|_| asks) {
                assert!(longs.contains(option), "{} has no --{option}", command.get_name());
            }
            command.get_subcommands().filter(|inner| inner.get_name() != "help").for_each(|inner| look(inner, asks));
        }
        let mut command = CommandLine::command();
        command.build();
        look(&command, false);
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
