//! What the threads of a listener share: the director, the clock, the seals, and the site: one configuration, made ready.
//!
//! A reload gives the director its settings first and then swaps the site ([`Edge::reload`]), so a route never leads to a pool
//! that the director does not know yet; a pool that is gone answers 404 for the moment in between, as it does afterwards. A
//! request loads the site once and keeps it to its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_http::header::HeaderValue;
use arc_swap::ArcSwap;
use maitred_core::clock::Now;
use maitred_core::director::Director;
use maitred_core::ids::{LabelName, PoolName};
use maitred_core::seating::Affinity;
use metrics::{Counter, Histogram, counter, histogram};

use crate::actors::effects::Effects;
use crate::clock::Clock;
use crate::config::{Config, KeyLog, LabelSource, Limits, PathPrefix, Pool, StartLog};
use crate::credentials::cookie::SameSite;
use crate::credentials::{CookieFault, CookieName, Seals, Tickets};
use crate::http::cors::{self, AllowedOrigins};
use crate::http::handover::HandoverRule;
use crate::http::key::{KeyRule, LabelRule};
use crate::http::page;
use crate::http::route::Routes;
use crate::peer::Bell;
use crate::store::{Condition, JournalHealth, Trouble};

/// Shared by all threads that answer.
pub struct Edge {
    /// Decides.
    pub director: Arc<Director>,
    /// Tells the time, once per request.
    pub clock: Arc<Clock>,
    /// Seals and opens cookies and tokens.
    pub seals: Arc<Seals>,
    /// Signs and verifies tickets.
    pub tickets: Arc<Tickets>,
    site: ArcSwap<Site>,
    stopping: AtomicBool,
    journal: OnceLock<JournalHealth>,
    effects: OnceLock<Arc<Effects>>,
    bell: Arc<Bell>,
}

impl Edge {
    /// Puts the edge of one director together.
    #[must_use]
    pub fn new(
        director: Arc<Director>,
        clock: Arc<Clock>,
        seals: Arc<Seals>,
        tickets: Arc<Tickets>,
        config: &Config,
    ) -> Self {
        let site = ArcSwap::from_pointee(Site::new(config));
        let (stopping, journal, effects) = (AtomicBool::new(false), OnceLock::new(), OnceLock::new());
        let bell = Arc::default();
        Self { director, clock, seals, tickets, site, stopping, journal, effects, bell }
    }

    /// Whose hands do what the director wants done. The first ones given stay; without any it waits for the keeper's next tick.
    pub fn act_with(&self, effects: Arc<Effects>) {
        let _ = self.effects.set(effects);
    }

    /// The director was given an input: does what it wants done.
    pub fn perform_effects(&self) {
        if let Some(effects) = self.effects.get() {
            effects.perform();
        }
    }

    /// Lets `ready` speak of the journal. The first one given stays.
    pub fn watch_journal(&self, health: JournalHealth) {
        let _ = self.journal.set(health);
    }

    /// Why the journal does not take what is remembered, if it does not.
    #[must_use]
    pub fn journal_trouble(&self) -> Option<Trouble> {
        match self.journal.get()?.status().condition_at(Instant::now()) {
            Condition::Ok => None,
            Condition::Failing { trouble, .. } => Some(trouble),
        }
    }

    /// When a question comes. The director notices first whether it was stopped before.
    #[must_use]
    pub fn now(&self) -> Now {
        let now = self.clock.now();
        self.director.wake(now);
        now
    }

    /// Whether this director may lack what its peers know: at most for some seconds after its start, or after it was stopped.
    #[must_use]
    pub fn is_cold(&self) -> bool {
        !self.director.is_warm(self.clock.now())
    }

    /// Rung after each change that peers should hear of at once.
    #[must_use]
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Takes another configuration into use. The caller has handed its settings to the director BEFORE.
    pub fn reload(&self, config: &Config) {
        self.site.store(Arc::new(Site::new(config)));
    }

    /// The configuration in use, for the length of one request.
    #[must_use]
    pub fn site(&self) -> Arc<Site> {
        self.site.load_full()
    }

    /// SIGTERM has come: from now on `ready` says no, and serving goes on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether SIGTERM has come.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// One configuration as requests need it: everything looked up, parsed and written out beforehand.
pub struct Site {
    /// Which host and path lead where.
    pub routes: Routes<Arc<PoolSite>>,
    /// Pools by name, also those without a route.
    pub pools: BTreeMap<PoolName, Arc<PoolSite>>,
    /// Where own paths live.
    pub prefix: PathPrefix,
    /// What one caller may cost.
    pub limits: Limits,
    /// All pools' `embed` together: for preflights, which do not say which pool they mean.
    pub origins: AllowedOrigins,
    /// Which starts get a line in the log.
    pub log_starts: StartLog,
    /// How a key is written in the log.
    pub log_keys: KeyLog,
}

/// One pool as requests need it.
pub struct PoolSite {
    /// Its name.
    pub name: PoolName,
    /// Where the key stands.
    pub key: KeyRule,
    /// Where labels stand.
    pub labels: LabelRule,
    /// What `/` becomes.
    pub home: String,
    /// The affinity cookie.
    pub cookie: CookieName,
    /// From which pages it is sent.
    pub same_site: SameSite,
    /// How the server learns of the session.
    pub handover: HandoverRule,
    /// How long a session is remembered.
    pub ttl: Duration,
    /// Whose pages may call and embed.
    pub origins: AllowedOrigins,
    /// Which headers an allowed page may send to the pool's addresses.
    pub page_headers: HeaderValue,
    /// JSONP is on.
    pub jsonp: bool,
    /// Content-Security-Policy of pages about this pool.
    pub policy: HeaderValue,
    /// The same for pages with a button.
    pub form_policy: HeaderValue,
    /// Where a logout leads.
    pub after_logout: HeaderValue,
    /// What is counted.
    pub counts: PoolCounts,
}

impl Site {
    /// Makes a configuration ready.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let ttl_of = |name| config.settings.pools.get(name).map_or(Duration::ZERO, |pool| pool.session_ttl);
        let pools: BTreeMap<PoolName, Arc<PoolSite>> = config
            .pools
            .iter()
            .map(|(name, pool)| (name.clone(), Arc::new(PoolSite::new(name, pool, ttl_of(name)))))
            .collect();
        let route = |(name, pool): (&PoolName, &Pool)| {
            let site = pools.get(name)?;
            Some(pool.routes.iter().map(|route| (route.host.clone(), route.path.clone(), Arc::clone(site))).collect())
        };
        let routes: Vec<Vec<_>> = config.pools.iter().filter_map(route).collect();
        Self {
            routes: Routes::new(routes.into_iter().flatten().collect()),
            pools,
            prefix: config.listen.public.prefix.clone(),
            limits: config.limits,
            origins: config.pools.values().flat_map(|pool| &pool.embed).collect(),
            log_starts: config.log.starts,
            log_keys: config.log.keys,
        }
    }
}

impl PoolSite {
    fn new(name: &PoolName, pool: &Pool, ttl: Duration) -> Self {
        let origins: AllowedOrigins = pool.embed.iter().collect();
        let labels: &BTreeMap<LabelName, LabelSource> = &pool.labels;
        let same_site = SameSite::of(pool.is_embedded());
        let (key, labels) = (KeyRule::new(&pool.key), LabelRule::new(labels));
        Self {
            page_headers: cors::headers_with(key.headers().chain(labels.headers())),
            key,
            labels,
            home: pool.home.to_string(),
            cookie: CookieName::of(name),
            same_site,
            handover: HandoverRule::new(pool, same_site, counter!("maitred_tickets_total", "pool" => name.to_string())),
            ttl,
            jsonp: pool.jsonp,
            policy: page::content_security_policy(origins.as_slice()),
            form_policy: page::policy_of_forms(origins.as_slice()),
            // A path or a parsed URL is plain ASCII.
            after_logout: HeaderValue::from_str(&pool.after_logout.to_string())
                .unwrap_or(HeaderValue::from_static("/")),
            counts: PoolCounts::new(name),
            origins,
            name: name.clone(),
        }
    }
}

/// Metrics of a pool's starts; the handles are kept, because looking one up costs more than counting.
pub struct PoolCounts {
    placed: Counter,
    kept: Counter,
    moved: Counter,
    /// Time from the complete head of a request to its answer.
    pub seconds: Histogram,
}

impl PoolCounts {
    fn new(pool: &PoolName) -> Self {
        let starts = |affinity: Affinity| counter!("maitred_starts_total", "pool" => pool.to_string(), "affinity" => affinity.as_str());
        Self {
            placed: starts(Affinity::Placed),
            kept: starts(Affinity::Kept),
            moved: starts(Affinity::Moved),
            seconds: histogram!("maitred_start_duration_seconds", "pool" => pool.to_string()),
        }
    }

    /// The counter of starts that came about like this.
    pub fn starts(&self, affinity: Affinity) -> &Counter {
        match affinity {
            Affinity::Placed => &self.placed,
            Affinity::Kept => &self.kept,
            Affinity::Moved => &self.moved,
        }
    }
}

/// Counts a start that was refused.
pub fn count_refused(pool: &PoolName, code: u16) {
    counter!("maitred_starts_refused_total", "pool" => pool.to_string(), "code" => code.to_string()).increment(1);
}

/// Counts a cookie or token that is treated as absent.
pub fn count_fault(fault: CookieFault) {
    counter!("maitred_cookie_rejected_total", "reason" => fault.as_str()).increment(1);
}
