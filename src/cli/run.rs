//! `maitred run`: one director, until SIGTERM or SIGINT.

use clap::Args;

use super::arguments::ConfigFile;
use super::exit::{Exit, Failure};
use super::output;
use crate::app::{self, StartError};

/// `maitred run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<Exit> {
    let path = arguments.config.path()?;
    match app::run(path) {
        Ok(()) => Ok(Exit::Done),
        Err(StartError::Config(mistakes)) => {
            mistakes.iter().for_each(|mistake| output::remark(&mistake.to_string()));
            let many = output::counted(mistakes.len(), "mistake");
            Err(Failure::new(Exit::Refused, format!("{}: refused: {many}", path.display())).into())
        }
        Err(error) => Err(error.into()),
    }
}
