//! A line of the log as text: `2026-11-21T18:00:00.123456Z  INFO target: message name=value`.
//!
//! The same as the logging crate's own format, in a third of its time: with a line for each start that is felt.

use std::cell::Cell;
use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use humantime::format_rfc3339_micros;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::harmless::escape_from;

/// The format.
pub(super) struct Text;

thread_local! {
    /// The room of a thread's last line. Taken out while it is used: a value may log while it is written.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = LINE.take();
        line.clear();
        let written = write_line(&mut line, event).and_then(|()| writer.write_str(&line));
        LINE.set(line);
        written
    }
}

fn write_line(line: &mut String, event: &Event<'_>) -> fmt::Result {
    let metadata = event.metadata();
    write!(line, "{}", format_rfc3339_micros(SystemTime::now()))?;
    line.push_str(match *metadata.level() {
        Level::TRACE => " TRACE ",
        Level::DEBUG => " DEBUG ",
        Level::INFO => "  INFO ",
        Level::WARN => "  WARN ",
        Level::ERROR => " ERROR ",
    });
    line.push_str(metadata.target());
    line.push(':');
    let begin = line.len();
    let mut fields = Fields { line, result: Ok(()) };
    event.record(&mut fields);
    fields.result?;
    escape_from(line, begin);
    line.push('\n');
    Ok(())
}

/// Writes fields in their order, the message without its name.
struct Fields<'l> {
    line: &'l mut String,
    result: fmt::Result,
}

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        let name = field.name();
        self.line.push(' ');
        if name != "message" {
            self.line.push_str(name.strip_prefix("r#").unwrap_or(name));
            self.line.push('=');
        }
    }

    fn value(&mut self, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = self.line.write_fmt(value);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.name(field);
        self.value(format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        if field.name() == "message" {
            self.line.push_str(value);
        } else if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            // As it would be written below.
            self.line.push('"');
            self.line.push_str(value);
            self.line.push('"');
        } else {
            self.value(format_args!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::prelude::*;

    use super::*;

    fn logged(log: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out = Arc::clone(&lines);
        struct Out(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Out {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let layer = tracing_subscriber::fmt::layer().event_format(Text).with_writer(move || Out(Arc::clone(&out)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = lines.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_time_level_target_message_and_fields() {
        let line =
            logged(|| tracing::warn!(target: "a::b", one = 1, two = "x y", three = %"z", none = None::<u8>, "said"));
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == "2026-11-21T18:00:00.123456Z".len(), "{time}");
        assert_eq!(rest, " WARN a::b: said one=1 two=\"x y\" three=z\n");
    }

    #[test]
    fn nothing_that_is_logged_begins_a_line_or_moves_a_cursor() {
        let line = logged(
            || tracing::info!(why = %"a\nb\u{1b}[2Jc\u{9b}d\u{202e}é", quoted = "a\"b\\c\nd\u{9b}é", "x\r\u{2028}y"),
        );
        let quoted = "quoted=\"a\\\"b\\\\c\\nd\\u{9b}é\"\n";
        assert!(
            line.ends_with(&format!("x\\r\\u{{2028}}y why=a\\nb\\u{{1b}}[2Jc\\u{{9b}}d\\u{{202e}}é {quoted}")),
            "{line}"
        );
    }
}
