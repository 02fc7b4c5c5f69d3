//! A line of the log as text: `2026-11-21T18:00:00.123456Z  INFO target: message name=value`.
//!
//! The same as the logging crate's own format, in a third of its time: with a line for each start that is felt.

use std::cell::Cell;
use std::fmt::{self, Debug, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use humantime::format_rfc3339_seconds;
use memchr::memchr2;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::harmless::{are_plain, escape_from};

/// The format.
pub(super) struct Text;

/// What a thread keeps from one line to the next.
#[derive(Default)]
struct Kept {
    /// The room of the last line.
    line: String,
    second: Second,
}

/// A second since 1970 and how a line writes it: most lines come in the second of the one before.
#[derive(Default)]
struct Second {
    number: u64,
    text: String,
}

thread_local! {
    /// Taken out while it is used: a value may log while it is written.
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut kept = KEPT.take().unwrap_or_default();
        kept.line.clear();
        let written = write_line(&mut kept, event).and_then(|()| writer.write_str(&kept.line));
        KEPT.set(Some(kept));
        written
    }
}

impl Second {
    /// Writes a moment since 1970 to the microsecond.
    fn write(&mut self, line: &mut String, moment: Duration) -> fmt::Result {
        let second = moment.as_secs();
        if self.number != second || self.text.is_empty() {
            self.text.clear();
            write!(self.text, "{}", format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(second)))?;
            self.text.pop();
            self.number = second;
        }
        line.push_str(&self.text);
        // Seven digits, of which the first is none of the six.
        let mut digits = itoa::Buffer::new();
        line.push('.');
        line.push_str(&digits.format(1_000_000 + moment.subsec_micros())[1..]);
        line.push('Z');
        Ok(())
    }
}

fn write_line(Kept { line, second }: &mut Kept, event: &Event<'_>) -> fmt::Result {
    let metadata = event.metadata();
    second.write(line, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())?;
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

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        if field.name() == "message" {
            self.line.push_str(value);
        } else if are_plain(value.as_bytes(), b' ') && memchr2(b'"', b'\\', value.as_bytes()).is_none() {
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
    fn a_moment_is_written_the_same_in_the_second_of_the_line_before_and_in_another() {
        let mut second = Second::default();
        for micros in [0, 1, 999_999, 1_000_000, 1_763_784_000_000_001, 1_763_784_000_120_000, 1_763_783_999_999_999] {
            let moment = Duration::from_micros(micros);
            let mut line = String::new();
            second.write(&mut line, moment).unwrap();
            assert_eq!(line, humantime::format_rfc3339_micros(UNIX_EPOCH + moment).to_string());
        }
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
