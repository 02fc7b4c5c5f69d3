//! What one thread writes into the log, for tests.

use std::io::Write;
use std::sync::{Arc, Once};

use parking_lot::Mutex;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Does the work on this thread and returns the lines that it logged meanwhile, one JSON object each.
pub(super) fn lines_of(work: impl FnOnce()) -> String {
    deaf_to_others();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock();
    String::from_utf8(bytes.clone()).unwrap()
}

/// While there is one subscriber in the process, `tracing` asks that of the thread which comes to a place of the code first, and
/// another test's thread has none: the place would stay silent for everybody. With a second one, which hears nothing, all are asked.
fn deaf_to_others() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Somebody else's would do as well.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(LevelFilter::OFF));
    });
}
