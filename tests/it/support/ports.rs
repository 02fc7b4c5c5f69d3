//! Free ports on loopback, for processes that must be told theirs.
//!
//! Below those that the system gives to outgoing connections (32768 and up), so that no connection of a test sits on one when the
//! process binds it; locked for as long as this run lasts, so that no other run takes it meanwhile. Whoever starts a process tries
//! again with another one all the same: strangers know nothing of our locks.

use std::fs::File;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);
/// The locks of the ports that were handed out: they end with this process.
static HANDED_OUT: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port that was free just now and that no other test was given.
pub(crate) fn free() -> u16 {
    let folder = std::env::temp_dir().join("maitred-test-ports");
    std::fs::create_dir_all(&folder).unwrap();
    // Runs that begin at the same moment begin at different places.
    let begin = std::process::id().wrapping_mul(97) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = u32::from(NEXT.fetch_add(1, Relaxed)) + begin;
        let port = FIRST + u16::try_from(step % u32::from(COUNT)).unwrap();
        let lock = File::create(folder.join(port.to_string())).unwrap();
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            HANDED_OUT.lock().unwrap().push(lock);
            return port;
        }
    }
    panic!("no port of {COUNT} is free");
}
