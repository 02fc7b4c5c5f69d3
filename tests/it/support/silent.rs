//! A server that takes every connection and never says a word, and knows how many are open.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the accepting thread rests between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// The silent one. Stops when it is dropped.
pub(crate) struct SilentServer {
    port: u16,
    taken: Arc<AtomicUsize>,
    open_max: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SilentServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, open_max, stop) = (Arc::default(), Arc::default(), Arc::<AtomicBool>::default());
        let mut silent = Self { port, taken, open_max, stop, thread: None };
        let (taken, open_max, stop) =
            (Arc::clone(&silent.taken), Arc::clone(&silent.open_max), Arc::clone(&silent.stop));
        silent.thread = Some(thread::spawn(move || {
            let mut open: Vec<TcpStream> = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::sleep(PAUSE);
                    continue;
                };
                stream.set_nonblocking(true).unwrap();
                // On loopback a connection that was closed before this one was opened is seen closed here.
                open.retain_mut(is_open);
                open.push(stream);
                open_max.fetch_max(open.len(), Ordering::SeqCst);
                taken.fetch_add(1, Ordering::SeqCst);
            }
        }));
        silent
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// The most that were open at one moment.
    pub(crate) fn open_max(&self) -> usize {
        self.open_max.load(Ordering::SeqCst)
    }
}

impl Drop for SilentServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn is_open(stream: &mut TcpStream) -> bool {
    let mut words = [0; 4096];
    loop {
        match stream.read(&mut words) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
