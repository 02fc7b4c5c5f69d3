//! Log lines on their way to standard output: gathered, and written by a thread of its own some at a time.
//!
//! A line that is handed over alone costs two system calls and a switch to that thread, more than the start that it tells of. What
//! comes within a few milliseconds is written together. A log that is not read, or a full disk behind it, costs lines and never
//! holds up a start.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// What waits at most, in bytes: some ten thousand lines.
const BYTES_MAX: usize = 16 << 20;
/// How long the thread lets lines gather: nobody reads a log faster.
const GATHERED_FOR: Duration = Duration::from_millis(10);
/// How long the end of the process waits for a log that is not read.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// Takes lines.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    ending: bool,
}

/// Writes what is left when it is dropped.
#[must_use = "lines are written as long as this lives"]
pub(super) struct LogGuard {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

/// Starts the thread that writes to `out`.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Lines, LogGuard)> {
    let shared = Arc::new(Shared { waiting: Mutex::default(), came: Condvar::new() });
    let (end, ended) = channel();
    let writing = Arc::clone(&shared);
    thread::Builder::new().name("maitred-log".to_owned()).spawn(move || write_all(&writing, out, end))?;
    Ok((Lines(Arc::clone(&shared)), LogGuard { shared, ended }))
}

fn write_all(shared: &Shared, mut out: impl Write, _end: Sender<()>) {
    let mut text = Vec::new();
    loop {
        let mut waiting = shared.waiting.lock();
        while waiting.text.is_empty() {
            if waiting.ending {
                return;
            }
            shared.came.wait(&mut waiting);
        }
        if !waiting.ending {
            // More may come meanwhile; whoever hands it over wakes nobody.
            drop(waiting);
            thread::sleep(GATHERED_FOR);
            waiting = shared.waiting.lock();
        }
        mem::swap(&mut text, &mut waiting.text);
        drop(waiting);
        // Where would a complaint go?
        let _ = out.write_all(&text).and_then(|()| out.flush());
        text.clear();
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting.lock();
        if waiting.text.len() + line.len() <= BYTES_MAX {
            let first = waiting.text.is_empty();
            waiting.text.extend_from_slice(line);
            drop(waiting);
            if first {
                self.0.came.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.shared.waiting.lock().ending = true;
        self.shared.came.notify_one();
        // Hears the thread's end as its sender's.
        let _ = self.ended.recv_timeout(LAST_LINES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands on what is written, piece by piece.
    struct Pieces(Sender<String>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_once_and_in_order() {
        let (send, written) = channel();
        let (mut lines, guard) = start(Pieces(send)).unwrap();
        let all: Vec<String> = (0..1000).map(|number| format!("line {number}\n")).collect();
        all.iter().for_each(|line| assert_eq!(lines.write(line.as_bytes()).unwrap(), line.len()));
        drop(guard);
        assert_eq!(written.iter().collect::<String>(), all.concat());
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_holds_nobody_up() {
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (_hold, stuck) = channel();
        let (mut lines, guard) = start(Stuck(stuck)).unwrap();
        let mebibyte = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            assert_eq!(lines.write(&mebibyte).unwrap(), mebibyte.len());
        }
        assert!(lines.0.waiting.lock().text.len() <= BYTES_MAX);
        drop(guard);
    }
}
