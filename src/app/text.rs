//! A line of the log as text: `2026-11-21T18:00:00.123456Z  INFO target: message name=value`.
//!
//! The same as the logging crate's own format, in a third of its time: with a line for each start that is felt.

use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use humantime::format_rfc3339_micros;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::harmless::Harmless;

/// The format.
pub(super) struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        write!(writer, "{}", format_rfc3339_micros(SystemTime::now()))?;
        writer.write_str(match *metadata.level() {
            Level::TRACE => " TRACE ",
            Level::DEBUG => " DEBUG ",
            Level::INFO => "  INFO ",
            Level::WARN => "  WARN ",
            Level::ERROR => " ERROR ",
        })?;
        writer.write_str(metadata.target())?;
        writer.write_str(":")?;
        let mut fields = Fields { out: Harmless(&mut writer), result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writer.write_char('\n')
    }
}

/// Writes fields in their order, the message without its name.
struct Fields<'w, W> {
    out: Harmless<'w, W>,
    result: fmt::Result,
}

impl<W: Write> Fields<'_, W> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        let mut write = || {
            self.out.write_char(' ')?;
            if name != "message" {
                self.out.write_str(name.strip_prefix("r#").unwrap_or(name))?;
                self.out.write_char('=')?;
            }
            self.out.write_fmt(value)
        };
        if self.result.is_ok() {
            self.result = write();
        }
    }
}

impl<W: Write> Visit for Fields<'_, W> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.write(field, format_args!("{value}"));
        } else {
            self.write(field, format_args!("{value:?}"));
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
        let line = logged(|| tracing::info!(why = %"a\nb\u{1b}[2Jc\u{9b}d\u{202e}é", "x\r\u{2028}y"));
        assert!(line.ends_with("x\\r\\u{2028}y why=a\\nb\\u{1b}[2Jc\\u{9b}d\\u{202e}é\n"), "{line}");
    }
}
