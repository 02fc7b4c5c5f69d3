//! A bad line between two hosts: a relay that passes bytes on late, slowly, in crumbs and with stalls, and breaks now and then.
//!
//! TCP mends loss and order by itself; what a program sees of a bad network is exactly this.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::network::Host;

/// How long the accepting thread rests between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Pieces that are under way at once on one connection; then the sender has to wait, as on a real line.
const UNDER_WAY_MAX: usize = 64;

/// What a line is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Every byte arrives so much later.
    pub(crate) delay: Duration,
    /// Bytes in a second, each way of each connection.
    pub(crate) bytes_per_second: u64,
    /// One piece in so many is stuck for a while, as after a loss; 0 for none.
    pub(crate) stall_every: u64,
    /// For how long.
    pub(crate) stall: Duration,
    /// One piece in so many takes the connection with it; 0 for none.
    pub(crate) break_every: u64,
}

impl Line {
    /// One that only relays.
    pub(crate) const GOOD: Self = Self {
        delay: Duration::ZERO,
        bytes_per_second: u64::MAX,
        stall_every: 0,
        stall: Duration::ZERO,
        break_every: 0,
    };
}

/// The relay. Stops when it is dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    host: Host,
    target: SocketAddr,
    line: Mutex<Line>,
    stop: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    broken: AtomicUsize,
    random: Mutex<u64>,
}

impl Relay {
    /// Listens at a host and leads to `target`. The seed decides which pieces are stuck.
    pub(crate) fn start(host: &Host, target: SocketAddr, seed: u64) -> Self {
        let listener = host.inside(|| TcpListener::bind((host.address(), 0)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            host: host.clone(),
            target,
            line: Mutex::new(Line::GOOD),
            stop: AtomicBool::new(false),
            open: Mutex::default(),
            broken: AtomicUsize::new(0),
            random: Mutex::new(seed | 1),
        });
        let own = Arc::clone(&shared);
        let accepting = Some(thread::spawn(move || own.accept(&listener)));
        Self { address, shared, accepting }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the line is like this.
    pub(crate) fn set(&self, line: Line) {
        *self.shared.line.lock().unwrap() = line;
    }

    /// Connections that the line has broken.
    pub(crate) fn broken(&self) -> usize {
        self.shared.broken.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(accepting) = self.accepting.take() {
            let _reported_already = accepting.join();
        }
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _closed_already = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        self.host.enter();
        while !self.stop.load(Ordering::SeqCst) {
            let Ok((near, _)) = listener.accept() else {
                thread::sleep(PAUSE);
                continue;
            };
            // Nobody there: whoever dialled sees it closed.
            let Ok(far) = TcpStream::connect_timeout(&self.target, Duration::from_secs(2)) else { continue };
            near.set_nonblocking(false).unwrap();
            for stream in [&near, &far] {
                stream.set_nodelay(true).unwrap();
                self.open.lock().unwrap().push(stream.try_clone().unwrap());
            }
            let ways = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
            for (from, to) in ways {
                let shared = Arc::clone(&self);
                thread::spawn(move || shared.pass(from, to));
            }
        }
    }

    fn pass(self: Arc<Self>, mut from: TcpStream, to: TcpStream) {
        let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
        let (own, end) = (Arc::clone(&self), to.try_clone().unwrap());
        let writing = thread::spawn(move || own.deliver(to, &receiver));
        let mut piece = [0; 1400];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            let line = *self.line.lock().unwrap();
            if self.one_in(line.break_every) {
                self.broken.fetch_add(1, Ordering::SeqCst);
                break;
            }
            let stall = if self.one_in(line.stall_every) { line.stall } else { Duration::ZERO };
            let due = Instant::now() + line.delay + stall;
            if sender.send((due, piece[..count].to_vec())).is_err() {
                break;
            }
        }
        drop(sender);
        let _reported_already = writing.join();
        for stream in [from, end] {
            let _closed_already = stream.shutdown(Shutdown::Both);
        }
    }

    fn deliver(&self, mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
        for (due, piece) in pieces {
            let length = u64::try_from(piece.len()).unwrap();
            let rate = self.line.lock().unwrap().bytes_per_second.max(1);
            let thin = Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()) + thin);
            if self.stop.load(Ordering::SeqCst) || to.write_all(&piece).is_err() {
                break;
            }
        }
        let _closed_already = to.shutdown(Shutdown::Both);
    }

    fn one_in(&self, many: u64) -> bool {
        let mut random = self.random.lock().unwrap();
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        many > 0 && random.is_multiple_of(many)
    }
}
