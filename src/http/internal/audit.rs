//! The line that each order leaves, taken or refused, on a target of its own: `maitred::audit`. Who, from where, what, before and
//! after.

use maitred_core::ids::Key;
use metrics::counter;
use serde_json::Value;
use tracing::{info, warn};

use super::Call;
use crate::http::problem::Problem;
use crate::http::start_log::key_in_log;

/// The target.
pub(super) const TARGET: &str = "maitred::audit";

/// An order, as the line names it.
pub(super) struct Order<'a> {
    /// `server_state`, `active`, `end_session`, `move_session` or `reload`.
    pub(super) name: &'static str,
    /// The server, pool or file that it is about.
    pub(super) about: &'a str,
    /// The session's key, where it is about one; hashed unless the configuration says otherwise.
    pub(super) key: Option<&'a Key>,
}

/// An order was taken, or was in force already.
pub(super) fn taken(call: &Call<'_>, order: &Order<'_>, before: &Value, after: &Value, changed: bool) {
    let outcome = if changed { "changed" } else { "unchanged" };
    counter!("maitred_orders_total", "order" => order.name, "outcome" => outcome).increment(1);
    info!(
        target: TARGET,
        order = order.name,
        outcome,
        about = order.about,
        key = order.key.map(|key| key_in_log(call.ask, key)),
        before = %before,
        after = %after,
        who = call.caller.name,
        role = %call.caller.role,
        by = call.caller.by,
        from = call.ask.client().map(tracing::field::display),
        request_id = call.ask.id.as_str(),
        "order"
    );
}

/// An order was refused.
pub(super) fn refused(call: &Call<'_>, order: &Order<'_>, problem: &Problem) {
    counter!("maitred_orders_total", "order" => order.name, "outcome" => "refused").increment(1);
    warn!(
        target: TARGET,
        order = order.name,
        outcome = "refused",
        about = order.about,
        key = order.key.map(|key| key_in_log(call.ask, key)),
        code = problem.code(),
        why = %problem.detail(),
        who = call.caller.name,
        role = %call.caller.role,
        by = call.caller.by,
        from = call.ask.client().map(tracing::field::display),
        request_id = call.ask.id.as_str(),
        "order"
    );
}
