//! A director on a bench: two sites, a clock that the test turns, servers that look as the test says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Mono, Now, Time};
use crate::director::{Director, ServerWord};
use crate::entry::{Entry, OperatorWord, SeatEntry};
use crate::health::{Failure, FailureKind, Input, Look, Outcome, Report, Vote};
use crate::ids::{DatacenterName, DirectorName, Incarnation, Key, LabelName, PoolName, ServerName, SessionId};
use crate::seating::{Refusal, RequestKey, Seat, Shown, StartRequest};
use crate::session::TableOptions;
use crate::settings::*;

pub(super) const FALL: u32 = 3;
const BORN: u64 = 1_700_000_000_000;
/// Ticks come later than this to a director that is stopped.
const TICK_MAX: Duration = Duration::from_secs(5);

pub(super) struct Rig {
    pub(super) director: Director,
    pub(super) now: Now,
    pub(super) settings: Settings,
    minted: u128,
}

pub(super) fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

pub(super) fn pool() -> PoolName {
    name("ua")
}

/// Servers `ua1..=ua<east>` in the east and `ub1..=ub<west>` in the west.
pub(super) fn settings(east: u32, west: u32) -> Settings {
    let server = |name: String, datacenter: &str, position: u32| {
        let settings = ServerSettings {
            origin: format!("https://{name}.example.com").into(),
            name: ServerName::parse(&name).unwrap(),
            datacenter: DatacenterName::parse(datacenter).unwrap(),
            position,
            weight: 100,
            labels: BTreeMap::new(),
        };
        (settings.name.clone(), Arc::new(settings))
    };
    let servers = (1..=east)
        .map(|at| server(format!("ua{at}"), "east", at))
        .chain((1..=west).map(|at| server(format!("ub{at}"), "west", east + at)))
        .collect();
    let pool = PoolSettings {
        labels: BTreeSet::from([LabelName::parse("media").unwrap()]),
        health: HealthSettings { fall: FALL, slow_start: Duration::ZERO, ..HealthSettings::default() },
        servers,
        ..PoolSettings::new(pool(), vec![name("east"), name("west")])
    };
    Settings {
        director: DirectorName::parse("east-1").unwrap(),
        datacenter: name("east"),
        peers: BTreeMap::new(),
        pools: BTreeMap::from([(pool.name.clone(), Arc::new(pool))]),
    }
}

/// The settings with their only pool changed.
pub(super) fn with(mut settings: Settings, change: impl FnOnce(&mut PoolSettings)) -> Settings {
    let shared = settings.pools.get_mut(&pool()).unwrap();
    change(Arc::make_mut(shared));
    settings
}

impl Rig {
    /// All servers have been seen up.
    pub(super) fn new(settings: Settings) -> Self {
        let mut rig = Self::unseen(settings);
        for server in rig.servers() {
            rig.good(&server);
        }
        rig
    }

    /// No server has been looked at.
    pub(super) fn unseen(settings: Settings) -> Self {
        Self::unseen_at(settings, Now { mono: Mono(1000), time: Time(BORN) })
    }

    fn unseen_at(settings: Settings, now: Now) -> Self {
        let director =
            Director::new(settings.clone(), TableOptions { shards: 4, ..TableOptions::default() }, now).unwrap();
        Self { director, now, settings, minted: 0 }
    }

    /// Goes on with the ids of a former life.
    pub(super) fn skip_ids(&mut self, former: &Self) {
        self.minted = former.minted;
    }

    pub(super) fn skip_to(&mut self, minted: u128) {
        self.minted = minted;
    }

    /// Looks at every server as it is known: what was up answers, what was down refuses.
    pub(super) fn look_again(&mut self) {
        let view = self.director.view();
        for server in view.pool(&pool()).unwrap().servers() {
            let name = &server.settings.name;
            let own = self.director.server_health(name).and_then(|health| health.voter().vote());
            let down = match server.standing.input {
                Input::Down | Input::LastKnownDown => true,
                Input::Disputed => matches!(own, Some(Vote::Down(_))),
                _ => false,
            };
            if down { self.kill(name.as_str()) } else { self.good(name) }
        }
    }

    pub(super) fn servers(&self) -> Vec<ServerName> {
        self.settings.pools[&pool()].servers.keys().cloned().collect()
    }

    /// Time passes, and the director lives through it.
    pub(super) fn pass(&mut self, time: Duration) {
        let mut left = time;
        while left > TICK_MAX {
            self.oversleep(TICK_MAX);
            self.director.handle_timeout(self.now);
            left -= TICK_MAX;
        }
        self.oversleep(left);
        self.director.handle_timeout(self.now);
    }

    /// Time passes, and nobody calls the director.
    pub(super) fn oversleep(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.time = self.now.time + time;
    }

    /// Lets the sweeper come around.
    pub(super) fn sweep(&mut self) {
        for _ in 0..8 {
            self.pass(Duration::from_millis(200));
        }
    }

    pub(super) fn good(&mut self, server: &ServerName) {
        self.report(server, Report::default());
    }

    pub(super) fn report(&mut self, server: &ServerName, report: Report) {
        let look = Look { took: Duration::from_millis(3), outcome: Outcome::Good(report) };
        self.director.handle_look(server, &look, self.now);
    }

    pub(super) fn born(&mut self, server: &str, incarnation: &str) {
        let report = Report { incarnation: Incarnation::parse(incarnation).ok(), ..Report::default() };
        self.report(&name(server), report);
    }

    /// Refuses connections until it is down.
    pub(super) fn kill(&mut self, server: &str) {
        for _ in 0..FALL {
            let failure = Failure { kind: FailureKind::Refused, check: None, detail: "connection refused".into() };
            let look = Look { took: Duration::from_millis(1), outcome: Outcome::Bad(failure) };
            self.director.handle_look(&name(server), &look, self.now);
        }
    }

    pub(super) fn revive(&mut self, server: &str) {
        for _ in 0..2 {
            self.good(&name(server));
        }
    }

    pub(super) fn order(&mut self, server: &str, word: OperatorWord) {
        self.director.handle_server_order(&name(server), &ServerWord::new(word), self.now).unwrap();
    }

    pub(super) fn start(&mut self, key: &str) -> Result<Seat, Refusal> {
        self.ask(RequestKey::Given(name_key(key)), None, None, &[])
    }

    /// Comes back with the cookie of a seat.
    pub(super) fn back(&mut self, seat: &Seat) -> Result<Seat, Refusal> {
        self.ask(RequestKey::Given(seat.entry.key.clone()), Some(shown(seat)), None, &[])
    }

    pub(super) fn mint(&mut self) -> Result<Seat, Refusal> {
        let key = Key::parse(&format!("minted-{}", self.minted)).unwrap();
        self.ask(RequestKey::Minted(key), None, None, &[])
    }

    pub(super) fn ask(
        &mut self,
        key: RequestKey,
        shown: Option<Shown>,
        avoid: Option<&str>,
        labels: &[(LabelName, Cow<'_, str>)],
    ) -> Result<Seat, Refusal> {
        self.minted += 1;
        let avoid = avoid.map(|server| ServerName::parse(server).unwrap());
        let session = SessionId(self.minted.to_be_bytes());
        let request = StartRequest { pool: &pool(), key, shown, labels, avoid: avoid.as_ref(), session };
        self.director.start(&request, self.now)
    }

    /// Another life of the director, with what its journal holds. Session ids are random in life; here they must not repeat.
    pub(super) fn restarted(&self, journal: &[Entry]) -> Self {
        let mut next = Self::unseen_at(self.settings.clone(), self.now);
        next.director.restore(journal.to_vec(), next.now);
        next.skip_ids(self);
        next
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.director.drain_dirty(&mut |entry| entries.push(entry));
        entries
    }

    pub(super) fn seats(&self) -> Vec<SeatEntry> {
        self.entries()
            .into_iter()
            .filter_map(|entry| if let Entry::Seat(seat) = entry { Some(seat) } else { None })
            .collect()
    }

    pub(super) fn load(&self, server: &str) -> u32 {
        let view = self.director.view();
        view.server(&name(server)).unwrap().1.load.load(self.now.time)
    }
}

pub(super) fn name_key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

pub(super) fn shown(seat: &Seat) -> Shown {
    Shown { seat: seat.entry.clone(), owner: seat.owner }
}

pub(super) fn at(seat: &Seat) -> &str {
    seat.server.name.as_str()
}
