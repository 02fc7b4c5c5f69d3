//! The program `maitred`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    maitred::cli::main()
}
