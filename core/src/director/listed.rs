//! Whether a start should go where a server lists the session rather than where the record names it (R5, R8).
//!
//! Decide, do not write: what lists say moves nobody by itself. It counts when a client comes.

use super::start::At;
use crate::clock::Stamp;
use crate::held::Place;
use crate::session::Sitting;
use crate::view::ServerView;

impl<'v> At<'v> {
    /// Another usable server that holds the session, when the record's server, which is usable, does not hold it any more: it
    /// listed the key once and lacks it (R8), or it is another process than the one that was given the session.
    pub(super) fn holder_instead(&self, sitting: &Sitting, server: &ServerView) -> Option<&'v ServerView> {
        let lists = &self.director.lists;
        let reborn = sitting.incarnation.contradicts(server.tag());
        if !reborn && !lists.lack_any() {
            return None;
        }
        let place = self.place_of(sitting);
        let list = lists.of(server.ix).filter(|list| !list.incarnation().contradicts(server.tag()));
        let lost = match &list {
            Some(list) if reborn => list.find(&place).is_none(),
            Some(list) => !list.incarnation().contradicts(sitting.incarnation) && list.is_unlisted(&place),
            None => reborn,
        };
        // A new life alone is no reason to go to an older stay that is about to be reset.
        let least = if reborn { Some(sitting.generation) } else { None };
        if lost { self.holder(sitting, least) } else { None }
    }

    /// A usable server other than the record's that lists the key: the latest generation, then the first by name.
    pub(super) fn holder(&self, sitting: &Sitting, least: Option<crate::ids::Generation>) -> Option<&'v ServerView> {
        let lists = &self.director.lists;
        if lists.is_empty() {
            return None;
        }
        let place = self.place_of(sitting);
        let mut best: Option<(Option<crate::ids::Generation>, &ServerView)> = None;
        for server in self.pool.servers().iter().filter(|it| it.ix != sitting.server && it.standing.is_usable()) {
            let Some(list) = lists.of(server.ix).filter(|list| !list.incarnation().contradicts(server.tag())) else {
                continue;
            };
            let Some(item) = list.find(&place) else { continue };
            let told = item.held.generation;
            if told.is_some_and(|told| least.is_some_and(|least| told < least)) {
                continue;
            }
            // What was listed before the last start, without a generation, may be the stay that the start ended.
            if told.is_none() && sitting.stamp != Stamp::ZERO && least.is_some() && item.since < sitting.stamp.time() {
                continue;
            }
            if best.is_none_or(|(generation, _)| told > generation) {
                best = Some((told, server));
            }
        }
        best.map(|(_, server)| server)
    }

    fn place_of(&self, sitting: &Sitting) -> Place {
        let session = self.pool.settings().allow_multiple.then_some(sitting.session);
        Place::new(self.request.key.key().clone(), session)
    }
}
