//! Bad lines between the sites: row 16. A director that has nothing gets everything while it works.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use maitred::store::{self, Source};
use maitred_core::clock::{Stamp, Time};
use maitred_core::director::SnapshotPlace;
use maitred_core::entry::{Entry, Life, SeatEntry};
use maitred_core::ids::{DirectorName, Generation, IncarnationTag, Key, PoolName, ServerName, SessionId};
use maitred_core::session::Cursor;
use maitred_core::unwritten::Tell;

use super::process::cpu_seconds;
use crate::support::director::Director;
use crate::support::kept::Line as Caller;
use crate::support::mesh::{Mesh, wait_for_links};
use crate::support::plan::Plan;
use crate::support::relay::{Line, Relay};
use crate::support::sites::{DIRECTORS, Sites};
use crate::support::stub::StubServer;
use crate::support::wait;

const ALL: [&str; 4] = ["east-1", "east-2", "west-1", "west-2"];

/// Resident memory in KiB.
fn memory(director: &Director) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", director.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn row_16_a_bad_line_between_the_sites_delays_news_and_nothing_else() {
    let mut sites = Sites::without_directors(|plan| plan);
    let mut relays = BTreeMap::new();
    for (number, (from, home)) in DIRECTORS.into_iter().enumerate() {
        for (to, _) in DIRECTORS.into_iter().filter(|(_, site)| *site != home) {
            let target = (sites.network().host(to).address(), 7443).into();
            let relay = Relay::start(sites.network().host("relay"), target, u64::try_from(number).unwrap() * 97 + 11);
            relays.insert((from, to), relay);
        }
    }
    for (name, _) in DIRECTORS {
        let dialled = |peer: &str, address| {
            relays.iter().find(|((from, to), _)| *from == name && *to == peer).map_or(address, |(_, it)| it.address())
        };
        sites.add_via(name, |plan| plan, dialled);
    }
    sites.wait_until_whole();
    sites.crowd(&ALL, "good", 8);
    sites.wait_until_all_are_known(&ALL);

    // Late, thin, with stalls and breaks: everything arrives all the same.
    let bad = Line {
        delay: Duration::from_millis(200),
        bytes_per_second: 50_000,
        stall_every: 40,
        stall: Duration::from_millis(700),
        break_every: 150,
    };
    relays.values().for_each(|relay| relay.set(bad));
    sites.crowd(&ALL, "bad", 40);
    sites.wait_until_all_are_known(&ALL);
    wait::until("links break and are opened again", || relays.values().map(Relay::broken).sum::<usize>() >= 3);

    // So thin that a link is of no use: starts do not wait for it, and nothing piles up.
    let (before, trickle) = (memory(sites.director("east-1")), Line { bytes_per_second: 200, ..Line::GOOD });
    relays.values().for_each(|relay| relay.set(trickle));
    let mut caller = Caller::open(sites.director("east-1"));
    for number in 0..1500 {
        let answer = caller.start(&format!("trickle-{number}"));
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }
    let grown = memory(sites.director("east-1")).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");

    relays.values().for_each(|relay| relay.set(Line::GOOD));
    sites.wait_until_whole();
    sites.wait_until_all_are_known(&ALL);
    let records = sites.director("east-1").metric("maitred_table_records");
    for (name, director) in sites.directors() {
        wait::for_equal(&format!("sessions at {name}"), &records, || director.metric("maitred_table_records"));
        assert_eq!(sites.all_moves(name), Vec::<String>::new(), "{name}");
    }
    ALL.iter().for_each(|at| sites.nobody_moves(at));
}

/// How many sessions a full director has; `MAITRED_RESYNC_SESSIONS` asks for more.
const SESSIONS: u64 = 50_000;
pub(super) const SERVERS: [&str; 3] = ["ua1", "ua2", "ua3"];

fn sessions() -> u64 {
    std::env::var("MAITRED_RESYNC_SESSIONS").map_or(SESSIONS, |text| text.parse().expect("a number of sessions"))
}

fn server_of(number: u64) -> &'static str {
    SERVERS[usize::try_from(number % 3).unwrap()]
}

/// Hands so many sessions to a journal, once.
struct Sessions {
    count: u64,
    now: Time,
    given: AtomicU64,
}

impl Sessions {
    /// Until there is enough; the number behind the last one.
    fn give(&self, mut numbers: std::ops::Range<u64>, sink: &mut dyn FnMut(Entry) -> bool) -> u64 {
        let (pool, writer) = (PoolName::parse("ua").unwrap(), DirectorName::parse("east-1").unwrap());
        let servers = SERVERS.map(|name| ServerName::parse(name).unwrap());
        for number in numbers.by_ref() {
            let mut session = [7; 16];
            session[..8].copy_from_slice(&number.to_be_bytes());
            let goes_on = sink(Entry::Seat(SeatEntry {
                pool: pool.clone(),
                key: Key::parse(&format!("agent-{number:012}@contact.example.com")).unwrap(),
                session: SessionId(session),
                server: servers[usize::try_from(number % 3).unwrap()].clone(),
                incarnation: IncarnationTag::UNKNOWN,
                generation: Generation::FIRST,
                stamp: Stamp::at(self.now),
                writer: writer.clone(),
                life: Life::Live,
                seen: self.now,
                minted: false,
            }));
            if !goes_on {
                break;
            }
        }
        numbers.start
    }
}

impl Source for Sessions {
    fn drain(&self, sink: &mut dyn FnMut(Entry) -> bool) -> bool {
        let given = self.give(self.given.load(Ordering::SeqCst)..self.count, sink);
        self.given.store(given, Ordering::SeqCst);
        given < self.count
    }

    // All of it is there from the beginning.
    fn tell(&self, _: Tell) {}

    fn clock(&self) -> Time {
        self.now
    }

    // A long journal is compacted: what is not given then is gone.
    fn snapshot(&self, from: &SnapshotPlace, limit: usize, sink: &mut dyn FnMut(Entry)) -> Option<SnapshotPlace> {
        let SnapshotPlace::Seats(from) = from else { return None };
        let (from, limit) = (from.to_bits(), u64::try_from(limit).unwrap());
        let next = self.give(from..(from + limit).min(self.count), &mut |entry| {
            sink(entry);
            true
        });
        (next < self.count).then_some(SnapshotPlace::Seats(Cursor::from_bits(next)))
    }

    fn sessions(&self) -> usize {
        usize::try_from(self.given.load(Ordering::SeqCst)).unwrap()
    }

    fn restore(&self, _: Vec<Entry>) {}
}

/// Writes a journal with so many sessions, as a director that had them would have.
pub(super) fn fill(state: &Path, count: u64) {
    let opened = store::open(state, &DirectorName::parse("east-1").unwrap()).unwrap();
    opened.recovered.for_each(drop);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Time(u64::try_from(wall.as_millis()).unwrap());
    let journal = opened.journal.start(Arc::new(Sessions { count, now, given: AtomicU64::new(0) }));
    assert!(
        journal.flush(Duration::from_mins(5)) && journal.stop(Duration::from_mins(1)),
        "the journal is not written"
    );
}

/// With `MAITRED_TEST_BINARY` (a release build), `MAITRED_MEASURE=1` and `MAITRED_RESYNC_SESSIONS=1000000` it prints the figures of
/// `docs/performance.md`.
#[test]
fn an_empty_director_gets_every_session_while_it_serves_starts() {
    let (stubs, count) = (SERVERS.map(StubServer::start), sessions());
    let mesh = Mesh::of(&[("east-1", "east"), ("east-2", "east")]);
    let plan = |name| {
        let plan = Plan::new().stubs(&stubs).with("pool", "capacity = 10000000").with("log", "starts = \"changes\"");
        mesh.plan(name, plan.keeping_state())
    };
    let mut full = plan("east-1").start();
    full.terminate();
    assert!(full.wait().success());
    fs::remove_dir_all(full.folder().join("state")).unwrap();
    fill(&full.folder().join("state"), count);
    full.start_again();
    let records = |director: &Director| director.metric("maitred_table_records").unwrap_or(0.0);
    let all = f64::from(u32::try_from(count).unwrap());
    wait::until("the full director has read its journal", || records(&full) >= all);
    full.wait_for_usable(&SERVERS);

    let cpu_before = cpu_seconds(&full);
    let empty = plan("east-2").start();
    let (begun, mut caller, mut slowest) = (Instant::now(), Caller::open(&empty), Duration::ZERO);
    let mut fresh: u32 = 0;
    wait::until("the empty one has everything", || {
        for _ in 0..10 {
            let asked = Instant::now();
            let answer = caller.start(&format!("meanwhile-{fresh}"));
            assert_eq!(answer.status, 201, "{answer:?}");
            (fresh, slowest) = (fresh + 1, slowest.max(asked.elapsed()));
        }
        records(&empty) >= all + f64::from(fresh)
    });
    let took = begun.elapsed();
    wait_for_links(&[&full, &empty]);
    wait::until("what came meanwhile is known at the full one", || records(&full) >= records(&empty));
    for number in (0..count).step_by(usize::try_from(count / 100).unwrap()) {
        let answer = caller.start(&format!("agent-{number:012}@contact.example.com"));
        let seat = answer.json();
        assert_eq!((&seat["affinity"], &seat["server"]["name"]), (&"kept".into(), &server_of(number).into()), "{seat}");
    }
    if std::env::var_os("MAITRED_MEASURE").is_some() {
        let cpu = (cpu_seconds(&full) - cpu_before) + cpu_seconds(&empty);
        let each = cpu * 1e6 / all;
        println!(
            "{count} sessions to an empty director in {took:.2?}, {each:.2} us CPU each, both sides with everything they do; \
             {fresh} starts meanwhile, the slowest {slowest:.1?}; {} KiB and {} KiB resident",
            memory(&full),
            memory(&empty)
        );
    }
}
