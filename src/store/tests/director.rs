//! The journal over a real director: what it was told comes back in another one, from the file as from a snapshot.

use std::sync::atomic::{AtomicBool, Ordering};

use maitred_core::director::Director;
use maitred_core::seating::{RequestKey, StartRequest};
use maitred_core::session::TableOptions;
use maitred_core::settings::Settings;

use super::*;
use crate::clock::Clock;
use crate::store::DirectorSource;

const CONFIG: &str = r#"
[director]
name = "east-1"
datacenter = "east"
[listen.public]
address = "127.0.0.1:0"
tls = { cert = "c.pem", key = "k.pem" }
[affinity]
key_file = "a.keys"
[[pool]]
name = "agents"
route = [{ path = "/" }]
key = ["query:agent"]
datacenters = ["east"]
capacity = 100000
[[pool.server]]
name = "ua1"
datacenter = "east"
url = "https://ua1.example.com"
[[pool.server]]
name = "ua2"
datacenter = "east"
url = "https://ua2.example.com"
"#;

fn settings() -> Settings {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, text) in [("maitred.toml", CONFIG), ("c.pem", ""), ("k.pem", ""), ("a.keys", "")] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
    }
    let loaded = crate::config::load(&folder.path().join("maitred.toml"), []);
    loaded.unwrap_or_else(|faults| panic!("{faults:?}")).config.settings
}

/// A director and what the journal sees of it.
struct House {
    director: Arc<Director>,
    clock: Arc<Clock>,
    source: Arc<DirectorSource>,
}

impl House {
    fn new() -> Self {
        let clock = Arc::new(Clock::new(None));
        let director = Arc::new(Director::new(settings(), TableOptions::default(), clock.now()).expect("room"));
        let source = Arc::new(DirectorSource::new(Arc::clone(&director), Arc::clone(&clock)));
        Self { director, clock, source }
    }

    fn pool() -> PoolName {
        PoolName::parse("agents").expect("a name")
    }

    fn seat(&self, number: u64) {
        let (pool, key) = (Self::pool(), Key::parse(&format!("agent-{number}")).expect("a key"));
        let session = SessionId(u128::from(number).to_be_bytes());
        let request =
            StartRequest { pool: &pool, key: RequestKey::Given(key), shown: None, labels: &[], avoid: None, session };
        self.director.start(&request, self.clock.now()).expect("a seat");
    }

    /// Everything that is known of these agents.
    fn known(&self, numbers: std::ops::Range<u64>) -> Vec<String> {
        let key = |number| Key::parse(&format!("agent-{number}")).expect("a key");
        let find = |number| self.director.find(&Self::pool(), &key(number), None, self.clock.now());
        numbers.filter_map(|number| find(number).map(|seat| format!("{seat:?}"))).collect()
    }
}

fn drained(source: &dyn Source) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut take = |entry| {
        entries.push(entry);
        true
    };
    while source.drain(&mut take) {}
    entries
}

#[test]
fn what_changed_is_handed_out_once_and_makes_another_director_equal() {
    let (first, second) = (House::new(), House::new());
    drained(&*first.source);
    (0..20).for_each(|number| first.seat(number));
    let entries = drained(&*first.source);
    assert_eq!(entries.iter().filter(|entry| matches!(entry, Entry::Seat(_))).count(), 20);
    assert_eq!(drained(&*first.source), [], "once");
    second.source.restore(entries);
    assert_eq!(first.known(0..20).len(), 20);
    assert_eq!(first.known(0..20), second.known(0..20));
}

#[test]
fn the_pages_of_a_snapshot_hold_everything() {
    let (first, second) = (House::new(), House::new());
    (0..500).for_each(|number| first.seat(number));
    drained(&*first.source);
    let (mut entries, mut pages, mut place) = (Vec::new(), 0, Some(SnapshotPlace::default()));
    while let Some(from) = place {
        place = first.source.snapshot(&from, 100, &mut |entry| entries.push(entry));
        pages += 1;
        assert!(entries.len() <= 100 * pages, "a page is bounded");
    }
    second.source.restore(entries);
    assert_eq!(first.known(0..500).len(), 500);
    assert_eq!(first.known(0..500), second.known(0..500));
}

#[test]
fn the_clock_goes_on_from_what_the_journal_says() {
    let house = House::new();
    let before = house.source.clock();
    assert!(before <= house.source.clock());
    let later = Time(before.0 + 3_600_000);
    assert!(Clock::new(Some(later)).now().time >= later, "R2");
}

#[test]
fn a_directors_sessions_come_back_from_the_file_while_starts_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let house = House::new();
    let opened = open_when_free(directory.path());
    drop(opened.recovered);
    let journal = opened.journal.start(Arc::clone(&house.source) as Arc<dyn Source>);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1000;
            while !stop.load(Ordering::Relaxed) && number < 100_000 {
                house.seat(number);
                number += 1;
                std::thread::yield_now();
            }
        });
        for number in 0..200 {
            house.seat(number);
            if number % 20 == 19 {
                assert!(journal.flush(PATIENCE));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(journal.stop(PATIENCE));
    let next = House::new();
    let opened = open_when_free(directory.path());
    next.director.restore(opened.recovered, next.clock.now());
    assert_eq!(house.known(0..100_000), next.known(0..100_000));
    assert!(opened.journal.close(PATIENCE));
}
