//! Draws the picture: from settings, health and roles to the view that starts read.

use std::sync::Arc;

use super::control::Control;
use super::counts::Counts;
use crate::health::{Input, Site, Verdict, Watch};
use crate::ids::{DatacenterName, PoolName};
use crate::role::{Service, SiteCount};
use crate::session::{Full, Names};
use crate::settings::PoolSettings;
use crate::view::{PoolView, RoleView, ServerView, View};

/// The next picture. `only` names the pools that changed; the others are taken over as they are. `None` draws all.
pub(super) fn build(
    control: &Control,
    names: &Names,
    counts: &Counts,
    only: Option<&[PoolName]>,
) -> Result<View, Full> {
    let pools = control
        .settings
        .pools
        .values()
        .map(|pool| match (control.view.pool(&pool.name), only) {
            (Some(drawn), Some(only)) if !only.contains(&pool.name) => Ok(Arc::clone(drawn)),
            _ => draw(control, pool, names, counts).map(Arc::new),
        })
        .collect::<Result<Vec<_>, Full>>()?;
    Ok(View::new(control.view.number() + 1, Arc::clone(&control.settings), pools))
}

/// Those of the touched pools, and of those whose role moved, that a decision would see otherwise than the view shows them.
pub(super) fn stale_pools(control: &Control, touched: Vec<PoolName>) -> Vec<PoolName> {
    let mut stale = touched;
    let directors = shared(control, &control.settings.datacenter);
    for (name, role) in &control.roles {
        let shown = control.view.pool(name);
        let moved = shown.is_none_or(|shown| {
            Some(&shown.role().active) != role.active()
                || shown.role().epoch != role.epoch()
                || shown.role().order.as_ref() != role.order()
                || shown.role().left != role.left()
                || shown.role().held != role.is_held()
                || (role.left().is_some() && shown.role().directors != directors)
                || shown.sites().iter().any(|site| Some(site.service) != role.service(&site.datacenter).map(|it| it.0))
        });
        if moved && !stale.contains(name) {
            stale.push(name.clone());
        }
    }
    stale
}

/// Whether a datacenter serves a pool: of its configured servers, `min_up` must be up by the verdict and not held back by the
/// operator (R14). Unknown is not down.
pub(super) fn service(watch: &Watch, pool: &PoolSettings, datacenter: &DatacenterName) -> Service {
    count(watch, pool, datacenter).service()
}

/// What [`service`] follows from.
pub(super) fn count(watch: &Watch, pool: &PoolSettings, datacenter: &DatacenterName) -> SiteCount {
    let mut count = SiteCount::default();
    for server in pool.servers.values().filter(|server| server.datacenter == *datacenter) {
        count.configured += 1;
        match watch.server(&server.name).map_or(Input::Unconfirmed, |health| health.standing().input) {
            Input::Up | Input::SlowStart | Input::HeldDown | Input::Degraded => count.up += 1,
            Input::Unconfirmed => count.unknown += 1,
            Input::Maint | Input::Down | Input::Disputed | Input::LastKnownDown | Input::Drain | Input::Draining => {}
            // It serves nobody who is sent from here. That is no evidence that it fails (R11), so a role that leaves for it
            // leaves as one that is isolated (R13).
            Input::Unseen => {}
        }
    }
    count.needed = pool.failover.min_up.of(count.configured);
    count
}

/// Whether somebody has seen that a datacenter fails: a director that stands there, or whoever got an answer that says so.
pub(super) fn witnessed(watch: &Watch, pool: &PoolSettings, datacenter: &DatacenterName) -> bool {
    pool.servers.values().filter(|server| server.datacenter == *datacenter).any(|server| {
        match watch.server(&server.name).map(crate::health::ServerHealth::verdict) {
            Some(Verdict::Down { by, failure }) => *by == Site::Own || !failure.kind.is_silence(),
            Some(Verdict::Up { .. } | Verdict::Unconfirmed { .. }) | None => false,
        }
    })
}

/// Directors of this datacenter that are alive: they share its pace.
pub(super) fn shared(control: &Control, datacenter: &DatacenterName) -> u32 {
    let others = control.hearsay.fresh_directors(datacenter, &control.settings, control.weighed);
    u32::try_from(others + 1).unwrap_or(u32::MAX)
}

fn draw(control: &Control, pool: &Arc<PoolSettings>, names: &Names, counts: &Counts) -> Result<PoolView, Full> {
    let servers = pool
        .servers
        .values()
        .map(|server| {
            let ix = names.server(&server.name)?;
            let load = counts.of(ix);
            let health = control.watch.server(&server.name);
            let own = health.and_then(|health| health.said().capacity());
            load.limit(own.unwrap_or(pool.capacity));
            Ok(ServerView {
                settings: Arc::clone(server),
                ix,
                standing: health.map_or(crate::health::Standing::UNKNOWN, crate::health::ServerHealth::standing),
                incarnation: health.and_then(|health| health.incarnation()).cloned(),
                load,
            })
        })
        .collect::<Result<Vec<_>, Full>>()?;
    let role = control.roles.get(&pool.name);
    let first = || pool.datacenters.first().cloned();
    // The settings promise at least one datacenter; without any there is nobody to place at, and any name will do.
    let active =
        role.and_then(|role| role.active().cloned()).or_else(first).unwrap_or(control.settings.datacenter.clone());
    let service_of =
        |name: &DatacenterName| role.and_then(|role| role.service(name)).map_or(Service::Unknown, |it| it.0);
    let others = pool.datacenters.iter().filter(|name| **name != active);
    let ladder: Vec<_> = std::iter::once(&active).chain(others).map(|name| (name.clone(), service_of(name))).collect();
    let role = RoleView {
        epoch: role.map_or(0, crate::role::Role::epoch),
        order: role.and_then(|role| role.order().cloned()),
        left: role.and_then(crate::role::Role::left),
        held: role.is_some_and(crate::role::Role::is_held),
        directors: shared(control, &control.settings.datacenter),
        active,
    };
    let turn = control.view.pool(&pool.name).map(|drawn| drawn.turn()).unwrap_or_default();
    Ok(PoolView::new(Arc::clone(pool), names.pool(&pool.name)?, servers, role, &ladder, turn, counts.board()))
}
