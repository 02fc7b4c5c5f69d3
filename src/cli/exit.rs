//! How a command ends: the exit codes that scripts rely on, and the failure that carries one.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The table that `maitred --help` and `docs/cli.md` show.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done, valid, healthy, or unchanged because it was so already
  1  refused: the configuration, the order, a file, a claim of the demo
  2  wrong usage of the command line
  3  no director answers, or TLS with it fails
  4  there is no such server, session, pool or key
  5  the director does not let this certificate or token do that
  6  --wait is over and it has not happened";

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, or nothing had to be done.
    Done,
    /// Looked at and refused, or it could not be carried out.
    Refused,
    /// The command line makes no sense.
    Usage,
    /// Nobody answers where the director should be.
    Unreachable,
    /// What was named does not exist.
    NotFound,
    /// The caller may not.
    Forbidden,
    /// Waited as long as was asked for.
    TimedOut,
}

impl Exit {
    /// The number that the shell sees.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Forbidden => 5,
            Self::TimedOut => 6,
        }
    }

    /// How an error ends a command: by the [`Failure`] in its chain, else refused. A reader that closed the pipe has had
    /// enough, which is no error.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        if is_broken_pipe(error) {
            return Self::Done;
        }
        error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).map_or(Self::Refused, |failure| failure.exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Whether output went to a reader that is gone (`maitred sessions list | head`).
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<OutputGone>().is_some_and(|gone| broken(&gone.0)))
}

/// Output could not be written. Apart from other I/O errors, because only here a broken pipe is harmless.
#[derive(Debug)]
pub(super) struct OutputGone(pub(super) io::Error);

impl fmt::Display for OutputGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output cannot be written: {}", self.0)
    }
}

impl std::error::Error for OutputGone {}

/// An error whose exit code is not the usual one.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_keeps_its_code_under_context() {
        let failure: anyhow::Result<()> = Err(Failure::new(Exit::NotFound, "there is no server ua9").into());
        let error = failure.context("server drain").unwrap_err();
        assert_eq!(Exit::of(&error).number(), 4);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything else")).number(), 1);
    }

    #[test]
    fn only_a_reader_that_is_gone_is_harmless() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Exit::of(&OutputGone(broken()).into()), Exit::Done);
        assert_eq!(Exit::of(&broken().into()), Exit::Refused, "a director that hung up is no closed pipe");
        assert_eq!(Exit::of(&OutputGone(io::Error::from(io::ErrorKind::StorageFull)).into()), Exit::Refused);
    }

    #[test]
    fn the_help_documents_each_code() {
        for exit in
            [Exit::Done, Exit::Refused, Exit::Usage, Exit::Unreachable, Exit::NotFound, Exit::Forbidden, Exit::TimedOut]
        {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", exit.number())), "{exit:?}");
        }
    }
}
