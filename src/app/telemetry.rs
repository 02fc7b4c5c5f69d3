//! Where log lines and metrics go.
//!
//! Lines are written by a thread of their own (`lines`), so that nothing that is logged holds up a start.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use super::harmless::HarmlessJson;
use super::lines::{self, LogGuard};
use super::text::Text;
use crate::config::{LogFormat, LogSettings};

/// The variable that turns targets up or down, in the syntax of `tracing_subscriber::EnvFilter`.
pub const FILTER_VARIABLE: &str = "MAITRED_LOG";

/// What is logged unless the variable says otherwise: decisions, not the sockets under them. What actix says of a
/// broken request would be a line for each that anybody cares to send.
const DEFAULT_FILTER: &str = "info,actix_http=off";

/// Starts the log. The lines of this process go on until the returned guard is dropped, which writes what is left.
///
/// A second start in one process (tests) changes nothing.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(settings: LogSettings) -> io::Result<LogGuard> {
    // Not by way of Rust's own standard output, which writes line by line.
    let (writer, guard) = lines::start(File::from(io::stdout().as_fd().try_clone_to_owned()?))?;
    let wanted = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::builder().parse_lossy(format!("{DEFAULT_FILTER},{wanted}"));
    // Complaints about lines that cannot be written would go to standard error, and panic where that is full too.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false).with_ansi(false);
    let layer = match settings.format {
        LogFormat::Text => layer.with_writer(writer).event_format(Text).boxed(),
        LogFormat::Json => {
            let layer = layer.with_writer(HarmlessJson(writer)).json();
            layer.flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    Ok(guard)
}
