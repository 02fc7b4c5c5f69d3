//! One actor per server: looks at it when its time has come, and hands on what it saw.
//!
//! Owns a [`Prober`] with its connections, and a timer. Refuses to know what a look means: [`Observer`] is told, and answers when
//! the next look is due.
//!
//! Three facts about actix 0.13 shape it. A mailbox is no bound: `do_send` ignores it, so requests for an early look are
//! coalesced before they are sent ([`Monitor::probe_now`]). An interval fires in bursts after a stall: each look arms the timer
//! for the next one. An actor that holds its own address never ends: this one holds none, and a test shows that it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::*;
use maitred_core::health::Look;
use maitred_core::ids::ServerName;
use tokio::time::Instant;
use tracing::debug;
use xxhash_rust::xxh3::xxh3_64;

use super::probe_metrics::ProbeMetrics;
use crate::probe::{Prober, Target};

/// Shortest time from the start of one look to the start of the next that was asked for early. Clients can ask for these
/// (`POST /maitred/v1/reports`), so this bounds what they can cost a server: as much as the default `fast` interval.
pub const EARLY_GAP: Duration = Duration::from_millis(500);
/// Shortest pause after a look, whatever the observer answers: a look that took longer than its interval must not be followed by
/// the next one without a breath.
const BREATH: Duration = Duration::from_millis(10);

/// Looks begin on these ticks, those of all servers on the same ones: a thousand servers wake the thread fifty times a second
/// instead of a thousand, and the answers of one tick are mostly there when the last of its questions is out. Waking was most
/// of what looks cost.
const TICK: Duration = Duration::from_millis(20);

/// Who is told what was seen. Called on the monitors' thread: must be quick and must not block.
pub trait Observer: Send + Sync + 'static {
    /// Takes one look; answers how long after the START of that look the next one is due.
    fn observed(&self, server: &ServerName, look: Look) -> Duration;
}

/// A running monitor. Dropping it stops the monitor.
pub struct Monitor {
    address: Addr<ServerMonitor>,
    /// An early look has been asked for and not been taken up yet.
    asked: Arc<AtomicBool>,
}

impl Monitor {
    /// Brings the next look forward. Any number of calls cost one message and one look per [`EARLY_GAP`].
    pub fn probe_now(&self) {
        if !self.asked.swap(true, Ordering::AcqRel) {
            self.address.do_send(ProbeNow);
        }
    }

    /// Looks at something else from now on, on the same connections where they lead to the same place.
    pub fn retarget(&self, target: Arc<Target>) {
        self.address.do_send(Retarget(target));
    }

    /// Ends it, and with it a look that is under way. Harmless when it has ended.
    pub fn stop(&self) {
        self.address.do_send(Stop);
    }

    /// False after a stop or a panic.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.address.connected()
    }
}

impl Drop for Monitor {
    /// Its timer would keep the actor alive without any address.
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a monitor on `arbiter`. Its first look comes within one interval, at a moment that the server's name decides, so that a
/// thousand servers are not asked all at once, and each director asks in the same order.
#[must_use]
pub fn spawn(arbiter: &ArbiterHandle, target: Arc<Target>, observer: Arc<dyn Observer>) -> Monitor {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    let address = ServerMonitor::start_in_arbiter(arbiter, move |_| ServerMonitor::new(target, observer, flag));
    Monitor { address, asked }
}

/// The first tick at or behind a moment.
fn tick_at(moment: Instant) -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = moment.saturating_duration_since(*FIRST.get_or_init(Instant::now));
    let beyond = since.as_nanos() % TICK.as_nanos();
    // Less than a tick.
    let beyond = Duration::from_nanos(u64::try_from(beyond).unwrap_or(0));
    if beyond.is_zero() { moment } else { moment + (TICK - beyond) }
}

/// When the first look of a server comes.
fn first_look(server: &ServerName, interval: Duration) -> Duration {
    // The upper 32 bits of the hash as a fraction of the interval.
    let hash = xxh3_64(server.as_str().as_bytes()) >> 32;
    let nanos = (interval.as_nanos() * u128::from(hash)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The actor, spoken to through [`Monitor`] alone.
struct ServerMonitor {
    observer: Arc<dyn Observer>,
    asked: Arc<AtomicBool>,
    metrics: ProbeMetrics,
    /// Away while a look is under way: this is what keeps it to one.
    prober: Option<Prober>,
    /// A target that came while a look was under way.
    retarget: Option<Arc<Target>>,
    /// An early look was asked for while one was under way.
    early: bool,
    timer: Option<SpawnHandle>,
    /// When the next look is due.
    due: Instant,
    /// When the last look began.
    began: Option<Instant>,
}

/// Bring the next look forward.
#[derive(Message)]
#[rtype(result = "()")]
struct ProbeNow;

/// Look at something else.
#[derive(Message)]
#[rtype(result = "()")]
struct Retarget(Arc<Target>);

/// End.
#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl ServerMonitor {
    fn new(target: Arc<Target>, observer: Arc<dyn Observer>, asked: Arc<AtomicBool>) -> Self {
        let due = Instant::now() + first_look(&target.server, target.interval);
        let metrics = ProbeMetrics::new(&target.pool);
        let prober = Some(Prober::new(target));
        Self { observer, asked, metrics, prober, retarget: None, early: false, timer: None, due, began: None }
    }

    /// Arms the timer for `due`, instead of whatever it was armed for.
    fn arm(&mut self, due: Instant, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        // Exact, so that ticks do not add up.
        self.due = due;
        let delay = tick_at(due).saturating_duration_since(Instant::now());
        self.timer = Some(context.run_later(delay, |monitor, context| {
            monitor.timer = None;
            monitor.look(context);
        }));
    }

    /// Begins a look, unless one is under way.
    fn look(&mut self, context: &mut Context<Self>) {
        let Some(mut prober) = self.prober.take() else { return };
        self.began = Some(Instant::now());
        let look = async move {
            let look = prober.look().await;
            (prober, look)
        };
        let done = wrap_future(look).map(|(prober, look), monitor: &mut Self, context: &mut Context<Self>| {
            monitor.saw(prober, look, context);
        });
        context.spawn(done);
    }

    /// Hands on what was seen and arms the timer for the next look.
    fn saw(&mut self, mut prober: Prober, look: Look, context: &mut Context<Self>) {
        let now = Instant::now();
        let began = self.began.unwrap_or(now);
        self.metrics.count(&look);
        let moved = self.retarget.take().is_some_and(|target| prober.retarget(target));
        let due = if moved {
            // It was the old address that was seen: that says nothing about the new one.
            now
        } else {
            debug!(server = %prober.target().server, outcome = ?look.outcome, took = ?look.took, "looked");
            // From the moment when it should have begun, so that small delays do not add up; a long one is not made up for.
            let delay = self.observer.observed(&prober.target().server, look);
            let steady = self.due + delay;
            if steady > began { steady } else { began + delay }
        };
        self.prober = Some(prober);
        let early = std::mem::take(&mut self.early);
        self.arm(if early { due.min(began + EARLY_GAP) } else { due }.max(now + BREATH), context);
    }
}

impl Actor for ServerMonitor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.arm(self.due, context);
    }
}

impl Handler<ProbeNow> for ServerMonitor {
    type Result = ();

    fn handle(&mut self, _: ProbeNow, context: &mut Self::Context) {
        self.asked.store(false, Ordering::Release);
        if self.prober.is_none() {
            self.early = true;
            return;
        }
        let now = Instant::now();
        let allowed = self.began.map_or(now, |began| began + EARLY_GAP).max(now);
        if allowed < self.due {
            self.arm(allowed, context);
        }
    }
}

impl Handler<Retarget> for ServerMonitor {
    type Result = ();

    fn handle(&mut self, Retarget(target): Retarget, context: &mut Self::Context) {
        self.metrics = ProbeMetrics::new(&target.pool);
        match &mut self.prober {
            None => self.retarget = Some(target),
            Some(prober) => {
                let interval = target.interval;
                let now = Instant::now();
                let due = if prober.retarget(target) { now } else { self.due.min(now + interval) };
                if due < self.due {
                    self.arm(due, context);
                }
            }
        }
    }
}

impl Handler<Stop> for ServerMonitor {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Door, Notes, closed, hanging, target, until};
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn first_looks_are_spread_over_the_interval_by_name_alone() {
        let interval = Duration::from_secs(2);
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let server = ServerName::parse(&format!("ua{number}")).unwrap();
            let delay = first_look(&server, interval);
            assert!(delay < interval);
            assert_eq!(delay, first_look(&server, interval));
            tenths[usize::try_from(delay.as_millis() / 200).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
    }

    #[test]
    fn looks_of_all_servers_begin_on_common_ticks_soon_after_they_are_due() {
        let now = Instant::now();
        let first = tick_at(now + TICK);
        for millis in 0..200 {
            let due = now + TICK + Duration::from_micros(millis * 997);
            let tick = tick_at(due);
            assert!(tick >= due && tick - due < TICK);
            assert_eq!((tick - first).as_nanos() % TICK.as_nanos(), 0);
        }
    }

    #[actix_rt::test]
    async fn it_looks_again_when_the_observer_says() {
        let notes = Notes::answering(Duration::ZERO);
        let door = Door::open();
        let monitor = spawn(&Arbiter::current(), target("ua1", &door, Duration::from_millis(1)), notes.clone());
        until(|| notes.looks() >= 5).await;
        assert!(notes.all_good());
        assert!(monitor.is_alive());
    }

    #[actix_rt::test]
    async fn a_crowd_of_reports_costs_one_early_look_and_not_at_once() {
        let notes = Notes::answering(LONG);
        let door = Door::open();
        let monitor = spawn(&Arbiter::current(), target("ua1", &door, Duration::from_millis(1)), notes.clone());
        until(|| notes.looks() == 1).await;
        let first = notes.last_at();
        for _ in 0..1000 {
            monitor.probe_now();
        }
        until(|| notes.looks() == 2).await;
        // The look ended after it began, so the gap between two ends may be a look shorter than the one between beginnings.
        assert!(notes.last_at() - first > EARLY_GAP / 2);
        monitor.probe_now();
        until(|| notes.looks() == 3).await;
    }

    #[actix_rt::test]
    async fn a_report_does_not_put_off_a_look_that_is_due_sooner() {
        let notes = Notes::answering(Duration::from_millis(20));
        let door = Door::open();
        let monitor = spawn(&Arbiter::current(), target("ua1", &door, Duration::from_millis(1)), notes.clone());
        until(|| {
            monitor.probe_now();
            notes.looks() >= 10
        })
        .await;
    }

    #[actix_rt::test]
    async fn a_stop_ends_it_and_lets_everything_go() {
        for dropped in [false, true] {
            let notes = Notes::answering(Duration::ZERO);
            let door = Door::open();
            let target = target("ua1", &door, Duration::from_millis(1));
            let monitor = spawn(&Arbiter::current(), target.clone(), notes.clone());
            until(|| notes.looks() >= 1).await;
            if dropped {
                drop(monitor);
            } else {
                monitor.stop();
                until(|| !monitor.is_alive()).await;
            }
            until(|| Arc::strong_count(&target) == 1 && Arc::strong_count(&notes) == 1).await;
        }
    }

    #[actix_rt::test]
    async fn a_stop_does_not_wait_for_a_look_under_way() {
        let notes = Notes::answering(Duration::ZERO);
        let target = hanging("ua1", LONG);
        let monitor = spawn(&Arbiter::current(), target.clone(), notes.clone());
        // The actor, its prober, and the look itself hold the target once the look is under way; there is no other sign of it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(monitor);
        until(|| Arc::strong_count(&target) == 1).await;
        assert_eq!(notes.looks(), 0);
    }

    #[actix_rt::test]
    async fn what_was_seen_of_an_old_address_is_not_told_of_the_new_one() {
        let notes = Notes::answering(LONG);
        let old = hanging("ua1", Duration::from_millis(300));
        let monitor = spawn(&Arbiter::current(), old, notes.clone());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let door = Door::open();
        monitor.retarget(target("ua1", &door, LONG));
        until(|| notes.looks() == 1).await;
        assert!(notes.all_good());
    }

    #[actix_rt::test]
    async fn a_new_address_is_looked_at_without_delay() {
        let notes = Notes::answering(LONG);
        let door = Door::open();
        let monitor = spawn(&Arbiter::current(), target("ua1", &door, Duration::from_millis(1)), notes.clone());
        until(|| notes.looks() == 1).await;
        assert!(notes.all_good());
        monitor.retarget(closed("ua1", LONG));
        until(|| notes.looks() == 2).await;
        assert!(!notes.all_good(), "it is the new address that was looked at");
    }
}
