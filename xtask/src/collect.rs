//! A collector of log lines: takes what comes by TCP and throws it away. It stands for the one that a site has, and is not counted.

use std::io::{self, copy, sink};
use std::net::TcpListener;
use std::thread;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Port on loopback
    #[arg(long)]
    port: u16,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", arguments.port))?;
    loop {
        let mut lines = listener.accept()?.0;
        // Whoever ends takes its last lines along.
        thread::spawn(move || -> io::Result<u64> { copy(&mut lines, &mut sink()) });
    }
}
