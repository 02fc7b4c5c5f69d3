//! What is read at the moment when Prometheus asks: from the view and the vitals, without waiting for anything.

use std::collections::BTreeMap;

use maitred_core::clock::Time;
use maitred_core::director::Director;
use maitred_core::health::Input;
use maitred_core::ids::DatacenterName;
use maitred_core::replication::PeerStatus;
use maitred_core::role::Service;
use maitred_core::view::{PoolView, View};

use super::text::Text;
use crate::clock::{Clock, WallJump};
use crate::vitals::Vitals;

/// Where samples come from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Servers, sessions, roles.
    pub director: &'a Director,
    /// The own clock.
    pub clock: &'a Clock,
    /// Certificates and reloads.
    pub vitals: &'a Vitals,
    /// The digest of the configuration in force.
    pub digest: &'a str,
    /// SIGTERM has come.
    pub stopping: bool,
}

/// Reads all of them.
pub(super) fn sample(sources: &Sources<'_>) -> Text {
    let mut text = Text::default();
    let view = sources.director.view();
    process(&mut text, sources);
    servers(&mut text, &view, sources.clock.now().time);
    roles(&mut text, &view);
    peers(&mut text, sources);
    let mut suspects = text.begin("maitred_suspects_itself");
    for pool in view.pools() {
        let name = &pool.settings().name;
        let suspicion = sources.director.suspicion(name);
        suspects.value(&[name.as_str()], truth(suspicion.is_some_and(|it| !it.lifted)));
    }
    text
}

fn process(text: &mut Text, sources: &Sources<'_>) {
    let Sources { director, clock, vitals, digest, stopping } = sources;
    text.begin("maitred_build_info").value(&[env!("CARGO_PKG_VERSION")], 1.0);
    text.begin("maitred_start_time_seconds").value(&[], seconds(vitals.started()));
    text.begin("maitred_stopping").value(&[], truth(*stopping));
    let (kept, lost) = director.events_kept();
    text.begin("maitred_events_kept").value(&[], kept as f64);
    text.begin("maitred_events_lost_total").value(&[], lost as f64);
    text.begin("maitred_table_records").value(&[], director.sessions() as f64);
    let (confirmed, states) = director.remembered();
    text.begin("maitred_confirmed_sessions").value(&[], confirmed as f64);
    text.begin("maitred_agent_states").value(&[], states as f64);
    text.begin("maitred_config_info").value(&[digest], 1.0);
    let reload = vitals.reloads().last();
    text.begin("maitred_config_last_reload_successful").value(&[], truth(reload.refused.is_none()));
    text.begin("maitred_config_last_reload_success_timestamp_seconds").value(&[], seconds(reload.taken));
    text.begin("maitred_clock_jump_seconds").value(
        &[],
        match clock.wall_jump() {
            None => 0.0,
            Some(WallJump::Ahead(by)) => by.as_secs_f64(),
            Some(WallJump::Behind(by)) => -by.as_secs_f64(),
        },
    );
    let mut ends = text.begin("maitred_certificate_not_after_seconds");
    for certificate in vitals.certificates() {
        ends.value(&[certificate.listener], seconds(certificate.not_after));
    }
}

fn servers(text: &mut Text, view: &View, now: Time) {
    let mut states = text.begin("maitred_servers");
    for pool in view.pools() {
        for ((datacenter, state), count) in by_state(pool) {
            states.value(&[pool.settings().name.as_str(), datacenter.as_str(), state], f64::from(count));
        }
    }
    let mut each = |name, value: &dyn Fn(&maitred_core::view::ServerView) -> f64| {
        let mut family = text.begin(name);
        for pool in view.pools() {
            for server in pool.servers() {
                family.value(&[pool.settings().name.as_str(), server.settings.name.as_str()], value(server));
            }
        }
    };
    each("maitred_server_up", &|server| truth(server.standing.is_usable()));
    each("maitred_server_load", &|server| f64::from(server.load.load(now)));
    each("maitred_server_capacity", &|server| f64::from(server.load.capacity()));
    each("maitred_server_sessions", &|server| f64::from(server.load.seats()));
}

/// Every state of every datacenter, zeros too: an alert must not depend on whether a state has ever occurred.
fn by_state(pool: &PoolView) -> BTreeMap<(&DatacenterName, &'static str), u32> {
    let all = pool.settings().datacenters.iter().flat_map(|site| Input::ALL.map(|state| ((site, state.as_str()), 0)));
    let mut counts: BTreeMap<_, _> = all.collect();
    for server in pool.servers() {
        *counts.entry((&server.settings.datacenter, server.standing.input.as_str())).or_insert(0) += 1;
    }
    counts
}

fn roles(text: &mut Text, view: &View) {
    let mut active = text.begin("maitred_datacenter_active");
    for pool in view.pools() {
        for site in pool.sites() {
            let labels = [pool.settings().name.as_str(), site.datacenter.as_str()];
            active.value(&labels, truth(site.datacenter == pool.role().active));
        }
    }
    let mut serving = text.begin("maitred_datacenter_serving");
    for pool in view.pools() {
        for site in pool.sites() {
            let labels = [pool.settings().name.as_str(), site.datacenter.as_str()];
            serving.value(&labels, truth(site.service == Service::Serves));
        }
    }
    let mut epoch = text.begin("maitred_role_epoch");
    for pool in view.pools() {
        epoch.value(&[pool.settings().name.as_str()], pool.role().epoch as f64);
    }
}

fn peers(text: &mut Text, sources: &Sources<'_>) {
    let peers = sources.director.peers(sources.clock.now());
    let mut up = text.begin("maitred_peer_up");
    for peer in &peers {
        up.value(&[peer.name.as_str()], truth(peer.linked));
    }
    let mut dropped = text.begin("maitred_peer_dropped_total");
    for (reason, count) in sources.director.dropped_from_peers() {
        dropped.value(&[reason], count as f64);
    }
    let mut each = |name, value: &dyn Fn(&PeerStatus) -> Option<f64>| {
        let mut family = text.begin(name);
        for peer in peers.iter().filter(|peer| peer.linked) {
            if let Some(value) = value(peer) {
                family.value(&[peer.name.as_str()], value);
            }
        }
    };
    each("maitred_peer_round_trip_seconds", &|peer| peer.round_trip.map(|it| it.as_secs_f64()));
    each("maitred_replication_lag_seconds", &|peer| Some(peer.lag.as_secs_f64()));
    // A part of the table that differs holds at least one session that does.
    each("maitred_divergent_sessions", &|peer| Some(f64::from(peer.divergent_buckets)));
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn seconds(time: Time) -> f64 {
    // Exact up to 2^53 milliseconds.
    time.0 as f64 / 1000.0
}
