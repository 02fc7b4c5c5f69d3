//! Where log lines and metrics go.
//!
//! Lines are handed to a thread of their own through a bounded queue: a log that is not read, or a full disk behind it, drops
//! lines and never holds up a start.

use std::io::stdout;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::config::{LogFormat, LogSettings};

/// Lines that wait at most.
const LINES_MAX: usize = 65_536;
/// The variable that turns targets up or down, in the syntax of `tracing_subscriber::EnvFilter`.
pub const FILTER_VARIABLE: &str = "MAITRED_LOG";

/// What is logged unless the variable says otherwise: decisions, not the sockets under them. What actix says of a
/// broken request would be a line for each that anybody cares to send.
const DEFAULT_FILTER: &str = "info,actix_server=warn,actix_http=off";

/// Starts the log. The lines of this process go on until the returned guard is dropped, which writes what is left.
///
/// A second start in one process (tests) changes nothing.
pub(super) fn start(settings: LogSettings) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("maitred-log")
        .finish(stdout());
    let wanted = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::builder().parse_lossy(format!("{DEFAULT_FILTER},{wanted}"));
    // Complaints about lines that cannot be written would go to standard error, and panic where that is full too.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false).with_ansi(false);
    let layer = match settings.format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    guard
}
