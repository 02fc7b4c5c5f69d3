//! The bell: whoever changed something that peers should hear of rings it, and the links wake on their own thread.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

/// Wakes all links. Ringing takes no lock and never waits; a link that is awake already hears once.
#[derive(Default)]
pub struct Bell {
    links: ArcSwap<Vec<Arc<Notify>>>,
}

impl Bell {
    /// Something changed.
    pub fn ring(&self) {
        for link in self.links.load().iter() {
            link.notify_one();
        }
    }

    /// Who is to hear it from now on.
    pub fn hang(&self, links: Vec<Arc<Notify>>) {
        self.links.store(Arc::new(links));
    }
}
